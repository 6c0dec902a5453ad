"""The full layer: the runtime as it is, a real PostgreSQL, local orgs with people in them, and everything that fails.

May not replace any part of the product. It keeps one law: a history is a seed and a list of steps; every step draws
from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from random import Random
from typing import Any

from sfsync.errors import LeaseLost, Next, SfsyncError
from sfsync.localorg.errors import ApiError
from sfsync.localorg.faults import Faults
from sfsync.mirror.translate import Ids, Seen, same, to_wire
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from sfsync.records import Posting, TimeEntry
from sfsync.runtime import Runtime
from sfsync.sync import Report
from tests.e2e.stage import CLIENT, CONSULTANT
from tests.simulation.ground import Broken, Killed, Trace, Worker, chance
from tests.simulation.place import Place

QUIET_RUNS = 3
FAULTS = (
    "row_lock", "session", "concurrent_limit", "unavailable", "server_error", "query_timeout", "timeout_before",
    "timeout_after", "reset_before", "reset_after", "cut_body", "duplicate",
)  # fmt: skip
_RENAME = 'UPDATE "FieldPermissions" SET "Field" = ? WHERE "Field" = ?'
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


class History:
    """One seed's world, step by step."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        self.seed, self.trace = seed, trace
        self.place = place()
        draw = chance(seed, "world")
        self.names = ("acme", "zeta") if draw.random() < 0.2 else ("acme",)
        self.rough = draw.choice((0.0, 0.2, 0.6))
        self.steps = draw.choice((12, 20, 30))
        self.skew = draw.choice((0, 0, -120, 45, 300))
        self.workers = {name: Worker(name) for name in self.names}
        self.decided: dict[tuple[str, str], str] = {}
        """(org, estimate) to what a person decided last."""
        self.revisions: dict[tuple[str, str], int] = {}
        self.runs = 0

    def run(self, kept: Sequence[int] | None = None) -> None:
        """Live through the steps that are kept, then come to rest; raises Broken."""
        self.place.reset(str(self.seed))
        for name in self.names:
            self.place.skewed[name].skew = self.skew
        try:
            for step in range(self.steps) if kept is None else kept:
                self._step(step, chance(self.seed, step))
            self._rest()
        finally:
            for worker in self.workers.values():
                worker.close()

    # --- people -------------------------------------------------------------------------------------

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

    def _pick(self, name: str, sobject: str, draw: Random, *, deleted: bool = False) -> str | None:
        rows = self.place.orgs[name].storage.rows(
            f'SELECT "Id" FROM "{sobject}" WHERE "IsDeleted" = ? ORDER BY "Id"', (int(deleted),)
        )
        return str(draw.choice(rows)[0]) if rows else None

    def case(self, name: str, draw: Random, step: int) -> None:
        """A person of the client opens a case."""
        self.place.case(name, Subject=f"{name}-{step}", Maint_Priority__c=draw.choice(("P1", "P2", "P3")))

    def log(self, name: str, draw: Random, step: int) -> None:
        """A consultant logs time."""
        case = self._pick(name, "Case", draw)
        if case is not None:
            on = self.place.today() - timedelta(days=draw.choice((0, 0, 1, 4)))
            self.place.log(case, draw.randrange(5, 200, 5), on, name, Description__c=f"{name}-{step}")

    def estimate(self, name: str, draw: Random, step: int) -> None:
        """A consultant proposes hours."""
        case = self._pick(name, "Case", draw)
        if case is not None:
            valid = (self.place.today() + timedelta(days=draw.choice((0, 1, 14)))).isoformat()
            self.place.estimate(case, draw.randrange(30, 600, 30), name, Version__c=step + 1, Valid_Until__c=valid)

    def decide(self, name: str, draw: Random, step: int) -> None:
        """A person of the client approves or rejects."""
        estimate = self._pick(name, "Maintenance_Estimate__c", draw)
        if estimate is not None:
            word = draw.choice(("Approved", "Approved", "Rejected", "Question"))
            values = {"Status__c": word, "Reject_Reason__c": "Not now" if word == "Rejected" else None}
            org = self.place.orgs[name]
            org.update("Maintenance_Estimate__c", estimate, values, user=CLIENT.format(name))
            self.decided[name, estimate] = word

    def edit(self, name: str, draw: Random, step: int) -> None:
        """A consultant corrects minutes, answers a case, or changes its urgency."""
        org = self.place.orgs[name]
        entry, case = self._pick(name, "Time_Entry__c", draw), self._pick(name, "Case", draw)
        what = draw.random()
        if what < 0.4 and entry is not None:
            org.update("Time_Entry__c", entry, {"Minutes__c": draw.randrange(5, 300, 5)})
        elif case is not None:
            values = draw.choice(
                ({"Status": "Working"}, {"Maint_Priority__c": "P1"}, {"Maint_Paused__c": True}, {"Status": "Closed"},
                 {"Subject": f"{name}-{step}"})
            )  # fmt: skip
            org.update("Case", case, values, user=CONSULTANT.format(name))

    def delete(self, name: str, draw: Random, step: int) -> None:
        """A person deletes a record or brings one back."""
        org, sobject = self.place.orgs[name], draw.choice(("Time_Entry__c", "Time_Entry__c", "Case"))
        gone = self._pick(name, sobject, draw, deleted=True)
        if gone is not None and draw.random() < 0.5:
            org.undelete(gone)
            return
        record = self._pick(name, sobject, draw)
        if record is not None:
            org.delete(sobject, record, hard=sobject == "Time_Entry__c" and draw.random() < 0.2)

    def slow(self, name: str, draw: Random, step: int) -> None:
        """Somebody's transaction stays open for a while."""
        org = self.place.orgs[name]
        case = self._pick(name, "Case", draw)
        if case is None:
            return
        held = org.hold(commit_at=org.now() + timedelta(seconds=draw.randint(1, 1500)))
        row = {"Case__c": case, "Minutes__c": 25, "Work_Date__c": self.place.today().isoformat()}
        try:
            with org.within(held):
                org.insert("Time_Entry__c", {**row, "Description__c": f"{name}-{step}"})
                if draw.random() < 0.5:
                    org.update("Case", case, {"Subject": f"{name}-{step}"})
        except ApiError:
            org.storage.abandon(held)

    def hand(self, name: str, draw: Random, step: int) -> None:
        """An administrator writes into a field that is ours, past the rules."""
        org = self.place.orgs[name]
        pack = self._pick(name, "Maintenance_Pack__c", draw)
        if pack is not None and not org.storage.locked(pack):
            with org.storage.unit():
                values = [(99.0, org.now_seconds(), pack)]
                org.storage.update("Maintenance_Pack__c", ["Hours_Remaining__c", "SystemModstamp"], values)

    def buy(self, name: str, draw: Random, step: int) -> None:
        """The consultancy registers a payment."""
        plan, packs = draw.choice((("starter", 1), ("flexi", 5)))
        self.place.buy(plan, packs, org=name, key=f"pk:{name}{step}")

    def wait(self, name: str, draw: Random, step: int) -> None:
        """Time passes, or our clock is put back while the orgs' clocks go on."""
        if draw.random() < 0.15:
            back = draw.choice((60, 3_600))
            self.place.clock.set(self.place.clock.now() - timedelta(seconds=back))
            for skewed in self.place.skewed.values():
                skewed.skew += back
        else:
            self.place.later(hours=draw.choice((1, 9, 26, 170)))

    def weather(self, name: str, draw: Random, step: int) -> None:
        """Requests begin to fail in some way, or stop failing."""
        rules = []
        if draw.random() < self.rough:
            rules = [{"kind": draw.choice(FAULTS), "probability": 0.3, "times": draw.randint(1, 4)} for _ in range(2)]
        self.place.orgs[name].faults = Faults.of({"seed": step, "rules": rules})

    def drift(self, name: str, draw: Random, step: int) -> None:
        """A field is hidden from the service, or shown again."""
        org = self.place.orgs[name]
        (shown,) = org.storage.rows('SELECT count(*) FROM "FieldPermissions" WHERE "Field" = \'Case.SLA_Status__c\'')[0]
        if shown:
            self._hide(name)
        else:
            self._show(name)

    def _hide(self, name: str) -> None:
        org = self.place.orgs[name]
        org.storage.db.execute(_RENAME, ("-SLA", "Case.SLA_Status__c"))
        org.schema_changed_at = org.now_seconds()
        org.access_changed()

    def _show(self, name: str) -> None:
        org = self.place.orgs[name]
        org.storage.db.execute(_RENAME, ("Case.SLA_Status__c", "-SLA"))
        org.schema_changed_at = org.now_seconds()
        org.access_changed()
        self.place.runtime.store.resume(name, name)

    # --- workers ------------------------------------------------------------------------------------

    def work(self, name: str, draw: Random, step: int) -> None:
        """A worker is nudged: it runs, dies anywhere, or freezes while others go on."""
        worker = self.workers[name]
        if worker.frozen:
            if draw.random() < 0.6:
                self.place.forget_lease(name)
                self._expect(lambda: self._sync(self.place.worker(), name))
            self._expect(lambda: worker.thaw(draw.randint(0, 8), kill=draw.random() < 0.3))
            return
        roll = draw.random()
        if draw.random() < 0.8:
            self.place.forget_lease(name)
        if roll < 0.45:
            self._expect(lambda: self._sync(self.place.worker(), name))
        elif roll < 0.75:
            runtime = self.place.worker(worker.point)
            self._expect(lambda: worker.run(lambda: self._sync(runtime, name), kill_after=draw.randint(0, 70)))
        else:
            runtime = self.place.worker(lambda at: None if at == "commit" else worker.point(at))
            self._expect(lambda: worker.freeze(lambda: self._sync(runtime, name), draw.randint(0, 40)))

    def _sync(self, runtime: Runtime, name: str) -> Report:
        self.runs += 1
        return runtime.sync(name)

    @staticmethod
    def _expect(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (Killed, LeaseLost):
            return None
        except SfsyncError as bad:
            if bad.next is Next.STOP:
                raise
            return None

    # --- what must hold -----------------------------------------------------------------------------

    def _rest(self) -> None:
        for worker in self.workers.values():
            if worker.frozen:
                self._expect(worker.thaw)
        for name in self.names:
            org = self.place.orgs[name]
            org.faults = Faults()
            for held in list(org.storage.held.values()):
                org.commit_held(held)
            self._show(name)
            self.place.forget_lease(name)
            for _ in range(QUIET_RUNS):
                self.place.later(minutes=61)
                self._sync(self.place.runtime, name)
            for again in (False, True):  # the first may still hear the history of what the run before wrote
                report = self._sync(self.place.runtime, name)
                if report.wrote or report.absorbed or report.later or report.refused or (again and report.evaluated):
                    raise Broken("a second run writes nothing", f"{report}")
            if report.calls > 1:
                raise Broken("calls stay within the bound", f"a quiet poll cost {report.calls}")
            equal(self.place, name)
            books(self.place, name)
            self._decisions_stand(name)
        self._nothing_crossed()
        if chance(self.seed, "rest").random() < 0.1:
            self._rebuild(self.names[0])

    def _decisions_stand(self, name: str) -> None:
        """What a person decided is in force, or both values are in the log (I5)."""
        conflicts = {(c["key"], str(c["lost"])) for c in self.place.runtime.store.conflicts(name)}
        for (org, estimate), word in self.decided.items():
            row = self.place.orgs[org].get("Maintenance_Estimate__c", estimate) if org == name else None
            if row is None or row["Status__c"] == word:
                continue
            [found] = self.place.ask("SELECT key FROM link WHERE org = %s AND sf_id = %s", name, estimate) or [("",)]
            replaced = word == "Question" and row["Status__c"] in ("Expired", "Superseded")
            if not replaced and (found[0], word) not in conflicts:
                raise Broken("no person's edit is lost", f"{estimate}: {word} became {row['Status__c']}")

    def _nothing_crossed(self) -> None:
        if len(self.names) == 1:
            return
        for name, other in (("acme", "zeta"), ("zeta", "acme")):
            for table in ("case", "time_entry", "link", "conflict"):
                found = self.place.ask(
                    f'SELECT count(*) FROM "{table}" t WHERE client = %s AND t::text LIKE %s', name, f"%{other}-%"
                )
                if found[0][0]:
                    raise Broken("nothing crosses clients", f"{table} of {name} holds words of {other}")
            org = self.place.orgs[name]
            for sobject, field in (("Case", "Subject"), ("Time_Entry__c", "Description__c")):
                if org.storage.rows(f'SELECT 1 FROM "{sobject}" WHERE "{field}" LIKE ?', (f"{other}-%",)):
                    raise Broken("nothing crosses clients", f"{sobject} in {name} holds words of {other}")

    def _rebuild(self, name: str) -> None:
        """The store is lost: the orgs alone give the same balances back, and nothing changes in them."""
        before = self.place.runtime.store.balances(name)
        self.place.wipe()
        for org in self.names:
            self.place.runtime.store.pin(org, org, self.place.orgs[org].org_id)
        for _ in range(QUIET_RUNS):
            self._sync(self.place.runtime, name)
            self.place.later(minutes=20)
        after = self.place.runtime.store.balances(name)
        if before != after:
            raise Broken("a lost store is rebuilt from the org", f"{before} became {after}")


def shown(place: Place, name: str) -> dict[str, list[Seen]]:
    """Return everything an org shows, read from its beginning."""
    mappings = place.runtime.client(name).mappings
    ids = Ids(place.orgs[name].org_id)
    ids.update(place.ask("SELECT sf_id, key FROM link WHERE org = %s AND sf_id IS NOT NULL", name))
    found: dict[str, list[Seen]] = {mapping.object: [] for mapping in mappings}
    with closing(place.runtime.session(name)) as session:
        for page in extract(session, mappings, {}, ids, preflight(session, mappings, {}, ids)):
            found[page.object] += page.seen
    return found


def equal(place: Place, name: str) -> None:
    """Raise Broken unless org, store and what both agreed on are the same on every mapped field (I1, I10, I12)."""
    mappings = place.runtime.client(name).mappings
    room = place.runtime.store.room(name, name, mappings)
    ids = Ids(place.orgs[name].org_id)
    ids.update(place.ask("SELECT sf_id, key FROM link WHERE org = %s AND sf_id IS NOT NULL", name))
    for sobject, records in shown(place, name).items():
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
                ours = to_wire(line.type, local.get(field), ids)
                held = [("org", seen.wire.get(field)), ("remote", link.remote.get(field))]
                if line.formula is None:
                    held.append(("agreed", link.agreed.get(field)))
                for what, value in held:
                    if not same(line.type, ours, value):
                        detail = f"{sobject} {seen.key} {field}: {ours!r}, {what} {value!r}"
                        raise Broken("org and store are equal", detail)
        linked = {key for (key,) in place.ask(
            "SELECT key FROM link WHERE org = %s AND object = %s AND NOT deleted", name, sobject)}  # fmt: skip
        if linked - alive:
            raise Broken("org and store are equal", f"{sobject} {sorted(linked - alive)} not in the org")
    owed = place.ask(
        "SELECT object, key, state FROM link "
        "WHERE org = %s AND NOT deleted AND (state <> 'ready' OR touched > settled)",
        name,
    )
    if owed:
        raise Broken("all work ends", f"{owed[:3]}")


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
    (4, History.weather), (1, History.drift),
)  # fmt: skip
_ACTS: list[tuple[float, Callable[[History, str, Random, int], None]]] = []
_sum = 0
for _weight, _act in _WEIGHTS:
    _sum += _weight
    _ACTS.append((_sum / sum(w for w, _ in _WEIGHTS), _act))


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's history."""
    return list(range(History(seed).steps))


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one history; raises Broken, or whatever the product raised without a right to."""
    History(seed, trace).run(kept)
