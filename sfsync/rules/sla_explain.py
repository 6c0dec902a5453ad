"""Why a case is due when it is due: the derivation of a deadline, as data and as sentences.

May not reckon anything: it retells a ``Reckoning``. It keeps one law: the cover seconds of the lines add up to
the target, so a reader with a calendar can check the due time by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sfsync.policy import SlaPlan
from sfsync.records import Milestone
from sfsync.rules.calendar import Calendar
from sfsync.rules.language import Duration, Language, Moment, say
from sfsync.rules.sla_clock import Reckoning
from sfsync.rules.wording import N_, Sentence, Shown

SHORT_LENGTH = 255
"""What the org's field holds."""


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a derivation."""

    kind: str
    """What it tells of: start, cover, holiday, half_day, pause, priority, note, due, stop or breach."""
    at: datetime
    """The UTC instant it begins; for a holiday the local midnight."""
    sentence: Sentence
    until: datetime | None = None
    seconds: int = 0
    """Cover seconds this step adds to what is used; 0 for a step that only tells."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the due time of one cycle of one clock came about."""

    case: str
    milestone: Milestone
    plan_name: str
    cover_label: str
    time_zone: str
    lines: tuple[Line, ...]
    limit_seconds: int
    """What the ``cover`` lines add up to: the target, or less where an earlier limit decides."""
    kept: bool
    """Recorded under an earlier calendar and not reckoned again (CAL-6)."""

    def as_data(self) -> dict[str, Any]:
        """Return the derivation in JSON's own types: instants as ISO texts in UTC, durations as seconds."""
        m = self.milestone
        return {
            "case": self.case,
            "clock": m.clock,
            "cycle": m.cycle,
            "plan": m.plan,
            "plan_name": self.plan_name,
            "priority": m.priority,
            "cover": self.cover_label,
            "time_zone": self.time_zone,
            "target_seconds": m.target_seconds,
            "limit_seconds": self.limit_seconds,
            "started_at": _iso(m.started_at),
            "clock_starts_at": _iso(m.clock_starts_at),
            "due_at": _iso(m.due_at),
            "breach_at": _iso(m.breach_at),
            "warn_at": {str(percent): _iso(at) for percent, at in m.warn_at},
            "paused_seconds": m.paused_seconds,
            "paused_since": _iso(m.paused_since),
            "met_at": _iso(m.met_at),
            "used_seconds": m.used_seconds,
            "breached_at": _iso(m.breached_at),
            "waived_reason": m.waived_reason,
            "kept": self.kept,
            "lines": [
                {
                    "kind": line.kind,
                    "at": _iso(line.at),
                    "until": _iso(line.until),
                    "seconds": line.seconds,
                    "text": str(line.sentence.text),
                    "values": {name: _plain(value) for name, value in line.sentence.values.items()},
                }
                for line in self.lines
            ],
        }

    def text(self, language: Language, number: str | None = None) -> str:
        """Return the derivation as lines of text; ``number`` is the case number a person knows."""
        head = Sentence(
            N_("Case {case} · {plan} {priority} · target {target} in {cover}, {zone}"),
            {
                "case": number or self.case,
                "plan": self.plan_name,
                "priority": self.milestone.priority,
                "target": Duration(self.milestone.target_seconds),
                "cover": language.translate(self.cover_label),
                "zone": self.time_zone,
            },
        )
        rows = [f"  {_signed(line):>9}  {say(line.sentence, language)}" for line in self.lines]
        return "\n".join([say(head, language), *rows])


def derive(reckoning: Reckoning, plan: SlaPlan, covers: Mapping[str, Calendar]) -> Derivation:
    """Return how a reckoning came to its due time."""
    calendar = covers[reckoning.limit.cover]
    m = reckoning.milestone
    lines = [*_beginning(reckoning, calendar), *_running(reckoning, calendar)]
    lines += _skipped(calendar, reckoning.limit.anchor_at, reckoning.limit.due_at)
    lines += _changes(reckoning, calendar)
    lines.sort(key=lambda line: (line.at, _ORDER.index(line.kind)))
    lines.append(Line("due", m.due_at, Sentence(N_("Due {due}."), {"due": _moment(calendar, m.due_at)})))
    if reckoning.limit.due_at != m.due_at:
        lines.append(
            Line("note", m.due_at, Sentence(N_("Recorded under an earlier calendar; it is not reckoned again.")))
        )
    lines += _ending(reckoning, calendar, names=True)
    return Derivation(
        case=m.case,
        milestone=m,
        plan_name=plan.name,
        cover_label=calendar.label,
        time_zone=calendar.time_zone,
        lines=tuple(lines),
        limit_seconds=reckoning.limit.seconds,
        kept=reckoning.kept,
    )


def short_form(reckoning: Reckoning, plan: SlaPlan, covers: Mapping[str, Calendar], language: Language) -> str:
    """Return the derivation in at most 255 characters, for the field the client's users see."""
    m = reckoning.milestone
    calendar = covers[reckoning.limit.cover]
    cover = language.translate(calendar.label)
    target = Duration(m.target_seconds)
    must = [
        Sentence(
            N_("{plan} {priority}: {target} in {cover}."),
            {"plan": plan.name, "priority": m.priority, "target": target, "cover": cover},
        )
    ]
    due = Sentence(N_("Due {due}."), {"due": _moment(calendar, m.due_at)})
    extra: list[Sentence] = []
    for change in reckoning.changes:
        extra.append(
            Sentence(
                N_("Priority {old} to {new} on {at}."),
                {"old": change.old, "new": change.new, "at": _moment(calendar, change.at)},
            )
        )
    if m.paused_seconds:
        extra.append(Sentence(N_("Paused {paused}."), {"paused": Duration(m.paused_seconds)}))
    if m.paused_since is not None:
        extra.append(Sentence(N_("Paused since {at}."), {"at": _moment(calendar, m.paused_since)}))
    holidays = _lost(calendar, reckoning.limit.anchor_at, m.due_at)
    if holidays:
        names = ", ".join(f"{name} ({language.show(day)})" for day, name in holidays)
        extra.append(Sentence(N_("Closed: {days}."), {"days": names}))
    end = [line.sentence for line in _ending(reckoning, calendar, names=False)]
    for drop in range(len(extra) + 1):
        kept = extra[: len(extra) - drop]
        said = " ".join(say(sentence, language) for sentence in [*must, *kept, due, *end])
        if len(said) <= SHORT_LENGTH:
            return said
    return said[: SHORT_LENGTH - 1] + "…"


_ORDER = ("start", "holiday", "half_day", "priority", "pause", "cover", "note")


def _beginning(reckoning: Reckoning, calendar: Calendar) -> Iterator[Line]:
    m = reckoning.milestone
    at = {"at": _moment(calendar, m.started_at)}
    text = N_("Opened {at}.") if m.cycle == 1 else N_("Reopened {at}.")
    yield Line("start", m.started_at, Sentence(text, at))
    if m.clock_starts_at != m.started_at and reckoning.limit.anchor_at == m.started_at:
        text = N_("Outside cover; the clock starts {at}.")
        yield Line("note", m.started_at, Sentence(text, {"at": _moment(calendar, m.clock_starts_at)}))


def _running(reckoning: Reckoning, calendar: Calendar) -> Iterator[Line]:
    """Yield the cover that was used until the due time, a line for each piece of a day, and the pauses."""
    limit = reckoning.limit
    for stretch in calendar.stretches(limit.anchor_at, limit.due_at):
        pieces = [(stretch.starts_at, stretch.ends_at)]
        for pause in reckoning.pauses:
            if pause.until is None:
                continue  # shown as if it ended at once
            cut = []
            for start, end in pieces:
                if start < pause.since:
                    cut.append((start, min(end, pause.since)))
                if pause.until < end:
                    cut.append((max(start, pause.until), end))
            pieces = [(start, end) for start, end in cut if start < end]
        for start, end in pieces:
            used = calendar.between(start, end)
            values: dict[str, Shown] = {
                "from": _moment(calendar, start),
                "to": _clock(calendar, end),
                "used": Duration(used),
            }
            yield Line("cover", start, Sentence(N_("{from} to {to}: {used} used."), values), end, used)
    for pause in reckoning.pauses:
        if pause.since >= limit.due_at or (pause.until is not None and pause.until <= limit.anchor_at):
            continue
        said: dict[str, Shown] = {"cause": pause.cause, "from": _moment(calendar, pause.since)}
        if pause.until is None:
            yield Line("pause", pause.since, Sentence(N_("Paused since {from}: {cause}."), said))
            continue
        said["to"] = _moment(calendar, pause.until)
        said["stood"] = Duration(calendar.between(pause.since, pause.until))
        text = N_("Paused from {from} to {to}: {cause}; {stood} of cover not counted.")
        yield Line("pause", pause.since, Sentence(text, said), pause.until)


def _skipped(calendar: Calendar, start: datetime, end: datetime) -> Iterator[Line]:
    for day, name in _lost(calendar, start, end):
        text = N_("{day} is a holiday: {name}.")
        yield Line("holiday", calendar.at_local(day, 0), Sentence(text, {"day": day, "name": name}))
    first, last = calendar.local(start).date(), calendar.local(end).date()
    for day in sorted(calendar.half_days):
        if first <= day <= last and day not in calendar.holidays:
            text = N_("{day} is a half day.")
            yield Line("half_day", calendar.at_local(day, 0), Sentence(text, {"day": day}))


def _lost(calendar: Calendar, start: datetime, end: datetime) -> list[tuple[date, str]]:
    return calendar.holidays_between(start, end)


def _changes(reckoning: Reckoning, calendar: Calendar) -> Iterator[Line]:
    for change in reckoning.changes:
        values: dict[str, Shown] = {"old": change.old, "new": change.new, "at": _moment(calendar, change.at)}
        if change.old_due_at is None:
            text = N_("Priority {old} to {new} on {at}: due {due}.")
        elif change.old_due_at == change.due_at:
            text = N_("Priority {old} to {new} on {at}: still due {due}.")
        else:
            text = N_("Priority {old} to {new} on {at}: due {due} instead of {before}.")
            values["before"] = _moment(calendar, change.old_due_at)
        yield Line("priority", change.at, Sentence(text, {**values, "due": _moment(calendar, change.due_at)}))


def _ending(reckoning: Reckoning, calendar: Calendar, *, names: bool) -> list[Line]:
    """Return what became of it: the answer, the breach, the waiver."""
    m = reckoning.milestone
    lines: list[Line] = []
    if m.met_at is not None:
        values: dict[str, Any] = {"at": _moment(calendar, m.met_at)}
        if m.clock == "resolution":
            text = N_("Resolved {at}.")
        elif names and reckoning.act is not None and reckoning.act.by:
            text = N_("Answered {at} by {who}.")
            values["who"] = reckoning.act.by
        elif reckoning.act is not None or m.met_at != reckoning.closed_at:
            text = N_("Answered {at}.")
        else:
            text = N_("Closed {at} without an answer.")
        lines.append(Line("stop", m.met_at, Sentence(text, values)))
    if m.breached_at is not None:
        late = calendar.between(m.due_at, m.met_at) if m.met_at is not None else 0
        if late > 0:
            said = Sentence(N_("Breached by {late} of cover."), {"late": Duration(late)})
        else:
            said = Sentence(N_("Breached on {at}."), {"at": _moment(calendar, m.breached_at)})
        lines.append(Line("breach", m.breached_at, said))
    if m.waived_reason:
        lines.append(
            Line("breach", m.due_at, Sentence(N_("Waived: {reason}."), {"reason": m.waived_reason.rstrip(".")}))
        )
    return lines


def _moment(calendar: Calendar, at: datetime) -> Moment:
    return Moment.of(calendar.local(at))


def _clock(calendar: Calendar, at: datetime) -> str:
    """Return the time of day at which a stretch ends; the end of a day is 24:00."""
    local = calendar.local(at)
    if (local.hour, local.minute, local.second) == (0, 0, 0):
        return "24:00"
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _signed(line: Line) -> str:
    if line.kind != "cover":
        return ""
    hours, rest = divmod(line.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"+{hours}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return int(value) if isinstance(value, int) else value
