"""Nudges about syncing: what is due, and one org."""

from __future__ import annotations

from tasks.app import Nudge, app, runtime

NUDGE_SECONDS = 60
"""A nudge that waited longer is dropped: ticks since then have sent it again, if the org is still due."""


@app.task(name="sfsync.tick", base=Nudge)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Write down every grid point that has passed and nudge each org that is due."""
    for org in runtime().due():
        nudge(org)


@app.task(name="sfsync.sync", base=Nudge)  # type: ignore[untyped-decorator]
def sync(org: str) -> None:
    """Sync ``org`` if it is still due and nobody else is at it."""
    runtime().sync_if_due(org)


def nudge(org: str) -> None:
    """Send one nudge; one that nobody took before the next tick is not needed any more."""
    sync.apply_async((org,), expires=NUDGE_SECONDS)


def urge(org: str) -> None:
    """Send one nudge ahead of what is only nightly."""
    sync.apply_async((org,), expires=NUDGE_SECONDS, queue="sfsync.urgent")
