"""The ledger told from its first day: every event in its one order, and where each leaves the packs.

May not know postings, sentences or how facts arrive. It keeps one law: the same events give the same
allocation; to learn something late is to go back and tell the story again from there (``rewind``).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from sfsync.records import Priority
from sfsync.rules.intake import Decision, Event, Intake, Rank, Work
from sfsync.rules.validity import Lot
from sfsync.rules.weeks import end_of_day, local_day

ANY = "*"
"""Any case at all."""


class Leg(NamedTuple):
    """Minutes drawn on one pack."""

    pack: str
    minutes: int
    effective_on: date
    at: datetime
    """The instant of the event that drew them."""


class Share(NamedTuple):
    """What became of one entry: drawn + waiting + uncovered + refused = its billed minutes."""

    legs: tuple[Leg, ...] = ()
    waiting: int = 0
    """Held until the client approves (OVN-1)."""
    uncovered: int = 0
    """Approved work that no pack covers yet (OVR-1)."""
    refused: int = 0
    """Not billable any more: the client said no (OVN-2)."""
    estimate: str | None = None
    """The approval it was first drawn under."""


class Ruling(NamedTuple):
    """What became of a decision."""

    code: str
    """``approved`` or ``rejected``; else why the approval has no effect: ``insufficient_balance``,
    ``stale_estimate_version``, ``estimate_expired``."""
    shortage: int = 0
    available: int = 0


class Replay:
    """Where the packs of one client stand after the events told so far.

    ``free`` + ``held`` of a pack is its balance; ``pool`` is what expired on it, by the day it did.
    """

    def __init__(self, intake: Intake, *, remember: bool = False) -> None:
        """Start before the first event; with ``remember`` events can be taken back."""
        self.intake = intake
        self.policy = intake.policy
        self.zone = intake.terms.time_zone
        self.free: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.pool: dict[str, dict[date, int]] = {}
        self.valid: dict[str, date] = {}
        self.dead: dict[str, bool] = {}
        self.moved: dict[str, int] = {}
        """Pack to the minutes that acts of persons took away or gave."""
        self.burn: dict[str, tuple[tuple[date, date, int, str], ...]] = {"order": ()}
        self.parts: dict[str, dict[str, int]] = {}
        """Case to its reservation: pack to minutes (APR-1)."""
        self.released: dict[str, dict[str, int]] = {}
        """Closed case to what its reservation gave back: work done in time may still take it."""
        self.fixed: dict[str, dict[tuple[str, date], int]] = {}
        """Closed case to what was deducted beyond the work: pack and day to minutes (X-12, mode ``fixed``)."""
        self.approved: dict[str, int] = {}
        self.used: dict[str, int] = {}
        """Case to the minutes that count against its approval: drawn or uncovered."""
        self.closed_on: dict[str, date] = {}
        self.approval: dict[str, str] = {}
        """Case to the newest estimate in force."""
        self.waiting: dict[str, dict[str, int]] = {}
        self.uncovered: dict[str, int] = {}
        self.unfunded: dict[str, int] = {}
        """Approval that exceeds what is available to its shortage (APR-4)."""
        self.rulings: dict[str, Ruling] = {}
        self.shares: dict[str, Share] = {}
        self.totals: dict[str, int] = {}
        """``waiting`` and ``uncovered`` minutes of all entries."""
        self.partial = False
        """Taken up at a mark: cases that were not shown are not here."""
        self.lacking: set[str] = set()
        """Cases that were reached and not shown; ``ANY`` stands for all of them."""
        self._at = datetime.min.replace(tzinfo=UTC)
        self._journal: list[tuple[dict[Any, Any], Any, Any]] | None = [] if remember else None
        self._marks: list[int] = []
        self._told: list[Event] = []
        self._tell = {
            Rank.ACTIVATE: self._activate,
            Rank.EXTEND: self._extend,
            Rank.EXPIRE: self._expire,
            Rank.LAPSE: self._lapse,
            Rank.DECIDE: self._decide,
            Rank.WORK: self._work,
            Rank.CLOSE: self._close,
            Rank.ACT: self._act,
        }

    # telling and taking back

    def tell(self, events: Sequence[Event]) -> None:
        """Go through ``events``, which must be sorted and come after those told so far."""
        journal = self._journal
        for event in events:
            if journal is not None:
                self._marks.append(len(journal))
                self._told.append(event)
            self._at = event.at
            self._tell[event.rank](event)

    @property
    def told(self) -> Sequence[Event]:
        """Return the events told so far, in order."""
        return self._told

    def rewind(self, first: Event) -> list[Event]:
        """Take back every event from ``first`` on; return them in order, ``first`` included if it was told."""
        journal = self._journal
        assert journal is not None, "this replay does not remember"
        position = bisect_left(self._told, first)
        taken = self._told[position:]
        if taken:
            mark = self._marks[position]
            while len(journal) > mark:
                values, key, before = journal.pop()
                if before is None:
                    del values[key]
                else:
                    values[key] = before
            del self._told[position:], self._marks[position:]
        return taken

    def written_since(self, first: Event) -> list[tuple[dict[Any, Any], Any, Any]]:
        """Return (mapping, key, value before) of everything written by ``first`` and the events after it."""
        journal = self._journal
        assert journal is not None, "this replay does not remember"
        position = bisect_left(self._told, first)
        return journal[self._marks[position] :] if position < len(self._told) else []

    @property
    def written(self) -> int:
        """Return the length of the journal: what is written from now on is beyond it."""
        return len(self._journal or ())

    def written_from(self, length: int) -> list[tuple[dict[Any, Any], Any, Any]]:
        """Return (mapping, key, value before) of everything written since the journal had this length."""
        return (self._journal or [])[length:]

    def _set(self, values: dict[Any, Any], key: Any, value: Any) -> None:
        """Write one value; None removes it."""
        before = values.get(key)
        if value is None:
            if before is None:
                return
            del values[key]
        else:
            values[key] = value
        if self._journal is not None:
            self._journal.append((values, key, before))

    def _add(self, values: dict[Any, int], key: Any, minutes: int) -> None:
        """Add minutes; a sum of zero is removed."""
        self._set(values, key, values.get(key, 0) + minutes or None)

    def _inner(self, values: dict[str, dict[Any, int]], key: str) -> dict[Any, int]:
        """Return the inner mapping of a key, made if need be."""
        inner = values.get(key)
        if inner is None:
            inner = {}
            self._set(values, key, inner)
        return inner

    def _add_inner(self, values: dict[str, dict[str, int]], key: str, inner_key: str, minutes: int) -> None:
        """Add minutes in an inner mapping; one that becomes empty goes."""
        inner = self._inner(values, key)
        self._add(inner, inner_key, minutes)
        if not inner:
            self._set(values, key, None)

    def _add_waiting(self, work: Work, minutes: int) -> None:
        self._add_inner(self.waiting, work.case, work.key, minutes)
        self._add(self.totals, "waiting", minutes)

    def _add_uncovered(self, key: str, minutes: int) -> None:
        self._add(self.uncovered, key, minutes)
        self._add(self.totals, "uncovered", minutes)

    def _touch(self, case: str) -> None:
        """Note that a case's reservation changed, though nothing was decided or worked on it."""
        if case in self.approved:
            self._set(self.approved, case, self.approved[case])
        else:  # the story was taken up at a mark, and this case was not shown
            self.lacking.add(case)

    # packs

    def _activate(self, event: Event) -> None:
        lot = self.intake.lots[event.key]
        self._set(self.valid, lot.key, lot.original_on)
        self._set(self.free, lot.key, lot.minutes)
        self._reorder(lot, None)
        self._use_free_minutes(lot.activated_on, bought=lot.key)

    def _extend(self, event: Event) -> None:
        lot = self.intake.lots[event.key]
        before = self.valid[lot.key]
        self._set(self.valid, lot.key, lot.last_valid_on)
        self._reorder(lot, before)
        if self.dead.get(lot.key):  # asked for within the grace of the policy
            self._set(self.dead, lot.key, None)
            for day, minutes in list(self.pool.get(lot.key, {}).items()):
                self._add(self.pool[lot.key], day, -minutes)
                self._add(self.free, lot.key, minutes)
            self._use_free_minutes(local_day(event.at, self.zone))

    def _reorder(self, lot: Lot, before: date | None) -> None:
        order = list(self.burn["order"])
        if before is not None:
            order.remove(lot.burn_key(before))
        insort(order, lot.burn_key(self.valid[lot.key]))
        self._set(self.burn, "order", tuple(order))

    def _expire(self, event: Event) -> None:
        lot, last = event.key, self.valid[event.key]
        if event.at != end_of_day(last, self.zone):
            return  # it was extended
        self._set(self.dead, lot, True)
        rest = self.free.get(lot, 0)
        if rest:
            self._set(self.free, lot, None)
            self._add(self.pool.setdefault(lot, {}), last, rest)
        if self.policy.reservation_grace_days == 0:
            self._lapse_parts(lot, last)

    def _lapse(self, event: Event) -> None:
        last = self.valid[event.key] + timedelta(days=self.policy.reservation_grace_days)
        if event.at == end_of_day(last, self.zone):
            self._lapse_parts(event.key, last)

    def _lapse_parts(self, lot: str, day: date) -> None:
        """Let every reservation on a pack go: its minutes expire on ``day`` (EXP-3)."""
        if not self.held.get(lot):
            return
        for case, parts in list(self.parts.items()):
            minutes = parts.get(lot)
            if minutes:
                self._touch(case)
                self._add_inner(self.parts, case, lot, -minutes)
                self._add(self.held, lot, -minutes)
                self._add(self.pool.setdefault(lot, {}), day, minutes)
        self._use_free_minutes(day)

    def _act(self, event: Event) -> None:
        """Take or give what a person decided.

        What is neither free nor expired is taken from reservations, from what a fixed price deducted beyond the
        work, and last from the newest work, which is uncovered then.
        """
        act = self.intake.acts[event.key]
        lot, missing = act.pack, -act.minutes
        self._add(self.moved, lot, act.minutes)
        if missing < 0:
            self._give_back(lot, -missing, act.effective_on)
            self._use_free_minutes(act.effective_on)
            return
        taken = min(missing, self.free.get(lot, 0))
        self._add(self.free, lot, -taken)
        missing -= taken
        pool = self.pool.get(lot, {})
        for day in sorted(pool):
            taken = min(missing, pool[day])
            self._add(pool, day, -taken)
            missing -= taken
        for case in sorted(self.parts):
            taken = min(missing, self.parts[case].get(lot, 0))
            if taken:
                self._touch(case)
                self._add_inner(self.parts, case, lot, -taken)
                self._add(self.held, lot, -taken)
                missing -= taken
        if missing and self.partial:
            self.lacking.add(ANY)
            return
        for case in sorted(self.fixed) if missing else ():
            for place in sorted(place for place in self.fixed[case] if place[0] == lot):
                taken = min(missing, self.fixed[case][place])
                self._touch(case)
                self._add(self.fixed[case], place, -taken)
                missing -= taken
        works = self.intake.works.values() if missing else ()
        for work in sorted(works, key=lambda w: (w.posted_at, w.key), reverse=True):
            if not missing:
                break
            share = self.shares.get(work.key)
            if share is not None and any(leg.pack == lot for leg in share.legs):
                missing -= self._undraw(work, share, lot, missing)

    def _undraw(self, work: Work, share: Share, lot: str, minutes: int) -> int:
        """Turn up to ``minutes`` of an entry on one pack into uncovered minutes; return how many."""
        legs, undrawn = [], 0
        for leg in share.legs:
            taken = min(minutes - undrawn, leg.minutes) if leg.pack == lot else 0
            undrawn += taken
            if leg.minutes > taken:
                legs.append(leg._replace(minutes=leg.minutes - taken))
        self._add_uncovered(work.key, undrawn)
        self._set(self.shares, work.key, share._replace(legs=tuple(legs), uncovered=share.uncovered + undrawn))
        return undrawn

    def _give_back(self, lot: str, minutes: int, day: date) -> None:
        """Return minutes to a pack: free while it lives, expired on ``day`` after its end."""
        if self.dead.get(lot):
            self._add(self.pool.setdefault(lot, {}), max(day, self.valid[lot]), minutes)
        else:
            self._add(self.free, lot, minutes)

    # approvals

    def _decide(self, event: Event) -> None:
        decision = self.intake.decisions[event.key]
        if not decision.approved:
            self._set(self.rulings, decision.key, Ruling("rejected"))
            self._write_off(decision.case)
        elif decision.superseded_by:
            self._set(self.rulings, decision.key, Ruling("stale_estimate_version"))
        elif decision.valid_until is not None and decision.day > decision.valid_until:
            self._set(self.rulings, decision.key, Ruling("estimate_expired"))
        else:
            self._fund(decision, decision.day)

    def _write_off(self, case: str) -> None:
        """Make what waits on a case non-billable, for good (OVN-2)."""
        for key in list(self.waiting.get(case, ())):
            share = self.shares[key]
            self._set(self.shares, key, share._replace(waiting=0, refused=share.refused + share.waiting))
            self._add_waiting(self.intake.works[key], -share.waiting)

    def _fund(self, decision: Decision, day: date) -> bool:
        """Reserve an approval in burn order and let what waits draw on it, or note the shortage (APR-1, APR-4)."""
        case = decision.case
        approved = self.approved.get(case, 0) + decision.minutes
        need = max(0, min(decision.minutes, approved - self.used.get(case, 0)))
        lots = [key for last, _, _, key in self._burnable(day) if last >= day and not self.dead.get(key)]
        available = sum(self.free.get(key, 0) for key in lots)
        if need > available + self._overdraft():
            self._set(self.unfunded, decision.key, need - available)
            self._set(self.rulings, decision.key, Ruling("insufficient_balance", need - available, available))
            return False
        self._set(self.unfunded, decision.key, None)
        for lot in lots:
            taken = min(need, self.free.get(lot, 0))
            if taken:
                self._add(self.free, lot, -taken)
                self._add_inner(self.parts, case, lot, taken)
                self._add(self.held, lot, taken)
                need -= taken
        self._set(self.approved, case, approved)
        self._set(self.approval, case, decision.key)
        self._set(self.rulings, decision.key, Ruling("approved"))
        for work in self._oldest_first(self.waiting.get(case, ())):
            room = self._room(work)
            if room == 0:
                continue
            share = self.shares[work.key]
            minutes = share.waiting if room is None else min(room, share.waiting)
            legs, uncovered = self._pay(work, minutes)
            self._add_waiting(work, -minutes)
            self._share(work, share, legs, uncovered, share.waiting - minutes)
        if case in self.closed_on:
            self._release(case, day)
        return True

    def _overdraft(self) -> int:
        """Return how far the balance may still go below zero (X-15)."""
        if self.policy.overdraw != "negative":
            return 0
        return max(0, self.policy.overdraw_limit_minutes - self.totals.get("uncovered", 0))

    def _room(self, work: Work) -> int | None:
        """Return how many minutes of an entry the client has said yes to; None: it need not say anything."""
        if not self.policy.approval_required:
            return None
        closed_on = self.closed_on.get(work.case)
        if closed_on is not None and work.worked_on > closed_on:
            return 0
        return max(0, self.cap(work.case) - self.used.get(work.case, 0))

    def cap(self, case: str) -> int:
        """Return the most that can be drawn for a case: approved, with tolerance, or its allowance (OVN-3, EST-4)."""
        cap = self.approved.get(case, 0) * (100 + self.policy.tolerance_pct) // 100
        record = self.intake.cases.get(case)
        if record is not None and record.priority == Priority.P1:
            cap = max(cap, self.policy.emergency_allowance_minutes)
        return cap

    # work

    def _work(self, event: Event) -> None:
        work = self.intake.works[event.key]
        if work.verdict:
            self._set(self.shares, work.key, Share())
            return
        room = self._room(work)
        minutes = work.billed if room is None else min(room, work.billed)
        legs, uncovered = self._pay(work, minutes)
        if minutes < work.billed:
            self._add_waiting(work, work.billed - minutes)
        self._share(work, Share(), legs, uncovered, work.billed - minutes)

    def _share(self, work: Work, before: Share, legs: list[Leg], uncovered: int, waiting: int) -> None:
        if uncovered:
            self._add_uncovered(work.key, uncovered)
        counted = sum(leg.minutes for leg in legs) + uncovered
        if counted:
            self._add(self.used, work.case, counted)
        estimate = before.estimate or (self.approval.get(work.case) if counted else None)
        self._set(
            self.shares,
            work.key,
            Share((*before.legs, *legs), waiting, before.uncovered + uncovered, before.refused, estimate),
        )

    def _pay(self, work: Work, minutes: int) -> tuple[list[Leg], int]:
        """Draw minutes: on the case's reservation, on what its close gave back, then in burn order (LED-2, APR-2)."""
        drawn: dict[str, int] = {}
        left = self._pay_from_parts(work.case, minutes, drawn)
        closed_on = self.closed_on.get(work.case)
        if closed_on is not None and work.worked_on <= closed_on:
            left = self._pay_from_fixed(work.case, left, drawn)
            left = self._pay_from_released(work.case, left, drawn)
        left = self._pay_in_burn_order(work, left, drawn)
        return self._legs(work, drawn), left

    def _legs(self, work: Work, drawn: dict[str, int]) -> list[Leg]:
        """Return one leg a pack; effective on the day of the work, or of the purchase that came after it (OVR-1)."""
        lots = self.intake.lots
        return [Leg(lot, taken, max(work.worked_on, lots[lot].activated_on), self._at) for lot, taken in drawn.items()]

    def _pay_from_parts(self, case: str, left: int, drawn: dict[str, int]) -> int:
        parts = self.parts.get(case)
        if not parts or not left:
            return left
        for lot in sorted(parts, key=self._place):
            taken = min(left, parts[lot])
            if taken:
                self._add_inner(self.parts, case, lot, -taken)
                self._add(self.held, lot, -taken)
                drawn[lot] = drawn.get(lot, 0) + taken
                left -= taken
        return left

    def _pay_from_fixed(self, case: str, left: int, drawn: dict[str, int]) -> int:
        parts = self.fixed.get(case)
        if not parts or not left:
            return left
        for part in sorted(parts, key=lambda part: (self._place(part[0]), part[1])):
            taken = min(left, parts[part])
            if taken:
                self._add(parts, part, -taken)
                drawn[part[0]] = drawn.get(part[0], 0) + taken
                left -= taken
        return left

    def _pay_from_released(self, case: str, left: int, drawn: dict[str, int]) -> int:
        parts = self.released.get(case)
        if not parts or not left:
            return left
        for lot in sorted(parts, key=self._place):
            taken = self._take(lot, min(left, parts[lot]))
            if taken:
                self._add(parts, lot, -taken)
                drawn[lot] = drawn.get(lot, 0) + taken
                left -= taken
        return left

    def _pay_in_burn_order(self, work: Work, left: int, drawn: dict[str, int], bought: str = "") -> int:
        """Draw on every pack that the work date allows, earliest end first; return what no pack covers (LED-3).

        A pack paid for on the day the work was posted, or ``bought``, may be younger than the work (OVR-1).
        """
        if not left:
            return 0
        posted_on: date | None = None
        for _, activated, _, lot in self._burnable(work.worked_on):
            if lot not in self.free and not self.pool.get(lot):
                continue
            if activated > work.worked_on and lot != bought:
                posted_on = posted_on or local_day(work.posted_at, self.zone)
                if activated != posted_on:
                    continue
            taken = self._take(lot, left)
            if taken:
                drawn[lot] = drawn.get(lot, 0) + taken
                left -= taken
                if not left:
                    break
        return left

    def _burnable(self, day: date) -> tuple[tuple[date, date, int, str], ...]:
        """Return the packs that are valid on a day or later, in burn order (LED-2)."""
        order = self.burn["order"]
        return order[bisect_left(order, (day,)) :]

    def _place(self, lot: str) -> tuple[date, date, int, str]:
        return self.intake.lots[lot].burn_key(self.valid[lot])

    def _take(self, lot: str, minutes: int) -> int:
        """Take up to ``minutes`` from a pack: what is free, or what expired on it (EXP-2); return how many."""
        if not self.dead.get(lot):
            taken = min(minutes, self.free.get(lot, 0))
            if taken:
                self._add(self.free, lot, -taken)
            return taken
        pool, taken = self.pool.get(lot, {}), 0
        for day in sorted(pool):
            part = min(minutes - taken, pool[day])
            if part:
                self._add(pool, day, -part)
                taken += part
        return taken

    def _use_free_minutes(self, day: date, bought: str = "") -> None:
        """Give minutes that became free to the oldest uncovered work, then to the oldest unfunded approval (OVR-1)."""
        for work in self._oldest_first(self.uncovered):
            drawn: dict[str, int] = {}
            wanted = self.uncovered[work.key]
            left = self._pay_in_burn_order(work, wanted, drawn, bought)
            if left < wanted:
                share = self.shares[work.key]
                self._add_uncovered(work.key, left - wanted)
                legs = (*share.legs, *self._legs(work, drawn))
                self._set(self.shares, work.key, share._replace(legs=legs, uncovered=left))
        decisions = [self.intake.decisions[key] for key in self.unfunded]
        for decision in sorted(decisions, key=lambda d: (d.at, d.key)):
            in_time = decision.valid_until is None or day <= decision.valid_until
            if in_time and decision.key in self.unfunded:
                self._fund(decision, day)

    def _oldest_first(self, keys: Iterable[str]) -> list[Work]:
        works = self.intake.works
        chosen = [works[key] for key in keys]
        return sorted(chosen, key=lambda work: (work.worked_on, work.posted_at, work.key))

    # closing

    def _close(self, event: Event) -> None:
        day = self.intake.closings[event.key].day
        self._set(self.closed_on, event.key, day)
        self._release(event.key, day)

    def _release(self, case: str, day: date) -> None:
        """Give back what is left of a reservation, or deduct it in mode ``fixed`` (APR-3, X-12)."""
        parts = self.parts.get(case)
        if not parts:
            return
        if self.policy.deduction == "fixed":
            fixed = self._inner(self.fixed, case)
            for lot, minutes in list(parts.items()):
                self._add_inner(self.parts, case, lot, -minutes)
                self._add(self.held, lot, -minutes)
                self._add(fixed, (lot, max(day, self.intake.lots[lot].activated_on)), minutes)
            return
        released = self._inner(self.released, case)
        for lot, minutes in list(parts.items()):
            self._add_inner(self.parts, case, lot, -minutes)
            self._add(self.held, lot, -minutes)
            self._add(released, lot, minutes)
            self._give_back(lot, minutes, day)
        self._use_free_minutes(day)
