"""The API calls of one org as a budget: ours is a share of the org's day, and part of that is kept for the night.

Values in, values out: the caller keeps the budget and shares it among workers. This module may not know who spends.
It keeps one law: the cadence stretches before anything stops, and nightly work keeps its reserve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
DAY = timedelta(hours=24)

NIGHTLY_RESERVE = 0.25
"""Part of our share that only nightly work may use: a full night of the standard mapping costs well under it."""
PEOPLE_RESERVE = 0.2
"""Part of the org's whole allowance that we never touch, whoever used the rest: people come first (H9)."""


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
        kept = {start: n for start, n in self.hours if start > at - DAY}
        kept[hour] = kept.get(hour, 0) + calls
        return replace(self, hours=tuple(sorted(kept.items())))

    def observe(self, usage: Usage | None, at: datetime) -> Budget:
        """Return the budget after the org said ``usage`` at ``at``; None changes nothing."""
        return self if usage is None else replace(self, usage=usage, seen_at=at)

    def merged(self, other: Budget) -> Budget:
        """Return this budget with what another worker saw: the newer usage, and the larger count of each hour."""
        newer = max(self, other, key=lambda b: b.seen_at or datetime.min.replace(tzinfo=UTC))
        hours = dict(self.hours)
        for start, n in other.hours:
            hours[start] = max(n, hours.get(start, 0))
        return Budget(newer.usage, newer.seen_at, tuple(sorted(hours.items())))

    def ours(self, at: datetime) -> int:
        """Return our calls in the 24 hours before ``at``."""
        return sum(n for start, n in self.hours if start > at - DAY)

    def left(self, share: float, at: datetime, *, nightly: bool = False) -> int | None:
        """Return how many calls we may still make; None while the org has not said what it allows.

        Two bounds hold: our share of the allowance less what we used, and the org's whole remainder less the
        part kept for people. Work by day also leaves the nightly reserve alone.
        """
        if self.usage is None:
            return None
        mine = int(self.usage.allowed * share)
        if not nightly:
            mine -= int(mine * NIGHTLY_RESERVE)
        everybody = int(self.usage.allowed * (1 - PEOPLE_RESERVE)) - self.usage.used
        return max(0, min(mine - self.ours(at), everybody))

    def cadence(self, every_minutes: int, run_calls: int, share: float, at: datetime) -> int:
        """Return the minutes to wait between runs of ``run_calls`` each, so that the day's share lasts.

        Never shorter than ``every_minutes``, never longer than a day.
        """
        left = self.left(share, at)
        if left is None or run_calls <= 0:
            return every_minutes
        oldest = min((start for start, n in self.hours if n and start > at - DAY), default=at)
        until_refill = max(1, int((oldest + DAY - at).total_seconds() // 60))
        affordable = left // run_calls
        if affordable == 0:
            return max(every_minutes, until_refill)
        return min(max(every_minutes, -(-until_refill // affordable)), 24 * 60)

    def as_json(self) -> dict[str, Any]:
        """Return the budget as plain values, to be kept by the caller."""
        return {
            "used": self.usage.used if self.usage else None,
            "allowed": self.usage.allowed if self.usage else None,
            "seen_at": self.seen_at.isoformat() if self.seen_at else None,
            "hours": [[start.isoformat(), n] for start, n in self.hours],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Budget:
        """Return the budget that :meth:`as_json` wrote."""
        known = data.get("used") is not None and data.get("allowed") is not None
        return cls(
            Usage(int(data["used"]), int(data["allowed"])) if known else None,
            datetime.fromisoformat(data["seen_at"]) if data.get("seen_at") else None,
            tuple((datetime.fromisoformat(start), int(n)) for start, n in data.get("hours", ())),
        )
