"""The API calls of one org as a budget: ours is a share of the org's day, and part of that is kept for the night.

Values in, values out: the caller keeps the budget and shares it among workers. This module may not know who spends.
It keeps one law: the cadence stretches before anything stops, and nightly work keeps its reserve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
REMEMBERED = timedelta(hours=25)
"""An hour's calls count until the last of them is a day old: the org counts by the second, we by the hour."""

NIGHTLY_RESERVE = 0.25
"""Part of our share that only nightly work may use: a full night of the standard mapping costs well under it."""
PEOPLE_RESERVE = 0.2
"""Part of the org's whole allowance that we never touch, whoever used the rest: people come first (H9)."""
ASK_AGAIN = timedelta(hours=1)
"""What others used is heard only by calling: after so long without a word one call is allowed to hear it again."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What ``Sforce-Limit-Info`` said: calls of the last 24 hours by anybody, and the allowance."""

    used: int
    allowed: int


def read_usage(header: str | None) -> Usage | None:
    """Return the usage in a ``Sforce-Limit-Info`` header, with or without the per-app part; None if there is none."""
    found = _USAGE.search(header or "")
    return Usage(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Budget:
    """Calls of one org: what it last said, and ours by the hour over the last 24 hours."""

    usage: Usage | None = None
    seen_at: datetime | None = None
    hours: tuple[tuple[datetime, int], ...] = ()
    """Start of the hour and our calls in it, oldest first."""

    def spend(self, calls: int, at: datetime) -> Budget:
        """Return the budget after ``calls`` of ours at ``at``; hours older than a day are dropped."""
        hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        kept = {start: n for start, n in self.hours if start > at - REMEMBERED}
        kept[hour] = kept.get(hour, 0) + calls
        return replace(self, hours=tuple(sorted(kept.items())))

    def observe(self, usage: Usage | None, at: datetime) -> Budget:
        """Return the budget after the org said ``usage`` at ``at``; None changes nothing."""
        return self if usage is None else replace(self, usage=usage, seen_at=at)

    def ours(self, at: datetime) -> int:
        """Return our calls in the 24 hours before ``at``."""
        return sum(n for start, n in self.hours if start > at - REMEMBERED)

    def share(self, share: float, *, nightly: bool = False) -> int | None:
        """Return how many calls of a day are ours; work by day leaves the nightly reserve alone."""
        if self.usage is None:
            return None
        mine = int(self.usage.allowed * share)
        return mine if nightly else mine - int(mine * NIGHTLY_RESERVE)

    def left(self, share: float, at: datetime, *, nightly: bool = False) -> int | None:
        """Return how many calls we may still make; None while the org has not said what it allows.

        Two bounds hold: our share of the allowance less what we used, and the org's whole remainder less the
        part kept for people. Work by day also leaves the nightly reserve alone.
        """
        mine = self.share(share, nightly=nightly)
        return None if mine is None else max(0, min(mine - self.ours(at), self._of_everybody(at)))

    def _of_everybody(self, at: datetime) -> int:
        assert self.usage is not None
        rest = int(self.usage.allowed * (1 - PEOPLE_RESERVE)) - self.usage.used
        silent = self.seen_at is None or at - self.seen_at >= ASK_AGAIN
        return max(rest, 1 if silent else 0)

    def cadence(self, every_minutes: int, run_calls: int, share: float, at: datetime) -> int:
        """Return the minutes to wait between runs of ``run_calls`` each, so that the day's share lasts.

        Never shorter than ``every_minutes``, never longer than a day.
        """
        left = self.left(share, at)
        if left is None or run_calls <= 0:
            return every_minutes
        mine = self.share(share)
        oldest = min((start for start, n in self.hours if n and start > at - REMEMBERED), default=at)
        if left == 0 and mine is not None and self.ours(at) < mine:  # others used the org's calls up
            oldest = (self.seen_at or at) + ASK_AGAIN - REMEMBERED
        until_refill = max(1, int((oldest + REMEMBERED - at).total_seconds() // 60))
        affordable = left // run_calls
        if affordable == 0:
            return max(every_minutes, min(until_refill, 24 * 60))
        return min(max(every_minutes, -(-until_refill // affordable)), 24 * 60)
