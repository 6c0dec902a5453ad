"""The line layer: the real ``sync_org`` between model orgs and model stores, with people, crashes and bad luck.

May not know PostgreSQL or HTTP. It keeps one law: a history is a seed and a list of steps; every step draws from a
generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from sfsync import sync
from sfsync.errors import LeaseLost, OrgUnavailable, SafetyStop, SchemaDrift, StoreUnavailable, WrongOrg
from sfsync.mirror.translate import Bookmark, Ids, same, to_wire
from sfsync.sync import Bounds, Report, sync_org
from tests.simulation.ground import Broken, Killed, Trace, Worker, chance, shares
from tests.simulation.model_org import MAPPINGS, Clock, Held, ModelOrg, ModelSession, OrgRow
from tests.simulation.model_store import DEADLINE, ModelRoom, ModelStore, SmallFacts

STEPS = 40
QUIET_RUNS = 3
"""Undisturbed runs after which everything must be at rest (I1)."""
EXPECTED = (LeaseLost, OrgUnavailable, StoreUnavailable, SchemaDrift, WrongOrg, SafetyStop, Killed)
MOST_CALLS = 6
"""API calls of a quiet run: the poll, with room for pages."""

_real_evaluate, _real_asking = sync.evaluate, sync.asking


def _asking(contract: Any, now: Any) -> Any:
    return "everything" if contract is None else _real_asking(contract, now)


def _evaluate(contract: Any, facts: Any, now: Any) -> Any:
    return facts.said if isinstance(facts, SmallFacts) else _real_evaluate(contract, facts, now)


sync.asking = _asking
sync.evaluate = _evaluate  # the small rules reckon where their facts are read; everybody else's rules are the real ones


class Client:
    """One client: its org, its store, its workers."""

    def __init__(self, name: str, clock: Clock, draw: Random) -> None:
        self.name = name
        covers = draw.random() < 0.5
        self.org = ModelOrg(name, clock, covers=covers, page=draw.choice((1, 2, 3, 8)), chunk=draw.choice((1, 2, 5)))
        self.store = ModelStore(name, clock)
        self.store.org_shown = self.org.shown.__contains__
        self.reached = self.org
        """The org that this client's credentials reach."""
        self.clock = clock
        self.store.pin(name, self.org.organization_id)
        self.workers = [Worker(f"{name}{n}") for n in (1, 2)]
        self.serials: dict[str, int] = {}
        self.rules_broken: list[Broken] = []
        self.org.service_wrote = self._service_wrote

    def _service_wrote(self, row: OrgRow, name: str, old: Any, new: Any) -> None:
        """What is judged at the very write, before anything could heal it."""
        if name == "serial":
            if int(new or 0) < self.serials.get(row.id, 0):
                detail = f"{row.id}: {self.serials[row.id]} -> {new}"
                self.rules_broken.append(Broken("a balance never goes back", detail))
            self.serials[row.id] = int(new or 0)
        elif name in ("note", "tag") and old not in self.store.known:
            self.rules_broken.append(Broken("no person's edit is lost", f"{name} of {row.id}: {old} under {new}"))
        if isinstance(new, str) and new.startswith("desk") and f"-{self.name}-" not in new:
            self.rules_broken.append(Broken("nothing crosses clients", f"{new} in the org of {self.name}"))


class History:
    """One seed's world, step by step."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        self.seed, self.trace = seed, trace
        draw = chance(seed, "world")
        self.clock = Clock()
        names = ("a", "b") if draw.random() < 0.15 else ("a",)
        self.clients = [Client(name, self.clock, draw) for name in names]
        self.hot = draw.random() < 0.3
        self.rough = draw.choice((0.0, 0.1, 0.5))
        """How often something goes wrong with a call."""
        self.swallows = chance(seed, "swallows").random() < 0.3
        """The org may confirm what it does not do."""
        self.longest = 600 if draw.random() < 0.7 else 5_000
        """Of a transaction; one that outlasts the overlap is only for an org that tells what is complete."""
        self.steps = draw.choice((STEPS // 2, STEPS, STEPS, STEPS * 2))
        self.racy = draw.random() < 0.3
        """Workers freeze often, and everybody is at the same record."""
        self.hot = self.hot or self.racy

    def run(self, kept: Sequence[int] | None = None) -> None:
        """Live through the steps that are kept, then come to rest; raises Broken."""
        try:
            for step in range(self.steps) if kept is None else kept:
                self._step(step, chance(self.seed, step))
                self._judge()
            self._rest()
        finally:
            for client in self.clients:
                for worker in client.workers:
                    if worker._thread is not None:
                        worker.close()

    # --- one step -----------------------------------------------------------------------------------

    def _step(self, step: int, draw: Random) -> None:
        client = self.clients[0] if len(self.clients) == 1 else draw.choice(self.clients)
        roll = draw.random()
        act = next(act for limit, act in _ACTS if roll < limit)
        if self.racy and any(worker.frozen for worker in client.workers) and draw.random() < 0.4:
            act = draw.choice((History.desk, History.edit))
        self.clock.now += draw.choice((0, 0, 0, 1, 1, 5, 30, 61, 200))
        for each in self.clients:
            each.org.settle_due()
        act(self, client, draw, step)
        if self.trace is not None:
            self.trace.add(f"{step} {act.__name__} {client.name} {self.clock.now} {client.store.version}")
            self._told(client, self.trace)

    @staticmethod
    def _told(client: Client, trace: Trace) -> None:
        """Everything that the client's org and store hold, in the order in which they hold it."""
        for row in client.org.rows.values():
            trace.add(f"  {row.id} {row.external} {row.stamp} {row.revision} {row.deleted} {row.fields}")
        for (name, key), local in client.store.rows.items():
            trace.add(f"  {name} {key} {local.version} {local.deleted} {local.values}")
        trace.add(f"  {client.store.postings[-3:]} {client.store.notices} {list(client.store.conflicts)[-3:]}")

    def _row(self, client: Client, draw: Random, name: str | None = None) -> OrgRow | None:
        rows = [r for r in client.org.rows.values() if name is None or r.object == name]
        if not rows:
            return None
        return rows[0] if self.hot and draw.random() < 0.8 else draw.choice(rows)

    def edit(self, client: Client, draw: Random, step: int) -> None:
        """A person edits a field in the org."""
        self._edit(client, draw, step, None)

    def _edit(self, client: Client, draw: Random, step: int, held: Held | None) -> None:
        row = self._row(client, draw)
        if row is None or row.deleted:
            return
        value: Any
        if row.object == "Entry":
            client.org.edit(row, {"minutes": draw.choice((10, 20, 30, 60))}, held)
        elif row.object == "Case":
            name = draw.choice(("subject", "note", "note", "tag", "logged"))
            logged = draw.choice((7, (row.fields["logged"] or 0) + 20)) if name == "logged" else 0
            value = logged or f"org-{client.name}-{step}"
            client.org.edit(row, {name: value}, held)
        else:
            name = draw.choice(("remark", "balance"))
            right_soon = (row.fields["balance"] or 0) - 20  # what the rules come to once somebody has logged 20 minutes
            balance = 5 if step % 2 else right_soon
            value = balance if name == "balance" else f"org-{client.name}-{step}"
            client.org.edit(row, {name: value}, held)

    def create(self, client: Client, draw: Random, step: int) -> None:
        """A person creates a case or logs work."""
        self._create(client, draw, step, None)

    def _create(self, client: Client, draw: Random, step: int, held: Held | None) -> None:
        case = self._row(client, draw, "Case")
        if case is None or draw.random() < 0.3:
            client.org.create("Case", {"subject": f"org-{client.name}-{step}"}, held)
        else:
            client.org.create("Entry", {"case": case.id, "minutes": draw.choice((10, 20, 60))}, held)

    def delete(self, client: Client, draw: Random, step: int) -> None:
        """A person deletes a record, brings it back, or empties the bin."""
        row = self._row(client, draw)
        if row is not None:
            if row.deleted and draw.random() < 0.3:
                client.org.purge(row)
            else:
                client.org.delete(row, deleted=not row.deleted)

    def slow(self, client: Client, draw: Random, step: int) -> None:
        """Somebody's transaction stays open for a while; what it wrote carries the stamps of now."""
        longest = self.longest if client.org.covers else min(self.longest, 600)
        held = client.org.hold(draw.randint(1, longest))
        for _ in range(draw.randint(1, 3)):
            what = draw.choice((self._edit, self._edit, self._create))
            what(client, draw, step, held)

    def desk(self, client: Client, draw: Random, step: int) -> None:
        """The consultancy buys a pack for the client or changes a shared field in the store."""
        store, orgs = client.store, (client.org.name,)
        cases = [key for (name, key), row in store.rows.items() if name == "Case"]
        if cases and draw.random() < 0.6:
            name = draw.choice(("note", "tag"))
            case = cases[0] if self.hot else draw.choice(cases)
            store.amend("Case", case, {name: f"desk-{client.name}-{step}"}, orgs)
            return
        packs = [(key, row) for (name, key), row in store.rows.items() if name == "Pack" and not row.deleted]
        if packs and draw.random() < 0.4:
            key, row = packs[0] if self.hot else draw.choice(packs)
            store.amend("Pack", key, {"bought": int(row.values.get("bought") or 0) + 30}, orgs)
        else:
            store.amend("Pack", f"pk:{step}", {"bought": draw.choice((60, 120))}, orgs)

    def poison(self, client: Client, draw: Random, step: int) -> None:
        """A record comes into a state in which the org refuses the service's writes, or out of it."""
        row = self._row(client, draw, draw.choice(("Case", "Pack")))
        if row is not None and not row.deleted:
            name = "subject" if row.object == "Case" else "remark"
            client.org.edit(row, {name: "fine" if row.fields[name] == "poison" else "poison"})

    def weather(self, client: Client, draw: Random, step: int) -> None:
        """Some of the next calls get no answer, done or not, or are confirmed and not done."""
        if draw.random() < self.rough * 2:
            client.org.fates += draw.choices(("ok", "before", "after"), k=draw.randint(1, 6))
        if self.swallows:
            client.org.fates += ["swallowed"] * draw.randint(1, 6)

    def drift(self, client: Client, draw: Random, step: int) -> None:
        """A field is hidden from the service, or shown again."""
        client.org.drifted = not client.org.drifted

    def swap(self, client: Client, draw: Random, step: int) -> None:
        """The credentials reach another organisation, or the right one again."""
        others = [other.org for other in self.clients if other is not client]
        client.reached = others[0] if others and client.reached is client.org else client.org

    def wait(self, client: Client, draw: Random, step: int) -> None:
        """Time passes."""
        self.clock.now += draw.choice((60, 600, 4_000))

    def work(self, client: Client, draw: Random, step: int) -> None:
        """A worker is nudged: it runs, dies in the middle, or freezes there while others go on."""
        worker = draw.choice(client.workers)
        if worker.frozen:
            steps = draw.randint(0, 2 if self.racy else 6)
            self._expect(lambda: worker.thaw(steps, kill=draw.random() < 0.3))
            return
        roll = draw.random()
        if roll < (0.2 if self.racy else 0.45):
            self._expect(lambda: worker.run(self._job(client, worker)))
        elif roll < (0.3 if self.racy else 0.75):
            self._expect(lambda: worker.run(self._job(client, worker), kill_after=draw.randint(0, 15)))
        else:
            self._expect(lambda: worker.freeze(self._job(client, worker), draw.randint(0, 15)))

    # --- a run --------------------------------------------------------------------------------------

    def _job(self, client: Client, worker: Worker) -> Callable[[], Report | None]:
        """What a nudged worker does, as ``Runtime.sync`` does it."""

        def job() -> Report | None:
            store, org = client.store, client.org.name
            token = store.acquire(org)
            if token is None:
                return None
            try:
                worker.point("begin run")
                session = ModelSession(client.reached, worker.point)
                store.pin(org, session.organization_id)
                room = ModelRoom(store, org, (org,), token, worker.point)
                room.after_bookmark = lambda mark: self._bookmark_is_true(client, room, session, mark)
                report = sync_org(
                    session,
                    room,  # type: ignore[arg-type]
                    MAPPINGS,
                    None,  # type: ignore[arg-type]
                    now=self.clock.now,  # type: ignore[arg-type]
                    bounds=Bounds(),
                    step=lambda _: store.renew(org, token),
                )
            except (Killed, Broken):
                raise
            except Exception:
                store.release(org, token)
                raise
            store.release(org, token)
            return report

        return job

    @staticmethod
    def _expect(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except EXPECTED:
            return None

    # --- what must hold -----------------------------------------------------------------------------

    def _judge(self) -> None:
        for client in self.clients:
            if client.rules_broken:
                raise client.rules_broken[0]

    def _bookmark_is_true(self, client: Client, room: ModelRoom, session: ModelSession, mark: Bookmark) -> None:
        """No change can lie behind where the next read begins (I11)."""
        since = session.since(mark)
        if since is None or mark.checkpoint or session.org is not client.org:
            return
        for held in client.org.held:
            if any(i.object == mark.object and i.stamp < since for i in held.images.values()) and not client.org.covers:
                return  # longer than the overlap, in an org that does not tell: the audit's business
        for row in client.org.rows.values():
            if row.object != mark.object or row.stamp >= since:
                continue
            key = client.store.ids.get((room.org, row.id))
            if row.external is not None and client.org.by_key.get(row.external) != row.id:
                continue  # its key lives on in a record that was made anew
            link = client.store.links.get((room.org, row.object, key or ""))
            stamp = link.link.stamp if link is not None else None
            if stamp is None or stamp < row.stamp:  # type: ignore[operator]
                raise Broken("a bookmark passes nothing unseen", f"{row.id} stamped {row.stamp}, read from {since}")
        for held in client.org.held:
            for image in held.images.values():
                if image.object == mark.object and image.stamp < since:
                    raise Broken("a bookmark passes nothing unseen", f"{image.id} is not committed yet")

    def _rest(self) -> None:
        """Everything bad ends; a few undisturbed runs; then every promise is looked at."""
        for client in self.clients:
            for worker in client.workers:
                if worker.frozen:
                    self._expect(worker.thaw)
            org = client.org
            org.settle_due(everything=True)
            org.fates, org.drifted, client.reached = [], False, org
            for row in org.rows.values():
                for name in ("subject", "remark"):
                    if row.fields.get(name) == "poison" and not row.deleted:
                        org.edit(row, {name: "fine"})
        self._judge()
        for client in self.clients:
            for _ in range(QUIET_RUNS):
                self.clock.now += 4_000
                self._expect(lambda c=client: c.workers[0].run(self._job(c, c.workers[0])))
            self._judge()
            self._at_rest(client)
            before = (client.store.version, len(client.store.postings), len(client.store.conflicts))
            report = client.workers[0].run(self._job(client, client.workers[0]))
            after = (client.store.version, len(client.store.postings), len(client.store.conflicts))
            if report is None or report.wrote or report.absorbed or report.later or before != after:
                raise Broken("a second run writes nothing", f"{report} {before} {after}")
            pages = sum(1 + len(client.org.rows) // client.org.page for _ in MAPPINGS)
            if report.calls > MOST_CALLS + pages:
                raise Broken("calls stay within the bound", f"{report.calls}")
            if self.trace is not None:
                self._told(client, self.trace)

    def _at_rest(self, client: Client) -> None:
        org, store = client.org, client.store
        ids = Ids(org.organization_id)
        ids.update((sf_id, key) for (_, sf_id), key in store.ids.items())
        keys: dict[str, str] = {}
        for row in org.rows.values():
            key = store.ids.get((org.name, row.id))
            if row.deleted and row.external and org.by_key.get(row.external) != row.id:
                continue  # its key went on to a record that was made anew
            local = store.rows.get((row.object, key or ""))
            link = store.links.get((org.name, row.object, key or ""))
            if key is None or local is None or link is None:
                raise Broken("org and store are equal", f"{row.id} is not in the store")
            if local.deleted != row.deleted:
                raise Broken("org and store are equal", f"{row.id} deleted: {row.deleted}, here {local.deleted}")
            if row.deleted:
                continue
            if keys.setdefault(key, row.id) != row.id:
                raise Broken("one record for each key", f"{key}: {keys[key]} and {row.id}")
            for name, line in MAPPINGS.by_object[row.object].fields.items():
                ours = to_wire(line.type, local.values.get(name), ids)
                for what, value in (("org", row.fields[name]), ("remote", link.link.remote.get(name)),
                                    ("agreed", link.link.agreed.get(name))):  # fmt: skip
                    if not same(line.type, ours, value):
                        raise Broken("org and store are equal", f"{row.id} {name}: here {ours!r}, {what} {value!r}")
            late = row.object == "Case" and row.created + DEADLINE <= self.clock.now
            if late and not row.fields["breached"]:
                raise Broken("each breach is told", f"{row.id} opened at {row.created}")
        externals = [row.external for row in org.rows.values() if row.external and not row.deleted]
        if len(externals) != len(set(externals)):
            raise Broken("one record for each key", f"{sorted(externals)}")
        for (name, key), row in store.rows.items():
            link = store.links.get((org.name, name, key))
            if not row.deleted and (link is None or link.link.sf_id not in org.rows):
                raise Broken("org and store are equal", f"{name} {key} is not in the org")
        for (_, name, key), row in store.links.items():
            if row.touched > row.settled and not row.link.deleted and row.state == "ready":
                raise Broken("all work ends", f"{name} {key} is unsettled")
            if row.state != "ready" and not row.link.deleted:
                raise Broken("all work ends", f"{name} {key} waits in quarantine for nothing")
        self._books(client)

    def _books(self, client: Client) -> None:
        """Each minute stands once; no pack was ever overdrawn; each breach was noticed once."""
        store = client.store
        balance: dict[str, int] = {}
        stands: dict[str, int] = {}
        bought: dict[str, int] = {}
        seen: set[tuple[str, int, str, bool]] = set()
        for posting in store.postings:
            named = (posting.source, posting.version, posting.pack, posting.minutes > 0)
            if named in seen:
                raise Broken("minutes move once", f"{posting}")
            seen.add(named)
            balance[posting.pack] = balance.get(posting.pack, 0) + posting.minutes
            if balance[posting.pack] < 0:
                raise Broken("no pack is overdrawn", f"{posting.pack}: {balance[posting.pack]}")
            if posting.source == posting.pack:
                bought[posting.pack] = bought.get(posting.pack, 0) + posting.minutes
            else:
                stands[posting.source] = stands.get(posting.source, 0) - posting.minutes
        for (name, key), row in store.rows.items():
            if name == "Entry":
                counted = not row.deleted and row.values.get("state") == "Counted"
                minutes = row.values["minutes"] if counted else 0
                if stands.get(key, 0) != minutes:
                    raise Broken("minutes are conserved", f"{key}: {stands.get(key, 0)} stand, {minutes} were worked")
            elif name == "Pack" and (row.values.get("bought") or 0) != bought.get(key, 0):
                raise Broken(
                    "minutes are conserved", f"{key}: {row.values.get('bought')} bought, {bought.get(key)} booked"
                )
            elif name == "Pack" and not row.deleted and row.values.get("balance") != balance.get(key, 0):
                shown = row.values.get("balance")
                raise Broken("a balance is a fold", f"{key}: shows {shown}, is {balance.get(key, 0)}")
            if any(isinstance(v, str) and v[:4] in ("org-", "desk") and f"-{client.name}-" not in v
                   for v in row.values.values()):  # fmt: skip
                raise Broken("nothing crosses clients", f"{key} of {client.name}: {row.values}")
        if len({n[:2] for n in store.notices}) != len(store.notices):
            raise Broken("each breach is told once", f"{store.notices}")


_WEIGHTS: tuple[tuple[int, Callable[[History, Client, Random, int], None]], ...] = (
    (34, History.work), (22, History.edit), (12, History.create), (5, History.delete), (6, History.slow),
    (9, History.desk), (3, History.poison), (5, History.weather), (1, History.drift), (1, History.swap),
    (2, History.wait),
)  # fmt: skip
_ACTS = shares(_WEIGHTS)


def steps_of(seed: int) -> list[int]:
    """Return the steps of a seed's history."""
    return list(range(History(seed).steps))


def run(seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> None:
    """Live one history; raises Broken, or whatever the product raised without a right to."""
    History(seed, trace).run(kept)
