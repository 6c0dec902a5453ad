"""What every layer of the simulation stands on: chance by step, workers that stop anywhere, promises that break.

May not know what is simulated. It keeps one law: what happens depends on the seed and on the steps that are kept, and
on nothing else; so a step that is left out changes none of the others, and a history can be shortened.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, TypeVar

from sfsync.clock import seeded

Act = TypeVar("Act")


class Killed(BaseException):
    """The worker's process is gone: nothing after this line happened. No part of the product may catch it."""


class Broken(Exception):
    """A promise was broken; ``promise`` is its name in docs/simulation.md."""

    def __init__(self, promise: str, detail: str) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


def chance(seed: int | str, step: int | str) -> Random:
    """Return the generator of one step of one history."""
    return seeded(f"{seed}/{step}")


def shares(weights: Sequence[tuple[int, Act]]) -> list[tuple[float, Act]]:
    """Return each act with the end of its share of [0, 1): it happens to the rolls below that and not below another."""
    whole = sum(weight for weight, _ in weights)
    ends = accumulate(weight for weight, _ in weights)
    return [(end / whole, act) for end, (_, act) in zip(ends, weights, strict=True)]


@dataclass(slots=True)
class Trace:
    """What happened, line by line; the same seed gives the same lines."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Remember one thing that happened."""
        self.lines.append(line)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that happened."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]


class Worker:
    """One process that does one job at a time and stops where it is told to.

    ``point`` is called before each side effect: there the worker may be killed, or frozen while others go on. A job
    that is to run through runs in the caller's thread; one that is to be frozen has a thread of its own.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.points = 0
        self._budget = -1
        self._kill = False
        self._frozen = False
        self._go = self._back = None  # type: Any
        self._thread: threading.Thread | None = None
        self._job: Callable[[], Any] | None = None
        self._raised: BaseException | None = None
        self.result: Any = None

    @property
    def frozen(self) -> bool:
        """True while a job stands still in the middle."""
        return self._frozen

    def point(self, _name: str) -> None:
        """Stand before a side effect; raises Killed if the worker dies here."""
        self.points += 1
        if self._budget < 0:
            return
        if self._budget > 0:
            self._budget -= 1
            return
        if self._kill:
            self._budget = -1
            raise Killed
        assert self._back is not None
        assert self._go is not None
        self._frozen = True
        self._back.release()
        self._go.acquire()
        self._frozen = False
        if self._kill and self._budget == 0:
            self._budget = -1
            raise Killed

    def run(self, job: Callable[[], Any], *, kill_after: int = -1) -> Any:
        """Do ``job`` at once; with ``kill_after`` it dies before that side effect, counted from 0."""
        self._budget, self._kill = kill_after, True
        try:
            return job()
        finally:
            self._budget = -1

    def freeze(self, job: Callable[[], Any], after: int) -> bool:
        """Begin ``job`` and freeze it before its side effect number ``after``; return False if it ended earlier."""
        if self._thread is None:
            self._go, self._back = threading.Lock(), threading.Lock()
            self._go.acquire()
            self._back.acquire()
            self._thread = threading.Thread(target=self._loop, daemon=True)
            self._thread.start()
        self._job = job
        return self._resume(after, kill=False)

    def thaw(self, steps: int = -1, *, kill: bool = False) -> bool:
        """Let the frozen job go on for ``steps`` side effects (-1: to its end); with ``kill`` it dies there."""
        return self._resume(steps, kill=kill)

    def _resume(self, budget: int, *, kill: bool) -> bool:
        assert self._back is not None
        assert self._go is not None
        self._budget, self._kill = budget, kill
        self._go.release()
        self._back.acquire()
        if self._frozen:
            return True
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        return False

    def _loop(self) -> None:
        assert self._back is not None
        assert self._go is not None
        while True:
            self._go.acquire()
            if self._job is None:
                self._back.release()
                return
            try:
                self.result = self._job()
            except BaseException as bad:
                self._raised = bad
            self._back.release()

    def close(self) -> None:
        """End the worker's thread; a frozen job is killed first."""
        if self._frozen:
            with contextlib.suppress(Killed, Exception):  # it is dead either way
                self.thaw(0, kill=True)
        if self._thread is not None:
            assert self._go is not None
            self._job = None
            self._go.release()
            self._thread.join()
            self._thread = None


def shorten(
    steps: Sequence[int], fails: Callable[[Sequence[int]], bool], *, most: int = 2_000
) -> tuple[list[int], int]:
    """Return the shortest list of steps that still fails, by leaving out ever smaller parts, and the tries it took."""
    kept = list(steps)
    tries = 0
    size = max(1, len(kept) // 2)
    while tries < most:
        start, shrunk = 0, False
        while start < len(kept) and tries < most:
            fewer = kept[:start] + kept[start + size :]
            tries += 1
            if fails(fewer):
                kept, shrunk = fewer, True
            else:
                start += size
        if size == 1 and not shrunk:
            break
        if not shrunk or size > len(kept):
            size = max(1, size // 2)
    return kept, tries
