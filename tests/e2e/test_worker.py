"""A real worker, killed or frozen in the middle of a run: nothing is lost, doubled, half-done or done too late."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sfsync.localorg.faults import Faults
from sfsync.roster import AUDIT, CALENDAR, RUNS
from tests.chaos.ground import shown
from tests.e2e.real import CLOCK, Real, broker, kill
from tests.e2e.test_schedule import everything


def undisturbed(tmp_path: Path, url: str) -> dict[str, Any]:
    with ExitStack() as stack:
        real = Real(tmp_path, url, "redis://127.0.0.1:1/0", stack)
        real.runtime.sync("acme")
        real.runtime.sync("acme")
        return real.business()


@pytest.mark.slow
@pytest.mark.parametrize(("call", "when"), [(2, "reading"), (3, "writing back")])
def test_a_worker_killed_in_the_middle_of_the_first_nightly_run_ends_like_an_undisturbed_one(
    tmp_path: Path, database_url: str, own_database_url: str, call: int, when: str
) -> None:
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
    calm = undisturbed(tmp_path / "calm", own_database_url)
    with ExitStack() as stack:
        url = stack.enter_context(broker(tmp_path / "broker"))
        real = Real(tmp_path / "killed", database_url, url, stack)
        # The org does what was asked and its answer never comes: there the worker dies.
        rule = {"kind": "timeout_after", "method": "POST", "path": "/composite$", "calls": [call], "seconds": 60}
        real.org.faults = Faults.of([rule])
        with real.worker() as worker:
            real.wait(lambda: bool(real.org.faults.rules[0].struck), f"the worker {when}")
            kill(worker)
        assert real.runs("running") == 1, f"the worker was not killed while {when}"
        real.org.faults = Faults()
        with real.worker():
            real.wait(lambda: real.runs("done") == 1, "the run of the second worker", seconds=90)
        assert real.runs("lost") == 1
        real.wait(lambda: real.runtime.store.orgs()[0].holder is None, "the end of the killed worker's lease")
        real.runtime.sync("acme")
        assert real.business() == calm
        again = real.runtime.sync("acme")
        assert (again.wrote, again.absorbed, again.refused) == (0, 0, 0)


HELD = {"kind": "slow", "method": "POST", "path": "/composite$", "calls": [3], "seconds": 3}


def owes(real: Real) -> bool:
    return bool(real.runtime.fleet.due((*RUNS, AUDIT, CALENDAR), CLOCK.now()))


@pytest.mark.slow
def test_a_real_worker_frozen_past_its_lease_and_woken_again_changes_nothing(
    tmp_path: Path, own_database_url: str
) -> None:
    with ExitStack() as stack:
        real = Real(tmp_path, own_database_url, stack.enter_context(broker(tmp_path / "broker")), stack)
        real.org.faults = Faults.of([HELD])
        frozen = stack.enter_context(real.worker())
        real.wait(lambda: bool(real.org.faults.rules[0].struck), "the first write of the worker")
        os.killpg(frozen.pid, signal.SIGSTOP)
        real.wait(lambda: real.runtime.store.orgs()[0].holder is None, "the end of its lease")
        assert real.runs("running") == 1
        with real.worker():
            real.wait(lambda: real.runs("done") >= 1 and not owes(real), "everything that was due", seconds=90)
        before = everything(own_database_url), shown(real.org)
        os.killpg(frozen.pid, signal.SIGCONT)
        log = real.folder / "worker.log"
        real.wait(lambda: '"result": "lease lost"' in log.read_text(), "the awakening of the frozen worker")
        assert (everything(own_database_url), shown(real.org)) == before
        assert real.runs("lost") == 1


@pytest.mark.slow
def test_the_org_of_a_killed_worker_is_taken_over_within_the_lease_and_a_beat(
    tmp_path: Path, own_database_url: str
) -> None:
    """With the settings as they are shipped that is 80 seconds, and ten more are for whoever is slow."""
    with ExitStack() as stack:
        real = Real(tmp_path, own_database_url, stack.enter_context(broker(tmp_path / "broker")), stack)
        real.runtime.store.pause("acme", "acme", "until everybody is there")
        workers = [stack.enter_context(real.worker()) for _ in range(2)]
        stack.enter_context(real.beat())
        log = real.folder / "worker.log"
        real.wait(lambda: log.read_text().count(" ready.") == 2, "the start of both workers")
        real.org.faults = Faults.of([{**HELD, "calls": [3, 4]}])
        real.runtime.store.resume("acme", "acme")
        real.wait(lambda: bool(real.org.faults.rules[0].struck) and real.runs("running") == 1, "the run that dies")
        holder = real.runtime.store.orgs()[0].holder
        assert holder is not None
        began = CLOCK.monotonic()
        [dead] = [worker for worker in workers if worker.pid == os.getpgid(int(holder.split(":")[1]))]
        kill(dead)
        real.wait(lambda: real.runs("lost") == 1, "the takeover")
        settings = real.settings
        assert CLOCK.monotonic() - began < settings.store.lease_seconds + settings.schedule.beat_seconds + 10
        real.wait(lambda: real.runs("done") == 1, "the run that takes over")
