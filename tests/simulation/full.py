"""The full layer: the runtime as it is, a real PostgreSQL, local orgs with people in them, and everything that fails.

May not replace any part of the product. It keeps one law: a history is a seed and a list of steps; every step draws
from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from random import Random
from typing import Any

from sfsync.errors import LeaseLost, Next, SfsyncError
from sfsync.localorg.errors import ApiError
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.mirror.translate import Ids, Seen, same, to_wire
from sfsync.org import transport
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from sfsync.records import Posting, TimeEntry
from sfsync.runtime import Runtime
from sfsync.sync import Report
from tests.simulation.ground import Broken, Killed, Trace, Worker, chance, shares
from tests.simulation.people import ENTRY, People, allow, show
from tests.simulation.place import Place

QUIET_RUNS = 3
OPEN = ("Sent", "Question")
"""What a person says of an estimate and time may still change."""
_place: Place | None = None


def place(url: str | None = None) -> Place:
    """Return the one place of this process; opened when it is first asked for."""
    global _place  # noqa: PLW0603 - opening it takes seconds, and every history uses it
    if _place is None:
        _place = Place(url)
    return _place


def close() -> None:
    """Close the place of this process."""
    global _place  # noqa: PLW0603
    if _place is not None:
        _place.close()
        _place = None


class History(People):
    """One seed's world, step by step."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        self.seed, self.trace = seed, trace
        self.place = place()
        draw = chance(seed, "world")
        self.names = ("acme", "zeta") if draw.random() < 0.2 else ("acme",)
        self.rough = draw.choice((0.0, 0.4, 0.9))
        self.steps = draw.choice((6, 10, 14, 20, 30))
        self.skew = draw.choice((0, 0, -120, 45, 300))
        self.workers = {name: Worker(name) for name in self.names}
        self.bulk = draw.random() < 0.1
        """Three rows are many: they are written by a Bulk job."""
        self.decided = {}
        self.beyond = False
        self.runs = 0

    def run(self, kept: Sequence[int] | None = None) -> None:
        """Live through the steps that are kept, then come to rest; raises Broken."""
        self.place.reset(str(self.seed))
        for name in self.names:
            self.place.skewed[name].skew = self.skew
        many, transport.BULK_FROM = transport.BULK_FROM, 3 if self.bulk else transport.BULK_FROM
        try:
            for step in range(self.steps) if kept is None else kept:
                self._step(step, chance(self.seed, step))
            self._rest()
        finally:
            transport.BULK_FROM = many
            for worker in self.workers.values():
                worker.close()

    def _step(self, step: int, draw: Random) -> None:
        name = self.names[0] if len(self.names) == 1 else draw.choice(self.names)
        roll = draw.random()
        act = next(act for limit, act in _ACTS if roll < limit)
        self.place.later(minutes=draw.choice((0, 0, 0, 1, 3, 11)))
        with suppress(ApiError):  # the org refuses it, as it would refuse a person
            act(self, name, draw, step)
        if self.trace is not None:
            postings = self.place.ask("SELECT count(*), coalesce(sum(minutes), 0) FROM posting")[0]
            now = self.place.clock.now()
            self.trace.add(f"{step} {act.__name__} {name} {now:%d %H:%M:%S} {postings[0]} {postings[1]} {self.runs}")

    # --- workers ------------------------------------------------------------------------------------

    def work(self, name: str, draw: Random, step: int) -> None:
        """A worker is nudged: it runs, dies anywhere, or freezes while others go on."""
        worker = self.workers[name]
        if worker.frozen:
            if draw.random() < 0.6:
                self.place.forget_lease(name)
                expect(lambda: self._sync(self.place.worker(), name))
            expect(lambda: worker.thaw(draw.randint(0, 8), kill=draw.random() < 0.3))
            return
        roll = draw.random()
        if draw.random() < 0.8:
            self.place.forget_lease(name)
        if roll < 0.08:  # nudges come late, twice, or for nothing: who is due is written in the store
            roster = self.place.worker().roster
            for org in (*roster.due(), *roster.sweep(), name):
                if org in self.names:
                    for _ in range(2):
                        expect(lambda o=org: roster.sync_if_due(o))
        elif roll < 0.45:
            expect(lambda: self._sync(self.place.worker(), name))
        elif roll < 0.75:
            runtime = self.place.worker(worker.point)
            expect(lambda: worker.run(lambda: self._sync(runtime, name), kill_after=draw.randint(0, 70)))
        else:
            runtime = self.place.worker(lambda at: None if at == "commit" else worker.point(at))
            expect(lambda: worker.freeze(lambda: self._sync(runtime, name), draw.randint(0, 40)))

    def _sync(self, runtime: Runtime, name: str) -> Report:
        self.runs += 1
        return runtime.sync(name)

    # --- what must hold -----------------------------------------------------------------------------

    def _rest(self) -> None:
        for worker in self.workers.values():
            if worker.frozen:
                expect(worker.thaw)
        for name in self.names:
            calm(self.place.orgs[name])
            allow(self.place, name)
            show(self.place, name)
            self.place.forget_lease(name)
            self._quiet(name)
            equal(self.place, name)
            books(self.place, name)
            self._decisions_stand(name)
            if self.trace is not None:
                self._told(name, self.trace)
        self._nothing_crossed()
        if not self.beyond and chance(self.seed, "rest").random() < 0.1:
            self._rebuild(self.names[0])

    def _told(self, name: str, trace: Trace) -> None:
        """Everything that the org shows, and what the store remembers of it."""
        for sobject, records in shown(self.place, name).items():
            for seen in records:
                trace.add(f"  {sobject} {seen.sf_id} {seen.stamp} {seen.deleted} {sorted(seen.wire.items())}")
        for what in ("link", "posting", "milestone", "conflict"):
            rows = self.place.ask(f"SELECT (to_jsonb(t) - 'seq')::text FROM \"{what}\" t WHERE client = %s", name)
            trace.add(f"  {what} {sorted(rows)}")  # a sequence of the database counts through all histories

    def _quiet(self, name: str) -> None:
        """Run until nothing is left but what time brings; then a run at the same instant does nothing at all."""
        for _ in range(QUIET_RUNS):
            self.place.later(minutes=61)  # longer than anything waits
            if self._idle(self._sync(self.place.runtime, name)):
                break
        else:
            report = self._sync(self.place.runtime, name)  # it may still hear the history of what was written
            if not self._idle(report):
                raise Broken("a second run writes nothing", f"{report}")
        report = self._sync(self.place.runtime, name)
        if not self._idle(report) or report.evaluated:
            raise Broken("a second run writes nothing", f"{report}")
        far_behind = self.place.skewed[name].skew > self.place.runtime.org(name).overlap_seconds
        if report.calls > 1 + far_behind:  # by our clock the first question was about the past
            raise Broken("calls stay within the bound", f"a quiet poll cost {report.calls}")

    @staticmethod
    def _idle(report: Report) -> bool:
        return not (report.wrote or report.absorbed or report.later or report.refused)

    def _decisions_stand(self, name: str) -> None:
        """What a person decided is in force, or both values are in the log (I5)."""
        conflicts = {(c["key"], str(c["lost"])) for c in self.place.runtime.store.conflicts(name)}
        for (org, estimate), word in self.decided.items():
            row = self.place.orgs[org].get("Maintenance_Estimate__c", estimate) if org == name else None
            if row is None or row["Status__c"] == word:
                continue
            [found] = self.place.ask("SELECT key FROM link WHERE org = %s AND sf_id = %s", name, estimate) or [("",)]
            replaced = word in OPEN and row["Status__c"] in ("Expired", "Superseded")
            if not replaced and (found[0], word) not in conflicts:
                raise Broken("no person's edit is lost", f"{estimate}: {word} became {row['Status__c']}")

    def _nothing_crossed(self) -> None:
        if len(self.names) == 1:
            return
        for name, other in (("acme", "zeta"), ("zeta", "acme")):
            apart(self.place, name, other)

    def _rebuild(self, name: str) -> None:
        """The store is lost: the orgs alone give the same balances back, and nothing changes in them."""
        before = self.place.runtime.store.balances(name)
        self.place.wipe()
        self.place.pin()
        for _ in range(QUIET_RUNS):
            self._sync(self.place.runtime, name)
            self.place.later(minutes=20)
        after = self.place.runtime.store.balances(name)
        if before != after:
            raise Broken("a lost store is rebuilt from the org", f"{before} became {after}")


def expect(act: Callable[[], Any]) -> Any:
    """Do what may die or be told to try again; only an error that says "stop" goes on."""
    try:
        return act()
    except (Killed, LeaseLost):
        return None
    except SfsyncError as bad:
        if bad.next is Next.STOP:
            raise
        return None


def calm(org: LocalOrg) -> None:
    """Let an org's bad luck end, and every transaction that is open."""
    org.faults = Faults()
    for held in list(org.storage.held.values()):
        org.commit_held(held)


def apart(place: Place, name: str, other: str) -> None:
    """Raise Broken if a word of the client ``other`` is among the rows of ``name``, or in its org (I7)."""
    for table in ("case", "time_entry", "estimate", "link", "conflict"):
        found = place.ask(
            f'SELECT count(*) FROM "{table}" t WHERE client = %s AND t::text LIKE %s', name, f"%{other}-%"
        )
        if found[0][0]:
            raise Broken("nothing crosses clients", f"{table} of {name} holds words of {other}")
    storage = place.orgs[name].storage
    for sobject, field in (("Case", "Subject"), ("Case", "Description"), (ENTRY, "Description__c")):
        if storage.rows(f'SELECT 1 FROM "{sobject}" WHERE "{field}" LIKE ?', (f"{other}-%",)):
            raise Broken("nothing crosses clients", f"{sobject} in {name} holds words of {other}")


def shown(place: Place, part: str) -> dict[str, list[Seen]]:
    """Return everything an org shows of a client, read from its beginning."""
    mappings = place.runtime.mappings_of(part)
    ids = known_ids(place, part)
    found: dict[str, list[Seen]] = {mapping.object: [] for mapping in mappings}
    with closing(place.runtime.session(part)) as session:
        for page in extract(session, mappings, {}, ids, preflight(session, mappings, {}, ids)):
            found[page.object] += page.seen
    return found


def known_ids(place: Place, part: str) -> Ids:
    """Return every pair of id and key that the store knows in an org, and the keys of what was deleted there.

    The key of a record that was merged means the winner, or nothing once the last winner is deleted.
    """
    ids = Ids(place.local(part).org_id)
    ids.update(place.ask("SELECT sf_id, key FROM link WHERE org = %s AND sf_id IS NOT NULL", part))
    dead = place.ask("SELECT sf_id, key, coalesce(merged_into, '') FROM link WHERE org = %s AND deleted", part)
    winners = {sf_id: winner for sf_id, _, winner in dead}
    for sf_id, key, _ in dead:
        last = sf_id
        while winners.get(last):
            last = winners[last]
        if last in winners:
            ids.gone.add(key)
        else:
            ids.to_id[key] = last
    return ids


def equal(place: Place, part: str) -> None:
    """Raise Broken unless org, store and what both agreed on are the same on every mapped field (I1, I10, I12)."""
    mappings = place.runtime.mappings_of(part)
    room = place.runtime.store.room(place.runtime.client_name(part), part, mappings)
    ids = known_ids(place, part)
    pairs = Ids(ids.organization_id, ids.to_key, {key: sf_id for sf_id, key in ids.to_key.items()})
    for sobject, records in shown(place, part).items():
        mapping = mappings.by_object[sobject]
        memories = room.memories(sobject, [seen.key for seen in records])
        alive = {seen.key for seen in records if not seen.deleted}
        if len(alive) != sum(not seen.deleted for seen in records):
            raise Broken("one record for each key", f"{sobject}: {sorted(s.key for s in records)}")
        for seen in records:
            link, local = memories.get(seen.key, (None, None))
            if link is None or local is None:
                raise Broken("org and store are equal", f"{sobject} {seen.sf_id} is not in the store")
            if link.deleted != seen.deleted and seen.key not in alive:
                raise Broken("org and store are equal", f"{sobject} {seen.sf_id}: deleted {seen.deleted}")
            if seen.deleted:
                continue
            for field, line in mapping.fields.items():
                if not line.read or (mapping.copy and field == "deleted"):
                    continue  # computed in each org; said of a copy, and not of the record
                # What people point to, they point to, even where a transaction outlived the record in it.
                ours = to_wire(line.type, local.get(field), pairs if line.owner == "org" else ids)
                held = [("org", seen.wire.get(field)), ("remote", link.remote.get(field))]
                if line.formula is None:
                    held.append(("agreed", link.agreed.get(field)))
                for what, value in held:
                    if not same(line.type, ours, value):
                        detail = f"{part} {sobject} {seen.key} {field}: {ours!r}, {what} {value!r}"
                        raise Broken("org and store are equal", detail)
        found = place.ask(
            "SELECT key FROM link WHERE org = %s AND object = %s AND NOT deleted AND sf_id IS NOT NULL", part, sobject
        )
        linked = {key for (key,) in found}
        if linked - alive:
            raise Broken("org and store are equal", f"{part} {sobject} {sorted(linked - alive)} not in the org")
    owed = place.ask(
        "SELECT object, key, state FROM link WHERE org = %s AND NOT deleted AND object = ANY(%s) "
        "AND (state <> 'ready' OR touched > settled)",
        part,
        list(mappings.by_object),
    )
    if owed:
        raise Broken("all work ends", f"{part} {owed[:3]}")


def books(place: Place, name: str) -> None:
    """Raise Broken unless every minute stands once, no pack was ever overdrawn, and each breach is told once."""
    store = place.runtime.store
    balance: dict[str, int] = {}
    stands: dict[str, int] = {}
    postings: tuple[Posting, ...] = store.postings(name)
    for posting in postings:
        balance[posting.pack] = balance.get(posting.pack, 0) + posting.minutes
        if balance[posting.pack] < 0:
            raise Broken("no pack is overdrawn", f"{posting.pack}: {balance[posting.pack]} after {posting.source}")
        stands[posting.source] = stands.get(posting.source, 0) - posting.minutes
    facts = store.facts(name)
    entries: dict[str, TimeEntry] = dict(facts.entries)
    for key, entry in entries.items():
        counted = not entry.deleted and entry.state == "Counted"
        most = (entry.worked_minutes or 0) if counted else 0
        if stands.get(key, 0) > most and (counted or entry.deleted):
            raise Broken("minutes are conserved", f"{key}: {stands.get(key, 0)} of {entry.worked_minutes} stand")
    if store.balances(name) != {k: v for k, v in balance.items() if k in store.balances(name)}:
        raise Broken("a balance is a fold", f"{balance} but {store.balances(name)}")
    for pack in facts.packs.values():
        if not pack.deleted and pack.remaining_minutes != balance.get(pack.key, 0):
            detail = f"{pack.key} shows {pack.remaining_minutes}, is {balance.get(pack.key)}"
            raise Broken("a balance is a fold", detail)
    twice = place.ask(
        "SELECT record, code, at, count(*) FROM finding WHERE client = %s AND code IN ('Breach', 'Warning') "
        "GROUP BY record, code, rule, at, details->>'clock', details->>'cycle', details->>'percent' "
        "HAVING count(*) > 1",
        name,
    )
    if twice:
        raise Broken("each breach is told once", f"{twice}")


_WEIGHTS: tuple[tuple[int, Callable[[History, str, Random, int], None]], ...] = (
    (30, History.work), (9, History.case), (14, History.log), (7, History.estimate), (8, History.decide),
    (10, History.edit), (5, History.delete), (5, History.slow), (2, History.hand), (5, History.buy), (5, History.wait),
    (9, History.weather), (1, History.drift), (2, History.merge), (2, History.extend), (2, History.admin),
    (1, History.refund), (2, History.rekey), (1, History.zone), (2, History.deploy),
)  # fmt: skip
_ACTS = shares(_WEIGHTS)


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's history."""
    return list(range(History(seed).steps))


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one history; raises Broken, or whatever the product raised without a right to."""
    History(seed, trace).run(kept)
