"""Append-only postings: their fold, the difference to what should stand, and proof that books balance.

May not know approvals or burn order. It keeps one law: a posting is never changed; what must change is
reversed to the same packs in reverse order and posted again under the next version (COR-1, IDM-1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from sfsync.records import Adjustment, Posting, PostingKind

GENESIS = "0" * 64
"""What the first posting of a client is chained to."""

ACT = "act:"
"""Start of the source of a posting a person made: a fact like any record, kept and never derived."""


class Line(NamedTuple):
    """What should stand, or stands, of one source on one pack; ``minutes`` is signed."""

    pack: str
    minutes: int
    effective_on: date
    kind: PostingKind
    case: str | None = None
    category: str | None = None


class Standing(NamedTuple):
    """What stands of one source, and the version it was last posted under."""

    version: int
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Target:
    """What should stand of one source, and why."""

    lines: tuple[Line, ...]
    reason: str = ""


def order(posting: Posting) -> tuple[int, int]:
    """Return the place of a posting among those of its source."""
    return posting.source_version, posting.leg


def standing(postings: Iterable[Posting], before: Mapping[str, Standing] | None = None) -> dict[str, Standing]:
    """Fold postings, in any order, to what stands of each source they name, continuing from ``before``.

    A reversal takes back the newest equal line. Expiry is a running sum by source. Raises ``ValueError`` for
    a reversal of something that does not stand, or the same (source, version, leg) twice.
    """
    by_source: dict[str, list[Posting]] = {}
    for posting in postings:
        by_source.setdefault(posting.source, []).append(posting)
    known = before or {}
    return {source: _stand(source, each, known.get(source)) for source, each in by_source.items()}


def _stand(source: str, postings: list[Posting], before: Standing | None) -> Standing:
    if len(postings) > 1:
        postings.sort(key=order)
        for one, two in zip(postings, postings[1:], strict=False):
            if order(one) == order(two):
                raise ValueError(f"{source}: version {one.source_version} leg {one.leg} was posted twice")
    lines: list[Line] = list(before.lines) if before is not None else []
    for p in postings:
        if p.kind == PostingKind.REVERSAL:
            _take_back(source, lines, p)
        elif p.kind in (PostingKind.EXPIRE, PostingKind.EXPIRE_REVERSAL):
            total = p.minutes + (lines.pop().minutes if lines else 0)
            if total > 0:
                raise ValueError(f"{source}: more was taken back than had expired")
            if total:
                lines.append(Line(p.pack, total, p.effective_on, PostingKind.EXPIRE))
        else:
            lines.append(Line(p.pack, p.minutes, p.effective_on, p.kind, p.case, p.category))
    return Standing(postings[-1].source_version, tuple(lines))


def _take_back(source: str, lines: list[Line], reversal: Posting) -> None:
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].pack == reversal.pack and lines[index].minutes == -reversal.minutes:
            del lines[index]
            return
    raise ValueError(f"{source}: a reversal of {reversal.minutes} on {reversal.pack} reverses nothing")


def difference(standing: Mapping[str, Standing], targets: Mapping[str, Target], now: datetime) -> list[Posting]:
    """Return the postings that bring each source of ``targets`` from what stands to what should stand.

    A target without lines takes the source back. In the order returned no pack falls below zero on the
    way, if it was not below before and is not after: minutes arrive, come back, and then go.
    """
    bought: list[Posting] = []
    returned: list[Posting] = []
    unbought: list[Posting] = []
    drawn: list[Posting] = []
    expired: list[Posting] = []
    for source, target in targets.items():
        before = standing.get(source)
        stands = before.lines if before is not None else ()
        if stands == target.lines:
            continue
        post = _Post(source, (before.version if before is not None else 0) + 1, now, target.reason)
        if _expiry(stands, target.lines):
            change = _total(target.lines) - _total(stands)
            line = (target.lines or stands)[0]
            if change > 0:
                returned.append(post(line._replace(kind=PostingKind.EXPIRE_REVERSAL, minutes=change)))
            else:
                expired.append(post(line._replace(minutes=change)))
            continue
        kept = len(stands) if target.lines[: len(stands)] == stands else 0
        for line in reversed(stands[kept:]):
            back = line._replace(kind=PostingKind.REVERSAL, minutes=-line.minutes)
            (returned if line.minutes < 0 else unbought).append(post(back))
        for line in target.lines[kept:]:
            (bought if line.minutes > 0 else drawn).append(post(line))
    return [*bought, *returned, *unbought, *drawn, *expired]


def _expiry(stands: tuple[Line, ...], wanted: tuple[Line, ...]) -> bool:
    return any(line.kind == PostingKind.EXPIRE for line in (*stands, *wanted))


def _total(lines: tuple[Line, ...]) -> int:
    return sum(line.minutes for line in lines)


@dataclass(slots=True)
class _Post:
    """Makes the postings of one version of one source, leg by leg."""

    source: str
    version: int
    now: datetime
    reason: str
    leg: int = 0

    def __call__(self, line: Line) -> Posting:
        posting = Posting(
            pack=line.pack,
            minutes=line.minutes,
            kind=line.kind,
            effective_on=line.effective_on,
            booked_at=self.now,
            source=self.source,
            source_version=self.version,
            leg=self.leg,
            case=line.case,
            category=line.category,
            reason=self.reason,
        )
        self.leg += 1
        return posting


def act(
    name: str, kind: PostingKind, minutes: Mapping[str, int], *, on: date, now: datetime, reason: str
) -> list[Posting]:
    """Return the postings of something a person decided: pack to signed minutes (REF-1).

    ``name`` is unique to the act. A refund takes, a transfer sums to zero, an adjustment does either; anything
    else raises ``ValueError``, as does an act without a reason.
    """
    total = sum(minutes.values())
    lawful = {
        PostingKind.REFUND: all(each < 0 for each in minutes.values()),
        PostingKind.TRANSFER: total == 0,
        PostingKind.ADJUSTMENT: True,
    }
    if not lawful.get(kind, False) or not minutes or not all(minutes.values()) or not reason:
        raise ValueError(f"{kind.value} of {dict(minutes)} for {reason!r} is not an act a person may post")
    lines = [Line(pack, each, on, kind) for pack, each in sorted(minutes.items(), key=lambda item: -item[1])]
    post = _Post(f"{ACT}{name}", 1, now, reason)
    return [post(line) for line in lines]


def posting_of(adjustment: Adjustment) -> Posting | None:
    """Return the posting a recorded act stands for; None while the record says too little, or was never in force.

    The same record gives the same posting in a store that was lost and read again.
    """
    pack, minutes, on, at = adjustment.pack, adjustment.minutes, adjustment.effective_on, adjustment.booked_at
    if pack is None or not minutes or on is None or at is None or adjustment.kind is None:
        return None
    return Posting(
        pack=pack,
        minutes=minutes,
        kind=PostingKind(adjustment.kind.lower()),
        effective_on=on,
        booked_at=at,
        source=f"{ACT}{adjustment.key}",
        source_version=1,
        leg=0,
        reason=adjustment.reason or "",
    )


def unposted(adjustments: Iterable[Adjustment], postings: Iterable[Posting]) -> list[Posting]:
    """Return the postings of recorded acts that are not booked yet, oldest first: after a store was lost, all."""
    booked = {p.source for p in postings if p.source.startswith(ACT)}
    told = (posting_of(each) for each in adjustments if not each.deleted)
    return sorted((p for p in told if p is not None and p.source not in booked), key=lambda p: (p.booked_at, p.source))


# balances


def balances(
    postings: Iterable[Posting], *, booked_until: datetime | None = None, effective_until: date | None = None
) -> dict[str, int]:
    """Return the minutes of each pack: the sum of its postings (LED-1).

    With ``booked_until`` as they were known at that instant, it included; with ``effective_until`` as they
    stood at the end of that local day.
    """
    sums: dict[str, int] = {}
    for p in postings:
        if booked_until is not None and p.booked_at > booked_until:
            continue
        if effective_until is not None and p.effective_on > effective_until:
            continue
        sums[p.pack] = sums.get(p.pack, 0) + p.minutes
    return sums


@dataclass(frozen=True, slots=True)
class Books:
    """The sums of a set of postings; each is zero or more but ``adjusted``, which is signed."""

    purchased: int = 0
    courtesy: int = 0
    consumed: int = 0
    expired: int = 0
    refunded: int = 0
    adjusted: int = 0
    """Given or taken by hand, transfers between packs included."""
    balance: int = 0
    negative: Mapping[str, int] = field(default_factory=dict)
    """Packs below zero: there must be none."""

    @property
    def error(self) -> int:
        """Return what does not add up, in minutes; it is zero (LED-9).

        purchased + courtesy + adjusted - consumed - expired - refunded - balance
        """
        put_in = self.purchased + self.courtesy + self.adjusted
        return put_in - self.consumed - self.expired - self.refunded - self.balance

    @property
    def sound(self) -> bool:
        """Return whether nothing was lost or made, and no pack is below zero."""
        return self.error == 0 and not self.negative


def books(postings: Iterable[Posting]) -> Books:
    """Return the sums by kind and the balance, which is summed apart from them (LED-9)."""
    sums = dict.fromkeys(("purchased", "courtesy", "consumed", "expired", "refunded", "adjusted"), 0)
    packs: dict[str, int] = {}
    gifts: set[str] = set()
    for p in postings:
        packs[p.pack] = packs.get(p.pack, 0) + p.minutes
        if p.kind == PostingKind.COURTESY:
            gifts.add(p.source)
        sums[_account(p, gifts)] += p.minutes
    return Books(
        purchased=sums["purchased"],
        courtesy=sums["courtesy"],
        consumed=-sums["consumed"],
        expired=-sums["expired"],
        refunded=-sums["refunded"],
        adjusted=sums["adjusted"],
        balance=sum(packs.values()),
        negative={pack: minutes for pack, minutes in packs.items() if minutes < 0},
    )


def _account(p: Posting, gifts: set[str]) -> str:
    if p.kind == PostingKind.REVERSAL:
        return "consumed" if p.minutes > 0 else "courtesy" if p.source in gifts else "purchased"
    if p.kind == PostingKind.ADJUSTMENT:
        return "consumed" if p.case is not None else "adjusted"
    return {
        PostingKind.PURCHASE: "purchased",
        PostingKind.COURTESY: "courtesy",
        PostingKind.CONSUME: "consumed",
        PostingKind.EXPIRE: "expired",
        PostingKind.EXPIRE_REVERSAL: "expired",
        PostingKind.REFUND: "refunded",
        PostingKind.TRANSFER: "adjusted",
    }[p.kind]


def dips(postings: Sequence[Posting]) -> list[Posting]:
    """Return each posting, in this order, that takes its pack below zero: a store would refuse it."""
    sums: dict[str, int] = {}
    below = []
    for p in postings:
        sums[p.pack] = sums.get(p.pack, 0) + p.minutes
        if p.minutes < 0 and sums[p.pack] < 0:
            below.append(p)
    return below


# the chain


def fingerprint(posting: Posting, before: str) -> str:
    """Return the SHA-256 of a posting and of the one before it, as 64 hexadecimal digits.

    Every field goes in with its length, so no two postings read the same.
    """
    digest = hashlib.sha256(before.encode())
    for value in (
        posting.pack,
        str(posting.minutes),
        posting.kind.value,
        posting.effective_on.isoformat(),
        posting.booked_at.isoformat(),
        posting.source,
        str(posting.source_version),
        str(posting.leg),
        "" if posting.case is None else f"={posting.case}",
        "" if posting.category is None else f"={posting.category}",
        posting.reason,
    ):
        raw = value.encode()
        digest.update(f"{len(raw)}:".encode() + raw)
    return digest.hexdigest()


def chain(postings: Iterable[Posting], before: str = GENESIS) -> list[str]:
    """Return the hash of each posting, in the order they were booked, continuing after ``before``."""
    hashes = []
    for posting in postings:
        before = fingerprint(posting, before)
        hashes.append(before)
    return hashes


def verify(postings: Sequence[Posting], hashes: Sequence[str], before: str = GENESIS) -> int | None:
    """Return the index of the first posting that is not what was chained, or None if all are.

    A missing or surplus posting at the end is found too: its index is the shorter length.
    """
    for index, (posting, known) in enumerate(zip(postings, hashes, strict=False)):
        before = fingerprint(posting, before)
        if before != known:
            return index
    return None if len(postings) == len(hashes) else min(len(postings), len(hashes))
