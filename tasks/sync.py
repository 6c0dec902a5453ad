"""Nudges about what is due: a run, an audit or a look at the calendar of one org."""

from __future__ import annotations

from sfsync.settings import load
from tasks.app import Nudge, app, runtime

NUDGE_SECONDS = max(20, load().schedule.beat_seconds)
"""A nudge that waited longer is dropped: the next tick sends it again, if the org is still due, so that a backlog of
orgs is never a backlog of messages too."""


@app.task(name="sfsync.tick", base=Nudge)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Write down every grid point that has passed and nudge each org that is due."""
    roster = runtime().roster
    for org in roster.due():
        nudge(org)
    for kind, org in roster.checks():
        check.apply_async((kind, org), expires=NUDGE_SECONDS)


@app.task(name="sfsync.sync", base=Nudge)  # type: ignore[untyped-decorator]
def sync(org: str) -> None:
    """Sync ``org`` if it is still due and nobody else is at it."""
    runtime().roster.sync_if_due(org)


@app.task(name="sfsync.check", base=Nudge)  # type: ignore[untyped-decorator]
def check(kind: str, org: str) -> None:
    """Audit ``org``, or look at its client's calendar, if that is still due and nobody is at it."""
    runtime().roster.check_if_due(kind, org)


def nudge(org: str) -> None:
    """Send one nudge; one that nobody took before the next tick is not needed any more."""
    sync.apply_async((org,), expires=NUDGE_SECONDS)


def urge(org: str) -> None:
    """Send one nudge ahead of what is only nightly."""
    sync.apply_async((org,), expires=NUDGE_SECONDS, queue="sfsync.urgent")
