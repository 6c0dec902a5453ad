"""An org as the line sees it: a session held by one run, which stays its own while the work goes on.

May not know the store's tables or what is done with what is read. It keeps one law: nothing is sent that writes unless
the run's lease outlives the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from sfsync.clock import Clock
from sfsync.errors import TurnOver
from sfsync.mapping import Mappings
from sfsync.mirror.compare import Figures
from sfsync.mirror.plan import Change, Outcome
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen
from sfsync.org.examine import Examiner, count, figures
from sfsync.org.extract import extract
from sfsync.org.preflight import Preflight, preflight
from sfsync.org.session import OrgSession
from sfsync.org.writeback import write_back
from sfsync.store.lease import Hold


class Reach:
    """An org as the line sees it: a session, with the lease renewed while the work goes on."""

    def __init__(self, session: OrgSession, hold: Hold, clock: Clock, turn_seconds: float | None = None) -> None:
        self._session = session
        self._hold = hold
        self._clock = clock
        self._ends_at = None if turn_seconds is None else clock.monotonic() + turn_seconds
        self._checked: Preflight | None = None
        self._mapped: tuple[Mappings, Ids] | None = None
        self.name = session.name
        session.turn = str(hold.lease.token)
        session.alive = hold.stay
        session.before_write = hold.for_writing

    @property
    def organization_id(self) -> str:
        """The organisation that was reached; logs in if nobody did."""
        return self._session.organization_id

    @property
    def calls(self) -> int:
        """API calls so far."""
        return self._session.calls.api

    def check(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> None:
        """Raise SchemaDrift if the mapping does not fit the org, BudgetSpent if there is no API call left to ask it."""
        self._session.bounded = True
        self._checked = preflight(self._session, mappings, bookmarks, ids)
        self._mapped = (mappings, ids)

    def counted(self) -> Mapping[str, int]:
        """Return about how many live records of each object there are, as the org said in the first call of the run."""
        opening = self._checked.opening if self._checked is not None else None
        return opening.counts if opening is not None else {}

    def count(self, sobjects: Iterable[str]) -> Mapping[str, int]:
        """Return exactly how many live records of each object we can see; five objects an API call."""
        return count(self._session, sobjects)

    def figures(self, mappings: Mappings) -> Mapping[str, Mapping[date, Figures]]:
        """Return each object's figures by day, as the org adds them up."""
        return figures(self._session, mappings)

    def of_days(self, sobject: str, days: Iterable[date]) -> Mapping[str, Seen]:
        """Return the live records whose stamp lies on one of ``days``."""
        return self._examiner().of_days(sobject, days)

    def by_id(self, sobject: str, sf_ids: Iterable[str]) -> Mapping[str, Seen]:
        """Return the records with these ids, those in the recycle bin too."""
        return self._examiner().by_id(sobject, sf_ids)

    def _examiner(self) -> Examiner:
        assert self._checked is not None
        assert self._mapped is not None
        return Examiner(self._session, self._mapped[0], self._checked, self._mapped[1])

    def pages(self, mappings: Mappings, bookmarks: Mapping[str, Bookmark], ids: Ids) -> Iterable[Page]:
        """Yield what changed, after ``check``."""
        assert self._checked is not None
        for page in self._beating(extract(self._session, mappings, bookmarks, ids, self._checked)):
            yield page
            # Only where the next turn goes on behind this page, which is committed: so each turn gets further.
            over = self._ends_at is not None and self._clock.monotonic() > self._ends_at
            if over and page.bookmark.checkpoint:
                raise TurnOver(f"org {self.name}: the run had its turn and goes on behind the others")

    def write(self, mappings: Mappings, changes: tuple[Change, ...]) -> Iterable[Outcome]:
        """Carry out ``changes``: one outcome each; what a person edited since it was read is left alone."""
        self._session.bounded = False
        seen = {change.sf_id: change.seen_at for change in changes if change.sf_id and change.seen_at}
        return self._beating(write_back(self._session, mappings, changes, unless_changed=seen))

    def _beating(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._hold.stay()
            yield item
