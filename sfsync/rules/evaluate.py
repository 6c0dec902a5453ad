"""The rules in their fixed order, over what was touched or has come due.

Facts in, an evaluation out: the fields that change, the postings that move minutes, the milestones
with their stored deadlines, and findings as values. This module may not know where facts come from.
It keeps one law: nothing is remembered here; the same facts at the same instant give the same
evaluation (law 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum

from sfsync.policy import ClientTerms, Plans
from sfsync.records import (
    ECHO,
    Adjustment,
    Case,
    CaseEvent,
    ClientAccount,
    EntryState,
    Estimate,
    EstimateStatus,
    Finding,
    Milestone,
    Pack,
    Posting,
    Record,
    SummaryLine,
    TimeEntry,
    Value,
    Values,
    WeeklySummary,
    field_names,
)
from sfsync.rules import marks
from sfsync.rules.calendar import Calendar
from sfsync.rules.forecast import TRAILING_WEEKS, at_risk, burn_a_week, counted_to, empty_on
from sfsync.rules.intake import INCLUDED, QUOTE, LedgerFacts
from sfsync.rules.language import English, Language
from sfsync.rules.ledger import Book, LedgerOutcome
from sfsync.rules.marks import CaseMark, Mark, NeedsMore
from sfsync.rules.postings import unposted
from sfsync.rules.sla import SlaOutcome, evaluate_case
from sfsync.rules.sla_explain import short_form
from sfsync.rules.summary import due_at, issued, news_at, statements, to_issue, week_of
from sfsync.rules.weekly import Summary, Surroundings, summary
from sfsync.rules.weeks import Week, local_day, start_of_day
from sfsync.rules.wording import Sentence


@dataclass(frozen=True, slots=True)
class Contract:
    """What one client was promised, with its cover calendars ready to be asked."""

    terms: ClientTerms
    plans: Plans
    covers: Mapping[str, Calendar]
    """Name of the cover in ``plans.yaml`` to the calendar in the client's zone with its holidays."""
    language: Language = field(default_factory=English)
    """The first language of the client, for what is written on its records."""


@dataclass(frozen=True, slots=True)
class Ask:
    """How little of a large client the rules can do with: what reaches back to a mark of the story, and no further."""

    telling: str
    """Marks of another telling are of no use: the contract was another, or the rules were."""
    zone: str
    lock_after_days: int
    burn_from: date
    """Monday of the first week whose used minutes are wanted."""
    before: datetime | None = None
    """The mark must lie before this instant."""
    cases: frozenset[str] = frozenset()
    """Cases to show besides those that are reached anyway; the empty key is work on no case."""
    whole: bool = False
    """Everything, from the first day."""


@dataclass(frozen=True, slots=True)
class Part:
    """What stands in for the records that were not read."""

    ask: Ask
    mark: Mark
    told: Mapping[str, CaseMark]
    shown: frozenset[str]
    """Cases of which every record is among the facts."""
    beyond: frozenset[str]
    """Cases that the story as it was told last wrote on after the mark."""
    drawn: frozenset[str]
    """Deleted packs from which work was taken."""
    used_by_week: Mapping[date, int]
    """Monday to the minutes used in that week as they stand booked."""
    first_on: date
    """The earliest effective day of all postings."""
    weeks_due_at: datetime | None
    """When a week is to be issued, as far as it was known."""
    news_at: datetime | None
    """When the first posting was booked that an issued week may have to be revised for."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store holds of one client; every mapping is by key."""

    account: ClientAccount | None = None
    packs: Mapping[str, Pack] = field(default_factory=dict)
    adjustments: Mapping[str, Adjustment] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)
    events: Mapping[str, tuple[CaseEvent, ...]] = field(default_factory=dict)
    """Case key to its history, in the order of (instant, id)."""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    entries: Mapping[str, TimeEntry] = field(default_factory=dict)
    summaries: Mapping[str, WeeklySummary] = field(default_factory=dict)
    lines: Mapping[str, SummaryLine] = field(default_factory=dict)
    postings: tuple[Posting, ...] = ()
    """In the order they were booked."""
    milestones: Mapping[str, tuple[Milestone, ...]] = field(default_factory=dict)
    touched: Mapping[str, frozenset[str]] | None = None
    """Record name to the keys that changed or have come due; None: look at everything."""
    clocks_only: bool = False
    """Nothing was touched and only clocks have come due: the records of the ledger were not even read."""
    part: Part | None = None
    """Set when only what a change can reach was read; postings are then those of the records that were."""


@dataclass(slots=True)
class Evaluation:
    """What the rules say."""

    fields: dict[tuple[str, str], dict[str, Value]] = field(default_factory=dict)
    """(record name, key) to the computed fields that change."""
    created: list[Record] = field(default_factory=list)
    """Records the service brings into being: the account, courtesy packs, summaries and their lines."""
    postings: list[Posting] = field(default_factory=list)
    milestones: list[Milestone] = field(default_factory=list)
    """Of every case that was looked at, changed or not: the store keeps when each clock speaks next."""
    findings: list[Finding] = field(default_factory=list)
    next_due_at: datetime | None = None
    """The earliest instant at which ledger, account or weeks change by themselves; each clock keeps its own."""
    weeks_due_at: datetime | None = None
    """When a week is next to be issued or revised."""
    news_at: datetime | None = None
    """When the first posting was booked that an issued week does not know of."""
    clocks_only: bool = False
    marked: list[tuple[Mark, dict[str, CaseMark]]] = field(default_factory=list)
    """New places of the ledger's story, each with the cases that changed since the one before."""
    taken_up_at: int = 0
    """Number of the mark at which the story was taken up: later ones no longer hold."""
    story_length: int = 0
    tail: frozenset[str] = frozenset()
    """Cases that the story wrote on after its last mark."""
    ask: Ask | None = None
    """Nothing was said: the facts did not reach far enough, and this is what would."""

    def set(self, record: Record, values: Values) -> None:
        """Note those of ``values`` that differ from what ``record`` holds."""
        changed = {name: value for name, value in values.items() if getattr(record, name) != value}
        if changed:
            self.fields.setdefault((type(record).__name__, record.key), {}).update(changed)

    def due(self, at: datetime | None, now: datetime) -> None:
        """Remember ``at`` if it lies ahead and is the earliest so far."""
        if at is not None and at > now and (self.next_due_at is None or at < self.next_due_at):
            self.next_due_at = at


def asking(contract: Contract, now: datetime) -> Ask:
    """Return how little of the client the rules can do with at ``now``, to begin with."""
    terms = contract.terms
    this = Week.of(local_day(now, terms.time_zone))
    return Ask(
        telling=marks.digest(terms, contract.plans),
        zone=terms.time_zone,
        lock_after_days=terms.policy.lock_after_days,
        burn_from=this.shifted(-TRAILING_WEEKS).monday,
    )


def evaluate(contract: Contract, facts: Facts, now: datetime) -> Evaluation:
    """Return what the rules say of ``facts`` at ``now``: ledger, then clocks, then the account, then weeks.

    Of a part of the facts they say what they would say of all, or ask for more (``Evaluation.ask``).
    """
    said = Evaluation(clocks_only=facts.clocks_only)
    if facts.clocks_only:
        _clocks(contract, facts, now, said)
        return said
    try:
        settled = _ledger(contract, facts, now, said)
        _clocks(contract, facts, now, said)
        used = _used_by_week(contract, facts, said, now)
        _account(contract, facts, settled, used, now, said)
        if facts.part is None:
            _weeks(contract, facts, settled, now, said)
        else:
            _weeks_stay(contract, facts.part, said, now)
    except NeedsMore as more:
        return Evaluation(ask=_asked(facts, more))
    said.due(said.weeks_due_at, now)
    return said


def _asked(facts: Facts, more: NeedsMore) -> Ask:
    assert facts.part is not None, "everything was shown, and more was asked for"
    ask = facts.part.ask
    before = min((at for at in (ask.before, more.before.at if more.before else None) if at is not None), default=None)
    asked = replace(ask, before=before, cases=ask.cases | more.cases, whole=more.whole)
    return asked if asked != ask else replace(ask, whole=True)


# --- the ledger -------------------------------------------------------------------------------------------------


def _ledger(contract: Contract, facts: Facts, now: datetime, said: Evaluation) -> LedgerOutcome:
    """Settle every pack, estimate and entry of the client; what is posted is the difference to what stands."""
    estimates = {key: _decided(each, facts.events.get(key, ()), now) for key, each in facts.estimates.items()}
    book = LedgerFacts(facts.packs, facts.cases, estimates, facts.entries, funding_of(facts.cases))
    lost = [p for p in unposted(facts.adjustments.values(), facts.postings) if p.pack in facts.packs]
    told = _book(contract, facts, book, [*facts.postings, *lost], now)
    settled = told.settle(now)
    said.marked, said.taken_up_at = told.marked, told.taken_up_at
    said.story_length, said.tail = told.length, told.tail
    said.postings += sorted([*lost, *settled.postings], key=lambda p: p.booked_at) if lost else settled.postings
    said.created += settled.new_packs
    said.findings += [_as_data(finding) for finding in settled.findings]
    said.due(settled.next_due_at, now)
    values: dict[str, object]
    for key, entry in settled.entries.items():
        values = {"state": entry.state.value, "pack": entry.pack, "estimate": entry.estimate}
        _show(contract, said, facts.entries.get(key), {**values, "sync_message": entry.sentence})
    for gone in facts.entries.values():
        if gone.deleted and gone.state is not None:  # its copy in another org is still there to be looked at
            taken_back = {"state": EntryState.REVERSED.value, "pack": None, "estimate": None, "sync_message": None}
            said.set(gone, taken_back)
    for key, case in settled.cases.items():
        values = {"logged_minutes": case.logged_minutes, "approved_minutes": case.approved_minutes}
        values["estimate_status"] = case.estimate_status
        _show(contract, said, facts.cases.get(key), {**values, "sync_message": case.sentence})
    for key, estimate in settled.estimates.items():
        values = {
            "status": estimate.status,
            "used_minutes": estimate.used_minutes,
            "over_estimate": estimate.over_estimate,
            "balance_after_minutes": estimate.balance_after_minutes,
            "decided_at": estimates[key].decided_at,
        }
        _show(contract, said, facts.estimates.get(key), {**values, "sync_message": estimate.sentence})
    for key, pack in settled.packs.items():
        values = {name: getattr(pack, name) for name in PACK_FIGURES}
        _show(contract, said, facts.packs.get(key), {**values, "sync_message": pack.sentence})
    return settled


def _book(contract: Contract, facts: Facts, book: LedgerFacts, postings: list[Posting], now: datetime) -> Book:
    """Return the ledger's story at its first day, or where the facts take it up."""
    part = facts.part
    if part is None:
        return Book(book, postings, contract.terms, contract.plans)
    return Book.take_up(
        part.mark,
        part.told,
        book,
        postings,
        contract.terms,
        contract.plans,
        now,
        shown=part.shown,
        changed=facts.touched or {},
        beyond=part.beyond,
        drawn=part.drawn,
    )


def _as_data(finding: Finding) -> Finding:
    """Return a finding whose details are plain values: its sentence is kept in English."""
    details = {name: str(value) if isinstance(value, Sentence) else value for name, value in finding.details.items()}
    return replace(finding, details=details)


def _decided(estimate: Estimate, events: Iterable[CaseEvent], now: datetime) -> Estimate:
    """Return the estimate with the instant of its decision as the org's history tells it, else as first seen."""
    if estimate.status not in (EstimateStatus.APPROVED, EstimateStatus.REJECTED):
        return estimate
    told = [e.at for e in events if e.field == "status" and e.new == estimate.status and e.kind != ECHO]
    return replace(estimate, decided_at=max(told) if told else estimate.decided_at or now)


PACK_FIGURES = (
    "bought_minutes",
    "used_minutes",
    "reserved_minutes",
    "remaining_minutes",
    "available_minutes",
    "last_valid_on",
    "original_last_valid_on",
    "extended",
    "extension_requested_on",
    "unit_price_amount",
    "total_price_amount",
    "currency",
    "status",
)

FUNDING = {"Included": INCLUDED, "Additional service": QUOTE}
"""What a case's scope says about who pays (SCP-1); a case without a word is paid from packs."""


def funding_of(cases: Mapping[str, Case]) -> dict[str, str]:
    """Return who pays for each case that says so."""
    return {key: FUNDING[case.scope] for key, case in cases.items() if case.scope in FUNDING}


def _show(contract: Contract, said: Evaluation, record: Record | None, values: Mapping[str, object]) -> None:
    """Note the computed fields of a record that is alive; sentences are said in the client's language."""
    if record is None or record.deleted:
        return
    language = contract.language
    said.set(
        record,
        {
            name: (value.render(language.translate, language.show) or None)
            if isinstance(value, Sentence)
            else plain(value)
            for name, value in values.items()
        },
    )


def plain(value: object) -> Value:
    """Return an enumeration's value, anything else as it is."""
    return value.value if isinstance(value, Enum) else value  # type: ignore[return-value]


# --- the clocks -------------------------------------------------------------------------------------------------


def _clocks(contract: Contract, facts: Facts, now: datetime, said: Evaluation) -> None:
    """Reckon the clocks of every case that was touched, or of all when time itself moved something."""
    for key in _touched(facts, "Case", facts.cases):
        case = facts.cases[key]
        outcome = evaluate_case(
            case,
            facts.events.get(key, ()),
            terms=contract.terms,
            plans=contract.plans,
            covers=contract.covers,
            previous=facts.milestones.get(key, ()),
            now=now,
        )
        said.milestones += outcome.milestones
        said.findings += outcome.findings
        if not case.deleted:
            said.set(case, {**outcome.fields, "explained": _explained(contract, outcome)})


def _explained(contract: Contract, outcome: SlaOutcome) -> str | None:
    """Return the short derivation of the newest acknowledgement cycle."""
    cycles = [r for r in outcome.reckonings if r.milestone.clock == "ack"]
    if not cycles:
        return None
    newest = max(cycles, key=lambda r: r.milestone.cycle)
    return short_form(newest, contract.plans.sla[newest.milestone.plan], contract.covers, contract.language)


# --- the account ------------------------------------------------------------------------------------------------

ACCOUNT_FIGURES = (
    "balance_minutes",
    "reserved_minutes",
    "available_minutes",
    "uncovered_minutes",
    "waiting_estimates",
    "next_expiry_on",
    "low_balance",
)


def account_key(client: str) -> str:
    """Return the key of a client's account: one a client, for ever."""
    return f"acc:{client}"


def _account(
    contract: Contract,
    facts: Facts,
    settled: LedgerOutcome,
    used: Mapping[Week, int],
    now: datetime,
    said: Evaluation,
) -> None:
    """Show the contract at a glance; the account is made with the first evaluation."""
    terms = contract.terms
    values: dict[str, Value] = {name: getattr(settled.account, name) for name in ACCOUNT_FIGURES}
    values["name"] = terms.name
    this = Week.of(local_day(now, terms.time_zone))
    burn = burn_a_week([used[week] for week in sorted(used) if week < this])
    begun = counted_to(this.shifted(-1).sunday, burn, used.get(this, 0))
    values["burn_week_minutes"] = burn
    values["forecast_empty_on"] = empty_on(settled.account.available_minutes, burn, begun)
    values["at_risk_minutes"] = sum(risk.minutes for risk in at_risk(settled.packs, burn, begun))
    key = terms.plan_at(now)
    for day in terms.sla_plan_from:
        said.due(start_of_day(day, terms.time_zone), now)
    if key is not None:
        plan = contract.plans.sla[key]
        covers = dict.fromkeys(contract.plans.covers[target.cover].label for target in plan.targets.values())
        values["sla_plan"] = plan.name
        values["sla_coverage"] = f"{', '.join(covers)} {terms.time_zone}"
        values["sla_channels"] = "/".join(plan.channels)
    if facts.account is None:
        said.created.append(ClientAccount(key=account_key(terms.client), **values))  # type: ignore[arg-type]
    else:
        said.set(facts.account, values)


# --- the weeks --------------------------------------------------------------------------------------------------


def _used_by_week(contract: Contract, facts: Facts, said: Evaluation, now: datetime) -> dict[Week, int]:
    """Return the minutes used in each of the last closed weeks since the first posting, at most four, and in this."""
    part, zone, policy = facts.part, contract.terms.time_zone, contract.terms.policy
    postings = said.postings if part is not None else [*facts.postings, *said.postings]
    days = [p.effective_on for p in postings] + ([part.first_on] if part is not None else [])
    if not days:
        return {}
    first, this = Week.of(min(days)), Week.of(local_day(now, zone))
    weeks = [week for n in range(TRAILING_WEEKS, -1, -1) if (week := this.shifted(-n)) >= first]
    before = part.used_by_week if part is not None else {}
    made = statements(postings, weeks, now, zone, policy)
    return {each.week: each.used_minutes + before.get(each.week.monday, 0) for each in made}


def used_by_week(contract: Contract, postings: tuple[Posting, ...], now: datetime) -> dict[Week, int]:
    """Return the minutes used in each of the last closed weeks since the first posting, at most four, and in this."""
    return _used_by_week(contract, Facts(postings=postings), Evaluation(), now)


def _weeks_stay(contract: Contract, part: Part, said: Evaluation, now: datetime) -> None:
    """Leave the weeks as they were issued; ask for everything when one is due.

    Work that becomes known of an issued week is due with its day (WK-4); whether it changes a figure is seen then.
    """
    zone, policy = contract.terms.time_zone, contract.terms.policy
    said.news_at, due = part.news_at, part.weeks_due_at
    for posting in said.postings:
        week = week_of(posting, zone, policy)[0]
        if week < Week.of(part.first_on):
            raise NeedsMore(whole=True)  # weeks before the first are issued at once
        if week.closes_at(zone, policy.week_close_local) <= now:
            said.news_at = min(said.news_at or now, posting.booked_at)
    if due is not None and said.news_at is not None:
        due = min(due, due_at(said.news_at, zone, policy))
    if due is None or due <= now:
        raise NeedsMore(whole=True)
    said.weeks_due_at = due


def _weeks(contract: Contract, facts: Facts, settled: LedgerOutcome, now: datetime, said: Evaluation) -> None:
    """Issue every closed week once, and again as a revision when late work changes what it said (WK-1..7)."""
    terms = contract.terms
    postings = [*facts.postings, *said.postings]
    first = _first_week(contract, facts, postings)
    if first is None:
        return
    known = {
        Week.parse(record.iso_week): issued(record)
        for record in facts.summaries.values()
        if record.iso_week and record.as_of_at and not record.deleted
    }
    due, said.weeks_due_at = to_issue(postings, known, first, now, terms.time_zone, terms.policy)
    as_of = {week: each.statement.as_of for week, each in known.items()} | {each.statement.week: now for each in due}
    said.news_at = news_at(postings, as_of, terms.time_zone, terms.policy)
    milestones = {case: list(marks) for case, marks in facts.milestones.items()}
    for mark in said.milestones:
        kept = [m for m in milestones.get(mark.case, ()) if (m.clock, m.cycle) != (mark.clock, mark.cycle)]
        milestones[mark.case] = [*kept, mark]
    trailing = {issue.statement.week.shifted(-n) for issue in due for n in range(TRAILING_WEEKS)}
    made = statements(postings, [week for week in trailing if week >= first], now, terms.time_zone, terms.policy)
    used = {each.week: each.used_minutes for each in made}
    for issue in due:
        weeks = [issue.statement.week.shifted(-n) for n in range(TRAILING_WEEKS - 1, -1, -1)]
        around = Surroundings(
            account=settled.account,
            packs={**facts.packs, **{pack.key: pack for pack in settled.new_packs}},
            pack_figures=settled.packs,
            cases=facts.cases,
            case_figures=settled.cases,
            estimates=facts.estimates,
            milestones=milestones,
            used_by_week=[used[week] for week in weeks if week in used],
        )
        _issue(contract, facts, summary(issue, around, terms, contract.plans, account_key(terms.client)), said)


def _first_week(contract: Contract, facts: Facts, postings: Iterable[Posting]) -> Week | None:
    """Return the week in which the contract began: its first posting, else the day its account was made."""
    days = [p.effective_on for p in postings]
    if not days and facts.account is not None and facts.account.created_at is not None:
        days = [local_day(facts.account.created_at, contract.terms.time_zone)]
    return Week.of(min(days)) if days else None


def _issue(contract: Contract, facts: Facts, made: Summary, said: Evaluation) -> None:
    """Note a week and its lines; a line that a revision leaves out stays, with nothing on it."""
    language = contract.language
    record = replace(
        made.record,
        headline=made.headline.render(language.translate, language.show)[:255],
        extra={"name": f"{contract.terms.name} {made.record.iso_week}"[:80]},
    )
    _put(facts.summaries.get(record.key), record, said)
    for line in made.lines:
        note = made.notes.get(line.key)
        text = note.render(language.translate, language.show)[:255] if note is not None else None
        _put(facts.lines.get(line.key), replace(line, note=text), said)
    stays = {line.key for line in made.lines}
    for line in facts.lines.values():
        if line.summary == record.key and line.key not in stays and not line.deleted:
            said.set(line, {"minutes": 0, "note": None})


def _put(before: Record | None, record: Record, said: Evaluation) -> None:
    if before is None:
        said.created.append(record)
    else:
        said.set(before, {name: getattr(record, name) for name in field_names(type(record)) if name not in PEOPLES})


PEOPLES = frozenset({"read_by_client", "client_comment"})
"""Fields of a week that the client fills in."""


def _touched(facts: Facts, record: str, keys: Iterable[str]) -> list[str]:
    if facts.touched is None:
        return list(keys)
    there = set(keys)
    return sorted(key for key in facts.touched.get(record, ()) if key in there)
