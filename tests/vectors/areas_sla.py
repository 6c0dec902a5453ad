"""The areas ``sla.*``: each vector becomes a Case with its history and is evaluated as in a real run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from sfsync.mapping import load_plans
from sfsync.policy import ClientTerms, Plans, Policy, SlaPlan, Target, Window
from sfsync.records import Case, CaseEvent, Milestone, Priority
from sfsync.rules.calendar import Calendar
from sfsync.rules.sla import SlaOutcome, channel_in_plan, evaluate_case, waive
from sfsync.rules.sla_report import acknowledgements
from tests.vectors.registry import Vector, area, instant

PEOPLE = {
    "consultant": "consultant@ours",
    "agent": "consultant@ours",
    "client": "someone@client",
    "customer": "x@client",
}
MACHINES = {"automation", "bot", "integration", "integration_user", "workflow", "auto_response", "system"}
KINDS = {
    "email": "email",
    "email_outbound": "email",
    "outbound_email": "email",
    "comment": "comment",
    "comment_public": "comment",
    "public_comment": "comment",
    "comment_private": None,
    "private_comment": None,
    "comment_internal": None,
    "internal_comment": None,
    "email_inbound": None,
    "inbound_email": None,
    "status": "status",
    "status_change": "status",
}
CASE = "case"


@cache
def shipped() -> Plans:
    """Return the plans the project ships: what the vectors call silver, gold and platinum."""
    return load_plans()


def calendar_named(
    name: str, meta: Mapping[str, Any], *, add: Sequence[str] = (), drop: Sequence[str] = ()
) -> Calendar:
    """Return a calendar of the vectors' meta, with holidays added or dropped."""
    data = meta["calendars"][name]
    unknown = data.keys() - {"tz", "weekly", "holidays", "half_days"}
    assert not unknown, f"calendar {name}: unknown keys {sorted(unknown)}"
    days = (set(data.get("holidays", ())) | set(add)) - set(drop)
    return Calendar(
        {day: [Window(open=a, close=b) for a, b in windows] for day, windows in data["weekly"].items()},
        data["tz"],
        holidays={date.fromisoformat(day): "holiday" for day in days},
        half_days={
            date.fromisoformat(day): [Window(open=a, close=b) for a, b in windows]
            for day, windows in data.get("half_days", {}).items()
        },
        label=name,
    )


class Covers(dict[str, Calendar]):
    """The calendars of the meta by name, made when asked for; ``9-18`` means that of the vector's country."""

    def __init__(self, meta: Mapping[str, Any], country: str) -> None:
        super().__init__()
        self._meta = meta
        self._country = country

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    def __missing__(self, name: str) -> Calendar:
        full = name if name in self._meta["calendars"] else f"{self._country}-{name}"
        self[name] = calendar_named(full, self._meta)
        return self[name]


def status_rows(moves: Iterable[tuple[datetime, str, str]], first: str) -> list[CaseEvent]:
    """Return history rows of a status that moves (at, to, by) from ``first``."""
    rows, value = [], first
    for at, to, by in sorted(moves, key=lambda move: move[0]):
        rows.append(row("field", at, by, "status", value, to))
        value = to
    return rows


def row(kind: str, at: datetime, by: str, name: str = "", old: str | None = None, new: str | None = None) -> CaseEvent:
    """Return one history row; ``by`` is a role of the vectors."""
    if by not in PEOPLE and by not in MACHINES:
        raise AssertionError(f"who is {by!r}?")
    return CaseEvent(
        case=CASE,
        event_id=f"{kind}-{name}-{at.isoformat()}-{new}",
        kind=kind,
        field=name,
        old=old,
        new=new,
        at=at,
        by=PEOPLE.get(by, by),
        by_service=by in MACHINES,
    )


class Told:
    """A vector told as a case: plan, policy, record, history rows."""

    def __init__(self, v: Vector) -> None:
        self.v = v
        self.covers = Covers(v.meta, v.get("country", "AR"))
        self.clock = {"acknowledge": "ack", "ack": "ack", "resolution": "resolution", "resolve": "resolution"}[
            v.get("metric", "acknowledge")
        ]
        self.policy = self._policy()
        # A vector about reopening alone does not say when the case began.
        self.created_at = instant(v.get("created_at") or v.get("closed_at"))
        if not v.has("created_at"):
            self.created_at -= timedelta(hours=1)
        self.start_priority, self.end_priority = "P3", "P3"
        self.plan = self._plan()
        self.times = [self.created_at]
        self.rows = self._rows()
        acknowledged = v.get("acknowledged_at")
        status = next((r.new for r in reversed(self.rows) if r.field == "status"), "New")
        self.case = Case(
            key=CASE,
            created_at=self.created_at,
            status=status,
            is_closed=status == "Closed",
            origin=v.get("channel"),
            priority=self.end_priority,
            acknowledged_at=self._time(acknowledged),
        )

    def _time(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        self.times.append(instant(text))
        return self.times[-1]

    def _policy(self) -> Policy:
        v = self.v
        more: dict[str, Any] = {"consultant_usernames": ["consultant@*"]}
        for key in ("thresholds_pct", "business_day_mode", "reopen_grace_minutes", "breach_basis", "priority_change"):
            if v.has(key):
                more[key] = v.get(key)
        if v.has("pause_statuses"):
            kind = "ack_pause_statuses" if self.clock == "ack" else "resolution_pause_statuses"
            more[kind] = v.get("pause_statuses")
        return v.policy(**more)

    def _target(self, calendar: str, minutes: int) -> Target:
        resolve = minutes if self.clock == "resolution" else None
        return Target(cover=calendar, acknowledge_minutes=minutes, resolve_minutes=resolve)

    def _plan(self) -> SlaPlan:
        v = self.v
        name, priority = v.get("plan"), v.get("priority")
        if v.has("old"):
            old, new = v.get("old"), v.get("new")
            if old.keys() | new.keys() != {"calendar", "target_minutes"}:
                raise AssertionError(f"{v.id}: unknown keys in old {sorted(old)} or new {sorted(new)}")
            self.start_priority, self.end_priority = "P2", "P1"
            targets = {p: self._target(t["calendar"], t["target_minutes"]) for p, t in (("P2", old), ("P1", new))}
            return SlaPlan(name="from vector", channels=(), targets=targets)
        if v.has("calendar"):
            calendar = v.get("calendar")
            minutes = v.get("target_minutes")
            if minutes is None:  # a business-day vector: one full day of the cover
                minutes = self.covers[calendar].full_day_seconds // 60
            if name is not None and priority is not None:
                assert shipped().sla[name].targets[priority].acknowledge_minutes == minutes, f"{name} {priority}"
            targets = {"P3": self._target(calendar, minutes)}
            if v.has("new_target_minutes") or v.has("new_calendar"):
                self.end_priority = "P1"
                targets["P1"] = self._target(v.get("new_calendar", calendar), v.get("new_target_minutes", minutes))
            channels = shipped().sla[name].channels if name else ()
            return SlaPlan(name="from vector", channels=channels, targets=targets)
        self.start_priority = self.end_priority = priority or "P1"
        return shipped().sla[name]

    def _rows(self) -> list[CaseEvent]:
        v, rows, moves = self.v, [], []
        for event in v.get("events", ()):
            event = dict(event)
            at, by, kind = self._time(event.pop("at")), event.pop("by"), KINDS[event.pop("kind")]
            assert at is not None
            if kind == "status":
                event.pop("from", None), event.pop("old", None)
                moves.append((at, next(event.pop(k) for k in ("to", "new", "status") if k in event), by))
            elif kind is not None:
                rows.append(row(kind, at, by))
            assert not event, f"{v.id}: unknown keys of an event: {sorted(event)}"
        statuses = self.policy.ack_pause_statuses if self.clock == "ack" else self.policy.resolution_pause_statuses
        pausing = (*statuses, "Waiting on Client")[0]
        for since, until in v.get("pauses", ()):
            # Told as a stretch and not as an act: such a pause acknowledges nothing.
            moves.append((self._time(since), pausing, "automation" if self.clock == "ack" else "consultant"))
            if until is not None:
                moves.append((self._time(until), "New" if self.clock == "ack" else "Working", "client"))
        for key in ("resolved_at", "closed_at"):
            if v.get(key) is not None:
                moves.append((self._time(v.get(key)), "Closed", "consultant"))
        if v.get("reopened_at") is not None:
            moves.append((self._time(v.get("reopened_at")), "Working", v.get("reopened_by", "client")))
        changed = self._time(v.get("priority_changed_at"))
        if changed is not None:
            rows.append(row("field", changed, "consultant", "priority", self.start_priority, self.end_priority))
        return [*rows, *status_rows(moves, "New")]

    def terms(self, policy: Policy | None = None) -> ClientTerms:
        return ClientTerms(
            client="vector", name="Vector", time_zone="UTC", sla_plan="vector", policy=policy or self.policy
        )

    def evaluate(
        self,
        now: datetime | None = None,
        previous: Sequence[Milestone] = (),
        rows: Sequence[CaseEvent] | None = None,
        case: Case | None = None,
    ) -> SlaOutcome:
        return evaluate_case(
            case or self.case,
            self.rows if rows is None else rows,
            terms=self.terms(),
            plans=Plans(packs={}, covers={}, sla={}).model_copy(update={"sla": {"vector": self.plan}}),
            covers=self.covers,
            previous=previous,
            now=now or max(self.times),
        )

    def milestones(self, outcome: SlaOutcome) -> list[Milestone]:
        return [m for m in outcome.milestones if m.clock == self.clock]


@area(
    "sla.due", "sla.ack", "sla.flag", "sla.threshold", "sla.pause", "sla.priority", "sla.reopen", "sla.bd"
)  # fmt: skip
def clock(v: Vector) -> Mapping[str, Any]:
    told = Told(v)
    outcome = told.evaluate()
    said: dict[str, Any] = {}
    sweeps = v.get("sweep_at", v.get("first_seen_at", v.get("now")))
    if sweeps is not None:
        said |= swept(told, [sweeps] if isinstance(sweeps, str) else sweeps)
        if isinstance(sweeps, str):
            said |= {key: said[key][0] for key in ("breach_flag", "writes")}
        outcome = told.evaluate(now=max(instant(t) for t in ([sweeps] if isinstance(sweeps, str) else sweeps)))
    milestones = told.milestones(outcome)
    last = milestones[-1]
    reasons = [str(v.get(key)) for key in (*v.given, *v.when) if key.startswith("waive")]
    if reasons:
        last = waive(last, ", ".join(reasons))
    said = {**figures(told, last, outcome), **said}
    said["cycles"] = len(milestones)
    if isinstance(v.then.get("cycles"), list):
        said["cycles"] = [{"n": m.cycle, **figures(told, m, outcome)} for m in milestones]
    if v.has("priority_changed_at"):
        said |= changed(told, last)
    return said


def figures(told: Told, m: Milestone, outcome: SlaOutcome) -> dict[str, Any]:
    """Return everything a milestone says, by the names the vectors use."""
    calendar = told.covers[told.plan.targets[m.priority].cover]  # type: ignore[index]
    over = None
    if m.breached_at is not None and m.met_at is not None:
        over = calendar.between(m.due_at, m.met_at)
    return {
        "started_at": m.started_at,
        "clock_starts_at": m.clock_starts_at,
        "due_at": m.due_at,
        "warn_at": [at for _, at in m.warn_at],
        "warned_pct": m.warned_percent,
        "acknowledged_at": m.met_at,
        "resolved_at": m.met_at,
        "elapsed_seconds": m.used_seconds,
        "breached": m.breached_at is not None,
        "breach_flag": outcome.fields["breached"],
        "breached_at": m.breached_at,
        "over_by_seconds": over,
        "paused_cover_seconds": m.paused_seconds,
        "waived": m.waived_reason is not None,
        "target_minutes": m.target_seconds // 60,
        "channel_in_plan": outcome.channel_in_plan,
    }


def swept(told: Told, sweeps: Sequence[str]) -> dict[str, Any]:
    """Return what each sweep sees and how many milestones it writes, from a store that saw the case created."""
    stored = told.milestones(told.evaluate(now=told.created_at))
    flags, writes, fired = [], [], []
    for text in sweeps:
        outcome = told.evaluate(now=instant(text), previous=stored)
        found = told.milestones(outcome)
        flags.append(outcome.fields["breached"])
        writes.append(sum(m not in stored for m in found))
        fired += [f.details["percent"] for f in outcome.findings if f.code == "Warning"]
        stored = found
    return {"breach_flag": flags, "writes": writes, "fired_pct": fired, "fires": len(fired)}


def changed(told: Told, last: Milestone) -> dict[str, Any]:
    """Return what the due time was before the change of priority, and whether the change breached it."""
    at = instant(told.v.get("priority_changed_at"))
    rows = [r for r in told.rows if r.field != "priority"]
    before = told.evaluate(rows=rows, case=replace(told.case, priority=told.start_priority))
    saved = told.evaluate(now=at)
    return {
        "old_due_at": told.milestones(before)[-1].due_at,
        "breached_at_change": told.milestones(saved)[-1].breached_at is not None,
    }


@area("sla.policy")
def policy_table(v: Vector) -> Mapping[str, Any]:
    assert v.get("resolve") == "all"
    assert v.get("country") in {"AR", "RO"}
    plans = shipped()
    table = [
        {
            "plan": key,
            "priority": priority.value,
            "cover": plan.targets[priority.value].cover,
            "target_minutes": plan.targets[priority.value].acknowledge_minutes,
            "holidays_observed": plans.covers[plan.targets[priority.value].cover].holidays,
        }
        for key, plan in plans.sla.items()
        for priority in Priority
    ]
    return {"table": table}


@area("sla.channel")
def channel(v: Vector) -> Mapping[str, Any]:
    if v.has("channels"):
        assert v.get("resolve") == "all"
        return {
            key: [name for name in v.get("channels") if channel_in_plan(name, plan)]
            for key, plan in shipped().sla.items()
        }
    told = Told(v)
    outcome = told.evaluate()
    found = told.milestones(outcome)
    due = {"due_at": found[-1].due_at} if found else {"due_at": None}
    return {"channel_in_plan": outcome.channel_in_plan, "clock_runs": bool(found), **due}


@area("sla.mtta")
def mean_time(v: Vector) -> Mapping[str, Any]:
    target = v.get("target_minutes")
    plan, priority = v.get("plan"), v.get("priority")
    assert shipped().sla[plan].targets[priority].acknowledge_minutes == target
    start = datetime(2026, 11, 24, 11, tzinfo=UTC)
    covers = {"9-18": None, "8-20": None, "24x7": None}
    milestones = []
    for number, minutes in enumerate(v.get("ack_minutes")):
        # Round the clock, so that the minutes given are the minutes used.
        case = Case(
            key=str(number), created_at=start, priority=priority, acknowledged_at=start + timedelta(minutes=minutes)
        )
        round_plan = SlaPlan(
            name=plan, channels=(), targets={priority: Target(cover="24x7", acknowledge_minutes=target)}
        )
        outcome = evaluate_case(
            case,
            (),
            terms=ClientTerms(client="v", name="V", time_zone="UTC", sla_plan="x", policy=v.policy()),
            plans=Plans(packs={}, covers={}, sla={}).model_copy(update={"sla": {"x": round_plan}}),
            covers={name: calendar_named("AR-24x7", v.meta) for name in covers},
            now=start + timedelta(days=30),
        )
        milestones += outcome.milestones
    figures = acknowledgements(milestones)[priority]
    return {
        "mtta_minutes": figures.mean_minutes,
        "mean_within_target": figures.mean_within_target,
        "breached_cases": figures.breached,
        "in_time": figures.in_time,
        "compliance_pct": figures.compliance_pct,
    }


@area("sla.calendar")
def calendar_revision(v: Vector) -> Mapping[str, Any]:
    word, day = v.get("calendar_revision").split()
    name = v.get("calendar", "AR-9-18")
    with_it, without = calendar_named(name, v.meta, add=[day]), calendar_named(name, v.meta, drop=[day])
    before, after = {"adds": (without, with_it), "removes": (with_it, without)}[word]
    published = instant(v.get("published_at"))
    plan = SlaPlan(
        name="x", channels=(), targets={"P1": Target(cover="c", acknowledge_minutes=v.get("target_minutes", 240))}
    )
    plans = Plans(packs={}, covers={}, sla={}).model_copy(update={"sla": {"x": plan}})
    terms = ClientTerms(client="v", name="V", time_zone="UTC", sla_plan="x", policy=v.policy())
    said: dict[str, Any] = {}
    for label in [key for key in v.given if key.startswith("case_")]:
        facts = dict(v.given[label])
        acknowledged = facts.pop("acknowledged_at", None)
        case = Case(
            key=label,
            created_at=instant(facts.pop("created_at")),
            priority="P1",
            acknowledged_at=instant(acknowledged) if acknowledged else None,
        )
        assert not facts, f"{v.id}: unknown keys of {label}: {sorted(facts)}"
        old = evaluate_case(case, (), terms=terms, plans=plans, covers={"c": before}, now=published)
        new = evaluate_case(
            case, (), terms=terms, plans=plans, covers={"c": after}, previous=old.milestones, now=published
        )
        m, was = new.milestones[-1], old.milestones[-1]
        said |= {
            f"{label}_due_at": m.due_at,
            f"{label}_old_due_at": was.due_at,
            f"{label}_elapsed_seconds": m.used_seconds,
            f"{label}_changed": m != was,
            f"{label}_breached": m.breached_at is not None,
            f"{label}_breached_at": m.breached_at,
        }
    return said
