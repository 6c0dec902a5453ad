"""Nudges about syncing: what is due, and one org."""

from __future__ import annotations

from tasks.app import Nudge, app, runtime


@app.task(name="sfsync.tick", base=Nudge)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Write down every grid point that has passed and nudge each org that is due."""
    for org in runtime().due():
        sync.delay(org)


@app.task(name="sfsync.sync", base=Nudge)  # type: ignore[untyped-decorator]
def sync(org: str) -> None:
    """Sync ``org`` if it is still due and nobody else is at it."""
    runtime().sync_if_due(org)
