"""The journal: every request an org answered, with its cost in API calls.

It may not know routes. It keeps one law: it only remembers; nothing reads it to decide anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

MOST_ENTRIES = 200_000


@dataclass(slots=True)
class Entry:
    """One request: when, what, who, how it ended, and what it cost."""

    at: int
    method: str
    path: str
    query: dict[str, str]
    client: str | None = None
    user_id: str | None = None
    status: int = 0
    cost: int = 0
    fault: str | None = None
    broken: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the control face shows it."""
        return {
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "client": self.client,
            "user_id": self.user_id,
            "status": self.status,
            "cost": self.cost,
            "fault": self.fault,
            "broken": self.broken,
        }


@dataclass(slots=True)
class Journal:
    """The requests of one org, newest last, and the notifications it accepted."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MOST_ENTRIES))
    notifications: list[dict[str, Any]] = field(default_factory=list)
    total_cost: int = 0

    def add(self, entry: Entry, broken: str | None) -> None:
        """Remember a request."""
        entry.broken = broken
        self.entries.append(entry)
        self.total_cost += entry.cost

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.notifications.clear()
        self.total_cost = 0
