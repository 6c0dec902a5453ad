"""What became of writes: what an org accepted, what is to be tried later, and what waits for a person.

Functions inside a transaction that somebody else opened. May not know why anything was written. It keeps one law: an
outcome moves its link and nothing else, and what the org did not accept is never taken for agreed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, select, text

from sfsync.mapping import Mappings
from sfsync.mirror.plan import Outcome, Result
from sfsync.mirror.translate import KEY_FIELD
from sfsync.store.forms import any_of, clean, staged, wire_json
from sfsync.store.tables import link

Scope: TypeAlias = Mapping[str, str]
"""Names the client and its org."""

THIS_LINK = "l.client = :client AND l.org = :org AND l.object = s.object AND l.key = s.key"
"""Joins a staged row ``s`` to its link ``l``."""

LONGEST_WAIT = timedelta(hours=1)
"""A change that is to be tried later is tried at least this often."""


def pairs(connection: Connection, org: str, column: Any, wanted: list[str]) -> list[tuple[str, str]]:
    """Return the id and the key of every link of an org whose ``column`` is one of ``wanted``."""
    query = select(link.c.sf_id, link.c.key).where(
        link.c.org == org, link.c.sf_id.is_not(None), column == any_of(wanted)
    )
    found = connection.execute(query).all()  # row by row takes several times as long
    return [(sf_id, key) for sf_id, key in found]


def settle_done(
    connection: Connection,
    scope: Scope,
    mappings: Mappings,
    done: list[Outcome],
    examined: Mapping[tuple[str, str], int],
) -> None:
    """What the org accepted is remote and agreed, and its quarantine is over.

    ``examined`` says up to which touch each link was planned.
    """
    ids = _ids_of(connection, scope, done)
    rows = []
    for one in done:
        change = one.change
        lookups = mappings.by_object[change.object].lookups
        sent = {
            name: ids.get(value[4:])
            if name in lookups and isinstance(value, str) and value.startswith("key:")
            else value
            for name, value in change.fields.items()
        }
        unknown = [n for n, value in sent.items() if value is None and change.fields[n] is not None]
        for name in unknown:  # the parent's id is not known yet: the next read tells, until then it counts as unwritten
            del sent[name]
        touched = examined.get((change.object, change.key), 0)
        emptied = KEY_FIELD in sent and sent[KEY_FIELD] is None  # its own key may have to follow
        looked_at = 0 if unknown or emptied else touched
        replaced = {} if change.creates else {name: change.before.get(name) for name in sent}
        known = change.object, change.key, one.sf_id
        rows.append([*known, wire_json(sent), wire_json(replaced), change.revision, looked_at])
    columns = {
        "object": "TEXT",
        "key": "TEXT",
        "sf_id": "TEXT",
        "sent": "JSONB",
        "replaced": "JSONB",
        "revision": "BIGINT",
        "seen": "BIGINT",
    }
    with staged(connection, columns, rows) as stage:
        connection.execute(
            text(
                "UPDATE link l SET sf_id = coalesce(s.sf_id, l.sf_id), remote = l.remote || s.sent, "
                "agreed = l.agreed || s.sent, unheard = s.replaced || l.unheard, "
                "revision = greatest(l.revision, s.revision), "
                "settled = greatest(l.settled, s.seen), attempts = 0, tries = 0, next_try_at = NULL, "
                "echo_after = (SELECT b.read_to FROM bookmark b WHERE b.client = :client AND b.org = :org "
                "AND b.object = l.object), "
                f"state = 'ready' FROM {stage} s WHERE {THIS_LINK}"
            ),
            scope,
        )
        connection.execute(
            text(
                f"DELETE FROM quarantine q USING {stage} s WHERE q.client = :client AND q.org = :org "
                "AND q.object = s.object AND q.key = s.key AND q.direction = 'out'"
            ),
            scope,
        )


def _ids_of(connection: Connection, scope: Scope, done: list[Outcome]) -> dict[str, str]:
    wanted = {
        value[4:]
        for one in done
        for value in one.change.fields.values()
        if isinstance(value, str) and value.startswith("key:")
    }
    found = {key: sf_id for sf_id, key in pairs(connection, scope["org"], link.c.key, sorted(wanted))} if wanted else {}
    return found | {one.change.key: one.sf_id for one in done if one.sf_id}


def postpone(connection: Connection, scope: Scope, outcomes: list[Outcome], now: datetime) -> None:
    """What is to be tried later waits, twice as long each time; what has moved is planned again at once."""
    if not outcomes:
        return
    rows = [(one.change.object, one.change.key, one.result is Result.LATER) for one in outcomes]
    columns = {"object": "TEXT", "key": "TEXT", "later": "BOOLEAN"}
    with staged(connection, columns, rows) as stage:
        connection.execute(
            text(
                "UPDATE link l SET attempts = 0, tries = l.tries + 1, next_try_at = CASE WHEN s.later "
                "THEN CAST(:now AS timestamptz) + least(make_interval(secs => 30 * power(2, least(l.tries, 10))), "
                "CAST(:longest AS interval)) END "
                f"FROM {stage} s WHERE {THIS_LINK}"
            ),
            {**scope, "now": now, "longest": LONGEST_WAIT},
        )


def quarantine(
    connection: Connection, scope: Scope, object_name: str, key: str, direction: str, field: str, code: str,
    message: str, advice: str, now: datetime,
) -> None:  # fmt: skip
    """A record waits for a person, with the org's own words and an advice; in direction ``out`` its link with it."""
    connection.execute(
        text(
            "INSERT INTO quarantine AS q "
            "(client, org, object, key, direction, field, code, message, advice, tries, since, last_at) "
            "VALUES (:client, :org, :object, :key, :direction, :field, :code, :message, :advice, 1, :now, :now) "
            "ON CONFLICT (client, org, object, key, direction) DO UPDATE SET field = excluded.field, "
            "code = excluded.code, message = excluded.message, advice = excluded.advice, tries = q.tries + 1, "
            "last_at = excluded.last_at"
        ),
        {
            **scope, "object": object_name, "key": key, "direction": direction,
            "field": field, "code": code, "message": clean(message), "advice": clean(advice), "now": now,
        },
    )  # fmt: skip
    if direction == "out":
        connection.execute(
            text(
                "UPDATE link SET state = 'quarantined' "
                "WHERE client = :client AND org = :org AND object = :object AND key = :key"
            ),
            {**scope, "object": object_name, "key": key},
        )
