"""The area ``ledger``: a vector's acts are played in the order of their days on a small stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sfsync.policy import Policy
from sfsync.records import Posting, PostingKind
from tests.vectors.ledger_scene import ZONE, Scene, Words, instant_day
from tests.vectors.registry import Sums, Vector, area

A_POOL = {"lot": "A", "minutes": 4800, "activated_on": "2026-11-01", "last_valid_day": "2027-05-01"}
"""What a vector draws on that names no lots."""

FIRST = ("approved", "used", "entries", "entry")
"""What is given is read in this order; then what else is."""

Act = tuple[date, int, Callable[[Scene], None]]


@area("ledger")
def ledger(v: Vector) -> Mapping[str, Any]:
    if v.has("ledgers"):
        return two_ledgers(v)
    scene, seen = play(v)
    return {**figures(v, scene), **seen}


def two_ledgers(v: Vector) -> Mapping[str, Any]:
    """One entry that turns up on one client and then on the other."""
    policy = v.policy(approval_required=False)
    scenes = {name: Scene(policy, v.plans) for name in v.get("ledgers")}
    for name, minutes in v.get("ledgers").items():
        lots = [{**A_POOL, "lot": name, "minutes": minutes}] if isinstance(minutes, int) else minutes
        for seq, lot in enumerate(lots, 1):
            scenes[name].lot(lot, seq)
    versions: dict[str, int] = {}
    for row in v.get("events"):
        w = Words(row, "event")
        key, version, deleted = w.take("entry"), w.take("version", None), w.take("deleted", False)
        here, minutes = w.take("ledger", None), w.take("minutes", None)
        day = w.day("work_date", default=date(2026, 11, 20)) or date(2026, 11, 20)
        w.done()
        if version is not None and version < versions.get(key, 0):
            continue
        versions[key] = version or 0
        for name, scene in scenes.items():
            if name == here and not deleted:
                scene.work(key, minutes, day, day)
            else:
                scene.entries.pop(key, None)
        for scene in scenes.values():
            scene.settle(day)
    return {
        "balances": Sums({name: scene.said().account.balance_minutes for name, scene in scenes.items()}),
        "postings": {name: [p.minutes for p in scene.postings] for name, scene in scenes.items()},
    }


def play(v: Vector) -> tuple[Scene, dict[str, Any]]:
    """Play a vector's acts in the order of their days; return the scene and what single acts showed."""
    # Vectors of bare events are about one ledger without cases: approval is not in play.
    scene = Scene(v.policy(approval_required=False) if v.has("events") else v.policy(), v.plans)
    lots = v.get("lots")
    for seq, lot in enumerate([A_POOL] if lots is None else lots, 1):
        scene.lot(lot, seq)
    seen: dict[str, Any] = {"runs": [], "decisions": []}
    today = max((p.activated_on for p in scene.packs.values() if p.activated_on), default=None)
    script = Script(v, scene, seen, today or date(2026, 11, 1))
    if "priority" in v.given:
        script.priority = v.given["priority"]
    for name in [*FIRST, *(key for key in v.given if key not in FIRST and hasattr(script, f"read_{key}"))]:
        if name in v.given:
            script.read(name, v.given[name])
    for name in v.when:
        if name not in Policy.model_fields:
            script.read(name, v.when[name])
    for day, _, act in sorted(script.acts, key=lambda act: act[:2]):
        act(scene)
        scene.settle(day)
        script.after()
    if scene.outcome is None:
        scene.settle(script.today)
    return scene, seen


def rows_of(value: Any) -> list[dict[str, Any]]:
    """Return acts as rows: one, several, or case names with minutes."""
    if isinstance(value, list):
        return [dict(row) for row in value]
    if "minutes" not in value:
        return [{"case": case, "minutes": minutes} for case, minutes in value.items()]
    return [dict(value)]


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
        if not cases and self.v.has("approve"):
            cases = {row.get("case", "C1") for row in rows_of(self.v.get("approve"))}
        return next(iter(cases)) if len(cases) == 1 else None

    def read_lots(self, value: Any) -> None:
        """Read already."""

    def read_priority(self, value: Any) -> None:
        self.priority = value

    # approvals

    def read_approved(self, value: Mapping[str, int]) -> None:
        for case, minutes in value.items():
            self.read_approve({"case": case, "minutes": minutes})

    def read_used(self, value: Mapping[str, int]) -> None:
        for case, minutes in value.items():
            self.read_entry({"case": case, "minutes": minutes})

    def read_approve(self, value: Any) -> None:
        for row in rows_of(value):
            w = Words(row, "approve")
            case, minutes, version = (
                w.take("case", self.only_case() or "C1"),
                w.take("minutes"),
                w.take("version", None),
            )
            day, priority = w.day("on", "at", default=self.today) or self.today, w.take("priority", self.priority)
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

            self.add(day, approve, lambda case=case: self.note_decision(case))  # type: ignore[misc]

    read_approve_supplement = read_supplement = read_approve

    def note_decision(self, case: str) -> None:
        """Note what became of the approval just given."""
        said = self.scene.said()
        outcome = said.estimates[self.seen["estimate"]]
        self.seen["decisions"].append(outcome.refusal or "approved")
        for place, code in zip(("first", "second", "third"), self.seen["decisions"], strict=False):
            self.seen[place] = code
        if outcome.refusal:
            self.seen["rejected"] = outcome.refusal
            self.seen["shortage"] = outcome.shortage_minutes
            buy = dict.fromkeys(("packs_to_buy", "packs_needed", "buy_packs", "packs"), outcome.packs_to_buy)
            self.seen |= buy
        self.seen["reservation"] = Sums(said.reservations.get(case, {}))

    def read_reject_supplement(self, value: Any) -> None:
        day, case = self.today, value
        if isinstance(value, Mapping):
            w = Words(value, "reject_supplement")
            case, day = w.take("case"), w.day("on", default=self.today) or self.today
            w.done()
        self.add(day, lambda scene: scene.reject(case, day))

    def read_close_case(self, value: Any) -> None:
        if isinstance(value, Mapping):
            w = Words(value, "close_case")
            case, day = w.take("case"), w.day("on", default=self.today) or self.today
            w.done()
            self.close(case, day)
        else:
            self.close(value, self.today)

    def read_close_case_on(self, value: str) -> None:
        self.close(self.only_case() or "C1", date.fromisoformat(value))

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

    # packs

    def read_purchase(self, value: Any) -> None:
        for row in value if isinstance(value, list) else [value]:
            text = row.get("activated_on") or row.get("on")
            day = instant_day(text, ZONE) if text else self.today
            before: dict[str, int] = {}

            def buy(
                scene: Scene, row: Mapping[str, Any] = row, day: date = day, before: dict[str, int] = before
            ) -> None:
                before["uncovered"] = scene.outcome.account.uncovered_minutes if scene.outcome is not None else 0
                self.seen["lot"] = scene.purchase(row, day)

            def bought(before: dict[str, int] = before) -> None:
                said = self.scene.said()
                left = said.account.uncovered_minutes
                self.seen["last_valid_day"] = said.packs[self.seen["lot"]].last_valid_on
                self.seen |= {"settled": before["uncovered"] - left}
                self.seen |= {"uncovered_before": before["uncovered"]}
                self.seen |= dict.fromkeys(("uncovered_after", "uncovered_after_purchase"), left)
                self.seen["settlement"] = [
                    [p.pack, -p.minutes] for p in self.scene.last if p.kind == PostingKind.CONSUME
                ]

            self.add(day, buy, bought)

    read_then_purchase = read_next_purchase = read_purchase

    def read_extend(self, value: Mapping[str, Any]) -> None:
        w = Words(value, "extend")
        lot, day = w.take("lot"), w.day("on", "extend_requested_on", default=self.today) or self.today
        w.done()

        def extended() -> None:
            self.seen["last_valid_day"] = self.scene.said().packs[lot].last_valid_on

        self.add(day, lambda scene: scene.extend(lot, day), extended)

    def read_refund(self, value: Any) -> None:
        w = Words(value if isinstance(value, Mapping) else {"minutes": value}, "refund")
        lot, minutes = w.take("lot", None), w.take("minutes", "all_unused")
        day = w.day("on", default=self.today) or self.today
        w.done()

        def pay(scene: Scene) -> None:
            packs = scene.said().packs
            free = {key: packs[key].available_minutes for key in ([lot] if lot else packs)}
            if minutes != "all_unused":
                assert lot is not None, "a refund of so many minutes names its lot"
                free = {lot: min(minutes, free[lot])}
            scene.refund(free, day)
            self.seen["refund_minutes"] = sum(free.values())

        self.add(day, pay)

    def read_expire_run_on(self, value: Any) -> None:
        for text in value if isinstance(value, list) else [value]:

            def ran() -> None:
                expired = Sums()
                for p in self.scene.last:
                    if p.kind == PostingKind.EXPIRE:
                        expired[p.pack] = expired.get(p.pack, 0) - p.minutes
                self.seen["runs"].append(expired)
                if "expired_at_run" not in self.seen:
                    whole = isinstance(self.v.then.get("expired_at_run"), int)
                    self.seen["expired_at_run"] = sum(expired.values()) if whole else expired

            self.add(instant_day(text, ZONE), lambda scene: None, ran)

    # work

    def read_entry(self, value: Any) -> None:
        self.read_entries(value if isinstance(value, list) else [value])

    def read_entries(self, value: Any) -> None:
        for number, row in enumerate(value, len(self.acts) + 1):
            w = Words({"minutes": row} if isinstance(row, int) else row, "entry")
            key, minutes = w.take("id", f"t{number}"), w.take("minutes")
            case, category = w.take("case", self.only_case()), w.take("category", None)
            worked = w.day("work_date", "date", default=self.today) or self.today
            posted = w.day("posted_on", "posted_at", default=max(self.today, worked) if self.begun else worked)
            priority = w.take("priority", self.priority)
            w.done()
            assert posted is not None
            self.entry = key

            def log(
                scene: Scene,
                key: str = key,
                minutes: int = minutes,
                worked: date = worked,
                posted: date = posted,
                case: str | None = case,
                priority: str | None = priority,
                category: str | None = category,
            ) -> None:
                scene.work(key, minutes, worked, posted, case, category)
                if case and priority:
                    scene.case(case, priority=priority)

            self.add(posted, log, lambda key=key: self.note_entry(key))  # type: ignore[misc]

    def note_entry(self, key: str | None) -> None:
        """Note how an entry stands after what was done."""
        said = self.scene.said()
        if key is not None and key in said.entries:
            outcome = said.entries[key]
            self.seen["splits"] = [[leg.pack, leg.minutes] for leg in outcome.legs]
            self.seen["state"] = outcome.state.value
            self.seen["message"] = str(outcome.sentence)
            self.seen["expire_reversal"] = self.scene.sum_of(PostingKind.EXPIRE_REVERSAL, last=True)
            consumed = self.scene.sum_of(PostingKind.CONSUME, last=True)
            self.seen |= {"consume": consumed, "consumed_now": -consumed}
            for name in ("uncovered_at_entry", "uncovered_after_entry"):
                self.seen.setdefault(name, said.account.uncovered_minutes)

    def read_corrected_minutes(self, value: int) -> None:
        text = self.v.get("corrected_on")
        key, day = self.entry, instant_day(text, ZONE) if text else self.today
        assert key is not None, "a correction needs an entry"
        self.add(day, lambda scene: scene.work(key, value, day, day), lambda: self.note_correction(key))

    def read_delete_entry(self, value: Any) -> None:
        text = self.v.get("deleted_on")
        key, day = (self.entry if value is True else value), instant_day(text, ZONE) if text else self.today

        def delete(scene: Scene) -> None:
            del scene.entries[str(key)]

        self.add(day, delete, lambda: self.note_correction(key))

    def read_corrected_on(self, value: Any) -> None:
        """Read with the minutes."""

    read_deleted_on = read_corrected_on

    def note_correction(self, key: str | None) -> None:
        """Note what a correction gave back, and where to."""
        self.note_entry(key)
        self.seen["restored"] = [[p.pack, p.minutes] for p in self.scene.last if p.kind == PostingKind.REVERSAL]
        for pack in self.scene.said().new_packs:
            whole = {
                "minutes": pack.bought_minutes,
                "activated_on": pack.activated_on,
                "last_valid_day": pack.last_valid_on,
                "days": self.scene.policy.courtesy_days,
            }
            self.seen["courtesy_lot"] = whole
            self.seen["courtesy_minutes"] = pack.bought_minutes
            self.seen["courtesy_last_valid_day"] = pack.last_valid_on
            self.seen["courtesy_days"] = self.scene.policy.courtesy_days
            expected = self.v.then.get("courtesy")
            self.seen["courtesy"] = whole if isinstance(expected, Mapping) else pack.bought_minutes

    def read_events(self, value: Any) -> None:
        for row in value:
            w = Words(row, "event")
            key, version, minutes = w.take("entry"), w.take("version", None), w.take("minutes", None)
            day = w.day("work_date", "date", default=self.today) or self.today
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
                    scene.entries.pop(key, None)
                elif minutes is not None:
                    scene.work(key, minutes, day, day)

            self.entry = key
            self.add(day, happen, lambda key=key: self.note_entry(key))  # type: ignore[misc]


def figures(v: Vector, scene: Scene) -> dict[str, Any]:
    """Return everything the last settling shows, in the shapes the vectors use."""
    said, sums = scene.said(), scene.books()
    expected = v.then
    account = said.account
    per_pack = Sums({key: pack.remaining_minutes for key, pack in said.packs.items()})
    expired = Sums({key: pack.expired_minutes for key, pack in said.packs.items() if pack.expired_minutes})
    case = next((key for key in said.cases if scene.estimates), None)
    cap = None
    if case is not None:
        cap = said.cases[case].approved_minutes * (100 + scene.policy.tolerance_pct) // 100
    return {
        "balance": per_pack if isinstance(expected.get("balance"), Mapping) else account.balance_minutes,
        "balances": per_pack,
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
        "postings": told(scene.postings, expected.get("postings")),
        "last_valid_day": next((p.last_valid_on for p in said.packs.values()), None),
    }


def told(postings: list[Posting], expected: Any) -> Any:
    """Return postings as they are expected: how many, minutes, kinds with minutes, or rows."""
    if not isinstance(expected, list):
        return len(postings)
    if expected and isinstance(expected[0], list):
        names = {p.kind.value for p in postings}
        by_kind = all(row[0] in names for row in expected)
        return [[p.kind.value if by_kind else p.pack, p.minutes] for p in postings]
    if expected and isinstance(expected[0], Mapping):
        return [
            {
                "kind": p.kind.value,
                "lot": p.pack,
                "minutes": p.minutes,
                "date": p.effective_on,
                "effective_date": p.effective_on,
                "case": p.case,
            }
            for p in postings
        ]
    return [p.minutes for p in postings]
