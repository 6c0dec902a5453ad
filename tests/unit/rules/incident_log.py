"""The service desk's real event log as cases with a status history, and its figures under our plans.

The log lies beside the project and is never copied into it. ``python -m tests.unit.rules.incident_log`` prints
the table of all incidents by plan and priority, and twenty explained due times, some with a change of priority.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sfsync.calendar_source import listed_holidays
from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms, HolidayChoice, Plans, Policy
from sfsync.records import Case, CaseEvent
from sfsync.rules.calendar import Calendar, calendar_of
from sfsync.rules.history import pauses, read_history
from sfsync.rules.language import ENGLISH
from sfsync.rules.sla import SlaOutcome, evaluate_case
from sfsync.rules.sla_explain import derive
from sfsync.rules.sla_report import Acknowledgements, acknowledgements
from sfsync.rules.sla_simulate import PastCase

LOG = Path(__file__).resolve().parents[4] / "shared" / "data" / "incident_event_log.csv"
ZONE = "America/Argentina/Buenos_Aires"
NOW = datetime(2017, 1, 1, tzinfo=UTC)
PLANS = ("silver", "gold", "platinum")

POLICY = Policy(
    resolution_pause_statuses=("Awaiting User Info", "Awaiting Problem", "Awaiting Vendor", "Awaiting Evidence")
)


def instant(text: str) -> datetime:
    """Return day-month-year hour:minute of the desk, taken to be Argentine, as an instant."""
    return datetime.strptime(text, "%d-%m-%Y %H:%M").replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC)


def incidents() -> Iterator[PastCase]:
    """Yield every incident of the log: opened as New, then its changes of state and priority."""
    rows: dict[str, list[dict[str, str]]] = {}
    with LOG.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["number"], []).append(row)
    for number, history in rows.items():
        opened = instant(history[0]["opened_at"])
        events: list[CaseEvent] = []
        known = {"status": "New", "priority": f"P{history[0]['priority'][0]}"}
        # A stable sort: rows of one minute keep the order of the log.
        for row in sorted(history, key=lambda row: instant(row["sys_updated_at"])):
            new = {"status": row["incident_state"], "priority": f"P{row['priority'][0]}"}
            for name, value in new.items():
                if value != known[name]:
                    at = max(opened, instant(row["sys_updated_at"]))
                    events.append(
                        CaseEvent(
                            case=number,
                            event_id=f"{number}-{len(events):04}",
                            kind="field",
                            field=name,
                            old=known[name],
                            new=value,
                            at=at,
                            by=row["sys_updated_by"],
                        )
                    )
            known = new
        case = Case(
            key=number,
            number=number,
            created_at=opened,
            status=known["status"],
            is_closed=known["status"] == "Closed",
            priority=known["priority"],
        )
        yield PastCase(case, events)


def calendars(plans: Plans) -> dict[str, Calendar]:
    """Return the covers of the shipped plans with Argentina's holidays of those years."""
    days = listed_holidays(HolidayChoice(country="AR"), range(2015, 2018))
    return {key: calendar_of(cover, ZONE, holidays=days) for key, cover in plans.covers.items()}


def terms(plan: str) -> ClientTerms:
    return ClientTerms(client="desk", name="Desk", time_zone=ZONE, sla_plan=plan, policy=POLICY)


def evaluate(past: PastCase, plan: str, plans: Plans, covers: dict[str, Calendar]) -> SlaOutcome:
    return evaluate_case(past.case, past.events, terms=terms(plan), plans=plans, covers=covers, now=NOW)


def waited(past: PastCase) -> bool:
    """Return whether the incident ever stood in a waiting state."""
    return bool(pauses(read_history(past.case, past.events, POLICY), "resolution", POLICY))


def table(cases: list[PastCase]) -> Iterator[tuple[str, Acknowledgements, int, int]]:
    """Yield plan, figures of a priority, incidents of it that ever waited, and cycles after a reopening."""
    plans = load_plans()
    covers = calendars(plans)
    for plan in PLANS:
        outcomes = [(past, evaluate(past, plan, plans, covers)) for past in cases]
        for priority, figures in acknowledgements(m for _, o in outcomes for m in o.milestones).items():
            mine = [past for past, o in outcomes if o.milestones[0].priority == priority]
            again = sum(m.priority == priority and m.cycle > 1 for _, o in outcomes for m in o.milestones)
            yield plan, figures, sum(map(waited, mine)), again


def main() -> None:
    """Print the table and twenty explained due times."""
    cases, out = list(incidents()), sys.stdout
    out.write(f"{len(cases)} incidents, {sum(len(past.events) for past in cases)} changes of state or priority\n")
    out.write("plan      prio  clocks  in time  breached  compliance  mean min  ever paused  after reopening\n")
    for plan, f, paused, again in table(cases):
        clocks = f.in_time + f.breached + f.waiting
        out.write(
            f"{plan:9} {f.priority:4} {clocks:7} {f.in_time:8} {f.breached:9} {f.compliance_pct:>10}% "
            f"{f.mean_minutes:9} {paused:12} {again:16}\n"
        )
    plans = load_plans()
    covers = calendars(plans)
    for past, plan in twenty(cases):
        reckoning = evaluate(past, plan, plans, covers).reckonings[0]
        out.write("\n" + derive(reckoning, plans.sla[plan], covers).text(ENGLISH) + "\n")


def twenty(cases: list[PastCase]) -> list[tuple[PastCase, str]]:
    """Return sixteen incidents from the whole length of the log and four whose priority changed, each with a plan."""
    plans = load_plans()
    covers = calendars(plans)
    spread = [(past, PLANS[number % 3]) for number, past in enumerate(cases[:: len(cases) // 16][:16])]
    changed = [
        (past, plan)
        for number, past in enumerate(cases)
        if evaluate(past, plan := PLANS[number % 3], plans, covers).reckonings[0].changes
    ]
    return [*spread, *changed[:4]]


if __name__ == "__main__":
    main()
