"""How fast the local org answers SOQL and moves Bulk rows, in process, over 200,000 cases."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.bulk_jobs import jobs_of
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World

pytestmark = pytest.mark.bench

CASES = 200_000
UPSERTS = 50_000
ROUNDS = 15
NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
FIELDS = (
    "Id, CaseNumber, Subject, Status, Priority, Origin, AccountId, OwnerId, IsClosed, CreatedDate, LastModifiedDate, "
    "SystemModstamp, CreatedById, Reason"
)


class Org:
    """An org with many cases, and a session."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.org = LocalOrg(clock=self.clock, daily_api_requests=10_000_000)
        self.world = World([self.org])
        self.token = self.org.logins.open_session(self.org.admin_id)
        accounts = self.org.insert("Account", [{"Name": f"Account {n}"} for n in range(1000)])
        self.org.seed_rows(
            "Case",
            [
                {"Subject": f"Case number {n}", "Status": "New", "Origin": "Web", "AccountId": accounts[n % 1000]}
                for n in range(CASES)
            ],
        )

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "application/json", **query: str) -> Response:
        """Return the answer to a request."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": kind}
        return self.world.handle(Request(method, path, dict(query), headers, body, wire=False))


@pytest.fixture(scope="module")
def org() -> Org:
    """One org for every figure."""
    return Org()


def median_ms(action: Callable[[], object]) -> tuple[float, float]:
    """Return an action's milliseconds: the median by the clock on the wall, and the least of this thread's own work."""
    wall, own = [], []
    for _ in range(ROUNDS):
        begun, worked = time.perf_counter(), time.thread_time()
        action()
        own.append((time.thread_time() - worked) * 1000)
        wall.append((time.perf_counter() - begun) * 1000)
    return statistics.median(wall), min(own)


def test_a_page_of_2000_cases(org: Org) -> None:
    data = "/services/data/v61.0"
    figures = {}
    for name, more in (
        ("the first 2,000", " LIMIT 2000"),
        ("by stamp", " WHERE SystemModstamp >= 2026-11-21T00:00:00Z ORDER BY SystemModstamp, Id LIMIT 2000"),
        ("with a parent", " WHERE Account.Name != null LIMIT 2000"),
    ):
        figures[name] = median_ms(lambda q=f"SELECT {FIELDS} FROM Case{more}": org.send("GET", f"{data}/query", q=q))  # type: ignore[misc]
    first = org.send("GET", f"{data}/query", q=f"SELECT {FIELDS} FROM Case").json()
    assert first["totalSize"] == CASES
    figures["by locator"] = median_ms(lambda: org.send("GET", first["nextRecordsUrl"]))
    for name, (wall, own) in figures.items():
        print(f"\n  a page of 2,000 cases with 14 fields, {name:<16} {wall:6.1f} ms, of them work {own:6.1f} ms")  # noqa: T201


def test_a_bulk_query_of_all_cases(org: Org) -> None:
    base = "/services/data/v61.0/jobs/query"
    body = f'{{"operation": "query", "query": "SELECT {FIELDS} FROM Case"}}'.encode()
    begun, worked = time.perf_counter(), time.thread_time()
    job = org.send("POST", base, body).json()["id"]
    while org.send("GET", f"{base}/{job}").json()["state"] != "JobComplete":
        pass
    extracted = time.perf_counter()
    locator, rows, size = "", 0, 0
    while locator != "null":
        more = {"locator": locator} if locator else {}
        answer = org.send("GET", f"{base}/{job}/results", **more)
        rows += int(str(answer.header("Sforce-NumberOfRecords")))
        size += len(answer.body)
        locator = str(answer.header("Sforce-Locator"))
    ended, own = time.perf_counter(), time.thread_time() - worked
    assert rows == CASES
    overall, download = rows / (ended - begun), rows / (ended - extracted)
    print(f"\n  bulk query of {rows:,} rows: {overall:,.0f} rows a second in all, {download:,.0f} downloading")  # noqa: T201
    print(f"  by its own work: {rows / own:,.0f} rows a second")  # noqa: T201


def test_a_bulk_insert(org: Org) -> None:
    base = "/services/data/v61.0/jobs/ingest"
    data = "Subject,Status,Priority\n" + "".join(f"Loaded {n},New,High\n" for n in range(UPSERTS))
    begun, worked = time.perf_counter(), time.thread_time()
    job = org.send("POST", base, b'{"object": "Case", "operation": "insert"}').json()["id"]
    org.send("PUT", f"{base}/{job}/batches", data.encode(), "text/csv")
    org.send("PATCH", f"{base}/{job}", b'{"state": "UploadComplete"}')
    jobs_of(org.org).finish(jobs_of(org.org).get(job, "V2Ingest"))
    found = org.send("GET", f"{base}/{job}").json()
    took, own = time.perf_counter() - begun, time.thread_time() - worked
    counts = [found[name] for name in ("state", "numberRecordsProcessed", "numberRecordsFailed")]
    assert counts == ["JobComplete", UPSERTS, 0]
    print(f"\n  bulk insert of {UPSERTS:,} cases: {UPSERTS / took:,.0f} rows a second")  # noqa: T201
    print(f"  by its own work: {UPSERTS / own:,.0f} rows a second")  # noqa: T201
