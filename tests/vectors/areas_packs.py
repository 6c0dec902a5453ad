"""The areas ``pricing``, ``validity``, ``extension``, ``rounding``, ``ledger`` and ``approval``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from sfsync.mapping import load_plans
from sfsync.policy import Policy
from sfsync.records import Estimate, EstimateStatus, PostingKind
from sfsync.rules import pricing, rounding, validity
from sfsync.rules.approval import Granted, Move, decide
from sfsync.rules.weeks import local_day
from sfsync.rules.wording import Refusal
from tests.vectors.ledger_scene import Scene, Words
from tests.vectors.registry import Vector, area, instant

PLANS = load_plans().packs


def number(amount: Decimal) -> int | float:
    """Return an amount as the vectors write it: a JSON number."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def refusal(no: Refusal) -> dict[str, Any]:
    """Return a refusal as the vectors write it."""
    return {"rejected": no.code, **no.details}


# pricing


@area("pricing")
def price(v: Vector) -> Mapping[str, Any]:
    if v.has("vat_rate_pct"):
        assert v.get("show") in {"gross", "vat"}
        net = Decimal(v.get("net"))
        vat, gross = pricing.with_vat(net, Decimal(v.get("vat_rate_pct")))
        return {"net": net, "vat": vat, "gross": gross}
    if v.has("refund"):
        assert v.get("refund") == "all_unused"
        plan = v.get("plan")
        bought = v.get("packs") * PLANS[plan].minutes_per_pack
        back = pricing.refund(
            PLANS,
            bought_minutes=bought,
            paid_amount=Decimal(v.get("net")),
            used_minutes=v.get("used_minutes", 0),
            reserved_minutes=v.get("reserved_minutes", 0),
            expired_minutes=v.get("expired_minutes", 0),
            reprice=v.policy().refund_reprice,
        )
        return {"refund_minutes": back.minutes, "refund_net": back.net_amount}
    assert v.get("currency", "EUR") == "EUR"
    assert v.get("vat", "excluded") == "excluded"
    order = pricing.price(
        PLANS,
        v.get("packs"),
        plan=v.get("plan"),
        policy=v.policy(),
        active_plan=v.get("active_plan"),
        bought_12_months=v.get("bought_12_months", 0),
    )
    if isinstance(order, Refusal):
        return refusal(order)
    advice = pricing.advice(PLANS, order)
    return {
        "plan": order.plan,
        "qty": order.packs,
        "net": number(order.net_amount),
        "unit_price": number(order.unit_price_amount),
        "minutes": order.minutes,
        "hours": order.minutes // 60,
        "per_hour": like(v.then.get("per_hour"), order.hour_amount),
        "validity_months": order.valid_months,
        "advice": advice
        and {
            "plan": advice.order.plan,
            "qty": advice.order.packs,
            "net": number(advice.order.net_amount),
            "saves": number(advice.saves_amount),
            "extra_minutes": advice.extra_minutes,
        },
    }


def like(expected: object, amount: Decimal) -> object:
    """Return an amount in the JSON type that is expected: 50.0 and 50 are one price."""
    return float(amount) if isinstance(expected, float) else number(amount)


# validity


@area("validity")
def valid(v: Vector) -> Mapping[str, Any]:
    plan, zone = PLANS[v.get("plan")], v.get("time_zone", "Europe/Bucharest")
    activated = date.fromisoformat(v.get("activated_on"))
    assert v.get("compute", "last_valid_day") in {"last_valid_day", "valid", "expiry"}
    inclusive = v.policy().validity_inclusive
    last = validity.last_valid_on(activated, plan, extended=v.get("extended", False), inclusive=inclusive)
    ends = validity.expires_at(last, zone)
    said: dict[str, Any] = {"last_valid_day": last, "expires_at_exclusive": ends}
    for name in ("at", "instant", "used_at", "use_at"):
        if v.has(name):
            at = instant(v.get(name))
            day = local_day(at, zone)
            said |= {"local_date": day, "local_day": day, "valid": activated <= day <= last, "expired": at >= ends}
            said |= {"usable": said["valid"], "eligible": said["valid"]}
    return said


@area("extension")
def extension(v: Vector) -> Mapping[str, Any]:
    plan = PLANS[v.get("plan")]
    activated = date.fromisoformat(v.get("activated_on"))
    extended = v.get("already_extended", False)
    asked = date.fromisoformat(v.get("extend_requested_on"))
    last = validity.last_valid_on(activated, plan, extended=extended)
    grace = v.policy().extension_grace_days
    no = validity.refuse_extension(plan, last, asked, extended=extended, grace_days=grace)
    if no:
        return {"rejected": no, "last_valid_day": last}
    return {"last_valid_day": validity.last_valid_on(activated, plan, extended=True)}


# rounding


@area("rounding")
def round_minutes(v: Vector) -> Mapping[str, Any]:
    if v.has("seconds"):
        return {"minutes": [rounding.minutes_of_seconds(each) for each in v.get("seconds")]}
    if v.has("hours"):
        return {"minutes": [rounding.minutes_of_hours(each) for each in v.get("hours")]}
    policy = Policy()
    increment = v.get("increment", v.overrides.get("increment", policy.increment))
    mode = v.get("mode", v.overrides.get("mode", policy.rounding))
    scope = v.get("scope", v.overrides.get("scope", policy.rounding_scope))
    entries = v.get("entries", v.get("minutes"))
    entries = [entries] if isinstance(entries, int) else entries
    why = [rounding.refused(each) for each in entries]
    counted = [each for each in entries if each >= 0]
    if scope == "entry":
        billed = [rounding.rounded(each, increment, mode) for each in counted]
    else:
        billed = rounding.rounded_group(counted, increment, mode)
    days = rounding.long_days([(str(number), date.min, each) for number, each in enumerate(counted)])
    return {
        "billed": billed,
        "minutes": billed,
        "billed_total": sum(billed),
        "raw_total": sum(counted),
        "raw": counted,
        "raw_kept": True,
        "rejected": [each for each, no in zip(entries, why, strict=True) if no],
        "refused": [bool(no) for no in why],
        "flagged": [minutes for _, _, minutes in days],
        "accepted": [each for each, no in zip(entries, why, strict=True) if not no],
    }


# approval


@area("approval")
def approval(v: Vector) -> Mapping[str, Any]:
    if not v.has("estimate"):
        return ledger(v)
    zone = "America/Argentina/Buenos_Aires"
    given = v.get("estimate")
    rows = given if isinstance(given, list) else [given]
    policy = v.policy()
    versions = []
    for number_, row in enumerate(rows, 1):
        w = Words(row, "estimate")
        days = w.take("validity_days", policy.estimate_validity_days)
        policy = policy.model_copy(update={"estimate_validity_days": days})
        sent = w.take("sent_at", None)
        version = w.take("version", number_)
        versions.append(
            Estimate(
                key=f"v{version}",
                case="C1",
                version=version,
                estimated_minutes=w.take("minutes"),
                sent_at=instant(sent) if sent else None,
                status=w.take("status", EstimateStatus.SENT),
            )
        )
        w.done()
    available = v.get("available", 10**6)
    act = v.get("approve", v.get("reject", {}))
    w = Words(act, "approve")
    wanted, text = w.take("version", max(e.version or 0 for e in versions)), w.take("at", None) or v.get("approved_at")
    approver = w.take("approver", v.get("approver", True))
    w.done()
    estimate = next(e for e in versions if e.version == wanted)
    at = instant(text) if text else (estimate.sent_at or instant("2026-11-02T13:00:00Z"))
    said = decide(
        estimate,
        versions,
        Move.REJECT if v.has("reject") else Move.APPROVE,
        at,
        approver=approver,
        available_minutes=available,
        policy=policy,
        zone=zone,
    )
    if isinstance(said, Refusal):
        return {**refusal(said), "reserved": 0}
    assert isinstance(said, Granted)
    return {
        "status": said.status.value,
        "approved": said.status == EstimateStatus.APPROVED,
        "reserved": said.reserves_minutes,
    }


# ledger


@area("ledger")
def ledger(v: Vector) -> Mapping[str, Any]:
    if v.has("ledgers"):
        return two_ledgers(v)
    scene, seen = play(v)
    return {**figures(v, scene), **seen}


def two_ledgers(v: Vector) -> Mapping[str, Any]:
    """One entry that turns up on one client and then on the other."""
    policy = v.policy(approval_required=False)
    scenes = {name: Scene(policy) for name in v.get("ledgers")}
    for name, minutes in v.get("ledgers").items():
        scenes[name].lot(
            {"lot": name, "minutes": minutes, "activated_on": "2026-11-01", "last_valid_day": "2027-05-01"}, 1
        )
    for row in v.get("events"):
        w = Words(row, "event")
        key, here, minutes = w.take("entry"), w.take("ledger"), w.take("minutes")
        day = w.day("work_date", date(2026, 11, 20)) or date(2026, 11, 20)
        w.done()
        for name, scene in scenes.items():
            if name == here:
                scene.work(key, minutes, day, day)
            else:
                scene.entries.pop(key, None)
        for scene in scenes.values():
            scene.settle(day)
    return {
        "balances": {name: scene.said().account.balance_minutes for name, scene in scenes.items()},
        "postings": {name: [p.minutes for p in scene.postings] for name, scene in scenes.items()},
    }


Act = tuple[date, int, Callable[[Scene], None]]


def play(v: Vector) -> tuple[Scene, dict[str, Any]]:
    """Play a vector's acts in the order of their days; return the scene and what single acts showed."""
    events = v.get("events")
    policy = v.policy()
    if events is not None:  # these vectors are about one ledger without cases: approval is not in play
        policy = v.policy(approval_required=False)
    scene = Scene(policy)
    lots = v.get("lots")
    if lots is None:
        lots = [{"lot": "A", "minutes": 4800, "activated_on": "2026-11-01", "last_valid_day": "2027-05-01"}]
    for seq, lot in enumerate(lots, 1):
        scene.lot(lot, seq)
    seen: dict[str, Any] = {"runs": [], "decisions": []}
    today = max((p.activated_on for p in scene.packs.values() if p.activated_on), default=None)
    script = Script(v, scene, seen, today or date(2026, 11, 1))
    for name in ("approved", "used", "entries"):
        if name in v.given:
            script.read(name, v.given[name])
    if "priority" in v.given:
        script.priority = v.given["priority"]
    for name in v.when:
        script.read(name, v.when[name])
    for day, _, act in sorted(script.acts, key=lambda act: act[:2]):
        act(scene)
        scene.settle(day)
        script.after()
    if scene.outcome is None:
        scene.settle(script.today)
    return scene, seen


class Script:
    """Reads the acts of a vector, gives each a day, and notes what it showed."""

    def __init__(self, v: Vector, scene: Scene, seen: dict[str, Any], today: date) -> None:
        self.v, self.scene, self.seen, self.today = v, scene, seen, today
        self.acts: list[Act] = []
        self.begun = False
        self.priority: str | None = None
        self.entry: str | None = None
        self.after: Callable[[], None] = lambda: None

    def add(self, day: date, act: Callable[[Scene], None], after: Callable[[], None] = lambda: None) -> None:
        """Put an act on a day; acts of one day keep the order in which they are read."""
        self.today, self.begun = day, True

        def run(scene: Scene) -> None:
            self.after = after
            act(scene)

        self.acts.append((day, len(self.acts), run))

    def read(self, name: str, value: Any) -> None:
        """Read one key of ``given`` or ``when``."""
        reader = getattr(self, f"read_{name}", None)
        assert reader is not None, f"{self.v.id}: the ledger does not know {name}"
        reader(value)

    def only_case(self) -> str | None:
        """Return the case an entry without one is on: the only one there is talk of."""
        cases = {*self.v.get("approved", {})}
        return next(iter(cases)) if len(cases) == 1 else None

    def read_lots(self, value: Any) -> None:
        """Read already."""

    def read_priority(self, value: Any) -> None:
        self.priority = value

    def read_approved(self, value: Mapping[str, int]) -> None:
        for case, minutes in value.items():
            self.read_approve({"case": case, "minutes": minutes})

    def read_used(self, value: Mapping[str, int]) -> None:
        for case, minutes in value.items():
            self.read_entry({"case": case, "minutes": minutes})

    def read_purchase(self, value: Any) -> None:
        for row in value if isinstance(value, list) else [value]:
            day = date.fromisoformat(row.get("activated_on") or row.get("on") or self.today.isoformat())
            before: dict[str, int] = {}

            def buy(
                scene: Scene, row: Mapping[str, Any] = row, day: date = day, before: dict[str, int] = before
            ) -> None:
                if scene.outcome is not None:
                    before["uncovered"] = scene.outcome.account.uncovered_minutes
                self.seen["lot"] = scene.purchase(row, day)

            def bought(before: dict[str, int] = before) -> None:
                said = self.scene.said()
                figures = said.packs[self.seen["lot"]]
                self.seen["last_valid_day"] = figures.last_valid_on
                self.seen["settled"] = before.get("uncovered", 0) - said.account.uncovered_minutes
                self.seen["settlement"] = [
                    [p.pack, -p.minutes] for p in self.scene.last if p.kind == PostingKind.CONSUME
                ]

            self.add(day, buy, bought)

    read_then_purchase = read_next_purchase = read_purchase

    def read_approve(self, value: Any) -> None:
        for row in value if isinstance(value, list) else [value]:
            w = Words(row, "approve")
            case, minutes, version = w.take("case", "C1"), w.take("minutes"), w.take("version", None)
            day, priority = w.day("on", self.today) or self.today, w.take("priority", self.priority)
            w.done()

            def approve(
                scene: Scene,
                case: str = case,
                minutes: int = minutes,
                version: int | None = version,
                day: date = day,
                priority: str | None = priority,
            ) -> None:
                self.seen["estimate"] = scene.approve(case, minutes, day, version)
                scene.case(case, priority=priority)

            def approved(case: str = case) -> None:
                said = self.scene.said()
                outcome = said.estimates[self.seen["estimate"]]
                self.seen["decisions"].append(outcome.refusal or "approved")
                for place, code in zip(("first", "second", "third"), self.seen["decisions"], strict=False):
                    self.seen[place] = code
                if outcome.refusal:
                    self.seen["rejected"] = outcome.refusal
                    self.seen["shortage"] = outcome.shortage_minutes
                    self.seen["packs_to_buy"] = self.seen["packs_needed"] = outcome.packs_to_buy
                self.seen["reservation"] = dict(said.reservations.get(case, {}))

            self.add(day, approve, approved)

    read_approve_supplement = read_supplement = read_approve

    def read_reject_supplement(self, value: Any) -> None:
        day = self.today
        self.add(day, lambda scene: scene.reject(value, day))

    def read_entry(self, value: Any) -> None:
        self.read_entries([value])

    def read_entries(self, value: Any) -> None:
        for number_, row in enumerate(value, len(self.acts) + 1):
            w = Words({"minutes": row} if isinstance(row, int) else row, "entry")
            key, minutes = w.take("id", f"t{number_}"), w.take("minutes")
            case = w.take("case", self.only_case())
            worked = w.day("work_date", self.today) or self.today
            posted = w.day("posted_on", max(self.today, worked) if self.begun else worked) or worked
            priority = w.take("priority", self.priority)
            w.done()
            self.entry = key

            def log(
                scene: Scene,
                key: str = key,
                minutes: int = minutes,
                worked: date = worked,
                posted: date = posted,
                case: str | None = case,
                priority: str | None = priority,
            ) -> None:
                scene.work(key, minutes, worked, posted, case)
                if case and priority:
                    scene.case(case, priority=priority)

            self.add(posted, log, self.note_entry)

    def note_entry(self) -> None:
        said = self.scene.said()
        if self.entry is not None and self.entry in said.entries:
            outcome = said.entries[self.entry]
            self.seen["splits"] = [[leg.pack, leg.minutes] for leg in outcome.legs]
            self.seen["state"] = outcome.state.value
            self.seen["message"] = str(outcome.sentence)
            self.seen["expire_reversal"] = self.scene.sum_of(PostingKind.EXPIRE_REVERSAL, last=True)
            self.seen["consume"] = self.scene.sum_of(PostingKind.CONSUME, last=True)
            self.seen["consumed_now"] = -self.seen["consume"]
            self.seen.setdefault("uncovered_at_entry", said.account.uncovered_minutes)

    def read_corrected_minutes(self, value: int) -> None:
        text = self.v.get("corrected_on")
        key, day = self.entry, date.fromisoformat(text) if text else self.today
        assert key is not None, "a correction needs an entry"

        def correct(scene: Scene) -> None:
            scene.work(key, value, day, day)

        def corrected() -> None:
            self.note_entry()
            self.seen["restored"] = [[p.pack, p.minutes] for p in self.scene.last if p.kind == PostingKind.REVERSAL]
            for pack in self.scene.said().new_packs:
                whole = {
                    "minutes": pack.bought_minutes,
                    "activated_on": pack.activated_on,
                    "last_valid_day": pack.last_valid_on,
                }
                self.seen["courtesy_lot"] = whole
                self.seen["courtesy_minutes"] = pack.bought_minutes
                self.seen["courtesy_last_valid_day"] = pack.last_valid_on
                self.seen["courtesy_days"] = self.scene.policy.courtesy_days
                expected = self.v.then.get("courtesy")
                self.seen["courtesy"] = whole if isinstance(expected, Mapping) else pack.bought_minutes

        self.add(day, correct, corrected)

    def read_corrected_on(self, value: Any) -> None:
        """Read with the minutes."""

    def read_expire_run_on(self, value: Any) -> None:
        for text in value if isinstance(value, list) else [value]:

            def ran() -> None:
                expired: dict[str, int] = {}
                for p in self.scene.last:
                    if p.kind == PostingKind.EXPIRE:
                        expired[p.pack] = expired.get(p.pack, 0) - p.minutes
                self.seen["runs"].append(expired)
                self.seen.setdefault("expired_at_run", expired)

            self.add(date.fromisoformat(text), lambda scene: None, ran)

    def read_close_case(self, value: Any) -> None:
        self.close(value, self.today)

    def read_close_case_on(self, value: str) -> None:
        case = next(iter(self.v.get("approved", {})), None) or self.v.get("approve")["case"]
        self.close(case, date.fromisoformat(value))

    def close(self, case: str, day: date) -> None:
        reserved: list[int] = []

        def shut(scene: Scene) -> None:
            reserved.append(scene.said().account.reserved_minutes)
            scene.close(case, day)

        def closed() -> None:
            lapsed = -self.scene.sum_of(PostingKind.EXPIRE, last=True)
            fixed = -self.scene.sum_of(PostingKind.ADJUSTMENT, last=True)
            self.seen |= {"lapsed_at_close": lapsed, "fixed_adjustment": fixed}
            self.seen["released"] = reserved[0] - self.scene.said().account.reserved_minutes - lapsed - fixed

        self.add(day, shut, closed)

    def read_events(self, value: Any) -> None:
        for row in value:
            w = Words(row, "event")
            key, version, minutes = w.take("entry"), w.take("version", None), w.take("minutes", None)
            day = w.day("work_date", self.today) or self.today
            deleted = w.take("deleted", False)
            w.done()

            def happen(
                scene: Scene,
                key: str = key,
                version: int | None = version,
                minutes: int | None = minutes,
                day: date = day,
                deleted: bool = deleted,
            ) -> None:
                if version is not None and version < scene.versions.get(key, 0):
                    return  # the mirror keeps the newest version of a record (IDM-1)
                scene.versions[key] = version or scene.versions.get(key, 0)
                if deleted:
                    del scene.entries[key]
                elif minutes is not None:
                    scene.work(key, minutes, day, day)

            self.entry = key
            self.add(day, happen, self.note_entry)


def figures(v: Vector, scene: Scene) -> dict[str, Any]:
    """Return everything the last settling shows, in the shapes the vectors use."""
    said, sums = scene.said(), scene.books()
    expected = v.then
    account = said.account
    per_pack = {key: pack.remaining_minutes for key, pack in said.packs.items()}
    expired = {key: pack.expired_minutes for key, pack in said.packs.items() if pack.expired_minutes}
    many = isinstance(expected.get("postings"), list)
    cases = {key: said.cases[key] for key in said.cases}
    case = next((key for key in cases if scene.estimates), None)
    cap = None
    if case is not None:
        approved = cases[case].approved_minutes
        cap = approved * (100 + scene.policy.tolerance_pct) // 100
    return {
        "balance": per_pack if isinstance(expected.get("balance"), Mapping) else account.balance_minutes,
        "reserved": account.reserved_minutes,
        "available": account.available_minutes,
        "uncovered": account.uncovered_minutes,
        "pending": account.waiting_minutes,
        "deducted": sum(entry.counted_minutes for entry in said.entries.values()),
        "non_billable": sum(entry.refused_minutes for entry in said.entries.values()),
        "cap": cap,
        "expired": sums.expired if isinstance(expected.get("expired"), int) else expired,
        "purchased": sums.purchased,
        "courtesy": sums.courtesy,
        "consumed": sums.consumed,
        "refunded": sums.refunded,
        "sum": sums.error,
        "postings": [p.minutes for p in scene.postings] if many else len(scene.postings),
        "last_valid_day": next((p.last_valid_on for p in said.packs.values()), None),
    }
