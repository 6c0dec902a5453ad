"""The weekly summary as records: one a client and week, with its lines (WK-2).

May not know pages, mails or languages. It keeps one law: a summary is a copy of that day: numbers, subjects
and statuses in it do not change when the records do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sfsync.policy import ClientTerms, Plans
from sfsync.records import Case, Estimate, EstimateStatus, Milestone, Pack, SummaryLine, WeeklySummary
from sfsync.rules.figures import AccountFigures, CaseFigures, PackFigures
from sfsync.rules.forecast import AtRisk, at_risk, burn_a_week, empty_on, expiring_soon
from sfsync.rules.sla_report import acknowledgements
from sfsync.rules.summary import Issue
from sfsync.rules.validity import last_valid_on, plan_of
from sfsync.rules.wording import N_, Hours, Sentence, Shown, phrase


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the ledger when a week is issued, as of the same instant."""

    account: AccountFigures
    packs: Mapping[str, Pack] = field(default_factory=dict)
    pack_figures: Mapping[str, PackFigures] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)
    case_figures: Mapping[str, CaseFigures] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    milestones: Mapping[str, Sequence[Milestone]] = field(default_factory=dict)
    used_by_week: Sequence[int] = ()
    """Minutes used in this week and those before it since the first purchase, oldest first."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A week ready to be stored and written to the org."""

    record: WeeklySummary
    lines: tuple[SummaryLine, ...]
    headline: Sentence
    notes: Mapping[str, Sentence]
    """Line key to its sentence; the line itself holds it in English."""
    risks: tuple[AtRisk, ...]


def summary_key(client: str, week: str) -> str:
    """Return the key of a client's week: the same whoever makes it, at most 64 characters."""
    key = f"ws:{client}:{week}"
    return key if len(key) <= 64 else f"ws:{_short(client)}:{week}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def summary(issue: Issue, around: Surroundings, terms: ClientTerms, plans: Plans, account: str | None) -> Summary:
    """Return the record and lines of an issue; ``account`` is the key of the client's account record."""
    made, week, zone = issue.statement, issue.statement.week, terms.time_zone
    start, end = week.bounds(zone)
    burn = burn_a_week(around.used_by_week)
    risks = at_risk(around.pack_figures, burn, week.sunday, dict(_extendable(around, terms, plans)))
    cases = list(around.cases.values())
    acks = [m for each in around.milestones.values() for m in each if m.clock == "ack"]
    due = [m for m in acks if start <= m.due_at < end]
    breaches = [m for m in acks if m.breached_at is not None and start <= m.breached_at < end]
    values: dict[str, Shown] = {
        "used": Hours(made.used_minutes),
        "left": Hours(made.closing_minutes),
        "reserved": Hours(around.account.reserved_minutes),
        "delta": Hours(issue.delta_minutes),
    }
    headline = phrase(
        N_("{used} used, {left} left, {reserved} of them reserved.")
        if issue.revision == 1
        else N_("Revised by {delta}: {used} used, {left} left, {reserved} of them reserved."),
        values,
    )
    key = summary_key(terms.client, str(week))
    record = WeeklySummary(
        key=key,
        account=account,
        iso_week=str(week),
        week_start_on=week.monday,
        week_end_on=week.sunday,
        status="Published" if issue.revision == 1 else "Revised",
        revision=issue.revision,
        as_of_at=made.as_of,
        opening_minutes=made.opening_minutes,
        purchased_minutes=made.purchased_minutes,
        courtesy_minutes=made.courtesy_minutes,
        used_minutes=made.used_minutes,
        corrected_minutes=made.corrected_minutes,
        expired_minutes=made.expired_minutes,
        refunded_minutes=made.refunded_minutes,
        closing_minutes=made.closing_minutes,
        reserved_minutes=around.account.reserved_minutes,
        available_minutes=made.closing_minutes - around.account.reserved_minutes,
        uncovered_minutes=around.account.uncovered_minutes,
        prior_period_minutes=made.prior_minutes,
        evolutionary_minutes=made.by_category.get("Evolutionary", 0),
        preventive_minutes=made.by_category.get("Preventive", 0),
        adaptive_minutes=made.by_category.get("Adaptive", 0),
        corrective_minutes=made.by_category.get("Corrective", 0),
        burn_4w_minutes=burn,
        forecast_empty_on=empty_on(made.closing_minutes - around.account.reserved_minutes, burn, week.sunday),
        at_risk_minutes=sum(risk.minutes for risk in risks),
        cases_opened=sum(c.created_at is not None and start <= c.created_at < end for c in cases),
        cases_closed=sum(c.closed_at is not None and start <= c.closed_at < end for c in cases),
        sla_due=len(due),
        sla_met=sum(m.met_at is not None and m.breached_at is None for m in due),
        breaches=len(breaches),
        **_mean_answers(m for m in acks if m.met_at is not None and start <= m.met_at < end),
        waiting_estimates=around.account.waiting_estimates,
        headline=str(headline),
        published_at=made.as_of,
    )
    lines: list[SummaryLine] = []
    notes: dict[str, Sentence] = {}
    for sort, (kind, about, line, note) in enumerate(_lines(issue, around, terms, risks, breaches), 1):
        line_key = f"wl:{_short(f'{key}|{kind}|{about}')}"
        lines.append(_line(line, line_key, key, kind, note, sort))
        if note is not None:
            notes[line_key] = note
    return Summary(record, tuple(lines), headline, notes, tuple(risks))


def _mean_answers(answered: Iterable[Milestone]) -> dict[str, Any]:
    """Return the mean time to acknowledge of each priority, beside what came in time (SLA-M1, X-23)."""
    return {
        f"mean_answer_{priority.lower()}_minutes": figures.mean_minutes
        for priority, figures in acknowledgements(answered).items()
    }


def _extendable(around: Surroundings, terms: ClientTerms, plans: Plans) -> Iterator[tuple[str, date]]:
    for key, pack in around.packs.items():
        plan, shown = plan_of(pack, plans.packs), around.pack_figures.get(key)
        if plan is None or shown is None or shown.extended or not plan.extension_months or pack.activated_on is None:
            continue
        inclusive = terms.policy.validity_inclusive
        yield key, last_valid_on(pack.activated_on, plan, extended=True, inclusive=inclusive)


RESCUE = N_("{left} until {day}; at the present pace {lapse} will expire, the extension would save {saved}.")

Row = tuple[str, str, SummaryLine, Sentence | None]


def _lines(
    issue: Issue, around: Surroundings, terms: ClientTerms, risks: Iterable[AtRisk], breaches: Iterable[Milestone]
) -> Iterator[Row]:
    """Yield (kind, what it is about, line, note), in the order a person reads them."""
    yield from _waiting_estimates(around)
    yield from _work(issue, around)
    yield from _prior(issue, around)
    for milestone in sorted(breaches, key=lambda m: (m.breached_at or m.due_at, m.case)):
        case = around.cases.get(milestone.case)
        values: dict[str, Shown] = {"target": Hours(milestone.target_seconds // 60)}
        note = phrase(N_("Not answered within {target}."), values)
        if milestone.waived_reason is not None:
            note = phrase(N_("Not answered within {target}; waived: {reason}."), values, reason=milestone.waived_reason)
        line = SummaryLine(key="", **_of_case(milestone.case, case, milestone.priority))
        yield "Breach", f"{milestone.case}|{milestone.cycle}", line, note
    yield from _expiring(issue, around, terms, risks)


def _waiting_estimates(around: Surroundings) -> Iterator[Row]:
    for key, estimate in sorted(around.estimates.items()):
        if estimate.status not in (EstimateStatus.SENT, EstimateStatus.QUESTION) or estimate.deleted:
            continue
        values: dict[str, Shown] = {"hours": Hours(estimate.estimated_minutes or 0), "name": estimate.name or key}
        line = SummaryLine(
            key="",
            estimated_minutes=estimate.estimated_minutes,
            category=estimate.category,
            status_text=str(estimate.status),
            **_of_case(estimate.case, around.cases.get(estimate.case or "")),
        )
        yield "Estimate", key, line, phrase(N_("{name}: {hours} wait for your decision."), values)


def _work(issue: Issue, around: Surroundings) -> Iterator[Row]:
    late = {p.case or "" for p in issue.statement.late}
    for case_key, minutes in sorted(issue.statement.by_case.items(), key=lambda item: (-item[1], item[0])):
        case, shown = around.cases.get(case_key), around.case_figures.get(case_key)
        note: Sentence | None = None
        if shown is not None and shown.waiting_minutes:
            note = phrase(N_("{waiting} more wait for approval."), waiting=Hours(shown.waiting_minutes))
        elif case_key in late:
            note = phrase(N_("Entered after the week had ended."))
        line = SummaryLine(
            key="",
            minutes=minutes,
            category=case.category if case is not None else None,
            estimated_minutes=shown.approved_minutes if shown is not None else None,
            **_of_case(case_key or None, case),
        )
        yield "Work", case_key, line, note


def _prior(issue: Issue, around: Surroundings) -> Iterator[Row]:
    sums: dict[tuple[str, date], int] = {}
    for p in issue.statement.prior:
        place = p.case or "", p.effective_on
        sums[place] = sums.get(place, 0) - p.minutes
    for (case_key, day), minutes in sorted(sums.items(), key=lambda item: (item[0][1], item[0][0])):
        if minutes:
            line = SummaryLine(key="", minutes=minutes, **_of_case(case_key or None, around.cases.get(case_key)))
            note = phrase(N_("Booked for {day}, after that week was locked."), day=day)
            yield "Prior period", f"{case_key}|{day}", line, note


def _expiring(issue: Issue, around: Surroundings, terms: ClientTerms, risks: Iterable[AtRisk]) -> Iterator[Row]:
    at_stake = {risk.pack: risk for risk in risks}
    packs = [(key, pack.remaining_minutes, pack.last_valid_on) for key, pack in around.pack_figures.items()]
    soon = {e.pack: e for e in expiring_soon(packs, issue.statement.week.sunday, terms.policy.expiring_soon_days)}
    for key in {**soon, **at_stake}:
        shown, record = around.pack_figures[key], around.packs.get(key)
        values: dict[str, Shown] = {"left": Hours(shown.remaining_minutes), "day": shown.last_valid_on or date.min}
        note = phrase(N_("{left} can be used until {day}."), values)
        risk = at_stake.get(key)
        if risk is not None:
            values |= {"lapse": Hours(risk.minutes), "saved": Hours(risk.minutes - (risk.after_extension_minutes or 0))}
            note = phrase(N_("{left} until {day}; at the present pace {lapse} will expire."), values)
            if risk.after_extension_minutes is not None:
                note = phrase(RESCUE, values)
        name = record.name or record.plan if record is not None else None
        line = SummaryLine(key="", minutes=shown.remaining_minutes, pack_name=name)
        yield "Expiry", key, line, note


def _of_case(key: str | None, case: Case | None, priority: str | None = None) -> dict[str, Any]:
    """Return the copies of a case that a line keeps."""
    if case is None:
        return {"case": key, "priority": priority}
    return {
        "case": key,
        "case_number": case.number,
        "subject": case.subject,
        "priority": priority or case.priority,
    }


def _line(line: SummaryLine, key: str, summary: str, kind: str, note: Sentence | None, sort: int) -> SummaryLine:
    text = None if note is None else str(note)[:255]
    return replace(line, key=key, summary=summary, kind=kind, note=text, sort=sort)
