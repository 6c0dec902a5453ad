"""A real worker, killed in the middle of its first nightly run: nothing is lost, doubled or left half-done."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sfsync.localorg.faults import Faults
from tests.e2e.real import Real, broker, kill


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
