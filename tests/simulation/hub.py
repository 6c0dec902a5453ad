"""The hub layer: two clients with an org each, the consultancy's own org that both are in, and people in all three.

May not replace any part of the product. It keeps one law: a history is a seed and a list of steps; every step draws
from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from sfsync.errors import SafetyStop
from sfsync.localorg.errors import ApiError
from sfsync.localorg.faults import Faults
from sfsync.sync import Report
from tests.e2e.stage import CLIENT, CONSULTANT
from tests.simulation.full import apart, books, calm, equal, expect
from tests.simulation.ground import Broken, Trace, Worker, chance, shares
from tests.simulation.people import ENTRY, ESTIMATE, left_open
from tests.simulation.place import Place

HUB = "hub"
CLIENTS = ("acme", "zeta")
PARTS = ("acme", "acme@hub", "zeta", "zeta@hub")
FAULTS = ("row_lock", "server_error", "timeout_after", "timeout_before", "reset_after", "cut_body", "duplicate")
MOST_ROUNDS = 8
_place: Place | None = None


def place(url: str | None = None) -> Place:
    """Return the one place with a hub of this process; opened when it is first asked for."""
    global _place  # noqa: PLW0603 - opening it takes seconds, and every history uses it
    if _place is None:
        _place = Place(url, HUB)
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
        self.rough = draw.choice((0.0, 0.3))
        self.steps = draw.choice((8, 14, 20))
        self.workers = {part: Worker(part) for part in PARTS}
        self.said: dict[tuple[str, str], dict[str, Any]] = {}
        """(key, field) to the last value that each side wrote into it."""
        self.strange: list[Callable[[], Any]] = []
        """What an administrator did that no hub allows, and how it is taken back."""

    def run(self, kept: Sequence[int] | None = None) -> None:
        """Live through the steps that are kept, then come to rest; raises Broken."""
        self.place.reset(str(self.seed))
        for client in CLIENTS:
            self.place.buy("flexi", 5, org=client, key=f"pk:{client}")
            self.place.case(client, Subject=f"{client}-first", Description=f"{client}-words")
        try:
            for step in range(self.steps) if kept is None else kept:
                self._step(step, chance(self.seed, step))
            self._rest()
        finally:
            for worker in self.workers.values():
                worker.close()

    def _step(self, step: int, draw: Random) -> None:
        client = draw.choice(CLIENTS)
        roll = draw.random()
        act = next(act for limit, act in _ACTS if roll < limit)
        self.place.later(minutes=draw.choice((0, 0, 1, 3, 11)))
        with suppress(ApiError):  # the org refuses it, as it would refuse a person
            act(self, client, draw, step)
        if self.trace is not None:
            [found] = self.place.ask("SELECT count(*), coalesce(sum(minutes), 0) FROM posting")
            self.trace.add(f"{step} {act.__name__} {client} {self.place.clock.now():%d %H:%M:%S} {found}")

    # --- people -------------------------------------------------------------------------------------

    def _pick(self, org: str, sobject: str, draw: Random, client: str = "", *, deleted: bool = False) -> str | None:
        """Return a record; in the hub, one of a client: its key says so, or that of the case it is about."""
        rows = self.place.orgs[org].storage.rows(
            f'SELECT "Id", "Sfsync_Key__c" FROM "{sobject}" WHERE "IsDeleted" = ? ORDER BY "Id"', (int(deleted),)
        )
        mine = [sf_id for sf_id, key in rows if not client or str(key or "").startswith(f"{client}/")]
        return str(draw.choice(mine)) if mine else None

    def case(self, client: str, draw: Random, step: int) -> None:
        """A person of the client opens a case."""
        self.place.case(client, Subject=f"{client}-{step}", Maint_Priority__c=draw.choice(("P1", "P2", "P3")))

    def at_home(self, client: str, draw: Random, step: int) -> None:
        """A person of the client edits a case in the client's own org."""
        case = self._pick(client, "Case", draw)
        if case is not None:
            values = draw.choice(
                ({"Subject": f"{client}-{step}"}, {"Status": "Escalated"}, {"Maint_Priority__c": "P1"},
                 {"Maint_Priority__c": "P4"})
            )  # fmt: skip
            self.place.orgs[client].update("Case", case, values, user=CLIENT.format(client))
            self._wrote(client, case, "home", values)

    def in_hub(self, client: str, draw: Random, step: int) -> None:
        """A consultant edits a case in the hub."""
        case = self._pick(HUB, "Case", draw, client)
        if case is not None:
            values = draw.choice(
                ({"Status": "Working"}, {"Maint_Priority__c": "P3"}, {"Maint_Answer__c": f"{client}-{step}"},
                 {"Maint_Category__c": "Corrective"}, {"Status": "Closed"})
            )  # fmt: skip
            self.place.orgs[HUB].update("Case", case, values, user=CONSULTANT.format(HUB))
            self._wrote(f"{client}@{HUB}", case, HUB, values)

    def _wrote(self, part: str, sf_id: str, side: str, values: dict[str, Any]) -> None:
        """Remember who wrote last what, under the key that both orgs know the case by."""
        found = self.place.ask("SELECT key FROM link WHERE org = %s AND sf_id = %s", part, sf_id)
        for field, value in values.items():
            named = found[0][0] if found else sf_id
            self.said.setdefault((named, field), {})[side] = value

    def log(self, client: str, draw: Random, step: int) -> None:
        """A consultant logs time in the hub on a case of a client."""
        case = self._pick(HUB, "Case", draw, client)
        if case is not None:
            self.place.log(case, draw.randrange(5, 200, 5), org=HUB, Description__c=f"{client}-{step}",
                           Internal_Note__c=f"secret-{step}")  # fmt: skip

    def correct(self, client: str, draw: Random, step: int) -> None:
        """A consultant corrects, deletes or brings back an entry."""
        org, roll = self.place.orgs[HUB], draw.random()
        entry, gone = self._pick(HUB, ENTRY, draw, client), self._pick(HUB, ENTRY, draw, client, deleted=True)
        if gone is not None and roll < 0.2:
            org.undelete(gone)
        elif entry is not None and roll < 0.4:
            org.delete(ENTRY, entry)
        elif entry is not None:
            org.update(ENTRY, entry, {"Minutes__c": draw.randrange(5, 300, 5)})

    def offer(self, client: str, draw: Random, step: int) -> None:
        """A consultant proposes hours in the hub; a person of the client decides at home."""
        case, open_ = self._pick(HUB, "Case", draw, client), self._pick(client, ESTIMATE, draw)
        if open_ is not None and draw.random() < 0.6:
            self.place.orgs[client].update(ESTIMATE, open_, {"Status__c": "Approved"}, user=CLIENT.format(client))
        elif case is not None:
            self.place.estimate(case, draw.randrange(30, 600, 30), HUB, Version__c=step + 1)

    def slow(self, client: str, draw: Random, step: int) -> None:
        """Somebody's transaction in the hub stays open for a while."""
        org, case = self.place.orgs[HUB], self._pick(HUB, "Case", draw, client)
        if case is None:
            return
        with left_open(org, draw.randint(1, 600)):
            self.place.log(case, 25, org=HUB, Description__c=f"{client}-{step}")

    def forge(self, client: str, draw: Random, step: int) -> None:
        """An administrator of the hub, past every rule, says that a case or its hours are another client's."""
        org, other = self.place.orgs[HUB], CLIENTS[client == CLIENTS[0]]
        sobject = draw.choice(("Case", ENTRY))
        mine, theirs = self._pick(HUB, sobject, draw, client), self._pick(HUB, "Case", draw, other)
        if mine is None or theirs is None or org.storage.locked(mine):
            return
        field = "Sfsync_Key__c" if draw.random() < 0.5 or sobject == "Case" else "Case__c"
        [(was,)] = org.storage.rows(f'SELECT "{field}" FROM "{sobject}" WHERE "Id" = ?', (mine,))
        forged = theirs if field == "Case__c" else str(was).replace(f"{client}/", f"{other}/")

        def write(value: Any) -> None:
            with org.storage.unit():
                org.storage.update(sobject, [field, "SystemModstamp"], [(value, org.now_seconds(), mine)])

        write(forged)
        self.strange.append(lambda: write(was))
        if draw.random() < 0.7:  # who would be given it hears of it
            self.place.forget_lease(f"{other}@{HUB}")
            self._expect(lambda: self.place.worker().sync(f"{other}@{HUB}"))

    def wait(self, client: str, draw: Random, step: int) -> None:
        """Time passes."""
        self.place.later(hours=draw.choice((1, 9, 26)))

    def weather(self, client: str, draw: Random, step: int) -> None:
        """Requests to an org begin to fail, or stop failing."""
        rules: list[dict[str, Any]] = []
        if draw.random() < self.rough:
            rules = [{"kind": draw.choice(FAULTS), "probability": 0.3, "times": draw.randint(1, 4)} for _ in range(2)]
        self.place.orgs[draw.choice((client, HUB))].faults = Faults.of({"seed": step, "rules": rules})

    # --- workers ------------------------------------------------------------------------------------

    def work(self, client: str, draw: Random, step: int) -> None:
        """A worker is nudged for one of the client's two orgs: it runs, dies anywhere, or freezes."""
        part = draw.choice((client, f"{client}@{HUB}"))
        worker = self.workers[part]
        self.place.forget_lease(part)
        roll = draw.random()
        if worker.frozen:
            self._expect(lambda: worker.thaw(draw.randint(0, 20), kill=draw.random() < 0.3))
        elif roll < 0.6:
            self._expect(lambda: self.place.worker().sync(part))
        elif roll < 0.8:
            runtime = self.place.worker(worker.point)
            self._expect(lambda: worker.run(lambda: runtime.sync(part), kill_after=draw.randint(0, 70)))
        else:
            runtime = self.place.worker(lambda at: None if at == "commit" else worker.point(at))
            self._expect(lambda: worker.freeze(lambda: runtime.sync(part), draw.randint(0, 40)))

    @staticmethod
    def _expect(act: Callable[[], Any]) -> Any:
        with suppress(SafetyStop):  # whose a row is says a person
            return expect(act)

    # --- what must hold -----------------------------------------------------------------------------

    def _rest(self) -> None:
        for worker in self.workers.values():
            if worker.frozen:
                self._expect(worker.thaw)
        for org in self.place.orgs.values():
            calm(org)
        self._nothing_crossed()
        for take_back in reversed(self.strange):
            take_back()
        store = self.place.runtime.store
        for part in PARTS:
            client = self.place.runtime.client_name(part)
            store.resume(client, part)
            for one in store.quarantined(client):
                store.retry(client, str(one["org"]), one["object"], one["key"])
            self.place.forget_lease(part)
        self._quiet()
        for part in PARTS:
            equal(self.place, part)
        for client in CLIENTS:
            books(self.place, client)
        self._nothing_crossed()
        self._people_are_heard()

    def _quiet(self) -> None:
        """Run every org in turn until nothing is left to say; then a run of each at the same instant does nothing."""
        reports: list[Report] = []
        for _ in range(MOST_ROUNDS):
            self.place.later(minutes=61)
            reports = [self.place.runtime.sync(part) for part in PARTS]
            if not any(r.wrote or r.absorbed or r.later or r.refused for r in reports):
                break
        for _ in range(2):  # the first may still hear the history of what was written
            reports = [self.place.runtime.sync(part) for part in PARTS]
        for report in reports:
            if report.wrote or report.absorbed or report.later or report.refused or report.evaluated:
                raise Broken("a second run writes nothing", f"{report}")
            if report.calls > 1:
                raise Broken("calls stay within the bound", f"a quiet poll cost {report.calls}")

    def _nothing_crossed(self) -> None:
        """No word of one client is among the other's rows, in its org, or under its key in the hub (I7)."""
        for name, other in (CLIENTS, CLIENTS[::-1]):
            apart(self.place, name, other)
            secrets = self.place.ask("SELECT count(*) FROM link t WHERE org = %s AND t::text LIKE '%%secret-%%'", name)
            if secrets[0][0]:
                raise Broken("nothing crosses clients", f"an internal note of the hub is in {name}")

    def _people_are_heard(self) -> None:
        """What only one side ever wrote into a field is in force in both orgs, and no conflict is made of it (I5)."""
        for client in CLIENTS:
            fields = {
                name: line.api for name, line in self.place.runtime.mappings_of(client).by_object["Case"].fields.items()
            }
            for row in self.place.runtime.store.conflicts(client):
                sides = self.said.get((row["key"], fields.get(row["field"], "")), {})
                if row["kind"] == "conflict" and len(sides) == 1:
                    raise Broken("an echo is no edit", f"{row['key']} {row['field']}: only one side ever wrote it")
            for (key, field), sides in self.said.items():
                if len(sides) > 1:
                    continue
                for part in (client, f"{client}@{HUB}"):
                    found = self.place.ask("SELECT sf_id FROM link WHERE org = %s AND key = %s", part, key)
                    row = self.place.local(part).get("Case", found[0][0]) if found and found[0][0] else None
                    value = next(iter(sides.values()))
                    if row is not None and not row["IsDeleted"] and row[field] != value:
                        raise Broken("no person's edit is lost", f"{part} {key} {field}: {row[field]}, said {value}")


_WEIGHTS: tuple[tuple[int, Callable[[History, str, Random, int], None]], ...] = (
    (36, History.work), (6, History.case), (10, History.at_home), (12, History.in_hub), (10, History.log),
    (6, History.correct), (7, History.offer), (4, History.slow), (3, History.forge), (3, History.wait),
    (3, History.weather),
)  # fmt: skip
_ACTS = shares(_WEIGHTS)


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's history."""
    return list(range(History(seed).steps))


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one history; raises Broken, or whatever the product raised without a right to."""
    History(seed, trace).run(kept)
