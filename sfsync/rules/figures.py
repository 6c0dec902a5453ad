"""What the ledger shows on each record, with the sentence a person reads there.

May not know postings or languages. It keeps one law: every figure is read off the told story, and each has
one sentence that explains it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sfsync.records import EntryState, Estimate, EstimateStatus, Finding, Pack, PackStatus
from sfsync.rules import rounding
from sfsync.rules.intake import INCLUDED, QUOTE, Intake, sent_at, valid_until
from sfsync.rules.replay import Leg, Replay, Share
from sfsync.rules.validity import plan_of
from sfsync.rules.weeks import local_day
from sfsync.rules.wording import N_, Hours, Packs, Sentence, Shown, phrase

NOTHING = Sentence("")


@dataclass(frozen=True, slots=True)
class EntryOutcome:
    """What became of a time entry: drawn + waiting + uncovered + refused = billed."""

    key: str
    case: str | None
    state: EntryState
    sentence: Sentence
    billed_minutes: int = 0
    legs: tuple[Leg, ...] = ()
    waiting_minutes: int = 0
    uncovered_minutes: int = 0
    refused_minutes: int = 0
    estimate: str | None = None
    """The approval it was drawn under."""

    @property
    def counted_minutes(self) -> int:
        """Return the minutes drawn on packs."""
        return sum(leg.minutes for leg in self.legs)

    @property
    def pack(self) -> str | None:
        """Return the pack drawn on; the first of several."""
        return self.legs[0].pack if self.legs else None


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """Minutes of one case."""

    logged_minutes: int = 0
    """As typed, refused and not billable ones too."""
    approved_minutes: int = 0
    counted_minutes: int = 0
    """Drawn on packs; with ``fixed_minutes`` what the client paid."""
    fixed_minutes: int = 0
    """Deducted beyond the work in mode ``fixed`` (X-12)."""
    waiting_minutes: int = 0
    refused_minutes: int = 0
    uncovered_minutes: int = 0
    reserved_minutes: int = 0
    estimate_status: str = "None"
    """``None``, ``Waiting``, ``Approved`` or ``Rejected``."""
    sentence: Sentence = NOTHING


@dataclass(frozen=True, slots=True)
class EstimateOutcome:
    """What became of an estimate."""

    status: str
    """The status the contract gives it now: Sent becomes Expired or Superseded by itself."""
    refusal: str = ""
    """Why an approval has no effect, or an empty text."""
    used_minutes: int = 0
    over_estimate: bool = False
    balance_after_minutes: int | None = None
    """While it can be decided: what is available after a yes; negative when it does not suffice."""
    shortage_minutes: int = 0
    packs_to_buy: int = 0
    current_version: int | None = None
    """The version that replaced it, for a refusal by EST-3."""
    valid_until_on: date | None = None
    sentence: Sentence = NOTHING


@dataclass(frozen=True, slots=True)
class PackFigures:
    """One pack: bought + moved = used + expired + refunded + remaining; remaining = available + reserved."""

    status: PackStatus
    bought_minutes: int = 0
    used_minutes: int = 0
    reserved_minutes: int = 0
    remaining_minutes: int = 0
    available_minutes: int = 0
    expired_minutes: int = 0
    moved_minutes: int = 0
    """Given (positive) or taken by hand: refund, transfer, adjustment."""
    last_valid_on: date | None = None
    original_last_valid_on: date | None = None
    extended: bool = False
    extension_requested_on: date | None = None
    unit_price_amount: Decimal | None = None
    total_price_amount: Decimal | None = None
    currency: str | None = None
    sentence: Sentence = NOTHING


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """One client: available = balance - reserved, always shown together."""

    balance_minutes: int = 0
    reserved_minutes: int = 0
    available_minutes: int = 0
    uncovered_minutes: int = 0
    waiting_minutes: int = 0
    waiting_estimates: int = 0
    next_expiry_on: date | None = None
    low_balance: bool = False


class View:
    """Reads figures off a told story."""

    def __init__(self, intake: Intake, replay: Replay, now: datetime) -> None:
        """Look at the story as told, at ``now``."""
        self.intake, self.replay, self.now = intake, replay, now
        self.today = local_day(now, intake.terms.time_zone)
        self.open_estimates = intake.open_estimates

    def open_until(self) -> Iterator[date]:
        """Yield the last day of each estimate that can still be decided."""
        for key in self.open_estimates:
            last = valid_until(self.intake.estimates[key], self.intake.policy, self.intake.terms.time_zone)
            if last is not None and last >= self.today:
                yield last

    # account and packs

    def account(self) -> AccountFigures:
        """Return the client's three figures and what stands beside them."""
        replay = self.replay
        free, held = sum(replay.free.values()), sum(replay.held.values())
        overdraft = 0
        uncovered = replay.totals.get("uncovered", 0)
        if self.intake.policy.overdraw == "negative":
            overdraft = min(uncovered, self.intake.policy.overdraw_limit_minutes)
        ends = [
            replay.valid[key]
            for key in {*replay.free, *replay.held}
            if not replay.dead.get(key) and replay.free.get(key, 0) + replay.held.get(key, 0)
        ]
        available = free - overdraft
        return AccountFigures(
            balance_minutes=free + held - overdraft,
            reserved_minutes=held,
            available_minutes=available,
            uncovered_minutes=uncovered - overdraft,
            waiting_minutes=replay.totals.get("waiting", 0),
            waiting_estimates=sum(self._status(self.intake.estimates[key])[0] == "Sent" for key in self.open_estimates),
            next_expiry_on=min(ends, default=None),
            low_balance=available < self.intake.policy.low_balance_minutes,
        )

    def packs(self) -> dict[str, PackFigures]:
        """Return the figures of every pack, drafts and deleted ones too."""
        return {key: self._pack(pack) for key, pack in sorted(self.intake.packs.items())}

    def _pack(self, pack: Pack) -> PackFigures:
        replay, lot = self.replay, self.intake.lots.get(pack.key)
        if lot is None:
            gone = pack.deleted or pack.status == PackStatus.CANCELLED
            return PackFigures(PackStatus.CANCELLED if gone else PackStatus.DRAFT)
        plan = plan_of(pack, self.intake.plans.packs)
        unit, total, currency = pack.unit_price_amount, pack.total_price_amount, pack.currency
        if plan is not None and pack.packs_bought is not None:
            unit = plan.unit_price_amount if unit is None else unit
            total = unit * pack.packs_bought if total is None else total
            currency = currency or plan.currency
        active = lot.key in replay.valid
        free, held = replay.free.get(lot.key, 0), replay.held.get(lot.key, 0)
        expired, moved = sum(replay.pool.get(lot.key, {}).values()), replay.moved.get(lot.key, 0)
        used = lot.minutes + moved - expired - free - held if active else 0
        dead = bool(replay.dead.get(lot.key))
        status = PackStatus.DRAFT
        if active:
            status = PackStatus.EXPIRED if dead else PackStatus.ACTIVE if free + held else PackStatus.EXHAUSTED
        sentence = NOTHING
        if pack.deleted:
            sentence = phrase(N_("This pack was deleted although work was taken from it; its hours are kept."))
        elif lot.refusal:
            sentence = phrase(REFUSALS[lot.refusal], {"last_day": lot.original_on})
        elif dead and held:
            sentence = phrase(
                N_("Ended on {last_day}; {reserved} of approved work can still be used."),
                {"last_day": replay.valid[lot.key], "reserved": Hours(held)},
            )
        elif dead and expired:
            sentence = phrase(
                N_("Ended on {last_day}; {expired} expired unused."),
                {"last_day": replay.valid[lot.key], "expired": Hours(expired)},
            )
        return PackFigures(
            status=status,
            bought_minutes=lot.minutes,
            used_minutes=used,
            reserved_minutes=held,
            remaining_minutes=free + held,
            available_minutes=free,
            expired_minutes=expired,
            moved_minutes=moved,
            last_valid_on=lot.last_valid_on,
            original_last_valid_on=lot.original_on,
            extended=lot.extended_on is not None,
            extension_requested_on=pack.extension_requested_on or lot.extended_on,
            unit_price_amount=unit,
            total_price_amount=total,
            currency=currency,
            sentence=sentence,
        )

    # estimates

    def _status(self, estimate: Estimate) -> tuple[str, date | None, int | None]:
        """Return the status an estimate has by now, its last day, and the version that replaced it."""
        status = estimate.status or EstimateStatus.DRAFT
        last = valid_until(estimate, self.intake.policy, self.intake.terms.time_zone)
        newer = [
            each.version or 0
            for key in self.intake.estimates_of.get(estimate.case or "", ())
            if sent_at(each := self.intake.estimates[key]) is not None and not each.deleted
            if (each.version or 0) > (estimate.version or 0)
        ]
        current = max(newer, default=None)
        if status in (EstimateStatus.SENT, EstimateStatus.QUESTION):
            ruling = self.replay.rulings.get(estimate.key)
            if ruling is not None and ruling.code == "approved":
                status = EstimateStatus.APPROVED  # by policy
            elif current is not None:
                status = EstimateStatus.SUPERSEDED
            elif last is not None and self.today > last:
                status = EstimateStatus.EXPIRED
        return str(status), last, current

    def estimate(self, key: str, account: AccountFigures) -> EstimateOutcome:
        """Return what became of an estimate."""
        estimate = self.intake.estimates[key]
        status, last, current = self._status(estimate)
        ruling = self.replay.rulings.get(key)
        refusal = ruling.code if ruling is not None and ruling.code not in ("approved", "rejected") else ""
        used, over = self._used_of(estimate)
        after = None
        if status in (EstimateStatus.SENT, EstimateStatus.QUESTION) and estimate.estimated_minutes is not None:
            after = account.available_minutes - estimate.estimated_minutes
        shortage = ruling.shortage if ruling is not None else 0
        if not refusal and after is not None and after < 0:
            shortage = -after
        to_buy = -(-shortage // self._pack_minutes())
        values: dict[str, Shown] = {
            "shortage": Hours(shortage),
            "packs": Packs(to_buy),
            "version": current or 0,
            "last_day": last or self.today,
            "after": Hours(after or 0),
        }
        sentence = NOTHING
        if refusal:
            sentence = phrase(REFUSALS[refusal], values)
        elif status == EstimateStatus.EXPIRED or status == EstimateStatus.SUPERSEDED:
            sentence = phrase(REFUSALS[f"status {status}"], values)
        elif self._too_small(estimate, status):
            sentence = phrase(TOO_SMALL, {"least": Hours(self.intake.policy.min_request_minutes)})
        elif shortage:
            sentence = phrase(N_("Approval needs {shortage} more than are available: buy {packs} first."), values)
        elif after is not None:
            sentence = phrase(N_("If you approve, {after} stay available."), values)
        return EstimateOutcome(
            status=status,
            refusal=refusal,
            used_minutes=used,
            over_estimate=over,
            balance_after_minutes=after,
            shortage_minutes=shortage,
            packs_to_buy=to_buy,
            current_version=current,
            valid_until_on=last,
            sentence=sentence,
        )

    def _too_small(self, estimate: Estimate, status: str) -> bool:
        """Return whether an undecided estimate is smaller than a request may be (X-1)."""
        undecided = status in (EstimateStatus.DRAFT, EstimateStatus.SENT, EstimateStatus.QUESTION)
        return undecided and 0 < (estimate.estimated_minutes or 0) < self.intake.policy.min_request_minutes

    def _pack_minutes(self) -> int:
        return min((plan.minutes_per_pack for plan in self.intake.plans.packs.values()), default=480)

    def _used_of(self, estimate: Estimate) -> tuple[int, bool]:
        """Share the minutes used on a case out to its approvals, oldest first; the last one shows the over-run."""
        case, replay = estimate.case or "", self.replay
        ruling = replay.rulings.get(estimate.key)
        if ruling is None or ruling.code != "approved":
            return 0, False
        granted = [
            self.intake.decisions[key]
            for key in self.intake.estimates_of.get(case, ())
            if key in self.intake.decisions and (known := replay.rulings.get(key)) and known.code == "approved"
        ]
        granted.sort(key=lambda decision: (decision.at, decision.key))
        left = replay.used.get(case, 0)
        for decision in granted[:-1]:
            part = min(left, decision.minutes)
            left -= part
            if decision.key == estimate.key:
                return part, False
        waiting = sum(replay.waiting.get(case, {}).values())
        if granted and granted[-1].key == estimate.key:
            return left, waiting > 0 or left > granted[-1].minutes
        return 0, False

    # cases

    def case(self, key: str) -> CaseFigures:
        """Return the minutes of a case."""
        replay, intake = self.replay, self.intake
        entries = [intake.entries[each] for each in intake.entries_of.get(key, ())]
        shares = [replay.shares[entry.key] for entry in entries if entry.key in replay.shares]
        waiting = sum(replay.waiting.get(key, {}).values())
        approved = replay.approved.get(key, 0)
        statuses = {
            self._status(intake.estimates[each])[0]
            for each in intake.estimates_of.get(key, ())
            if not intake.estimates[each].deleted
        }
        if {"Sent", "Question"} & statuses:
            status = "Waiting"
        elif approved:
            status = "Approved"
        else:
            status = "Rejected" if "Rejected" in statuses else "None"
        sentence = NOTHING
        if waiting:
            text = OVERRUN if approved else NEEDS_APPROVAL
            sentence = phrase(text, {"waiting": Hours(waiting), "approved": Hours(approved)})
        return CaseFigures(
            logged_minutes=sum(
                max(0, entry.worked_minutes or 0)
                for entry in entries
                if entry.key in intake.works and intake.works[entry.key].verdict != "corrected"
            ),
            approved_minutes=approved,
            counted_minutes=sum(leg.minutes for share in shares for leg in share.legs),
            fixed_minutes=sum(replay.fixed.get(key, {}).values()),
            waiting_minutes=waiting,
            refused_minutes=sum(share.refused for share in shares),
            uncovered_minutes=sum(share.uncovered for share in shares),
            reserved_minutes=sum(replay.parts.get(key, {}).values()),
            estimate_status=status,
            sentence=sentence,
        )

    # entries

    def entry(self, key: str) -> EntryOutcome:
        """Return what became of a time entry."""
        entry, work = self.intake.entries[key], self.intake.works.get(key)
        if work is None:
            if entry.deleted:
                sentence = phrase(N_("Deleted; its hours went back to where they came from."))
                return EntryOutcome(key, entry.case, EntryState.REVERSED, sentence)
            return EntryOutcome(key, entry.case, EntryState.REFUSED, phrase(VERDICTS["day_missing"]))
        share = self.replay.shares.get(key, Share())
        state, sentence = self._state(work.verdict, share, work.case)
        return EntryOutcome(
            key=key,
            case=entry.case,
            state=state,
            sentence=sentence,
            billed_minutes=work.billed if not work.verdict else 0,
            legs=share.legs,
            waiting_minutes=share.waiting,
            uncovered_minutes=share.uncovered,
            refused_minutes=share.refused,
            estimate=share.estimate,
        )

    def _state(self, verdict: str, share: Share, case: str) -> tuple[EntryState, Sentence]:
        if verdict:
            state = EntryState.REFUSED
            if verdict == "corrected":
                state = EntryState.REVERSED
            elif verdict in ("not_billable", INCLUDED, QUOTE):
                state = EntryState.COUNTED
            return state, phrase(VERDICTS[verdict])
        counted = sum(leg.minutes for leg in share.legs)
        values: dict[str, Shown] = {
            "counted": Hours(counted),
            "waiting": Hours(share.waiting),
            "uncovered": Hours(share.uncovered),
            "refused": Hours(share.refused),
            "approved": Hours(self.replay.approved.get(case, 0)),
            "packs": Packs(len({leg.pack for leg in share.legs})),
        }
        if share.waiting:
            shortage = self._shortage(case)
            if shortage:
                values["shortage"] = Hours(shortage)
                text = N_("The approved estimate needs {shortage} more than are available. {waiting} wait.")
            elif self.replay.approved.get(case):
                text = (
                    N_("{counted} counted. {waiting} are beyond the approved {approved} and wait.")
                    if counted
                    else OVERRUN
                )
            else:
                text = N_("{counted} counted without approval. {waiting} wait.") if counted else NEEDS_APPROVAL
            return EntryState.WAITING, phrase(text, values)
        if share.refused:
            if counted:
                return EntryState.COUNTED, phrase(N_("{counted} counted. {refused} are not billable."), values)
            if share.uncovered:
                text = N_("No pack covers {uncovered} yet. {refused} are not billable.")
                return EntryState.COUNTED, phrase(text, values)
            return EntryState.REFUSED, phrase(N_("The client said no: {refused} are not billable."), values)
        if share.uncovered:
            text = N_("No pack covers {uncovered} yet; the next purchase does.")
            if counted:
                text = N_("{counted} counted. No pack covers {uncovered} yet; the next purchase does.")
            return EntryState.COUNTED, phrase(text, values)
        if not share.legs:
            return EntryState.COUNTED, phrase(N_("Rounded to nothing."))
        if values["packs"] == 1:
            return EntryState.COUNTED, phrase(N_("{counted} counted."), values)
        return EntryState.COUNTED, phrase(N_("{counted} counted, from {packs}."), values)

    def _shortage(self, case: str) -> int:
        short = [self.replay.unfunded[key] for key in self.replay.unfunded if self._case_of(key) == case]
        return max(short, default=0)

    def _case_of(self, estimate: str) -> str:
        return self.intake.estimates[estimate].case or ""

    # findings

    def findings(
        self,
        entries: Iterable[str],
        cases: Iterable[str],
        estimates: Mapping[str, EstimateOutcome],
        packs: Mapping[str, PackFigures],
        given: Sequence[Pack],
        days_of: Collection[str] | None = None,
    ) -> Iterator[Finding]:
        """Yield what is worth a person's look, of the records named; of days too long only those of ``days_of``."""
        days: set[tuple[str, date]] = set()
        for key in entries:
            entry, work = self.intake.entries.get(key), self.intake.works.get(key)
            if entry is None or entry.deleted:
                continue
            if work is None or (
                work.verdict and work.verdict in VERDICTS and self.entry(key).state == EntryState.REFUSED
            ):
                yield _finding(
                    "BadEntry", key, self.entry(key).sentence, "RND-1", verdict=work.verdict if work else "day"
                )
            elif self.replay.shares.get(key, Share()).uncovered:
                yield _finding("Uncovered", key, self.entry(key).sentence, "OVR-1", minutes=self.replay.uncovered[key])
            if entry.worked_on is not None and (days_of is None or key in days_of):
                days.add((entry.consultant or key, entry.worked_on))
        yield from self._long_days(days)
        for key in cases:
            waiting = sum(self.replay.waiting.get(key, {}).values())
            if waiting:
                code, rule = ("Overrun", "OVN-1") if self.replay.approved.get(key) else ("NeedsApproval", "ST-3b")
                yield _finding(code, key, self.case(key).sentence, rule, minutes=waiting)
        for key, estimate in estimates.items():
            if estimate.refusal:
                code = "Shortage" if estimate.refusal == "insufficient_balance" else "ApprovalRefused"
                yield _finding(
                    code,
                    key,
                    estimate.sentence,
                    APPROVAL_RULES[estimate.refusal],
                    refusal=estimate.refusal,
                    shortage=estimate.shortage_minutes,
                    packs_to_buy=estimate.packs_to_buy,
                )
            elif self._too_small(self.intake.estimates[key], estimate.status):
                yield _finding("EstimateTooSmall", key, estimate.sentence, "X-1")
        for key, pack in packs.items():
            if self.intake.packs[key].deleted and key in self.intake.lots:
                yield _finding("PackDeleted", key, pack.sentence, "LED-1")
            elif key in self.intake.lots and self.intake.lots[key].refusal:
                yield _finding("ExtensionRefused", key, pack.sentence, "PK-9", refusal=self.intake.lots[key].refusal)
        for gift in given:
            text = N_("{minutes} went back after their pack had ended and can be used until {last_day}.")
            values: dict[str, Shown] = {
                "minutes": Hours(gift.bought_minutes or 0),
                "last_day": gift.last_valid_on or self.today,
            }
            yield _finding("Courtesy", gift.key, phrase(text, values), "COR-2", minutes=gift.bought_minutes or 0)

    def _long_days(self, days: Iterable[tuple[str, date]]) -> Iterator[Finding]:
        for person, day in sorted(days):
            entries = [self.intake.entries[key] for key in sorted(self.intake.days.get((person, day), ()))]
            worked = [(person, day, e.worked_minutes or 0) for e in entries if not e.deleted]
            for _, _, minutes in rounding.long_days(worked, self.intake.policy.max_day_minutes):
                text = N_("{minutes} on {day} are more than a day holds.")
                sentence = phrase(text, {"minutes": Hours(minutes), "day": day})
                yield _finding("LongDay", entries[-1].key, sentence, "RND-1", minutes=minutes)


def _finding(code: str, record: str, sentence: Sentence, rule: str, **details: object) -> Finding:
    return Finding(
        code=code, record=record, message=str(sentence), rule=rule, details={"sentence": sentence, **details}
    )


NEEDS_APPROVAL = N_("No approved estimate covers this case. {waiting} wait.")
OVERRUN = N_("{waiting} are beyond the approved {approved} and wait for a supplementary approval.")

TOO_SMALL = N_("This estimate is smaller than the smallest request, {least}.")

VERDICTS = {
    "minutes_missing": N_("The minutes are missing; nothing is counted."),
    "minutes_not_positive": N_("Minutes must be more than zero; nothing is counted."),
    "day_missing": N_("The work date is missing; nothing is counted."),
    "worked_ahead": N_("The work date is ahead of the day it was entered; nothing is counted."),
    "corrected": N_("Replaced by a correction; nothing is counted here."),
    "not_billable": N_("Not billable; no hours are taken."),
    INCLUDED: N_("Included in the support plan; no hours are taken."),
    QUOTE: N_("Billed by quote; no hours are taken."),
}

REFUSALS = {
    "insufficient_balance": N_(
        "Approved, but {shortage} more are needed than available: buy {packs} and the approval takes effect."
    ),
    "stale_estimate_version": N_(
        "This version was replaced before it was approved; please decide on version {version}."
    ),
    "estimate_expired": N_(
        "Approved after its last day, {last_day}; nothing is reserved. Please ask for a new version."
    ),
    "status Expired": N_("Not answered by {last_day}; nothing is reserved."),
    "status Superseded": N_("Replaced by version {version}."),
    "plan_not_extendable": N_("This plan cannot be extended."),
    "already_extended": N_("This pack was extended before; once is all."),
    "lot_expired": N_("The extension was asked for after the last day, {last_day}."),
}

APPROVAL_RULES = {
    "insufficient_balance": "APR-4",
    "stale_estimate_version": "EST-3",
    "estimate_expired": "EST-2",
}
