"""What people do in the orgs of the demo: clients ask and decide, consultants answer and log time.

They act in a local org as people do in Salesforce, one after the other, on a clock that is moved from
one act to the next. May not know sfsync's rules. It keeps one law: nobody here writes a field that the
service owns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sfsync.cli.demo_cases import Incident
from sfsync.clock import ManualClock
from sfsync.localorg.org import LocalOrg

CONSULTANTS = ("consultant1", "consultant2")
CLIENT = "client1"


@dataclass(frozen=True, slots=True)
class Job:
    """One request and what became of it, told in days before the demo and local hours."""

    subject: str
    priority: str
    category: str
    days_ago: int
    hour: int
    answered_after_minutes: int | None
    estimated_minutes: int = 0
    approved: bool = False
    work: tuple[tuple[int, int], ...] = ()
    """Days after the request, and minutes."""
    closed_after_days: int | None = None


STORIES: dict[str, tuple[Job, ...]] = {
    "acme": (
        Job("Orders do not reach the warehouse", "P1", "Corrective", 13, 10, 25, 240, True, ((0, 120), (1, 95)), 3),
        Job("Price rules for spring", "P3", "Evolutionary", 12, 9, 150, 480, True, ((2, 180), (3, 150)), 6),
        Job("User cannot log in to the portal", "P2", "Corrective", 9, 15, 380, 60, True, ((1, 45),), 2),
        Job("Review of flows before the release", "P4", "Preventive", 8, 11, 60, 360, True, ((1, 120), (4, 90))),
        Job("New approval step for discounts", "P3", "Adaptive", 6, 12, 90, 300, True, ((1, 200), (2, 130))),
        Job("Report on open quotes shows no rows", "P3", "Corrective", 5, 17, 45, 90, True, ((1, 60),), 2),
        Job("Dashboard for case escalation", "P4", "Evolutionary", 4, 10, 30, 720),
        Job("Duplicate accounts after the import", "P2", "Corrective", 4, 16, None),
        Job("Clean up unused fields on Account", "P4", "Preventive", 2, 9, 40, 360),
        Job("Emails from the queue are not sent", "P1", "Corrective", 1, 9, 35, 0, False, ((0, 50),)),
    ),
    "beta": (
        Job("Quote template shows the wrong currency", "P2", "Corrective", 11, 10, 200, 120, True, ((0, 80),), 1),
        Job("Flow fails for new opportunities", "P1", "Corrective", 7, 9, 300, 180, True, ((0, 120), (1, 90))),
        Job("Page layout for partners", "P4", "Adaptive", 5, 14, 400, 240, True, ((2, 160),), 4),
        Job("Which report shows renewals?", "P4", "Corrective", 3, 11, 30),
    ),
}


@dataclass(slots=True)
class _Act:
    at: datetime
    order: int
    what: str
    case: int
    minutes: int = 0


class People:
    """The people of one org."""

    def __init__(self, org: LocalOrg, clock: ManualClock) -> None:
        self.org, self.clock = org, clock
        self.zone = ZoneInfo(org.zone)

    def user(self, name: str) -> str:
        """Return the user name of somebody in this org."""
        return f"{name}@{self.org.name}.example"

    def live_through(self, jobs: Iterable[Job], until: datetime) -> int:
        """Act out ``jobs`` in the order of time, up to ``until``; return the number of acts."""
        told = list(jobs)
        acts = sorted(
            (act for number, job in enumerate(told) for act in self._acts(number, job, until)),
            key=lambda act: (act.at, act.order, act.case),
        )
        cases: dict[int, str] = {}
        estimates: dict[int, str] = {}
        for act in acts:
            self.clock.set(act.at)
            job = told[act.case]
            consultant = self.user(CONSULTANTS[act.case % 2])
            with self.org.lock:
                if act.what == "ask":
                    cases[act.case] = self.ask(job.subject, job.priority, job.category)
                elif act.what == "answer":
                    self.org.update("Case", cases[act.case], {"Status": "Working"}, user=consultant)
                elif act.what == "estimate":
                    estimates[act.case] = self.propose(cases[act.case], job.estimated_minutes, job.category, consultant)
                elif act.what == "approve":
                    self.approve(estimates[act.case])
                elif act.what == "work":
                    self.log(cases[act.case], act.minutes, job.category, consultant)
                else:
                    self.org.update("Case", cases[act.case], {"Status": "Closed"}, user=consultant)
        return len(acts)

    def _acts(self, number: int, job: Job, until: datetime) -> Iterable[_Act]:
        day = until.astimezone(self.zone).date() - timedelta(days=job.days_ago)
        asked = datetime.combine(day, time(job.hour), self.zone).astimezone(UTC)
        answered = asked + timedelta(minutes=job.answered_after_minutes or 60)
        acts = [_Act(asked, 0, "ask", number)]
        if job.answered_after_minutes is not None:
            acts.append(_Act(answered, 1, "answer", number))
        if job.estimated_minutes:
            acts.append(_Act(answered + timedelta(minutes=20), 2, "estimate", number))
        if job.approved:
            acts.append(_Act(answered + timedelta(minutes=50), 3, "approve", number))
        for after, minutes in job.work:
            acts.append(_Act(answered + timedelta(days=after, hours=3), 4, "work", number, minutes))
        if job.closed_after_days is not None:
            acts.append(_Act(answered + timedelta(days=job.closed_after_days, hours=4), 5, "close", number))
        return [act for act in acts if act.at < until]

    def ask(self, subject: str, priority: str, category: str) -> str:
        """A person of the client opens a case."""
        values = {"Maint_Request__c": True, "Maint_Priority__c": priority, "Maint_Category__c": category}
        return self.org.insert("Case", {"Subject": subject, "Origin": "Web", **values})[0]

    def propose(self, case: str, minutes: int, category: str, consultant: str) -> str:
        """A consultant sends an estimate."""
        sent = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {"Case__c": case, "Minutes__c": minutes, "Category__c": category, "Version__c": 1}
        row = {**values, "Status__c": "Sent", "Sent_At__c": sent, "What_We_Will_Do__c": "As discussed."}
        return self.org.insert("Maintenance_Estimate__c", row, user=consultant)[0]

    def approve(self, estimate: str) -> None:
        """A person of the client approves."""
        self.org.update("Maintenance_Estimate__c", estimate, {"Status__c": "Approved"}, user=self.user(CLIENT))

    def log(self, case: str, minutes: int, category: str, consultant: str, on: date | None = None) -> str:
        """A consultant logs time."""
        day = on or self.clock.now().astimezone(self.zone).date()
        values = {"Case__c": case, "Minutes__c": minutes, "Category__c": category, "Work_Date__c": day.isoformat()}
        return self.org.insert("Time_Entry__c", {**values, "Description__c": "Work on the case"}, user=consultant)[0]

    def replay(self, incidents: Iterable[Incident]) -> int:
        """Live through a service desk's log: every incident becomes a case with its history; return the acts."""
        told = list(incidents)
        opened = [(one.opened_at, 0, n, None) for n, one in enumerate(told)]
        changed = [(c.at, i + 1, n, c) for n, one in enumerate(told) for i, c in enumerate(one.changes)]
        cases: dict[int, str] = {}
        for at, _, number, change in sorted([*opened, *changed], key=lambda act: act[:3]):
            self.clock.set(at)
            with self.org.lock:
                if change is None:
                    one = told[number]
                    first = next((c.old for c in one.changes if c.field == "priority"), one.priority)
                    cases[number] = self.ask(f"{one.number} {one.category}", first, "Corrective")
                    continue
                consultant = self.user(CONSULTANTS[sum(change.by.encode()) % 2])
                field = "Status" if change.field == "status" else "Maint_Priority__c"
                self.org.update("Case", cases[number], {field: change.new}, user=consultant)
        return len(opened) + len(changed)
