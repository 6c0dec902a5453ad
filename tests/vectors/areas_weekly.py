"""The area ``weekly``: statements, their revisions and what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.records import Posting, PostingKind
from sfsync.rules.forecast import expiring_soon
from sfsync.rules.summary import Issue, revisions, statement, to_issue, week_of
from sfsync.rules.weeks import Week, local_day
from tests.vectors.ledger_scene import Words
from tests.vectors.registry import Sums, Vector, area, instant

ZONE = "America/Argentina/Buenos_Aires"
KINDS = {
    "opening": PostingKind.PURCHASE,
    "purchase": PostingKind.PURCHASE,
    "use": PostingKind.CONSUME,
    "consume": PostingKind.CONSUME,
    "expire": PostingKind.EXPIRE,
    "expire_reversal": PostingKind.EXPIRE_REVERSAL,
    "refund": PostingKind.REFUND,
    "courtesy": PostingKind.COURTESY,
    "reversal": PostingKind.REVERSAL,
    "adjustment": PostingKind.ADJUSTMENT,
    "transfer": PostingKind.TRANSFER,
}


def posting(row: Mapping[str, Any], number: int) -> Posting:
    """Return a vector's posting as one of ours."""
    w = Words(row, "posting")
    made = Posting(
        pack=w.take("lot", "A"),
        kind=KINDS[w.take("kind")],
        minutes=w.take("minutes"),
        effective_on=date.fromisoformat(w.take("date", None) or w.take("effective_date")),
        booked_at=instant(w.take("posted_at")),
        source=f"s{number}",
        source_version=1,
        leg=0,
        case=w.take("case", None),
        category=w.take("category", None),
    )
    w.done()
    return made


def noon(day: date, zone: str) -> datetime:
    """Return noon of a local day."""
    return datetime.combine(day, time(12), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def work(minutes: int, worked_on: date, at: datetime, number: int) -> Posting:
    """Return the posting of some work."""
    return Posting(
        pack="A",
        kind=PostingKind.CONSUME,
        minutes=-minutes,
        effective_on=worked_on,
        booked_at=at,
        source=f"t{number}",
        source_version=1,
        leg=0,
    )


@area("weekly")
def weekly(v: Vector) -> Mapping[str, Any]:
    if v.has("closing"):
        assert v.get("compute", "available") == "available"
        return {"available": v.get("closing") - v.get("reserved", 0)}
    if v.has("lots"):
        return expiring(v)
    if v.has("run_twice"):
        return twice(v)
    if v.has("entries"):
        return batched(v)
    if v.has("entry"):
        return locked(v)
    return stated(v)


def expiring(v: Vector) -> Mapping[str, Any]:
    """WK-7."""
    assert v.get("compute", "expiring_soon") == "expiring_soon"
    packs = []
    for row in v.get("lots"):
        w = Words(row, "lot")
        packs.append((w.take("lot"), w.take("minutes"), w.day("last_valid_day")))
        w.done()
    end = date.fromisoformat(v.get("week_end")) if v.has("week_end") else Week.parse(v.get("week")).sunday
    more = {"expiring_soon_days": v.get("expiring_soon_days")} if v.has("expiring_soon_days") else {}
    soon = expiring_soon(packs, end, v.policy(**more).expiring_soon_days)
    return {"expiring": [{"lot": e.pack, "minutes": e.minutes, "days_left": e.days_left} for e in soon]}


def twice(v: Vector) -> Mapping[str, Any]:
    """IDM-1 for weeks."""
    assert v.get("run_twice") is True
    assert v.get("revision", 1) == 1
    week, policy = Week.parse(v.get("week")), v.policy()
    now = week.closes_at(ZONE, policy.week_close_local) + timedelta(hours=1)
    known: dict[Week, Issue] = {}
    records = 0
    for run in range(2):
        issues, _ = to_issue([], known, week, now + timedelta(hours=run), ZONE, policy)
        known.update({issue.statement.week: issue for issue in issues})
        records += len(issues)
    return {"records": records}


def batched(v: Vector) -> Mapping[str, Any]:
    """WK-4: late entries of one day make one revision."""
    policy = v.policy(amendment_batch=v.get("amendment_batch", "daily"))
    rows = [Words(row, "entry") for row in v.get("entries")]
    at = [instant(w.take("posted_at")) for w in rows]
    week = Week.parse(v.get("week")) if v.has("week") else Week.of(local_day(min(at), ZONE)).shifted(-1)
    worked = week.monday + timedelta(days=4)
    postings = [
        work(w.take("minutes"), w.day("work_date", default=worked) or worked, when, number)
        for number, (w, when) in enumerate(zip(rows, at, strict=True))
    ]
    for w in rows:
        w.done()
    made = revisions(postings, week, max(at) + timedelta(days=2), ZONE, policy)[1:]
    return {"revisions": len(made), "delta_minutes": sum(issue.delta_minutes for issue in made)}


def locked(v: Vector) -> Mapping[str, Any]:
    """WK-5."""
    w = Words(v.get("entry"), "entry")
    policy = v.policy(lock_after_days=v.get("lock_after_days", 28))
    minutes, worked, posted = w.take("minutes"), w.day("work_date"), w.day("posted_on", "posted_at")
    w.done()
    assert worked is not None
    assert posted is not None
    assert Week.of(worked).sunday == date.fromisoformat(v.get("week_end", Week.of(worked).sunday.isoformat()))
    late = work(minutes, worked, noon(posted, ZONE), 1)
    week, prior = week_of(late, ZONE, policy)
    now = statement([late], week, noon(posted, ZONE), ZONE, policy)
    return {
        "amended": not prior,
        "adjustment_week": str(week) if prior else None,
        "adjustment_minutes": now.prior_minutes,
        "used": now.used_minutes,
    }


def stated(v: Vector) -> Mapping[str, Any]:
    """WK-2..4, WK-6."""
    zone, policy = v.get("client_tz", v.get("time_zone", ZONE)), v.policy()
    postings = [posting(row, number) for number, row in enumerate(v.get("postings", []))]
    if isinstance(v.get("as_of"), list):
        return {"difference": [gap(postings, instant(text), zone, v) for text in v.get("as_of")]}
    weeks = [Week.parse(text) for text in (v.get("weeks") or [v.get("week")])]
    week = weeks[0]
    close = week.closes_at(zone, policy.week_close_local)
    as_of = instant(v.get("as_of")) if v.get("as_of") else close
    made = revisions(postings, week, as_of, zone, policy)
    last = made[-1] if made else Issue(statement(postings, week, as_of, zone, policy), revision=0)
    told = last.statement
    issued = {}
    each = week
    while each.closes_at(zone, policy.week_close_local) <= as_of:
        issued[str(each)] = revisions(postings, each, as_of, zone, policy)
        each = each.shifted(1)
    revised = [name for name, issues in issued.items() if len(issues) > 1]
    return {
        "week": str(week),
        "issued": bool(made),
        "empty": told.empty,
        "revision": last.revision,
        "supersedes": last.supersedes,
        "delta_minutes": last.delta_minutes,
        "reason": last.reason,
        "opening": told.opening_minutes,
        "purchased": told.purchased_minutes,
        "courtesy": told.courtesy_minutes,
        "used": told.used_minutes,
        "corrected": told.corrected_minutes,
        "expired": told.expired_minutes,
        "refunded": told.refunded_minutes,
        "prior_period": told.prior_minutes,
        "closing": told.closing_minutes,
        "by_category": Sums(told.by_category),
        "by_case": Sums(told.by_case),
        "by_lot": Sums(told.by_pack),
        "by_pack": Sums(told.by_pack),
        "late": len(told.late),
        "revised": revised,
        "revised_weeks": revised,
        "amended": revised,
        "revisions": {name: issues[-1].revision for name, issues in issued.items()},
    }


def gap(postings: list[Posting], as_of: datetime, zone: str, v: Vector) -> int:
    """Return the largest gap between a closing and the next opening for one instant: zero."""
    days = [p.effective_on for p in postings]
    week, gaps = Week.of(min(days)), []
    while week.monday <= max(days):
        one = statement(postings, week, as_of, zone, v.policy())
        other = statement(postings, week.shifted(1), as_of, zone, v.policy())
        gaps.append(abs(one.closing_minutes - other.opening_minutes))
        week = week.shifted(1)
    return max(gaps)
