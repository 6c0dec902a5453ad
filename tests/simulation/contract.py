"""The rules layer: the real rules over a contract that lives in memory, with crashes between saying and recording.

May not know orgs or stores. It keeps one law: what the rules said is recorded as a whole or not at all, and what is
recorded can be told again from the facts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms, Policy
from sfsync.records import Case, CaseEvent, ClientAccount, Estimate, Milestone, Pack, Posting, Record, TimeEntry
from sfsync.rules.calendar import calendar_of
from sfsync.rules.evaluate import Contract, Evaluation, Facts, evaluate
from tests.simulation.ground import Broken, Trace, chance, shares

ZONES = ("America/Argentina/Buenos_Aires", "Europe/Madrid", "Asia/Kathmandu")
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS: dict[str, type[Record]] = {"packs": Pack, "cases": Case, "estimates": Estimate, "entries": TimeEntry}


@cache
def promised(zone: str, draw: int) -> Contract:
    """Return one of a few contracts in a zone."""
    plans = load_plans()
    policy = Policy(
        approval_required=draw % 2 == 0, tolerance_pct=(0, 10)[draw % 2], increment=(1, 15)[draw // 2 % 2]
    )  # fmt: skip
    terms = ClientTerms(client="a", name="A", time_zone=zone, sla_plan="gold", policy=policy)
    covers = {
        name: calendar_of(cover, zone, holidays={date(2026, 5, 1): "1 May"}) for name, cover in plans.covers.items()
    }
    return Contract(terms, plans, covers)


class History:
    """One contract's life."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        draw = chance(seed, "world")
        self.seed, self.trace = seed, trace
        self.contract = promised(draw.choice(ZONES), draw.randrange(4))
        self.zone = ZoneInfo(self.contract.terms.time_zone)
        self.now = START + timedelta(minutes=draw.randrange(100_000))
        self.steps = draw.choice((10, 16, 24))
        self.records: dict[str, dict[str, Any]] = {name: {} for name in (*KINDS, "summaries", "lines")}
        self.account: ClientAccount | None = None
        self.events: dict[str, tuple[CaseEvent, ...]] = {}
        self.postings: list[Posting] = []
        self.milestones: dict[tuple[str, str, int], Milestone] = {}
        self.touched: dict[str, set[str]] | None = None
        self.due: datetime | None = None

    # --- people -------------------------------------------------------------------------------------

    def _put(self, name: str, record: Record) -> None:
        self.records[name][record.key] = record
        if self.touched is not None:
            self.touched.setdefault(type(record).__name__, set()).add(record.key)

    def _pick(self, name: str, draw: Random) -> Any:
        found = [r for _, r in sorted(self.records[name].items())]
        return draw.choice(found) if found else None

    def today(self) -> date:
        """Return the client's day."""
        return self.now.astimezone(self.zone).date()

    def buy(self, draw: Random, step: int) -> None:
        """Packs are bought."""
        plan = self.contract.plans.packs[draw.choice(("starter", "flexi", "pro"))]
        packs = draw.randint(plan.min_packs, plan.min_packs + 2)
        day = self.today() - timedelta(days=draw.choice((0, 0, 3, 40)))
        self._put("packs", Pack(
            key=f"pk:{step:02d}", plan=plan.name, packs_bought=packs, bought_minutes=packs * plan.minutes_per_pack,
            unit_price_amount=plan.unit_price_amount, currency=plan.currency, activated_on=day, purchase_seq=step,
            status="Active", created_at=self.now,
        ))  # fmt: skip

    def case(self, draw: Random, step: int) -> None:
        """A case is opened."""
        priority = draw.choice(("P1", "P2", "P3", None))
        self._put("cases", Case(
            key=f"ca:{step:02d}", created_at=self.now, number=str(step), subject="s", status="New", request=True,
            origin="Web", priority=priority, is_closed=False, category="Corrective",
        ))  # fmt: skip

    def estimate(self, draw: Random, step: int) -> None:
        """Hours are proposed."""
        case = self._pick("cases", draw)
        if case is not None:
            self._put("estimates", Estimate(
                key=f"est:{step:02d}", created_at=self.now, case=case.key, version=step + 1, status="Sent",
                sent_at=self.now, estimated_minutes=draw.randrange(30, 900, 30),
            ))  # fmt: skip

    def decide(self, draw: Random, step: int) -> None:
        """The client decides."""
        found = self._pick("estimates", draw)
        if found is not None and found.status in ("Sent", "Question"):
            self._put(
                "estimates",
                replace(found, status=draw.choice(("Approved", "Approved", "Rejected")), decided_at=self.now),
            )

    def log(self, draw: Random, step: int) -> None:
        """Time is logged."""
        case = self._pick("cases", draw)
        if case is not None:
            day = self.today() - timedelta(days=draw.choice((0, 0, 1, 9)))
            minutes = draw.randrange(5, 600, 5)
            self._put("entries", TimeEntry(
                key=f"te:{step:02d}", created_at=self.now, case=case.key, worked_on=day, worked_minutes=minutes,
                billable=True,
            ))  # fmt: skip

    def correct(self, draw: Random, step: int) -> None:
        """An entry is corrected, deleted or brought back; a case is answered, closed or deleted."""
        entry, case = self._pick("entries", draw), self._pick("cases", draw)
        roll = draw.random()
        if entry is not None and roll < 0.35:
            self._put("entries", replace(entry, worked_minutes=draw.randrange(5, 600, 5)))
        elif entry is not None and roll < 0.6:
            self._put("entries", replace(entry, deleted=not entry.deleted))
        elif case is not None:
            field, old, new = draw.choice((("status", case.status, "Working"), ("priority", case.priority, "P1"),
                                           ("status", case.status, "Closed")))  # fmt: skip
            event = CaseEvent(
                case=case.key, event_id=f"e{step}", kind="field", field=field, old=old, new=new, at=self.now,
                by="consultant@a.example",
            )  # fmt: skip
            self.events[case.key] = (*self.events.get(case.key, ()), event)
            closed = {"is_closed": True, "closed_at": self.now} if new == "Closed" else {}
            self._put("cases", replace(case, **{field: new}, **closed))

    def wait(self, draw: Random, step: int) -> None:
        """Time passes."""
        self.now += timedelta(minutes=draw.choice((5, 300, 1_500, 12_000, 60_000)))

    # --- the rules ----------------------------------------------------------------------------------

    def work(self, draw: Random, step: int) -> None:
        """The rules look, and their word is recorded, or the worker dies before."""
        said = self.say()
        if draw.random() < 0.25:
            return  # it died: nobody heard
        self.record(said)
        again = self.say()
        if news := self._news(again):
            raise Broken("the rules say a thing once", f"{news}"[:600])

    def say(self, *, everything: bool = False) -> Evaluation:
        """Return what the rules say of what was touched, or of everything once time itself moved something."""
        due = self.due is not None and self.due <= self.now
        touched = None
        if self.touched is not None and not due and not everything:
            touched = {name: frozenset(keys) for name, keys in self.touched.items()}
            touched["Case"] = touched.get("Case", frozenset()) | self._clocks_due()
        marks: dict[str, list[Milestone]] = {}
        for (case, _, _), mark in sorted(self.milestones.items()):
            marks.setdefault(case, []).append(mark)
        facts = Facts(
            self.account, **{name: dict(self.records[name]) for name in KINDS}, events=self.events,  # type: ignore[arg-type]
            summaries=self.records["summaries"], lines=self.records["lines"], postings=tuple(self.postings),
            milestones={case: tuple(found) for case, found in marks.items()}, touched=touched,
        )  # fmt: skip
        return evaluate(self.contract, facts, self.now)

    def _clocks_due(self) -> frozenset[str]:
        """Cases of which a deadline has come since the rules last looked, as the store finds them."""
        return frozenset(
            mark.case
            for mark in self.milestones.values()
            if mark.met_at is None
            and (
                (mark.breached_at is None and mark.breach_at <= self.now)
                or any(at <= self.now and percent > mark.warned_percent for percent, at in mark.warn_at)
            )
        )

    def _news(self, said: Evaluation) -> list[Any]:
        """What would change something."""
        marks = [m for m in said.milestones if self.milestones.get((m.case, m.clock, m.cycle)) != m]
        return [*said.fields.items(), *said.created, *said.postings, *marks]

    def record(self, said: Evaluation) -> None:
        """Put what the rules said in force, as the store does."""
        names = {"Pack": "packs", "Adjustment": "adjustments", "Case": "cases", "Estimate": "estimates",
                 "TimeEntry": "entries", "WeeklySummary": "summaries", "SummaryLine": "lines"}  # fmt: skip
        known = {(p.source, p.source_version, p.leg) for p in self.postings}
        balance: dict[str, int] = {}
        for posting in said.postings:
            named = (posting.source, posting.source_version, posting.leg)
            if named in known:
                raise Broken("minutes move once", f"{posting}")
            known.add(named)
        self.postings += said.postings
        for posting in self.postings:
            balance[posting.pack] = balance.get(posting.pack, 0) + posting.minutes
            if balance[posting.pack] < 0:
                raise Broken("no pack is overdrawn", f"{posting.pack}: {balance[posting.pack]}")
        for record in said.created:
            if isinstance(record, ClientAccount):
                self.account = record
            else:
                self.records[names[type(record).__name__]][record.key] = record
        for (name, key), values in said.fields.items():
            if name == "ClientAccount":
                assert self.account is not None
                self.account = replace(self.account, **values)  # type: ignore[arg-type]
            else:
                held = self.records[names[name]]
                held[key] = replace(held[key], **values)
        for mark in said.milestones:
            self.milestones[mark.case, mark.clock, mark.cycle] = mark
        self.touched, self.due = {}, said.next_due_at

    # --- the whole ----------------------------------------------------------------------------------

    def run(self, kept: Sequence[int] | None = None) -> None:
        """Live through the steps that are kept; then every promise is looked at."""
        for step in range(self.steps) if kept is None else kept:
            draw = chance(self.seed, step)
            roll = draw.random()
            act = next(act for limit, act in _ACTS if roll < limit)
            self.now += timedelta(minutes=draw.choice((0, 1, 30)))
            act(self, draw, step)
            if self.trace is not None:
                self.trace.add(f"{step} {act.__name__} {self.now} {len(self.postings)} {len(self.milestones)}")
                self.trace.add(f"  {self.records} {self.account} {self.postings[-3:]}")
        self.record(self.say())
        rest = self.say(everything=True)
        if news := self._news(rest):
            raise Broken("nothing that was touched is overlooked", f"{news}"[:600])
        self._books()

    def _books(self) -> None:
        stands: dict[str, int] = {}
        balance: dict[str, int] = {}
        for posting in self.postings:
            stands[posting.source] = stands.get(posting.source, 0) - posting.minutes
            balance[posting.pack] = balance.get(posting.pack, 0) + posting.minutes
        for key, entry in self.records["entries"].items():
            if entry.deleted and stands.get(key, 0):
                raise Broken("minutes are conserved", f"{key} is deleted and {stands[key]} stand")
            rounded = -(-(entry.worked_minutes or 0) // 15) * 15
            if stands.get(key, 0) > rounded or stands.get(key, 0) < 0:
                raise Broken("minutes are conserved", f"{key}: {stands[key]} of {entry.worked_minutes}")
        for key, pack in self.records["packs"].items():
            if not pack.deleted and pack.remaining_minutes != balance.get(key, 0):
                raise Broken("a balance is a fold", f"{key}: shows {pack.remaining_minutes}, is {balance.get(key, 0)}")


_WEIGHTS: tuple[tuple[int, Callable[[History, Random, int], None]], ...] = (
    (26, History.work), (10, History.buy), (12, History.case), (9, History.estimate), (10, History.decide),
    (16, History.log), (10, History.correct), (9, History.wait),
)  # fmt: skip
_ACTS = shares(_WEIGHTS)


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's life."""
    return list(range(History(seed).steps))


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one contract's life; raises Broken, or whatever the rules raised without a right to."""
    History(seed, trace).run(kept)
