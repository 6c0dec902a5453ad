"""Where a read stands: the checkpoint inside a bookmark, and the condition with which reading goes on.

Values only. It keeps one law: a place names rows that were absorbed, never rows that were only asked for.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sfsync.mirror.translate import Bookmark
from sfsync.org.soql import after, compare

_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a read got that was cut short.

    Either behind the row ``(stamp, sf_id)`` in the order of (SystemModstamp, Id), or in the results of a Bulk query
    ``job``: behind ``row`` rows of the page at ``locator``.
    """

    upto: str = ""
    """Instant to which the bookmark moves when the read is finished."""
    stamp: str = ""
    sf_id: str = ""
    job: str = ""
    part: int = 0
    """0 for the records themselves, then each kind of their events."""
    locator: str = ""
    row: int = 0

    @classmethod
    def parse(cls, checkpoint: str) -> Place:
        """Return the place in a checkpoint; the beginning for an empty or unreadable one."""
        if not checkpoint:
            return cls()
        try:
            return cls(**json.loads(checkpoint))
        except (ValueError, TypeError):
            return cls()

    def __str__(self) -> str:
        """Return the checkpoint text, without what is empty."""
        return json.dumps({k: v for k, v in asdict(self).items() if v}, separators=(",", ":"))


def since(bookmark: Bookmark | None, place: Place, overlap: timedelta) -> tuple[str, ...]:
    """Return the conditions for rows that may be new: behind the place, or from the bookmark less the overlap."""
    if place.stamp and place.sf_id:
        return (after(instant(place.stamp), place.sf_id),)
    if bookmark is None or bookmark.read_to is None:
        return ()
    return (compare("SystemModstamp", ">=", bookmark.read_to - overlap),)


def instant(text: str) -> datetime:
    """Return the instant that :func:`written` wrote."""
    return datetime.strptime(text, _FORM).replace(tzinfo=UTC)


def written(at: datetime) -> str:
    """Return an instant as a place keeps it."""
    return at.astimezone(UTC).strftime(_FORM)
