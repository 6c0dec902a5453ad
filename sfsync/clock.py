"""The only source of time and chance.

Everything else takes ``now`` and seeds as arguments (law 10), so a run can be replayed.
This module may not know what the time or the random numbers are used for.
"""

from __future__ import annotations

import random
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC, truncated to whole seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, for measuring durations and deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` have passed on this clock."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's time in UTC, truncated to whole seconds (CLK-1)."""
        return datetime.now(UTC).replace(microsecond=0)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``."""
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to: for tests, simulation and the local org."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware instant")
        self._start = start.astimezone(UTC)
        self._now = self._start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the instant this clock was last moved to, truncated to whole seconds."""
        return self._now.replace(microsecond=0)

    def monotonic(self) -> float:
        """Return the seconds by which this clock was advanced."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``; never backward."""
        from datetime import timedelta

        if seconds < 0:
            raise ValueError("use set() to move a clock backward")
        self._elapsed += seconds
        self._now += timedelta(seconds=seconds)

    def set(self, instant: datetime) -> None:
        """Jump to ``instant``, forward or backward; the monotonic reading does not jump."""
        if instant.tzinfo is None:
            raise ValueError("a clock is set to an aware instant")
        self._now = instant.astimezone(UTC)


def seeded(seed: int | str) -> random.Random:
    """Return a generator whose sequence depends on ``seed`` and on nothing else."""
    return random.Random(seed)


def token(nbytes: int = 16) -> str:
    """Return an unguessable lowercase hexadecimal text of ``2 * nbytes`` characters."""
    return secrets.token_hex(nbytes)
