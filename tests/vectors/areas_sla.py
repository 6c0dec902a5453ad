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
from sfsync.rules.sla_report import Acknowledgements, acknowledgements
from tests.vectors.registry import Vector, area, instant, same

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
    """Return the plans the project ships, for the channels they allow."""
    return load_plans()


def windows(rows: Sequence[Sequence[str]]) -> list[Window]:
    """Return windows of (open, close)."""
    return [Window(open=a, close=b) for a, b in rows]


def days_of(given: Any, what: str = "date") -> set[str]:
    """Return the days of a list of days, or of rows with a day and a reason."""
    days = set()
    for row in given or ():
        assert isinstance(row, str) or row.keys() <= {what, "reason", "name"}, f"unknown keys {sorted(row)}"
        days.add(row if isinstance(row, str) else row[what])
    return days


def half_days_of(given: Any) -> dict[date, list[Window]]:
    """Return half days told as a mapping of days to windows, or as rows of a day and its windows."""
    rows = given if isinstance(given, Mapping) else {row["date"]: row["windows"] for row in given or ()}
    return {date.fromisoformat(day): windows(each) for day, each in rows.items()}


def calendar_named(
    name: str | Mapping[str, Any],
    meta: Mapping[str, Any],
    *,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    half_days: Any = None,
) -> Calendar:
    """Return a calendar of the vectors' meta or one told on the spot, with holidays added or dropped."""
    data = meta["calendars"][name] if isinstance(name, str) else name
    label = name if isinstance(name, str) else "of the vector"
    known = {"tz", "time_zone", "weekly", "holidays", "half_days", "include", "exclude", "confirmed_through_year"}
    assert not data.keys() - known, f"calendar {label}: unknown keys {sorted(data.keys() - known)}"
    days = (days_of(data.get("holidays")) | days_of(data.get("include")) | set(add)) - set(drop)
    return Calendar(
        {day: windows(rows) for day, rows in data["weekly"].items()},
        data["tz"] if "tz" in data else data["time_zone"],
        holidays={date.fromisoformat(day): "holiday" for day in days - days_of(data.get("exclude"))},
        half_days=half_days_of(data.get("half_days")) | half_days_of(half_days),
        confirmed_through_year=data.get("confirmed_through_year"),
        label=label,
    )


class Covers(dict[str, Calendar]):
    """The calendars of the meta by name, made when asked for; ``9-18`` means that of the vector's country.

    ``more`` is laid over each: days added, days dropped, half days (CAL-4).
    """

    def __init__(self, meta: Mapping[str, Any], country: str, **more: Any) -> None:
        super().__init__()
        self._meta = meta
        self._country = country
        self._more = more

    def name(self, calendar: str | Mapping[str, Any]) -> str:
        """Return the name of a calendar; one told on the spot gets one."""
        if isinstance(calendar, str):
            return calendar
        name = f"told {len(self)}"
        self[name] = calendar_named(calendar, self._meta, **self._more)
        return name

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    def __missing__(self, name: str) -> Calendar:
        full = name if name in self._meta["calendars"] else f"{self._country}-{name}"
        self[name] = calendar_named(full, self._meta, **self._more)
        return self[name]


def status_rows(moves: Iterable[tuple[datetime, str, str]], first: str) -> list[CaseEvent]:
    """Return history rows of a status that moves (at, to, by) from ``first``."""
    rows: list[CaseEvent] = []
    value = first
    for at, to, by in sorted(moves, key=lambda move: move[0]):
        rows.append(replace(row("field", at, by, "status", value, to), event_id=f"status-{len(rows):04d}"))
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


def stretch(row: Any) -> tuple[str, str | None, str | None]:
    """Return since, until and status of a pause told as a list or as a row; the last two may be missing."""
    if not isinstance(row, Mapping):
        since, until, *status = row
        return since, until, status[0] if status else None
    row = dict(row)
    found = [
        next((row.pop(key) for key in keys if key in row), None)
        for keys in (("since", "from", "start", "started_at"), ("until", "to", "end", "ended_at"), ("status", "cause"))
    ]
    assert found[0] is not None, "a pause without a beginning"
    assert not row, f"unknown keys of a pause: {sorted(row)}"
    return found[0], found[1], found[2]


class Told:
    """A vector told as a case: plan, policy, record, history rows."""

    def __init__(self, v: Vector) -> None:
        self.v = v
        self.covers = Covers(
            v.meta,
            v.get("country", "AR"),
            add=days_of(v.get("include", v.get("extra_holidays"))),
            drop=days_of(v.get("exclude")),
            half_days=v.get("half_days"),
        )
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
            received_at=self._time(v.get("received_at")),
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
        if v.has("pause_statuses"):
            kind = "ack_pause_statuses" if self.clock == "ack" else "resolution_pause_statuses"
            more[kind] = v.get("pause_statuses")
        return v.policy(**more)

    def _target(self, calendar: str | Mapping[str, Any], minutes: int) -> Target:
        resolve = minutes if self.clock == "resolution" else None
        return Target(cover=self.covers.name(calendar), acknowledge_minutes=minutes, resolve_minutes=resolve)

    def _offer(self, term: Mapping[str, Any]) -> Target:
        """Return the target of an ``old`` or ``new``: a calendar with minutes, or a plan with a priority."""
        if "plan" in term:
            assert term.keys() == {"plan", "priority"}, f"{self.v.id}: unknown keys {sorted(term)}"
            return self.v.plans.sla[term["plan"]].targets[term["priority"]]
        assert term.keys() == {"calendar", "target_minutes"}, f"{self.v.id}: unknown keys {sorted(term)}"
        return self._target(term["calendar"], term["target_minutes"])

    def _plan(self) -> SlaPlan:
        v = self.v
        name, priority = v.get("plan"), v.get("priority")
        if v.has("old"):
            old, new = v.get("old"), v.get("new")
            self.start_priority, self.end_priority = "P2", "P1"
            targets = {"P2": self._offer(old), "P1": self._offer(new)}
            return SlaPlan(name="from vector", channels=(), targets=targets)
        if v.has("calendar"):
            calendar = v.get("calendar")
            minutes = v.get("target_minutes")
            if minutes is None and name is not None and priority is not None:
                minutes = v.plans.sla[name].targets[priority].acknowledge_minutes
            if minutes is None:  # a business-day vector: one full day of the cover
                minutes = self.covers[self.covers.name(calendar)].full_day_seconds // 60
            if name is not None and priority is not None and self.clock == "ack":
                assert v.plans.sla[name].targets[priority].acknowledge_minutes == minutes, f"{name} {priority}"
            targets = {"P3": self._target(calendar, minutes)}
            if v.has("new_target_minutes") or v.has("new_calendar"):
                self.end_priority = "P1"
                targets["P1"] = self._target(v.get("new_calendar", calendar), v.get("new_target_minutes", minutes))
            channels = shipped().sla[name].channels if name else ()
            return SlaPlan(name="from vector", channels=channels, targets=targets)
        self.start_priority = self.end_priority = priority or "P1"
        if v.has("new_priority"):
            self.end_priority = v.get("new_priority")
        return v.plans.sla[name]

    def _rows(self) -> list[CaseEvent]:
        v, rows, moves = self.v, [], []
        for event in v.get("status_history", ()):
            w = dict(event)
            w.pop("from", None)
            moves.append((self._time(w.pop("at")), w.pop("status", None) or w.pop("to"), w.pop("by", "consultant")))
            assert not w, f"{v.id}: unknown keys of a status: {sorted(w)}"
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
        stops = [at for at in (self._time(v.get(key)) for key in ("resolved_at", "closed_at")) if at is not None]
        for since, until, said in map(stretch, v.get("pauses", ())):
            # Told as a stretch and not as an act: such a pause acknowledges nothing.
            status = said or pausing
            moves.append((self._time(since), status, "automation" if self.clock == "ack" else "consultant"))
            if until is not None and all(instant(until) < stop for stop in stops):
                moves.append((self._time(until), "New" if self.clock == "ack" else "Working", "client"))
        moves += [(stop, "Closed", "consultant") for stop in stops]
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

    def known_at(self, now: datetime, previous: Sequence[Milestone] = ()) -> SlaOutcome:
        """Evaluate what had happened by ``now``: a sweep does not know an answer that is still to come."""
        rows = [r for r in self.rows if r.at <= now]
        status = next((r.new for r in reversed(rows) if r.field == "status"), "New")
        answered = self.case.acknowledged_at
        case = replace(
            self.case,
            status=status,
            is_closed=status == "Closed",
            acknowledged_at=answered if answered is not None and answered <= now else None,
        )
        return self.evaluate(now, previous, rows, case)

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
    for key in ("breached_at", "breached"):  # told as a fact: it must be what comes of the others
        if v.has(key):
            assert same(v.get(key), figures(told, last, outcome)[key]), f"{v.id}: {key} is not so"
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
        "waived_reason": m.waived_reason,
        "used_seconds": m.used_seconds,
        "priority": m.priority,
        "target_minutes": m.target_seconds // 60,
        "channel_in_plan": outcome.channel_in_plan,
    }


def swept(told: Told, sweeps: Sequence[str]) -> dict[str, Any]:
    """Return what each sweep sees and how many milestones it writes, from a store that saw the case created."""
    stored = told.milestones(told.known_at(told.created_at))
    flags, writes, fired = [], [], []
    for text in sweeps:
        outcome = told.known_at(instant(text), stored)
        found = told.milestones(outcome)
        flags.append(outcome.fields["breached"])
        writes.append(sum(m not in stored for m in found))
        fired += [f.details["percent"] for f in outcome.findings if f.code == "Warning"]
        stored = found
    whole = isinstance(told.v.then.get("fires"), list)
    warned = dict.fromkeys(("fired_pct", "fired", "warned_pct"), fired)
    return {"breach_flag": flags, "writes": writes, "fires": fired if whole else len(fired), **warned}


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
    assert v.get("resolve", "all") in {"all", "one"}
    assert v.get("country", "AR") in {"AR", "RO"}
    plans = shipped()
    assert plans.sla.keys() >= v.plans.sla.keys()
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
    wanted = {key: v.get(key) for key in ("plan", "priority") if v.has(key)}
    rows = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return {"table": rows, **(rows[0] if len(rows) == 1 else {})}


@area("sla.channel")
def channel(v: Vector) -> Mapping[str, Any]:
    if v.has("channels"):
        assert v.get("resolve", "all") == "all"
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
    plan, priority = v.get("plan"), v.get("priority")
    target = v.get("target_minutes", v.plans.sla[plan].targets[priority].acknowledge_minutes)
    assert v.plans.sla[plan].targets[priority].acknowledge_minutes == target
    start = datetime(2026, 11, 24, 11, tzinfo=UTC)
    covers = {"9-18": None, "8-20": None, "24x7": None}
    milestones = []
    taken = [60 * each for each in v.get("ack_minutes", ())] + list(v.get("ack_seconds", ()))
    for number, seconds in enumerate(taken):
        # Round the clock, so that the minutes given are the minutes used.
        case = Case(
            key=str(number), created_at=start, priority=priority, acknowledged_at=start + timedelta(seconds=seconds)
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
    figures = acknowledgements(milestones).get(priority) or Acknowledgements(priority, 0, 0, 0, 0, 0, 0, 0)
    return {
        "mtta_minutes": figures.mean_minutes,
        "mean_within_target": figures.mean_within_target,
        "breached_cases": figures.breached,
        "in_time": figures.in_time,
        "compliance_pct": figures.compliance_pct,
    }


@area("sla.calendar")
def calendar_revision(v: Vector) -> Mapping[str, Any]:
    word, *days = v.get("calendar_revision").replace(",", " ").split()
    name = v.get("calendar", "AR-9-18")
    with_it, without = calendar_named(name, v.meta, add=days), calendar_named(name, v.meta, drop=days)
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
        recorded = facts.pop("breached_at", None)
        assert not facts, f"{v.id}: unknown keys of {label}: {sorted(facts)}"
        old = evaluate_case(case, (), terms=terms, plans=plans, covers={"c": before}, now=published)
        new = evaluate_case(
            case, (), terms=terms, plans=plans, covers={"c": after}, previous=old.milestones, now=published
        )
        m, was = new.milestones[-1], old.milestones[-1]
        assert recorded is None or instant(recorded) == was.breached_at, f"{v.id}: {label} was not breached then"
        said |= {
            f"{label}_due_at": m.due_at,
            f"{label}_old_due_at": was.due_at,
            f"{label}_elapsed_seconds": m.used_seconds,
            f"{label}_changed": m != was,
            f"{label}_breached": m.breached_at is not None,
            f"{label}_breached_at": m.breached_at,
        }
    return said
