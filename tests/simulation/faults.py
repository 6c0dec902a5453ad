"""Planted faults: each breaks one rule on purpose, and the simulation must find it.

``python -m tests.simulation.faults [NAME ...] [--seeds N]``. They are put in from here while a history runs, so no
release holds any of them. It keeps one law: a fault that is not found says that a promise is not looked at.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sfsync import sync
from sfsync.mirror import merge as merging
from sfsync.mirror.merge import Merged
from sfsync.mirror.plan import Outcome, Plan, Result
from sfsync.mirror.translate import Bookmark, Page
from tests.simulation import walk
from tests.simulation.__main__ import Layer, layer, outcome, shortest
from tests.simulation.model_org import ModelOrg, ModelSession
from tests.simulation.model_store import LEASE_SECONDS, ModelRoom, ModelStore

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that is broken on purpose."""

    name: str
    rule: str
    patches: tuple[Patch, ...]
    off: str = ""
    """Another layer of defence that would heal it, and is switched off."""
    layer: str = "line"


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Put the fault in for the length of a block."""
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in fault.patches]
    for owner, name, new in fault.patches:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def _decide(change: Callable[[Any, str], str]) -> Patch:
    real = merging._decide

    def decide(line: Any, ours: Any, theirs: Any, agreed: Any) -> str:
        verdict = real(line, ours, theirs, agreed)
        return change(line, verdict) if ours is not merging.MISSING else verdict

    return (merging, "_decide", decide)


def _merge(change: Callable[..., Merged]) -> Patch:
    real = merging.merge
    return (sync, "merge", lambda mapping, seen, link, *rest: change(real, mapping, seen, link, *rest))


def _around(owner: Any, name: str, change: Callable[..., Any]) -> Patch:
    real = owner.__dict__[name]
    return (owner, name, lambda *given, **more: change(real, *given, **more))


# --- merging --------------------------------------------------------------------------------------------


def _relinked(merged: Merged, **changes: Any) -> Merged:
    return replace(merged, link=replace(merged.link, **changes))


MERGING = (
    Fault("last writer wins", "I5: both moved: the loser goes to the log",
          (_decide(lambda line, v: {"take and log": "take", "keep and log": "keep"}.get(v, v)),)),
    Fault("the store always wins", "I5: a change by people only is taken",
          (_decide(lambda line, v: "keep" if line.owner == "shared" else v),)),
    Fault("the org always wins", "I6: a change of ours only is kept",
          (_decide(lambda line, v: "take" if line.owner == "shared" else v),)),
    Fault("a hand edit is taken", "service fields are put back",
          (_decide(lambda line, v: "take" if v == "put back" else v),)),
    Fault("people's field is kept", "org fields follow the org",
          (_decide(lambda line, v: "keep" if line.owner == "org" else v),)),
    Fault("late copies are believed", "IDM-1: an older stamp changes nothing", (
        (walk, "merge", lambda m, s, link, *r: merging.merge(m, s, replace(link, stamp=None) if link else None, *r)),
    ), layer="merge"),
    Fault("agreed never moves", "both remember what they had in common", (
        _merge(lambda real, m, s, link, *r: _relinked(real(m, s, link, *r), agreed=link.agreed if link else {})),
        (ModelRoom, "agreeing", lambda self, link: link),
    ), off="what needs no change is agreed"),
    Fault("a conflict is noted and forgotten", "I14: nothing is dropped silently",
          (_around(ModelRoom, "log", lambda real, self, seen, one: None),)),
    Fault("one note for each stamp", "I14: two values with one stamp are two notes", (
        (ModelRoom, "noted", lambda self, stamp, kind, kept, lost: (stamp, kind)),)),
    Fault("deletes are ignored", "D1: deleted there is deleted here", (
        _merge(lambda real, m, s, link, *r: real(m, replace(s, deleted=False), link, *r)),)),
    Fault("the bin speaks for the living", "I10: a record in the bin is no second one", (
        (ModelRoom, "of_two", lambda self, kept, seen: kept),)),
    Fault("undeletes are ignored", "D2: what comes back comes back", (
        _merge(lambda real, m, s, link, *r: real(
            m, replace(s, deleted=s.deleted or bool(link and link.deleted)), link, *r)),)),
)  # fmt: skip


# --- reading --------------------------------------------------------------------------------------------


def _early_bookmark(real: Any, self: ModelSession, mappings: Any, marks: Any, ids: Any) -> Iterator[Page]:
    for page in real(self, mappings, marks, ids):
        if page.bookmark.checkpoint:
            yield replace(page, bookmark=Bookmark(page.object, self.upto()))  # type: ignore[arg-type]
        else:
            yield page


def _far_checkpoint(real: Any, self: ModelSession, mappings: Any, marks: Any, ids: Any) -> Iterator[Page]:
    before: Page | None = None
    for page in real(self, mappings, marks, ids):
        if before is not None:
            point = before.bookmark
            if point.checkpoint and page.seen and page.object == before.object:
                upto = point.checkpoint.split("|")[0]
                last = page.seen[-1]
                before = replace(before, bookmark=replace(point, checkpoint=f"{upto}|{last.stamp}|{last.sf_id}"))
            yield before
        before = page
    if before is not None:
        yield before


def _empty_on_error(self: ModelSession, what: str) -> None:
    for _ in range(3):
        if self._call(what) == "ok":
            return
    self.org, self.broken = _Nothing(self.org), True  # type: ignore[assignment, attr-defined]


class _Nothing:
    """An org that shows no rows: what an error page is if nobody looks at it."""

    def __init__(self, org: Any) -> None:
        self.__dict__.update(org.__dict__)
        self.rows: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(ModelOrg, name).__get__(self)


def _holes(real: Any, self: ModelSession, sf_id: str, ids: Any) -> Any:
    seen = real(self, sf_id, ids)
    if seen is not None and self.org.drifted and "note" in seen.wire:
        seen.wire["note"] = None
    return seen


READING = (
    Fault("no overlap", "H3: a read begins behind the bookmark", ((ModelSession, "OVERLAP", 0),)),
    Fault("overlap of a minute", "H3: longer than the longest transaction", ((ModelSession, "OVERLAP", 60),)),
    Fault("stamps compared with >", "H4: stamps tie", (
        (ModelOrg, "ALWAYS_COVERS", True), (ModelSession, "OVERLAP", 0),
        _around(ModelSession, "wanted", lambda real, self, row, since, place: real(
            self, row, since + 1 if since is not None else None, place)),
    ), off="the overlap"),
    Fault("bookmark = newest stamp seen", "I11: never the newest stamp alone", (
        (ModelSession, "finished", lambda self, mark, upto, stamps: max(
            [*stamps, *([mark.read_to] if mark and mark.read_to is not None else [])], default=upto)),)),
    Fault("bookmark = our clock at the end", "I11: never past the org's own word", (
        (ModelSession, "finished", lambda self, mark, upto, stamps: self.org.clock.now),)),
    Fault("latestDateCovered is ignored", "I11: a transaction may still be open",
          ((ModelSession, "upto", lambda self: self.org.clock.now),)),
    Fault("bookmark stored early", "I11: it moves with the last page",
          (_around(ModelSession, "pages", _early_bookmark),)),
    Fault("checkpoint past the page", "I11: a place names rows that were absorbed",
          (_around(ModelSession, "pages", _far_checkpoint),)),
    Fault("checkpoint without the id", "H4: the key is (stamp, id)", (
        _around(ModelSession, "wanted", lambda real, self, row, since, place: row.stamp > place[0]
                if place is not None else real(self, row, since, place)),)),
    Fault("bookmark outside of the transaction", "I11: bookmark and rows move together", (
        _around(ModelRoom, "absorb", lambda real, self, page, merged: (
            self.move(self.store.bookmarks.get((self.org, page.object)), page.bookmark), real(self, page, merged))),)),
    Fault("the bin is not read", "D1: queryAll", (
        _around(ModelSession, "wanted", lambda real, self, row, since, place: not row.deleted
                and real(self, row, since, place)),)),
    Fault("hard deletes are not read", "D4: the delete log is asked", (
        _around(ModelSession, "pages", lambda real, self, *given: (
            replace(page, hard_deleted=()) for page in real(self, *given))),)),
    Fault("an error page is no rows", "H10: an error never becomes an empty answer",
          ((ModelSession, "_read", _empty_on_error),)),
    Fault("a hidden field is null", "D10: drift pauses; it never empties", (
        (ModelSession, "check", lambda self, mappings, marks, ids: None), _around(ModelSession, "_seen", _holes))),
    Fault("no organisation pin", "I7: only the organisation that was pinned",
          ((ModelStore, "pin", lambda self, org, organization_id: None),)),
)  # fmt: skip


# --- the store ------------------------------------------------------------------------------------------


def _any_lease(self: ModelStore, org: str) -> int:
    token, _ = self.leases.get(org, (0, -1))
    self.leases[org] = (max(token, 1), self.clock.now + LEASE_SECONDS)
    return max(token, 1)


def _recorded(change: Callable[[Any], None]) -> Patch:
    real = ModelRoom.__dict__["record"]

    def record(self: ModelRoom, evaluation: Any, now: Any) -> None:
        change(evaluation)
        real(self, evaluation, now)

    return (ModelRoom, "record", record)


def _no_reversals(said: Any) -> None:
    said.postings = [p for p in said.postings if p.minutes < 0 or p.source == p.pack]


def _draws_first(said: Any) -> None:
    said.postings.sort(key=lambda p: (p.source != p.pack, p.minutes))


def _breach_not_kept(said: Any) -> None:
    for values in said.fields.values():
        values.pop("breached", None)


def _evaluated_ahead(real: Any, self: ModelRoom, evaluation: Any, now: Any) -> None:
    real(self, evaluation, now)
    self.store.evaluated = self.store.version + 1


def _begun_now(real: Any, self: ModelRoom, plan: Plan, now: Any) -> None:
    self._examined = {k: self.store.links[(self.org, *k)].touched + 1 for k in self._examined}
    real(self, plan, now)


def _never_again(result: Result) -> Patch:
    def settle(real: Any, self: ModelRoom, outcomes: Any, refused: Any, now: Any) -> None:
        given = list(outcomes)
        real(self, given, refused, now)
        for one in given:
            if one.result is result:
                row = self.store.links[self.org, one.change.object, one.change.key]
                row.settled = row.touched

    return _around(ModelRoom, "settle", settle)


def _hours_stay(real: Any, self: ModelRoom, page: Page, merged: Any) -> None:
    real(self, page, merged)
    for sf_id, _ in page.hard_deleted:
        local = self.store.rows.get((page.object, self.store.ids.get((self.org, sf_id), "")))
        if local is not None:
            local.deleted = False


def _post_blind(real: Any, self: ModelStore, posting: Any) -> None:
    stood = self.standing.get(posting.source)
    real(self, posting)
    if stood is None and posting.source != posting.pack:
        del self.standing[posting.source]


_NOTHING_REPLACED: Patch = (ModelRoom, "replaced", lambda self, link, change, sent: {})
_NOTHING_SWALLOWED: Patch = (
    ModelSession, "_done", lambda self, change, mappings, fate: self.org.apply(mappings, change)
)  # fmt: skip

STORE = (
    Fault("no fence", "P13: every commit proves its lease", ((ModelRoom, "prove", lambda self: None),)),
    Fault("no lease", "one run an org at a time", (
        (ModelStore, "acquire", _any_lease),), off="the fence, which hangs on the lease's token"),
    Fault("read committed", "B3: memories that grew old are not merged", ((ModelRoom, "current", lambda self: True),)),
    Fault("rules recorded on old facts", "what was said of one version is in force or not at all",
          ((ModelRoom, "unchanged", lambda self: True),)),
    Fault("a reversal is forgotten", "I2: an edit is a reversal and a posting", (_recorded(_no_reversals),)),
    Fault("draws before reversals", "I3: no pack dips below zero", (_recorded(_draws_first),)),
    Fault("a posting is not remembered", "I4: minutes move once", (_around(ModelStore, "post", _post_blind),)),
    Fault("a breach is not kept", "law 6: a breach is told once", (_recorded(_breach_not_kept),)),
    Fault("deadlines are not looked at", "law 6: what has come due is looked at", (
        _around(ModelRoom, "facts", lambda real, self, now, *ask: real(self, -1, *ask)),)),
    Fault("looked at too much", "only what was looked at counts as looked at",
          (_around(ModelRoom, "record", _evaluated_ahead),)),
    Fault("computed fields touch nothing", "what the rules change is planned",
          ((ModelStore, "touch", lambda self, changed, orgs: None),)),
    Fault("begun with what is there now", "only what was examined is settled",
          (_around(ModelRoom, "begin", _begun_now),)),
    Fault("what both came to is not agreed", "equal on both sides is agreed",
          ((ModelRoom, "agreeing", lambda self, link: link),)),
    Fault("settle from what was sent", "what was confirmed is true once a read has shown it",
          ((ModelRoom, "await_echo", lambda self, link, mark: None), _NOTHING_REPLACED)),
    Fault("no read is awaited", "what was confirmed and no read shows is looked up by its id",
          ((ModelRoom, "await_echo", lambda self, link, mark: None),)),
    Fault("what a write replaced is forgotten", "I5: what no read has shown may never have been written",
          (_NOTHING_REPLACED,)),
    Fault("later is never", "I12: what waits is tried again", (_never_again(Result.LATER),)),
    Fault("hours stay of what is gone", "D4: hard deleted gives its minutes back",
          (_around(ModelRoom, "absorb", _hours_stay),)),
    Fault("bookmark by itself goes on", "I11: a bookmark follows its page", (
        _around(ModelRoom, "move", lambda real, self, before, to: real(
            self, before, replace(to, read_to=to.read_to + 1_000 if to.read_to is not None else None))),)),
)  # fmt: skip


# --- writing --------------------------------------------------------------------------------------------


def _all_done(self: ModelSession, outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(o, result=Result.DONE, sf_id=o.sf_id or o.change.sf_id) for o in outcomes]


def _unknown_is_done(self: ModelSession, outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(o, result=Result.DONE) if o.code == "UNKNOWN_OUTCOME" else o for o in outcomes]


def _passing_is_final(self: ModelSession, outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(o, result=Result.REJECTED) if o.result is Result.LATER else o for o in outcomes]


def _wrong_rows(self: ModelSession, outcomes: list[Outcome]) -> list[Outcome]:
    results = [o.result for o in outcomes][::-1]
    return [replace(o, result=r) for o, r in zip(outcomes, results, strict=True)]


def _no_key(real: Any, self: ModelOrg, key: str) -> Any:
    return None


def _planned(change: Callable[[Plan], Plan]) -> Patch:
    real = sync.plan
    return (sync, "plan", lambda *given: change(real(*given)))


def _old_payload(real: Any, self: ModelSession, mappings: Any, changes: Any) -> Iterator[Outcome]:
    kept = self.org.__dict__.setdefault("kept_payloads", {})
    fresh = [replace(c, fields={**c.fields, **kept.get(c.key, {})}) for c in changes]
    for one in real(self, mappings, fresh):
        if one.result is Result.LATER:
            kept[one.change.key] = one.change.fields
        else:
            kept.pop(one.change.key, None)
        yield one


WRITING = (
    Fault("a 200 is trusted", "H6: each row has its own outcome", ((ModelSession, "answered", _all_done),)),
    Fault("no answer is yes", "1.2: unknown is never done", ((ModelSession, "answered", _unknown_is_done),)),
    Fault("a lock is for ever", "H7: what passes is tried again", ((ModelSession, "answered", _passing_is_final),)),
    Fault("results matched in another order", "H6: results belong to their rows",
          ((ModelSession, "answered", _wrong_rows), _NOTHING_REPLACED, _NOTHING_SWALLOWED),
          off="what a write replaced is remembered"),
    Fault("insert for upsert", "I10: every create is an upsert", (_around(ModelOrg, "_by_key", _no_key),)),
    Fault("no revision rule", "I9: the org refuses a late write",
          ((ModelOrg, "newer", lambda self, row, change: False),)),
    Fault("equal revisions for two runs", "I9: each attempt takes a revision of its own",
          ((ModelRoom, "reserved", lambda self, link: link),)),
    Fault("revisions are not counted", "I9: a revision only grows",
          (_planned(lambda made: replace(made, changes=tuple(replace(c, revision=1) for c in made.changes))),)),
    Fault("unconditional write of shared fields", "I5: only what was seen is replaced",
          ((ModelOrg, "decided", lambda self, row, change: False),)),
    Fault("payloads are kept", "law 2: the plan is derived again", (_around(ModelSession, "write", _old_payload),)),
    Fault("creates are left out", "what is missing in the org is made",
          (_planned(lambda made: replace(made, changes=tuple(c for c in made.changes if c.sf_id))),)),
    Fault("one field is left out", "every field that differs is written", (
        _planned(lambda made: replace(made, changes=tuple(
            replace(c, fields={n: v for n, v in c.fields.items() if n != "balance"}) for c in made.changes))),)),
    Fault("a dead run goes on", "LeaseLost stops the run",
          ((ModelRoom, "prove", lambda self: None), (ModelOrg, "newer", lambda self, row, change: False)),
          off="fence and revision rule together"),
)  # fmt: skip


# --- two clients in one hub -----------------------------------------------------------------------------


def _amnesia(real: Any, mapping: Any, seen: Any, link: Any, *rest: Any) -> Merged:
    """In a hub, forget what was agreed: our own write coming back looks like a consultant's edit."""
    forgot = replace(link, agreed={}) if link is not None and mapping.client else link
    return real(mapping, seen, forgot, *rest)  # type: ignore[no-any-return]


HUB = (
    Fault("the hub's echo is taken as an edit", "our own write coming back is no change",
          (_merge(_amnesia),), layer="hub"),
    Fault("a row of another client is stored", "I7: a row of a hub hangs together with what its client has",
          ((sync, "refuse_strangers", lambda *given: None),), layer="hub"),
)  # fmt: skip

FAULTS = {fault.name: fault for fault in (*MERGING, *READING, *STORE, *WRITING, *HUB)}


@dataclass(frozen=True, slots=True)
class Found:
    """How a planted fault was found."""

    fault: Fault
    seed: int
    promise: str
    steps: int


def hunt(fault: Fault, seeds: range, *, shorten: bool = True) -> Found | None:
    """Return the first seed that finds the fault, with the length of the shortest history; None if none does.

    Raises RuntimeError where the fault trips over itself: that is no finding.
    """
    lay: Layer = layer(fault.layer)
    with planted(fault):
        for seed in seeds:
            promise = outcome(lay, seed)
            if promise is not None and promise.startswith(("TypeError", "AttributeError")):
                raise RuntimeError(f"{fault.name!r} does not fit the code any more: {promise}")
            if promise is not None:
                kept = shortest(lay, seed, promise, 300) if shorten else lay.steps(seed)
                return Found(fault, seed, promise, len(kept))
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a fault was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="which faults (default: all)")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds to try for each")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in FAULTS]
    if unknown:
        parser.error(f"there is no planted fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
    missed, began = 0, time.monotonic()
    for name in given.names or FAULTS:
        found = hunt(FAULTS[name], range(given.seeds))
        fault = FAULTS[name]
        off = f" (off: {fault.off})" if fault.off else ""
        if found is None:
            missed += 1
            sys.stdout.write(f"NOT FOUND in {given.seeds} seeds | {name}{off} | {fault.rule}\n")
        else:
            promise = found.promise.split(":")[0]
            sys.stdout.write(f"seed {found.seed} | {found.steps} steps | {name}{off} | {fault.rule} | {promise}\n")
        sys.stdout.flush()
    total = len(given.names or FAULTS)
    sys.stdout.write(f"{total - missed} of {total} found in {time.monotonic() - began:.0f} s\n")
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
