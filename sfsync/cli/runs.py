"""``sfsync runs``: what past runs did.

May not know what a run does. It keeps one law: a run's name, or its beginning, is enough to find it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, pairs, show, table
from sfsync.cli.rooms import Mistyped, Opened, runtime

if TYPE_CHECKING:
    from sfsync.store.store import RunRow

LOOK_SECONDS = 1.0
COLUMNS = ("Run", "Org", "State", "Started", "Seconds", "Read", "Took", "Wrote", "Refused", "Calls", "Error")
COUNTS = ("read", "absorbed", "wrote", "created", "refused", "later", "conflicts", "hand_edits", "findings", "calls")


@click.group()
def runs() -> None:
    """What past runs did, newest first."""


@runs.command("list")
@click.argument("org", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@as_json
def list_runs(org: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs of ORG, or of all orgs."""
    with runtime() as opened:
        names = opened.orgs((org,) if org else ())
        found = [run for name in names for run in opened.store.runs(opened.runtime.client_name(name), name, limit)]
    found = sorted(found, key=lambda run: run.seq, reverse=True)[:limit]
    show(as_json, {"runs": [_run(run) for run in found]}, COLUMNS, map(_line, found), ("Seconds", "Took", "Calls"))


@runs.command("tail")
@click.argument("org", required=False)
@click.option("--limit", type=click.IntRange(0, 1000), default=10, show_default=True, help="Past runs to begin with.")
@click.option("--for", "seconds", type=click.IntRange(0), help="Stop after so many seconds; default: when interrupted.")
@as_json
def tail_runs(org: str | None, limit: int, seconds: int | None, as_json: bool) -> None:
    """Print each run of ORG, or of all orgs, as it ends; with --json one object a line."""
    with runtime() as opened:
        clock = opened.runtime.clock
        until = None if seconds is None else clock.monotonic() + seconds
        for n, ended in enumerate(endings(opened, opened.orgs((org,) if org else ()), limit)):
            if as_json:
                for run in ended:
                    emit({"run": _run(run)})
            elif ended or not n:
                table(COLUMNS, map(_line, ended), heading=not n)
            if until is not None and clock.monotonic() >= until:
                return
            clock.sleep(LOOK_SECONDS)


def endings(opened: Opened, names: list[str], limit: int) -> Iterator[list[RunRow]]:
    """Yield the last ``limit`` runs that ended, then, each time, those that ended since; oldest first.

    One question looks at all orgs; only where something moved the runs are read.
    """
    told: set[str] = set()
    before: dict[str, Any] = {}
    first = True
    while True:
        now = {row.org: row for row in opened.store.orgs() if row.org in names}
        found = [
            run
            for name, row in now.items()
            if before.get(name) != row
            for run in opened.store.runs(row.client, name, max(limit, 50))
            if run.state != "running" and run.run not in told
        ]
        before = now
        told.update(run.run for run in found)
        found.sort(key=lambda run: (run.ended_at or run.started_at, run.seq))
        yield found[len(found) - limit :] if first and len(found) > limit else found
        first = False


@runs.command("show")
@click.argument("run")
@as_json
def show_run(run: str, as_json: bool) -> None:
    """Show one RUN by its name or the beginning of it."""
    with runtime() as opened:
        found = next((r for c in opened.clients() if (r := opened.reads.run(c, run)) is not None), None)
    if found is None:
        raise Mistyped(f"there is no run {run!r}; list them with: sfsync runs list")
    if as_json:
        emit({"run": _run(found)})
        return
    told = _run(found)
    pairs({**{name: value for name, value in told.items() if name != "counts"}, **told["counts"]}, 12)


def _line(run: RunRow) -> tuple[Any, ...]:
    return (
        run.run, run.org, run.state, run.started_at, _seconds(run), *(run.counts.get(n) for n in COUNTS[:3]),
        run.counts.get("refused"), run.counts.get("calls"), run.error,
    )  # fmt: skip


def _seconds(run: RunRow) -> int | None:
    return int((run.ended_at - run.started_at).total_seconds()) if run.ended_at else None


def _run(run: RunRow) -> dict[str, Any]:
    return {
        "run": run.run,
        "client": run.client,
        "org": run.org,
        "state": run.state,
        "stage": run.stage,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "seconds": _seconds(run),
        "counts": {name: run.counts.get(name, 0) for name in COUNTS},
        "error": run.error,
    }
