"""Weeks as statements: continuity, revisions, the lock, forecast and the records of it (WK-1..7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from sfsync.clock import seeded
from sfsync.policy import Policy
from sfsync.records import Case, Milestone, Posting, PostingKind
from sfsync.rules.forecast import at_risk, burn_a_week, counted_to, empty_on, expiring_soon
from sfsync.rules.postings import balances
from sfsync.rules.summary import FIGURES, Issue, issued, revisions, statements, to_issue
from sfsync.rules.weekly import Summary, Surroundings, summary, summary_key
from sfsync.rules.weeks import Week
from tests.unit.rules.histories import PLANS, history
from tests.unit.rules.scene import ZONE, Client, at, day
from tests.unit.rules.test_ledger_histories import told

POLICY = Policy()
W47, W48, W49 = Week.parse("2026-W47"), Week.parse("2026-W48"), Week.parse("2026-W49")


def entry(minutes: int, on: str, booked: str, kind: str = "consume", **more: object) -> Posting:
    values = {"pack": "A", "source": f"{kind} {on} {booked} {minutes}", "source_version": 1, "leg": 0, **more}
    return Posting(
        minutes=minutes,
        effective_on=day(on),
        booked_at=at(booked),
        kind=PostingKind(kind),
        **values,  # type: ignore[arg-type]
    )


BOOKS = [
    entry(2400, "2026-11-01", "2026-11-01", "purchase"),
    entry(-90, "2026-11-17", "2026-11-17", case="C1", category="Corrective"),
    entry(480, "2026-11-18", "2026-11-18", "purchase"),
    entry(-45, "2026-11-19", "2026-11-19", case="C2", category="Preventive"),
    entry(-60, "2026-11-22", "2026-11-23 00:05", "expire"),
]
LATE = entry(-30, "2026-11-20", "2026-11-25 09:00", case="C1", category="Corrective")


def run(postings: list[Posting], known: dict[Week, Issue], now: str, policy: Policy = POLICY) -> list[Issue]:
    issues, _ = to_issue(postings, known, W47, at(now), ZONE, policy)
    known.update({issue.statement.week: issue for issue in issues})
    return issues


def test_a_week_opens_closes_and_adds_up() -> None:  # W-10
    known: dict[Week, Issue] = {}
    (issue,) = run(BOOKS, known, "2026-11-23 06:00")
    told_of = issue.statement
    assert (told_of.opening_minutes, told_of.purchased_minutes, told_of.used_minutes) == (2400, 480, 135)
    assert (told_of.expired_minutes, told_of.closing_minutes) == (60, 2685)
    assert (dict(told_of.by_category), dict(told_of.by_case)) == (
        {"Corrective": 90, "Preventive": 45},
        {"C1": 90, "C2": 45},
    )


def test_a_week_is_not_issued_before_it_is_closed_and_is_issued_once() -> None:  # W-19
    known: dict[Week, Issue] = {}
    assert run(BOOKS, known, "2026-11-23 05:59") == []
    assert len(run(BOOKS, known, "2026-11-23 06:00")) == 1
    assert run(BOOKS, known, "2026-11-29") == []


def test_a_week_without_work_is_issued_too() -> None:  # W-17
    known: dict[Week, Issue] = {}
    issues = run(BOOKS, known, "2026-12-07 06:00")
    assert [str(i.statement.week) for i in issues] == ["2026-W47", "2026-W48", "2026-W49"]
    assert [i.statement.empty for i in issues] == [False, True, True]
    assert issues[2].statement.opening_minutes == issues[2].statement.closing_minutes == 2685


def test_late_work_revises_its_week_and_every_later_one_once_its_day_is_over() -> None:  # W-11, W-15, W-16
    known: dict[Week, Issue] = {}
    run(BOOKS, known, "2026-12-07 06:00")
    late = replace(LATE, booked_at=at("2026-12-08 09:00"))
    later = replace(LATE, booked_at=at("2026-12-08 16:00"), minutes=-15, source="t2")
    assert run([*BOOKS, late], known, "2026-12-08 09:01") == []
    _, due = to_issue([*BOOKS, late], known, W47, at("2026-12-08 09:01"), ZONE, POLICY)
    assert due == at("2026-12-09 00:00")
    issues = run([*BOOKS, late, later], known, "2026-12-09 00:00")
    assert [(str(i.statement.week), i.revision, i.supersedes, i.delta_minutes, i.reason) for i in issues] == [
        ("2026-W47", 2, 1, -45, "late_entry"),
        ("2026-W48", 2, 1, -45, "carried_forward"),
        ("2026-W49", 2, 1, -45, "carried_forward"),
    ]
    assert issues[0].changes == (late, later)
    assert run([*BOOKS, late, later], known, "2026-12-10") == []


def test_a_revision_goes_out_at_once_where_the_contract_says_so() -> None:  # WK-4
    known: dict[Week, Issue] = {}
    policy = Policy(amendment_batch="immediate")
    run(BOOKS, known, "2026-11-23 06:00", policy)
    (issue,) = run([*BOOKS, LATE], known, "2026-11-25 09:01", policy)
    assert (issue.revision, issue.statement.closing_minutes) == (2, 2655)


def test_a_correction_says_so() -> None:
    known: dict[Week, Issue] = {}
    run(BOOKS, known, "2026-11-23 06:00")
    back = entry(90, "2026-11-17", "2026-11-24", "reversal", case="C1", category="Corrective")
    again = entry(-60, "2026-11-17", "2026-11-24", case="C1", category="Corrective")
    (issue,) = run([*BOOKS, back, again], known, "2026-11-25")
    assert (issue.reason, issue.delta_minutes, issue.statement.used_minutes) == ("correction", 30, 105)


def test_work_known_after_the_lock_is_a_line_of_the_present_week() -> None:  # W-14, WK-5
    last_day = replace(LATE, booked_at=at("2026-12-20"))
    assert statements([last_day], [W47], at("2026-12-31"), ZONE, POLICY)[0].used_minutes == 30
    too_late = replace(LATE, booked_at=at("2026-12-21"))
    w47, w52 = statements([too_late], [W47, Week.parse("2026-W52")], at("2026-12-31"), ZONE, POLICY)
    assert (w47.used_minutes, w47.closing_minutes) == (0, 0)
    assert (w52.used_minutes, w52.prior_minutes, w52.closing_minutes) == (0, 30, -30)


def test_what_was_issued_is_read_back_from_its_record() -> None:
    known: dict[Week, Issue] = {}
    (issue,) = run(BOOKS, known, "2026-11-23 06:00")
    kept = {W47: issued(record_of(issue).record)}
    assert run(BOOKS, kept, "2026-11-24") == []
    (again,) = run([*BOOKS, LATE], kept, "2026-11-26")
    assert (again.revision, again.delta_minutes) == (2, -30)


# random histories


@pytest.mark.parametrize("batch", range(4))
def test_every_closing_is_the_next_opening_and_nothing_issued_is_missed(batch: int) -> None:  # W-13
    for seed in range(batch * 35, batch * 35 + 35):
        one = history(seed, seeded(f"weeks {seed}"), edits=True)
        _, postings, _ = told(one)
        zone, policy = one.terms.time_zone, one.terms.policy
        end = one.arrivals[-1][0] + timedelta(days=2)
        weeks = [Week.of(date(2025, 12, 29)).shifted(number) for number in range(110)]
        for as_of in (one.arrivals[len(one.arrivals) // 2][0], end):
            made = statements(postings, weeks, as_of, zone, policy)
            for before, after in zip(made, made[1:], strict=False):
                assert before.closing_minutes == after.opening_minutes, f"seed {seed}: {before.week}"
            fold = balances(postings, booked_until=as_of)
            assert made[-1].closing_minutes == sum(fold.values()), f"seed {seed}"
            for each in made:
                assert sum(each.by_category.values()) == sum(each.by_case.values()) == each.used_minutes
        issue_by_issue(postings, weeks[0], [now for now, _ in one.arrivals] + [end], zone, policy, f"seed {seed}")


def issue_by_issue(
    postings: list[Posting], first: Week, runs: list[datetime], zone: str, policy: Policy, problem: str
) -> None:
    known: dict[Week, Issue] = {}
    history_of: dict[Week, list[int]] = {}
    for now in runs:
        so_far = [p for p in postings if p.booked_at <= now]
        issues, due = to_issue(so_far, known, first, now, zone, policy)
        assert due is not None
        assert due > now, problem
        for issue in issues:
            week = issue.statement.week
            assert issue.revision == (known[week].revision + 1 if week in known else 1), problem
            if week in known:
                change = issue.statement.closing_minutes - known[week].statement.closing_minutes
                assert issue.delta_minutes == change, problem
            known[week] = issue
            history_of.setdefault(week, []).append(issue.revision)
        assert to_issue(so_far, known, first, now, zone, policy)[0] == [], problem
    now = runs[-1] + timedelta(days=2)
    for issue in to_issue(postings, known, first, now, zone, policy)[0]:
        known[issue.statement.week] = issue
    fresh = statements(postings, sorted(known), now, zone, policy)
    for each in fresh:
        stated = known[each.week].statement
        assert [getattr(each, f) for f in FIGURES] == [getattr(stated, f) for f in FIGURES], f"{problem} {each.week}"


def test_the_rules_alone_make_the_same_revisions_as_runs_do() -> None:
    made = revisions([*BOOKS, LATE], W47, at("2026-11-25 09:01"), ZONE, POLICY)
    assert [(i.revision, i.statement.closing_minutes, i.delta_minutes) for i in made] == [(1, 2685, 0), (2, 2655, -30)]
    assert revisions(BOOKS, W48, at("2026-11-29"), ZONE, POLICY) == []


# what is ahead


def test_burn_is_the_mean_of_the_last_four_weeks() -> None:
    assert burn_a_week([]) == 0
    assert burn_a_week([1000, 60, 60, 61, 61]) == 61
    assert burn_a_week([90]) == 90


def test_hours_run_out_when_the_pace_says_and_never_without_one() -> None:
    assert empty_on(600, 300, day("2026-11-22")) == day("2026-12-06")
    assert empty_on(1, 300, day("2026-11-22")) == day("2026-11-23")
    assert empty_on(-5, 300, day("2026-11-22")) == day("2026-11-22")
    assert empty_on(600, 0, day("2026-11-22")) is None


def test_a_forecast_stays_the_same_all_week_at_the_usual_pace_and_while_the_client_rests() -> None:
    sunday, burn = day("2026-11-22"), 420
    said = {empty_on(2100 - used, burn, counted_to(sunday, burn, used)) for used in range(0, 421, 60)}
    assert said == {day("2026-12-27")}
    assert empty_on(2100 - 840, burn, counted_to(sunday, burn, 840)) == day("2026-12-20"), "twice the pace"
    assert counted_to(sunday, 0, 60) == sunday
    assert counted_to(sunday, burn, -30) == sunday, "only corrections so far"


def test_a_pack_ends_soon_within_thirty_days_of_the_weeks_end() -> None:  # W-18
    packs = [("A", 120, day("2026-12-22")), ("B", 300, day("2026-12-23")), ("C", 0, day("2026-12-01"))]
    assert [(e.pack, e.days_left) for e in expiring_soon(packs, day("2026-11-22"), 30)] == [("A", 30)]


def test_hours_at_risk_are_what_the_pace_leaves_on_each_pack() -> None:
    c = Client().pack("A", 480, "2026-11-01", "2026-11-29").pack("B", 480, "2026-11-01", "2027-02-01")
    figures = c.settle("2026-11-22 23:00").packs
    (risk,) = at_risk(figures, 210, day("2026-11-22"), {"A": day("2027-01-31")})
    assert (risk.pack, risk.minutes, risk.after_extension_minutes, risk.ask_by) == ("A", 270, 0, day("2026-11-29"))
    assert [r.pack for r in at_risk(figures, 0, day("2026-11-22"))] == ["A", "B"]
    assert at_risk(figures, 4800, day("2026-11-22")) == []


# records


def record_of(issue: Issue, **around: object) -> Summary:
    c = Client().plan("F", "Flexi", 5, "2026-06-05", name="PK-0001").approve("C1", 240, "2026-11-10")
    c.cases["C1"] = Case(key="C1", number="00001001", subject="Orders", priority="P2", category="Corrective")
    outcome = c.settle("2026-11-23")
    values = {
        "account": outcome.account,
        "packs": c.packs,
        "pack_figures": outcome.packs,
        "cases": c.cases,
        "case_figures": outcome.cases,
        "estimates": c.estimates,
        "used_by_week": [135],
        **around,
    }
    return summary(issue, Surroundings(**values), c.terms(), PLANS, "acc")  # type: ignore[arg-type]


def test_a_summary_is_one_record_with_its_lines() -> None:
    (issue,) = run([*BOOKS, replace(LATE, booked_at=at("2026-11-23 05:00"))], {}, "2026-11-23 06:00")
    made = record_of(issue)
    record = made.record
    assert (record.key, record.iso_week, record.revision, record.status) == (
        "ws:c:2026-W47",
        "2026-W47",
        1,
        "Published",
    )
    assert (record.closing_minutes, record.reserved_minutes, record.available_minutes) == (2655, 240, 2415)  # W-20
    assert (record.corrective_minutes, record.preventive_minutes, record.burn_4w_minutes) == (120, 45, 135)
    assert str(made.headline) == "2.75 h used, 44.25 h left, 4.00 h of them reserved."
    assert [(line.kind, line.case, line.minutes, line.note) for line in made.lines] == [
        ("Work", "C1", 120, "Entered after the week had ended."),
        ("Work", "C2", 45, None),
        (
            "Expiry",
            None,
            2400,
            "40.00 h until 2026-12-05; at the present pace 31.83 h will expire, the extension would save 28.93 h.",
        ),
    ]
    assert sum(line.minutes or 0 for line in made.lines if line.kind == "Work") == record.used_minutes
    assert (made.lines[0].case_number, made.lines[0].subject) == ("00001001", "Orders")
    assert {line.summary for line in made.lines} == {record.key}
    assert len({line.key for line in made.lines}) == len(made.lines)
    assert [line.sort for line in made.lines] == [1, 2, 3]
    assert record_of(issue) == made, "the same facts make the same records"


def test_a_revision_says_by_how_much() -> None:
    known: dict[Week, Issue] = {}
    run(BOOKS, known, "2026-11-23 06:00")
    (issue,) = run([*BOOKS, LATE], known, "2026-11-26")
    made = record_of(issue)
    assert (made.record.status, made.record.revision) == ("Revised", 2)
    assert str(made.headline).startswith("Revised by -0.50 h: 2.75 h used")


def test_a_breach_has_its_line_and_a_waiver_its_reason() -> None:
    late = Milestone(
        case="C1",
        clock="ack",
        cycle=1,
        plan="silver",
        priority="P1",
        target_seconds=14_400,
        started_at=at("2026-11-17"),
        clock_starts_at=at("2026-11-17"),
        due_at=at("2026-11-17 16:00"),
        breach_at=at("2026-11-17 16:00"),
        met_at=at("2026-11-17 17:00"),
        breached_at=at("2026-11-17 16:00"),
    )
    waived = replace(late, cycle=2, waived_reason="client was away")
    in_time = replace(late, case="C2", breached_at=None)
    (issue,) = run(BOOKS, {}, "2026-11-23 06:00")
    made = record_of(issue, milestones={"C1": [late, waived], "C2": [in_time]})
    assert (made.record.sla_due, made.record.sla_met, made.record.breaches) == (3, 1, 2)
    assert [line.note for line in made.lines if line.kind == "Breach"] == [
        "Not answered within 4.00 h.",
        "Not answered within 4.00 h; waived: client was away.",
    ]


def test_a_week_says_the_mean_time_to_acknowledge_of_each_priority() -> None:  # SLA-M1
    def answered(case: str, priority: str, used: int, day: str = "2026-11-17") -> Milestone:
        return Milestone(
            case=case, clock="ack", cycle=1, plan="silver", priority=priority, target_seconds=14_400,
            started_at=at(day), clock_starts_at=at(day), due_at=at(f"{day} 16:00"), breach_at=at(f"{day} 16:00"),
            met_at=at(f"{day} 13:00"), used_seconds=used,
        )  # fmt: skip

    marks = [answered("C1", "P1", 3600), answered("C2", "P1", 1800), answered("C3", "P2", 600)]
    marks += [answered("C4", "P2", 9000, "2026-11-24"), replace(answered("C5", "P3", 60), clock="resolution")]
    (issue,) = run(BOOKS, {}, "2026-11-23 06:00")
    made = record_of(issue, milestones={mark.case: [mark] for mark in marks}).record
    assert (made.mean_answer_p1_minutes, made.mean_answer_p2_minutes) == (45, 10)
    assert (made.mean_answer_p3_minutes, made.mean_answer_p4_minutes) == (None, None)


def test_a_key_of_a_summary_fits_its_field() -> None:
    assert summary_key("acme", "2026-W47") == "ws:acme:2026-W47"
    long = summary_key("a" * 100, "2026-W47")
    assert len(long) <= 64
    assert long.endswith(":2026-W47")
    assert long != summary_key("a" * 101, "2026-W47")
