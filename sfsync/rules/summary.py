"""The weekly statement: what a week did to the balance, as it was known at one instant (WK-1..6).

May not know cases, people or pages. It keeps one law: every posting belongs to exactly one week, so for one
instant the closing of a week is the opening of the next, and nothing that was issued is ever rewritten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sfsync.policy import Policy
from sfsync.records import Posting, PostingKind, WeeklySummary
from sfsync.rules.weeks import Week, end_of_day, local_day

LATE_ENTRY, CORRECTION, CARRIED, OTHER = "late_entry", "correction", "carried_forward", "late_posting"


@dataclass(frozen=True, slots=True)
class Statement:
    """One week's minutes. All are positive amounts but ``corrected_minutes``, which is signed.

    opening + purchased + courtesy + corrected - used - expired - refunded - prior = closing
    """

    week: Week
    as_of: datetime
    opening_minutes: int = 0
    purchased_minutes: int = 0
    courtesy_minutes: int = 0
    used_minutes: int = 0
    corrected_minutes: int = 0
    """Given (positive) or taken by hand, not for a case."""
    expired_minutes: int = 0
    refunded_minutes: int = 0
    prior_minutes: int = 0
    """Taken now for weeks that were locked when it became known (WK-5)."""
    by_category: Mapping[str, int] = field(default_factory=dict)
    by_case: Mapping[str, int] = field(default_factory=dict)
    by_pack: Mapping[str, int] = field(default_factory=dict)
    late: tuple[Posting, ...] = ()
    """Work of this week that was booked after it ended."""
    prior: tuple[Posting, ...] = ()

    @property
    def closing_minutes(self) -> int:
        """Return the balance at the end of the week."""
        come = self.opening_minutes + self.purchased_minutes + self.courtesy_minutes + self.corrected_minutes
        return come - self.used_minutes - self.expired_minutes - self.refunded_minutes - self.prior_minutes

    @property
    def empty(self) -> bool:
        """Return whether nothing moved: such a week is issued too (WK-6)."""
        return not any(getattr(self, name) for name in FIGURES if name != "opening_minutes")


FIGURES = (
    "opening_minutes",
    "purchased_minutes",
    "courtesy_minutes",
    "used_minutes",
    "corrected_minutes",
    "expired_minutes",
    "refunded_minutes",
    "prior_minutes",
)
"""The figures whose change makes a revision (WK-4)."""


def week_of(posting: Posting, zone: str, policy: Policy) -> tuple[Week, bool]:
    """Return the week a posting is stated in, and whether it is a prior-period adjustment there (WK-3, WK-5).

    That is the week of its effective day, unless it was booked after that week was locked: then the week in
    which it was booked.
    """
    week = Week.of(posting.effective_on)
    booked_on = local_day(posting.booked_at, zone)
    if booked_on > week.sunday + timedelta(days=policy.lock_after_days):
        return Week.of(booked_on), True
    return week, False


def statements(
    postings: Iterable[Posting], weeks: Sequence[Week], as_of: datetime, zone: str, policy: Policy
) -> list[Statement]:
    """Return the statements of ``weeks``, in their order, as known at ``as_of``: one pass over the postings (WK-3)."""
    placed: dict[Week, list[tuple[Posting, bool]]] = {}
    for posting in postings:
        if posting.booked_at <= as_of:
            week, prior = week_of(posting, zone, policy)
            placed.setdefault(week, []).append((posting, prior))
    running, at = 0, 0
    known = sorted(placed)
    made: dict[Week, Statement] = {}
    for week in sorted(set(weeks)):
        while at < len(known) and known[at] < week:
            running += sum(posting.minutes for posting, _ in placed[known[at]])
            at += 1
        made[week] = _statement(week, as_of, running, placed.get(week, []), zone)
    return [made[week] for week in weeks]


def statement(postings: Iterable[Posting], week: Week, as_of: datetime, zone: str, policy: Policy) -> Statement:
    """Return the statement of one week as known at ``as_of``."""
    return statements(postings, [week], as_of, zone, policy)[0]


def _statement(week: Week, as_of: datetime, opening: int, placed: list[tuple[Posting, bool]], zone: str) -> Statement:
    sums = dict.fromkeys(("purchased", "courtesy", "used", "corrected", "expired", "refunded", "prior"), 0)
    category: dict[str, int] = {}
    case: dict[str, int] = {}
    pack: dict[str, int] = {}
    gifts = {p.source for p, _ in placed if p.kind == PostingKind.COURTESY}
    late, prior = [], []
    over = end_of_day(week.sunday, zone)
    for p, is_prior in placed:
        where = "prior" if is_prior else _column(p, gifts)
        sums[where] += p.minutes
        if is_prior:
            prior.append(p)
        elif where == "used":
            category[p.category or ""] = category.get(p.category or "", 0) - p.minutes
            case[p.case or ""] = case.get(p.case or "", 0) - p.minutes
            pack[p.pack] = pack.get(p.pack, 0) - p.minutes
            if p.booked_at >= over:
                late.append(p)
    return Statement(
        week=week,
        as_of=as_of,
        opening_minutes=opening,
        purchased_minutes=sums["purchased"],
        courtesy_minutes=sums["courtesy"],
        used_minutes=-sums["used"],
        corrected_minutes=sums["corrected"],
        expired_minutes=-sums["expired"],
        refunded_minutes=-sums["refunded"],
        prior_minutes=-sums["prior"],
        by_category={name: minutes for name, minutes in sorted(category.items()) if minutes},
        by_case={key: minutes for key, minutes in sorted(case.items()) if minutes},
        by_pack={key: minutes for key, minutes in sorted(pack.items()) if minutes},
        late=tuple(late),
        prior=tuple(prior),
    )


_COLUMNS = {
    PostingKind.PURCHASE: "purchased",
    PostingKind.COURTESY: "courtesy",
    PostingKind.CONSUME: "used",
    PostingKind.EXPIRE: "expired",
    PostingKind.EXPIRE_REVERSAL: "expired",
    PostingKind.REFUND: "refunded",
    PostingKind.TRANSFER: "corrected",
}


def _column(p: Posting, gifts: set[str]) -> str:
    if p.kind == PostingKind.REVERSAL:
        return "used" if p.minutes > 0 else "courtesy" if p.source in gifts else "purchased"
    if p.kind == PostingKind.ADJUSTMENT:
        return "used" if p.case is not None else "corrected"
    return _COLUMNS[p.kind]


# issuing


@dataclass(frozen=True, slots=True)
class Issue:
    """A statement as it is issued: the first of its week, or one that takes the place of an earlier one."""

    statement: Statement
    revision: int = 1
    supersedes: int | None = None
    delta_minutes: int = 0
    """Change of the closing balance against the revision it replaces."""
    reason: str = ""
    """``late_entry``, ``correction``, ``carried_forward`` from an earlier week, or ``late_posting``."""
    changes: tuple[Posting, ...] = ()
    """What became known of this week since the revision it replaces."""


def issue(
    postings: Sequence[Posting], week: Week, as_of: datetime, zone: str, policy: Policy, before: Issue | None = None
) -> Issue | None:
    """Return what to issue for a week at ``as_of``, or None if the figures are those of ``before`` (IDM-1, WK-4)."""
    new = statement(postings, week, as_of, zone, policy)
    if before is None:
        return Issue(new)
    return revised(before, new, postings, zone, policy)


def revised(before: Issue, new: Statement, postings: Iterable[Posting], zone: str, policy: Policy) -> Issue | None:
    """Return the next revision of a week, or None if no figure changed."""
    old = before.statement
    if all(getattr(old, name) == getattr(new, name) for name in FIGURES) and old.by_category == new.by_category:
        return None
    changes = tuple(
        p for p in postings if old.as_of < p.booked_at <= new.as_of and week_of(p, zone, policy)[0] == new.week
    )
    return Issue(
        statement=new,
        revision=before.revision + 1,
        supersedes=before.revision,
        delta_minutes=new.closing_minutes - old.closing_minutes,
        reason=_reason(changes),
        changes=changes,
    )


def _reason(changes: tuple[Posting, ...]) -> str:
    if any(p.kind == PostingKind.REVERSAL for p in changes):
        return CORRECTION
    if any(p.kind == PostingKind.CONSUME for p in changes):
        return LATE_ENTRY
    return OTHER if changes else CARRIED


def issued(record: WeeklySummary) -> Issue:
    """Read back what was issued from its record, so that a rebuilt store goes on from there."""
    week = Week.parse(record.iso_week or "")
    by_category = {
        name.capitalize(): minutes
        for name in ("evolutionary", "preventive", "adaptive", "corrective")
        if (minutes := getattr(record, f"{name}_minutes"))
    }
    loose = (record.used_minutes or 0) - sum(by_category.values())
    if loose:
        by_category[""] = loose
    figures: dict[str, Any] = {name: getattr(record, name) or 0 for name in FIGURES if name != "prior_minutes"}
    as_of = record.as_of_at
    if as_of is None:
        raise ValueError(f"{record.key}: a summary without an instant was never issued")
    made = Statement(
        week=week,
        as_of=as_of,
        by_category=dict(sorted(by_category.items())),
        prior_minutes=record.prior_period_minutes or 0,
        **figures,
    )
    return Issue(made, revision=record.revision or 1)


def due_at(first_change_at: datetime, zone: str, policy: Policy) -> datetime:
    """Return when a revision goes out: at once, or when the day is over, so that one day makes one (WK-4)."""
    if policy.amendment_batch == "immediate":
        return first_change_at
    return end_of_day(local_day(first_change_at, zone), zone)


def revisions(postings: Sequence[Posting], week: Week, as_of: datetime, zone: str, policy: Policy) -> list[Issue]:
    """Return every issue of a week up to ``as_of`` as the rules alone make them, oldest first.

    The first at the close of the week, then one for each day (or posting, by policy) on which something of
    it became known, as known in its last second; a day that is not over counts as far as it is known.
    """
    closes = week.closes_at(zone, policy.week_close_local)
    if closes > as_of:
        return []
    made = [Issue(statement(postings, week, closes, zone, policy))]
    ends: list[datetime] = []
    for posting in sorted(postings, key=lambda p: p.booked_at):
        if closes < posting.booked_at <= as_of and week_of(posting, zone, policy)[0] <= week:
            over = due_at(posting.booked_at, zone, policy) - timedelta(seconds=1)
            ends.append(min(as_of, max(posting.booked_at, over)))
    for end in sorted(set(ends)):
        following = issue(postings, week, end, zone, policy, made[-1])
        if following is not None:
            made.append(following)
    return made


def news_at(
    postings: Iterable[Posting], issued_at: Mapping[Week, datetime], zone: str, policy: Policy
) -> datetime | None:
    """Return when the first posting was booked that no issue knows of its week or a later one; None if all are known.

    ``issued_at`` is the instant as of which each week was issued. It may turn out to change no figure; until then it
    tells when a revision could be due at the earliest.
    """
    oldest: dict[Week, datetime] = {}
    for week in sorted(issued_at, reverse=True):
        later = min(oldest, default=None)
        oldest[week] = min(issued_at[week], oldest[later]) if later is not None else issued_at[week]
    weeks = sorted(oldest)
    first: datetime | None = None
    for posting in postings:
        at = bisect_left(weeks, week_of(posting, zone, policy)[0])
        if at < len(weeks) and posting.booked_at > oldest[weeks[at]] and (first is None or posting.booked_at < first):
            first = posting.booked_at
    return first


def to_issue(
    postings: Sequence[Posting],
    known: Mapping[Week, Issue],
    first: Week,
    now: datetime,
    zone: str,
    policy: Policy,
) -> tuple[list[Issue], datetime | None]:
    """Return what is to be issued at ``now`` and the next instant at which something may be.

    New are all closed weeks from ``first`` on that were never issued, empty ones too (WK-6); revised are the
    issued ones whose figures changed, with every later one that is carried along (WK-4), once their day is
    over. Run again it returns nothing (IDM-1).
    """
    weeks: list[Week] = []
    week = first
    while week.closes_at(zone, policy.week_close_local) <= now:
        weeks.append(week)
        week = week.shifted(1)
    waits = [week.closes_at(zone, policy.week_close_local)]
    out: list[Issue] = []
    for new in statements(postings, weeks, now, zone, policy):
        before = known.get(new.week)
        following = Issue(new) if before is None else revised(before, new, postings, zone, policy)
        if following is None:
            continue
        if before is not None:
            since = before.statement.as_of
            news = [p for p in postings if since < p.booked_at <= now and week_of(p, zone, policy)[0] <= new.week]
            ready = due_at(min((p.booked_at for p in news), default=since), zone, policy)
            if ready > now:
                waits.append(ready)
                continue
        out.append(following)
    return out, min(waits)
