"""The areas ``scope``, ``priority``, ``queue`` and ``week``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sfsync.records import Pack, PackStatus
from sfsync.rules.queue import Waiting, lane_of, queue_order
from sfsync.rules.scope import ACTIVITIES, EXCLUDED, INCLUDED, Scope, decide_scope, priority_of
from sfsync.rules.weeks import Week, local_day
from tests.vectors.registry import Vector, area, instant

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


@area("scope")
def scope(v: Vector) -> Mapping[str, Any]:
    if v.get("count") == "subtypes":
        return {category.value.lower(): len(names) for category, names in ACTIVITIES.items()}
    if v.has("resolve"):
        assert v.get("resolve") in {"funding", "all"}
    plan, pack = v.get("plan", v.get("plans")), v.get("pack")
    plans = v.plans
    assert plan is None or set([plan] if isinstance(plan, str) else plan) <= plans.sla.keys()
    assert pack is None or pack in plans.packs

    def decided(work_type: str) -> Scope:
        minutes = v.get("estimated_minutes")
        return decide_scope(
            work_type,
            has_sla=plan is not None,
            has_pack=pack is not None,
            policy=v.policy(),
            estimated_minutes=minutes,
        )

    asked = v.get("work_type", v.get("work_types"))
    if asked is None:
        return {
            "included": sorted(INCLUDED),
            "excluded": sorted(EXCLUDED),
            **{name: decided(name).funding.value for name in {**INCLUDED, **EXCLUDED}},
        }
    if isinstance(asked, str):
        one = decided(asked)
        fallback = one.fallback.value if one.fallback else None
        return {
            "funding": one.funding.value,
            "category": one.category.value.lower(),
            "fallback": fallback,
            "reason": str(one.reason),
            "pack_minutes": 0 if one.funding == "included" else None,
        }
    rows = [decided(name) for name in asked]
    fundings = [row.funding.value for row in rows]
    together = isinstance(v.then.get("funding"), str) and len(set(fundings)) == 1
    return {
        "funding": fundings[0] if together else fundings,
        **{kind: [name for name, paid in zip(asked, fundings, strict=True) if paid == kind] for kind in set(fundings)},
        "excluded": [name for name, paid in zip(asked, fundings, strict=True) if paid != "included"],
        "category": [row.category.value.lower() for row in rows],
        **{name: row.funding.value for name, row in zip(asked, rows, strict=True)},
    }


@area("priority")
def priority(v: Vector) -> Mapping[str, Any]:
    answers = v.get("answers", v.get("answer", v.get("impact")))
    rows = [answers] if isinstance(answers, str) else answers
    each = [priority_of([row] if isinstance(row, str) else row).value for row in rows]
    one = not isinstance(v.then.get("priority"), list)
    highest = min(each, default=None)
    return {"priority": highest if one else each, "highest": highest}


def age(created: int | str) -> datetime:
    """Return when a case was created: an instant, or a rank in the order of creation."""
    return instant(created) if isinstance(created, str) else ORIGIN + timedelta(minutes=created)


@area("queue")
def queue(v: Vector) -> Mapping[str, Any]:
    assert v.get("sort", "queue") == "queue"
    plans = v.plans.packs
    waiting = []
    for case in v.get("cases"):
        case = dict(case)
        pack = case.pop("pack", None)
        owned = [Pack(key="p", plan=plans[pack].name, status=PackStatus.ACTIVE)] if pack else []
        due = case.pop("due", None)
        waiting.append(
            Waiting(
                case=case.pop("id"),
                priority=case.pop("priority"),
                due_at=instant(due) if due else None,
                lane=lane_of(owned, plans),
                created_at=age(case.pop("created")),
            )
        )
        assert not case, f"{v.id}: unknown keys of a case: {sorted(case)}"
    return {"order": [one.case for one in queue_order(waiting)]}


@area("week")
def week(v: Vector) -> Mapping[str, Any]:
    zone = v.get("time_zone", v.get("client_tz"))
    assert v.get("compute", "bounds") in {"bounds", "iso_week"}
    if v.has("iso_week") or v.has("week"):
        found = Week.parse(v.get("iso_week", v.get("week")))
    elif v.has("date"):
        found = Week.of(date.fromisoformat(v.get("date")))
    else:
        found = Week.of(local_day(instant(v.get("at", v.get("instant"))), zone))
    starts, ends = found.bounds(zone)
    return {
        "iso_week": str(found),
        "starts_at": starts,
        "ends_at_exclusive": ends,
        "hours": found.hours(zone),
        "first_day": found.monday,
        "last_day": found.sunday,
    }
