"""The pages of queries: five to a call, checked to follow each other, begun again where a locator was lost.

This module may not know what the rows mean. It keeps one law: rows that the org counted and did not show are asked for
again; an error never becomes the end of a list.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sfsync.mirror.translate import parse_instant
from sfsync.org.composite import MAX_COSTLY, Sub, SubAnswer, read_all
from sfsync.org.faults import OutcomeUnknown, Repeat
from sfsync.org.session import OrgSession
from sfsync.org.soql import Select, after, locator, query_path

log = logging.getLogger("sfsync.org")

Row = Mapping[str, Any]

STEP = 2_000
"""Rows of one query once the org's own paging has failed: the most a page holds anyway."""
PAGE_STEP = 200
"""Pages of a multiple of this many rows follow each other evenly; others are cut where wide rows end them."""
MOST_BYTES = 48_000_000
"""Of rows read ahead, by the widest of a few rows of the page before."""
SAMPLE = 20
MAX_RESTARTS = 3
"""How often one read may begin again before it is given up for this run."""
_OFFSET = re.compile(r"^(.*-)(\d+)$")


@dataclass(slots=True)
class Pager:
    """The pages of one query in the order of (SystemModstamp, Id).

    An org fixes the order at the first page and reads values when a page is handed out: a row that changed since
    carries a stamp ahead of its place. ``began`` is the org's clock at the first page; only rows stamped before it
    say where a page ends.
    """

    query: Select
    began: datetime
    ready: deque[list[Row]] = field(default_factory=deque)
    """Pages read and not handed out."""
    total: int = 0
    """Rows the org counted."""
    _next: str | None = None
    _got: int = 0
    _page: int = 0
    _width: int = 0
    _last: tuple[datetime, str] | None = None
    _stepping: bool = False
    _restarts: int = 0
    _pending: Sub | None = None

    def first(self) -> Sub:
        """Return the request for the first page."""
        return Sub("GET", query_path(self.query, all_rows=True), kind="query")

    @property
    def done(self) -> bool:
        """True once every page was read."""
        return self._next is None and self._pending is None

    def upcoming(self, most: int) -> list[Sub]:
        """Return the requests for the next pages, at most ``most`` and no more than fit into memory together.

        A locator ends in the number of rows before it, so pages behind the next can be asked for along with it; that
        they fit is checked when they come.
        """
        if self._pending is not None:
            return [self._pending]
        if self._next is None:
            return []
        paths = [self._next]
        steps = _OFFSET.match(self._next)
        if steps and self._page and self._page % PAGE_STEP == 0:
            offset = int(steps[2])
            most = min(most, max(1, MOST_BYTES // (self._page * max(1, self._width))))
            while len(paths) < most and (offset := offset + self._page) < self.total:
                paths.append(f"{steps[1]}{offset}")
        return [Sub("GET", path, kind="query more") for path in paths]

    def place_of(self, rows: Sequence[Row]) -> tuple[datetime, str] | None:
        """Return stamp and id of the last of ``rows`` that stands where its stamp says, or None."""
        for row in reversed(rows):
            stamp = parse_instant(str(row["SystemModstamp"]))
            if stamp < self.began:
                return stamp, str(row["Id"])
        return None

    def take(self, asked: Sequence[Sub], answers: Sequence[SubAnswer]) -> None:
        """Take the answers to :meth:`first` or :meth:`upcoming`, as far as they follow each other."""
        for position, (sub, answer) in enumerate(zip(asked, answers, strict=True)):
            if position and (self._next is None or sub.path != self._next):
                return  # the page before it ended elsewhere than expected
            if not answer.ok:
                self._begin_again(answer)
                return
            self._take_page(answer.body)

    def _take_page(self, payload: Any) -> None:
        rows, following = rows_of(payload)
        if self._pending is not None or not self._got:
            self.total = int(payload.get("totalSize") or len(rows))
            self._pending = None
            self._got = 0
        self._got += len(rows)
        self._page = len(rows)
        self._next = following
        if rows:
            self._width = max(len(str(row)) for row in rows[:: max(1, len(rows) // SAMPLE)])
            self._last = self.place_of(rows) or self._last
            self.ready.append(rows)
        if following is None and self._stepping and len(rows) == STEP and self.place_of(rows) is not None:
            self._continue()
        elif following is None and not self._stepping and self._got < self.total:
            log.warning("%s: %d rows counted, %d shown: reading on", self.query.source, self.total, self._got)
            self._restart(whole=True)

    def _begin_again(self, answer: SubAnswer) -> None:
        fault = answer.fault
        if fault.rule.repeat is not Repeat.SMALLER:
            answer.checked()
        log.warning("%s: %s: the read goes on behind its last row", self.query.source, fault.code)
        self._restart(whole=False)

    def _restart(self, *, whole: bool) -> None:
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            raise OutcomeUnknown(f"{self.query.source}: the org does not hand out its rows")
        if whole:
            self._last = None
        self._stepping = True
        self._continue()

    def _continue(self) -> None:
        """Ask for the rows behind the last one, a limited number at a time."""
        query = self.query
        if self._last is not None:
            query = query.having(after(*self._last))
        limited = Select(query.fields, query.source, query.where, query.order, STEP, query.children)
        self._next = None
        self._pending = Sub("GET", query_path(limited, all_rows=True), kind="query")


def fetch(session: OrgSession, current: Pager, others: Sequence[Pager]) -> None:
    """Read the next pages of ``current``, and with what room is left one page of each of ``others``; 1 API call."""
    plan = [(current, current.upcoming(MAX_COSTLY))]
    room = MAX_COSTLY - len(plan[0][1])
    for other in others:
        if room and not other.ready and (more := other.upcoming(1)):
            plan.append((other, more))
            room -= 1
    answers = iter(read_all(session, [sub for _, subs in plan for sub in subs]))
    for pager, subs in plan:
        pager.take(subs, [next(answers) for _ in subs])


def rows_of(payload: Any) -> tuple[list[Row], str | None]:
    """Return the rows of a query answer and the path of the next page; OutcomeUnknown if it is no query answer."""
    if not isinstance(payload, dict) or not isinstance(payload.get("records"), list):
        raise OutcomeUnknown("a query's answer has no records in it")
    following = payload.get("nextRecordsUrl")
    if payload.get("done") is False and not following:
        raise OutcomeUnknown("a query's answer is unfinished and does not say where it goes on")
    if not following or payload.get("done"):
        return payload["records"], None
    return payload["records"], f"query/{locator(str(following))}"


def children(session: OrgSession, value: Mapping[str, Any]) -> Iterator[Row]:
    """Yield every row of a child subquery, reading its further pages."""
    rows, following = rows_of(value)
    yield from rows
    while following is not None:
        rows, following = rows_of(session.read(following).body)
        yield from rows
