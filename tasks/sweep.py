"""The nudge about deadlines that have passed."""

from __future__ import annotations

from tasks.app import Nudge, app, runtime
from tasks.sync import urge


@app.task(name="sfsync.sweep", base=Nudge)  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Make every org due whose client has a deadline that has come, then nudge it."""
    for org in runtime().roster.sweep():
        urge(org)
