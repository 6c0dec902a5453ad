"""What the line costs: API calls by the org's own journal, rows a second beside other programs, memory of a large load.

Figures in one table at the end; only what is promised in calls, records and megabytes is asserted, no speed.
``make bench ARGS="-k line --rows 20000 --million 100000"`` is a shorter look.
"""

# ruff: noqa: T201  a bench prints its figures

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sfsync.clock import SystemClock
from sfsync.localorg.metadata import deploy
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.runtime import Runtime
from sfsync.settings import Settings, load
from tests.bench.laden import Laden, laden, overlay
from tests.bench.peers import PEERS, CannotError, Ran
from tests.e2e.stage import CLIENT_FILE, ZONE
from tests.installed import install
from tests.orgs import package

pytestmark = pytest.mark.bench
ORG = "acme"
CHANGED_EACH = 250
MOST_MEGABYTES = 300
TURNS = 3
"""How often sfsync and the fastest of the others load by turns."""
FASTEST = "gurglefish"
TARGETS = {FASTEST: "target 3 x", "airbyte": "target 8 x"}


class Table:
    """What was measured, a line each."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def say(self, what: str, found: str, target: str = "") -> None:
        """Print a figure now, and again in the table at the end."""
        self.lines.append((what, found, target))
        print(f"\n  {what}: {found}  [load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]")

    def show(self) -> None:
        """Print everything."""
        widths = [max(len(line[n]) for line in self.lines) for n in range(3)]
        print("\n\n  The line, measured")
        for what, found, target in self.lines:
            print(f"  {what:{widths[0]}}  {found:>{widths[1]}}  {target}")


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """The table; it is shown when the last bench of the line has ended."""
    made = Table()
    yield made
    if made.lines:
        made.show()


def settings_of(folder: Path, database: str, line: dict[str, Any], client: str) -> Path:
    """Write the settings of one org and its client; return the file."""
    only = {**line, "orgs": [{**line["orgs"][0], "name": ORG}]}
    install(folder, only, store=database, broker="redis://localhost:1/0", overlay=client)
    return folder / "sfsync.toml"


# --- API calls --------------------------------------------------------------------------------------------------


class Counted:
    """One org with the whole standard mapping behind HTTPS, and the calls that the stages of a run cost it."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.org = LocalOrg(ORG, clock=SystemClock(), seed=9, zone=ZONE, daily_api_requests=1_000_000)
        options = deploy.DeployOptions(single_package=True)
        assert deploy.start(self.org, self.org.admin, package(), options).status == "Succeeded"
        self.org.assign("sfsync_Service", self.org.integration_id)
        line = stack.enter_context(running(prepare(folder / "org", orgs=[self.org])))
        client = CLIENT_FILE.format(name=ORG, title="Acme", plan="gold")
        self.settings: Settings = load(settings_of(folder, database, line, client), {"HOME": str(folder)})

    def run(self) -> tuple[dict[str, int], Any]:
        """Sync once as a fresh process does; return what each stage cost, by the org's journal, and the report."""
        at: list[tuple[str, int]] = []
        with closing(Runtime.open(self.settings)) as runtime:
            report = runtime.sync(ORG, step=lambda stage: at.append((stage, self.org.journal.total_cost)))
        at.append(("", self.org.journal.total_cost))
        return {stage: at[n + 1][1] - cost for n, (stage, cost) in enumerate(at[:-1])}, report

    def until_quiet(self) -> None:
        """Sync until a run neither reads nor writes anything."""
        for _ in range(5):
            _, report = self.run()
            if not report.wrote and not report.absorbed:
                return
        raise AssertionError("five runs, and still something to write")

    def cases(self, count: int) -> list[str]:
        """Let people open cases."""
        return self.org.seed_rows(
            "Case",
            [
                {"Subject": f"Case {n}", "Maint_Request__c": True, "Maint_Priority__c": "P3", "Origin": "Web"}
                for n in range(count)
            ],
        )


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, postgres: Any, template_database: str) -> Iterator[Counted]:
    """The org with the whole mapping, synced until quiet."""
    from tests.conftest import _copied

    with _copied(postgres, template_database) as (name, _), ExitStack() as stack:
        made = Counted(tmp_path_factory.mktemp("counted"), postgres.url_of(name), stack)
        made.until_quiet()
        yield made


def test_a_quiet_poll_of_the_whole_mapping(counted: Counted, table: Table) -> None:
    cost, report = counted.run()
    table.say("API calls: a quiet poll of every mapped object", str(sum(cost.values())), "target 1")
    assert (sum(cost.values()), report.wrote) == (1, 0)


def test_a_thousand_changed_rows(counted: Counted, table: Table) -> None:
    cases = counted.cases(CHANGED_EACH)
    packs = counted.org.seed_rows("Maintenance_Pack__c", [{"Type__c": "Pro", "Status__c": "Draft"}] * CHANGED_EACH)
    counted.org.seed_rows(
        "Maintenance_Estimate__c", [{"Case__c": case, "Minutes__c": 60, "Version__c": 1} for case in cases]
    )
    today = counted.org.clock.now().date().isoformat()
    counted.org.seed_rows(
        "Time_Entry__c", [{"Case__c": case, "Minutes__c": 30, "Work_Date__c": today} for case in cases]
    )
    assert len(packs) == CHANGED_EACH
    cost, report = counted.run()
    read = cost["preflight"] + cost["extract"]
    table.say("API calls: reading 1,000 changed rows of 4 objects", str(read), "target 1")
    assert report.read >= 4 * CHANGED_EACH
    assert read == 1
    counted.until_quiet()


@pytest.mark.parametrize(("rows", "most"), [(1_000, 1), (10_000, 10)])
def test_writing_back(counted: Counted, table: Table, rows: int, most: int) -> None:
    counted.cases(rows)
    cost, report = counted.run()
    table.say(f"API calls: writing back {report.wrote:,} rows", str(cost["write back"]), f"target {most}")
    assert report.wrote >= rows
    assert cost["write back"] <= most
    counted.until_quiet()


# --- speed and memory -------------------------------------------------------------------------------------------


def load_in_a_process(file: Path) -> dict[str, Any]:
    """Load everything in a process of its own; return what it says of itself."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "tests.bench.loading", str(file)]
    ended = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_load_beside_other_programs(
    tmp_path: Path, postgres: Any, template_database: str, table: Table, pytestconfig: pytest.Config
) -> None:
    """By turns, because a shared machine is at no two minutes the same; said are medians, and what they lie between."""
    from tests.conftest import _copied

    rows = int(pytestconfig.getoption("rows"))
    ours: list[float] = []
    theirs: dict[str, list[Ran]] = {peer.name: [] for peer in PEERS}
    cannot: dict[str, str] = {}
    with laden(tmp_path / "org", rows) as org:
        for turn in range(TURNS):
            with _copied(postgres, template_database) as (name, _):
                file = settings_of(tmp_path / f"ours {turn}", postgres.url_of(name), org.line, overlay())
                with org.counting() as first:
                    ours.append(rows / load_in_a_process(file)["seconds"])
                if not turn:
                    _nothing_again(org, file, postgres.url_of(name), table)
            for peer in PEERS if not turn else [one for one in PEERS if one.name == FASTEST]:
                with _copied(postgres, template_database) as (name, _):
                    try:
                        theirs[peer.name].append(peer.run(tmp_path / f"{peer.name} {turn}", org, postgres.url_of(name)))
                    except CannotError as reason:
                        cannot[peer.name] = str(reason)
    table.say(f"{rows:,} rows of 14 fields, sfsync to PostgreSQL", f"{_speeds(ours)}, {first['calls']} calls")
    for peer in PEERS:
        if peer.name in cannot:
            table.say(f"  {peer.name}", "could not be run", cannot[peer.name])
            continue
        ran = theirs[peer.name]
        times = statistics.median(ours) / statistics.median(one.speed for one in ran)
        table.say(
            f"  {peer.name} to {peer.into}",
            f"{_speeds([one.speed for one in ran])}, {ran[0].calls} calls",
            f"sfsync does {times:.1f} x; {TARGETS.get(peer.name, '')}".rstrip("; "),
        )


def _speeds(each: Sequence[float]) -> str:
    """Return the median of what was measured in rows a second, and what it lies between."""
    between = f" ({min(each):,.0f} to {max(each):,.0f})" if len(each) > 1 else ""
    return f"{statistics.median(each):,.0f} rows/s{between}"


def test_a_large_load(tmp_path: Path, own_database_url: str, table: Table, pytestconfig: pytest.Config) -> None:
    rows = int(pytestconfig.getoption("million"))
    with laden(tmp_path / "org", rows) as org:
        file = settings_of(tmp_path / "ours", own_database_url, org.line, overlay())
        with org.counting() as first:
            found = load_in_a_process(file)
        table.say(f"{rows:,} rows loaded", f"{rows / found['seconds']:,.0f} rows/s")
        table.say("  API calls", str(first["calls"]), "target 28")
        table.say("  peak memory of the process", f"{found['peak_mb']:.0f} MB", f"target {MOST_MEGABYTES} MB")
        assert first["calls"] <= 28
        assert found["peak_mb"] < MOST_MEGABYTES
        _nothing_again(org, file, own_database_url, table)


def _nothing_again(org: Laden, file: Path, database: str, table: Table) -> None:
    """Load once more; nothing may be written to the store, and there was nothing but one row an org's row before."""
    before = written(database)
    assert before == org.rows
    with org.counting() as again:
        load_in_a_process(file)
    table.say("  the same again", f"{written(database) - before} rows written, {again['calls']} call(s)", "target 0")
    assert written(database) == before


def written(database: str) -> int:
    """Return how often a record was written to the store: each time its link counts on."""
    with psycopg.connect(database) as owner:
        row = owner.execute("SELECT coalesce(sum(touched), 0) FROM link").fetchone()
    assert row is not None
    return int(row[0])
