"""The merge layer: one record, two sides that edit, and the real merge and plan between them. The fastest walk.

May not know runs, workers or stores. It keeps one law: after the last exchange both sides are equal, and every value a
person wrote is in force, was seen before it was replaced, or is in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sfsync.mirror.merge import Link, merge
from sfsync.mirror.plan import plan
from sfsync.mirror.translate import Ids, Seen
from tests.simulation.ground import Broken, Trace, chance
from tests.simulation.model_org import MAPPINGS

STEPS = 14
CASE = MAPPINGS["Case"]
PREFIXES = {name: mapping.prefix for name, mapping in MAPPINGS.by_object.items()}
_ONE = {"Case": CASE}
FIELDS = tuple(CASE.fields)
SHARED = ("note", "tag")


class _Alone:
    """The mappings of the one object that walks."""

    by_object = _ONE

    def __iter__(self) -> Any:
        return iter((CASE,))


class Walk:
    """One record's life."""

    def __init__(self, seed: int) -> None:
        self.org: dict[str, Any] = dict.fromkeys(FIELDS)
        self.org["breached"] = False
        self.local: dict[str, Any] | None = None
        self.link: Link | None = None
        self.stamp, self.revision = 1, 0
        self.deleted = False
        self.logged: set[Any] = set()
        self.seen_by_org: set[Any] = {None}
        self.seen_by_store: set[Any] = {None}
        self.old: Seen | None = None
        self.last: Seen | None = None
        self.ids = Ids("00Da")

    def exchange(self, *, write: bool = True, late: bool = False) -> int:
        """Read, merge and, unless the worker dies before, write; return the number of writes."""
        seen = Seen(
            "Case", "Ca1", "ca:1", dict(self.org), self.stamp, 1, self.deleted, None, self.revision, (), "person",  # type: ignore[arg-type]
        )  # fmt: skip
        if late and self.old is not None:
            seen = self.old  # a copy of the past arrives after the present
        else:
            self.old, self.last = self.last, seen
        merged = merge(CASE, seen, self.link, self.local, self.ids, PREFIXES)
        if self.link is not None and self.link.stamp is not None and seen.stamp < self.link.stamp and merged.local:
            raise Broken("a late copy of the past changes nothing", f"{merged.local}")
        for conflict in merged.conflicts:
            self.logged.update((conflict.lost, conflict.kept))
        before = self.local or {}
        for name in SHARED:
            if name in merged.local:
                lost = before.get(name)
                if lost not in self.seen_by_org and lost not in self.logged:
                    raise Broken("no edit of ours is lost", f"{name}: {lost} under {merged.local[name]}")
                self.seen_by_store.add(merged.local[name])
        self.local = {**before, **merged.local}
        self.link = merged.link
        if not write or self.link.stamp != self.stamp:
            return 0
        todo = plan(_Alone(), [(self.link, self.local)], self.ids)  # type: ignore[arg-type]
        if not todo.changes:
            self.link = Link(
                "Case", "ca:1", "Ca1", self.link.remote, self.link.remote, self.link.stamp, self.deleted,
                self.link.revision, None,
            )  # fmt: skip
        for change in todo.changes:
            for name, value in change.fields.items():
                old = self.org[name]
                if name in SHARED and old not in self.seen_by_store and old not in self.logged:
                    raise Broken("no person's edit is lost", f"{name}: {old} under {value}")
                if CASE.fields[name].owner == "org":
                    raise Broken("people's fields are never written", name)
                self.org[name] = value
                self.seen_by_org.add(value)
            self.revision = change.revision
            self.stamp += 1
            self.link = Link(
                "Case", "ca:1", "Ca1", {**self.link.remote, **change.fields}, {**self.link.agreed, **change.fields},
                self.link.stamp, self.deleted, change.revision, None,
            )  # fmt: skip
        return len(todo.changes)

    def step(self, number: int, roll: float, which: float, value: float) -> None:
        """Somebody edits, or the two sides meet."""
        name = FIELDS[int(which * len(FIELDS))]
        if roll < 0.4:
            if name == "logged" or name == "serial":
                self.org[name] = int(value * 4)
            elif name != "breached":
                self.org[name] = f"org{int(value * 3)}" if name == "subject" else f"org{number}"
                self.seen_by_org.add(self.org[name])
            self.stamp += value < 0.7
        elif roll < 0.6:
            if self.local is not None:
                if name in SHARED:
                    self.local[name] = f"desk{number}"
                    self.seen_by_store.add(self.local[name])
                elif name != "subject":
                    self.local[name] = value < 0.5 if name == "breached" else int(value * 4)
        elif roll < 0.65:
            self.deleted = not self.deleted
            self.stamp += 1
        else:
            self.exchange(write=roll < 0.88, late=roll > 0.96)


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one record's life; raises Broken."""
    walk = Walk(seed)
    chances = chance(seed, "walk").random
    draws = [(chances(), chances(), chances()) for _ in range(STEPS)]  # a step that is left out changes no other
    for number in range(STEPS) if kept is None else kept:
        walk.step(number, *draws[number])
        if trace is not None:
            trace.add(f"{number} {walk.stamp} {sorted(walk.org.items(), key=str)} {walk.local}")
    if walk.deleted:
        walk.deleted = False
        walk.stamp += 1
    for _ in range(3):
        walk.exchange()
    local = walk.local or {}
    for name in FIELDS:
        agreed = walk.link.agreed[name] if walk.link is not None else None
        if not (local.get(name) == walk.org[name] == agreed):
            raise Broken("org and store are equal", f"{name}: {local.get(name)}, {walk.org[name]}, agreed {agreed}")
    if walk.exchange():
        raise Broken("a second run writes nothing", "")


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's life."""
    return list(range(STEPS))
