"""The books of the runs: each run has a row, and each org says what its runs came to.

Functions inside a transaction that somebody else opened. May not know what a run does. It keeps one law: a run whose
org was taken over says nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from sfsync.errors import LeaseLost
from sfsync.store.forms import to_json

OPERATIONS_KEPT_DAYS = 7
"""An unknown COMMIT is settled within seconds; a week is for a person who looks."""
RUNS_KEPT_DAYS = 90
"""Runs are for a person who looks; what they came to is summed up in their org's row."""

COUNTED = ("read", "absorbed", "wrote", "created", "refused", "later", "conflicts", "calls")
"""What is summed up over all runs of an org."""

_LOST = text("UPDATE run SET state = 'lost', ended_at = :now WHERE org = :org AND state = 'running'")
_BEGUN = text(
    "UPDATE org SET running_since = :now, failed_runs = failed_runs + :lost, "
    "failed_at = CASE WHEN :lost > 0 THEN :now ELSE failed_at END WHERE client = :client AND org = :org"
)
_RUNNING = text("INSERT INTO run (client, run, org, state, started_at) VALUES (:client, :run, :org, 'running', :now)")
_ENDED = text(
    "UPDATE run SET state = :state, stage = coalesce(:stage, stage), ended_at = :now, "
    "counts = CAST(:counts AS jsonb), error = :error WHERE run = :run AND state = 'running' RETURNING org"
)
_DONE = text(
    "UPDATE org o SET last_success_at = :now, failed_runs = 0, running_since = NULL, "
    "last_ms = round(extract(epoch FROM CAST(:now AS timestamptz) - o.running_since) * 1000), "
    "counted = (SELECT jsonb_object_agg(name, CAST(coalesce(o.counted ->> name, '0') AS bigint) "
    "+ CAST(coalesce(CAST(:counts AS jsonb) ->> name, '0') AS bigint)) "
    "FROM unnest(CAST(:names AS text[])) AS name) WHERE o.client = :client AND o.org = :org"
)
_GAVE_WAY = text("UPDATE org SET failed_runs = 0, running_since = NULL WHERE client = :client AND org = :org")
_FAILED = text(
    "UPDATE org SET failed_runs = failed_runs + 1, failed_at = :now, running_since = NULL "
    "WHERE client = :client AND org = :org"
)
_FORGET_OPERATIONS = text(f"DELETE FROM operation WHERE at < now() - interval '{OPERATIONS_KEPT_DAYS} days'")
_FORGET_RUNS = text(
    f"DELETE FROM run WHERE org = :org AND started_at < CAST(:now AS timestamptz) - interval '{RUNS_KEPT_DAYS} days'"
)


def begin(connection: Connection, client: str, org: str, run: str, now: datetime) -> None:
    """Leave a run on record; one that was left running by a worker that died is now ``lost``."""
    named = {"client": client, "org": org, "run": run, "now": now}
    lost = connection.execute(_LOST, named).rowcount
    connection.execute(_BEGUN, {**named, "lost": lost})
    connection.execute(_RUNNING, named)


def end(connection: Connection, client: str, run: str, now: datetime, counts: Mapping[str, Any], error: str) -> None:
    """Leave the run done, with what it counted, or failed; LeaseLost if it is not running any more."""
    org = _end(connection, client, run, now, "failed" if error else "done", None, counts, error)
    told = {"client": client, "org": org, "now": now}
    if error:
        connection.execute(_FAILED, told)
    else:
        connection.execute(_DONE, {**told, "counts": to_json(counts), "names": list(COUNTED)})
    connection.execute(_FORGET_OPERATIONS)
    connection.execute(_FORGET_RUNS, told)


def give_way(connection: Connection, client: str, run: str, now: datetime) -> None:
    """Leave a run done that goes on in another one; the org has not been synced in full by it."""
    org = _end(connection, client, run, now, "done", "gave way", {}, "")
    connection.execute(_GAVE_WAY, {"client": client, "org": org})


def _end(
    connection: Connection,
    client: str,
    run: str,
    now: datetime,
    state: str,
    stage: str | None,
    counts: Mapping[str, Any],
    error: str,
) -> str:
    told = {"run": run, "state": state, "stage": stage, "now": now, "counts": to_json(counts), "error": error}
    org: str | None = connection.execute(_ENDED, told).scalar_one_or_none()
    if org is None:
        raise LeaseLost(f"run {run} of client {client}: its org was taken over; this run stops")
    return org
