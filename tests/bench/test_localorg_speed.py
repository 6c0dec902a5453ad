"""The local org's four figures, printed: a page over HTTPS, a Bulk result, upserts by collections, a million cases.

The page is asked for by a client in a process of its own, as every real client is, which shares only the machine; and
once more from this process, where client and server also share one interpreter and wait for each other. The other
figures are taken from this process. ``server's own work`` is what the org's thread spent on it. Beside each stands a
floor of the same run, by which a figure of a busy machine can be judged: the same bytes sent from memory over the same
line, the same cells fetched from SQLite and written by orjson, the same rows inserted bare.
"""

from __future__ import annotations

import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import orjson
import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.face import Request, Response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import SchemaChange, custom_field
from sfsync.localorg.server import prepare, running
from sfsync.localorg.world import World

pytestmark = pytest.mark.bench

CASES = 100_000
UPSERTED = 10_000
MILLION = 1_000_000
ROUNDS = 41
NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
DATA = "/services/data/v61.0"
ROOT = Path(__file__).parents[2]
FIELDS = (
    "Id, CaseNumber, Subject, Status, Priority, Origin, AccountId, OwnerId, IsClosed, CreatedDate, LastModifiedDate, "
    "SystemModstamp, CreatedById, Reason"
)


class Measured(World):
    """A world that notes the processor time of each of its answers, in seconds."""

    canned: bytes = b""

    def __init__(self, orgs: list[LocalOrg]) -> None:
        super().__init__(orgs)
        self.worked: list[float] = []

    def handle(self, request: Request) -> Response:
        """Answer as a world does, and count what it took of this thread; ``/canned`` is given from memory."""
        if request.path == "/canned":
            return Response(200, self.canned, [("Content-Type", "application/json")])
        began = time.thread_time()
        try:
            return super().handle(request)
        finally:
            self.worked.append(time.thread_time() - began)

    @property
    def work_seconds(self) -> float:
        """The processor time of all answers."""
        return sum(self.worked)


@dataclass
class Wire:
    """One kept-alive HTTPS connection to a served org with many cases."""

    world: Measured
    token: str
    ca_file: str
    connection: HTTPSConnection

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of the answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def from_a_process(self, path: str, encoding: str) -> tuple[float, int, float]:
        """Return median milliseconds and bytes of an answer to another process, and milliseconds of canned bytes."""
        task = {
            "ca_file": self.ca_file,
            "port": self.connection.port,
            "token": self.token,
            "encoding": encoding,
            "paths": [path, "/canned"],
            "rounds": ROUNDS,
        }
        command = [sys.executable, "-m", "tests.bench.page_client"]
        done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, cwd=ROOT, check=True)
        found = json.loads(done.stdout)
        return found[path][0], found[path][1], found["/canned"][0]

    def from_here(self, path: str, _: str) -> tuple[float, int, float]:
        """Return the same of a client in this process."""
        wall, line, size = [], [], 0
        for _round in range(ROUNDS):
            began = time.perf_counter()
            _, body, _ = self.send("GET", path)
            wall.append((time.perf_counter() - began) * 1000)
            size, began = len(body), time.perf_counter()
            self.send("GET", "/canned")
            line.append((time.perf_counter() - began) * 1000)
        return statistics.median(wall), size, statistics.median(line)

    def cells_of_sqlite(self) -> float:
        """Return median milliseconds of processor time for 2,000 rows of cells, fetched and written as JSON."""
        db, taken = self.world.first.storage.db, []
        for _round in range(ROUNDS):
            worked = time.thread_time()
            orjson.dumps(db.execute(f'SELECT {FIELDS} FROM "Case" LIMIT 2000').fetchall())
            taken.append((time.thread_time() - worked) * 1000)
        return statistics.median(taken)


def say(line: str) -> None:
    """Print a figure with the load of the machine, without which it says little."""
    print(f"\n  {line}  [load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]")  # noqa: T201


def cases(count: int, first: int = 0) -> list[dict[str, object]]:
    """Return cases to seed, no two neighbours alike in what people choose."""
    chosen: list[dict[str, object]] = [
        {"Status": status, "Priority": priority, "Origin": origin}
        for status in ("New", "Working", "Escalated")
        for priority in ("High", "Medium", "Low")
        for origin in ("Web", "Email", "Phone")
    ]
    return [{"Subject": f"Case number {n}"} | chosen[n % len(chosen)] for n in range(first, first + count)]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A served org with 100,000 cases and an external id on Case."""
    org = LocalOrg("acme", clock=ManualClock(NOW), daily_api_requests=10_000_000)
    key = custom_field("Key__c", "string", length=40, unique=True, external_id=True)
    org.schema_change(SchemaChange(fields=[("Case", key)]))
    org.seed_rows("Case", cases(CASES))
    started = prepare(tmp_path_factory.mktemp("localorg"), orgs=(org,))
    started.world = world = Measured([org])
    with running(started) as line:
        trusted = ssl.create_default_context(cafile=line["ca_file"])
        connection = HTTPSConnection("localhost", urlsplit(line["url"]).port, context=trusted, timeout=120)
        yield Wire(world, line["access_token"], line["ca_file"], connection)
        connection.close()


def test_a_page_of_2000_cases_over_https(wire: Wire) -> None:
    path = f"{DATA}/query?{urlencode({'q': f'SELECT {FIELDS} FROM Case'})}"
    status, body, _ = wire.send("GET", path)
    assert status == 200
    following = json.loads(body)["nextRecordsUrl"]
    wire.world.canned = body
    for name, asked in (
        ("by locator", following),
        ("LIMIT 2000", f"{DATA}/query?{urlencode({'q': f'SELECT {FIELDS} FROM Case LIMIT 2000'})}"),
    ):
        _, body, _ = wire.send("GET", asked)
        assert len(json.loads(body)["records"]) == 2000
        for whose, encoding in (
            ("a client in its own process", "identity"),
            ("one that takes gzip", "gzip"),
            ("one in the server's process", ""),
        ):
            wire.world.worked.clear()
            client = wire.from_here if not encoding else wire.from_a_process
            wall, size, line = client(asked, encoding)
            own, bare = statistics.median(wire.world.worked) * 1000, wire.cells_of_sqlite()
            say(
                f"a page of 2,000 cases, 14 fields, {name}, for {whose}: median {wall:.1f} ms ({size:,} bytes), "
                f"{wall / line:.1f} times those bytes from memory ({line:.1f} ms); server's own work {own:.1f} ms, "
                f"{own / bare:.2f} times SQLite's cells by orjson"
            )


def test_a_bulk_query_result_over_https(wire: Wire) -> None:
    asked = json.dumps({"operation": "query", "query": f"SELECT {FIELDS} FROM Case"}).encode()
    began, worked = time.perf_counter(), wire.world.work_seconds
    job = json.loads(wire.send("POST", f"{DATA}/jobs/query", asked)[1])["id"]
    while json.loads(wire.send("GET", f"{DATA}/jobs/query/{job}")[1])["state"] != "JobComplete":
        pass
    extracted = time.perf_counter()
    rows, locator = 0, ""
    while locator != "null":
        more = f"?locator={locator}" if locator else ""
        _, _, headers = wire.send("GET", f"{DATA}/jobs/query/{job}/results{more}")
        found = {k.lower(): v for k, v in headers.items()}
        rows, locator = rows + int(found["sforce-numberofrecords"]), found["sforce-locator"]
    ended, own = time.perf_counter(), wire.world.work_seconds - worked
    assert rows >= CASES
    say(
        f"a Bulk query result over HTTPS: {rows / (ended - extracted):,.0f} rows/s downloading, "
        f"{rows / (ended - began):,.0f} from job to last row; by the server's own work {rows / own:,.0f} rows/s"
    )


def test_upserts_by_collections_over_https(wire: Wire) -> None:
    for name in ("new rows", "rows that exist"):
        bodies = [
            json.dumps(
                {
                    "allOrNone": False,
                    "records": [
                        {"attributes": {"type": "Case"}, "Key__c": f"K{n}", "Subject": f"{name} {n}", "Priority": "Low"}
                        for n in range(start, start + 200)
                    ],
                }
            ).encode()
            for start in range(0, UPSERTED, 200)
        ]
        began, worked = time.perf_counter(), wire.world.work_seconds
        for body in bodies:
            status, answer, _ = wire.send("PATCH", f"{DATA}/composite/sobjects/Case/Key__c", body)
            assert status == 200
            assert b'"success":false' not in answer
        took, own = time.perf_counter() - began, wire.world.work_seconds - worked
        say(
            f"upsert of {name} by collections of 200 over HTTPS: {UPSERTED / took:,.0f} rows/s; "
            f"by the server's own work {UPSERTED / own:,.0f} rows/s"
        )


def resident_megabytes() -> float:
    """Return what this process holds in memory now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1_000_000


def test_a_million_cases_are_seeded() -> None:
    org = LocalOrg("acme", clock=ManualClock(NOW))
    before = resident_megabytes()
    began, worked = time.perf_counter(), time.thread_time()
    for start in range(0, MILLION, 50_000):
        org.seed_rows("Case", cases(50_000, start))
    took, own = time.perf_counter() - began, time.thread_time() - worked
    assert org.count("Case") == MILLION
    held = resident_megabytes() - before
    rows, worked = org.storage.rows('SELECT * FROM "Case" LIMIT 50000'), time.thread_time()
    org.storage.db.execute('CREATE TEMP TABLE bare AS SELECT * FROM "Case" LIMIT 0')
    org.storage.db.executemany(f"INSERT INTO bare VALUES ({','.join('?' * len(rows[0]))})", rows)
    bare = (time.thread_time() - worked) * MILLION / len(rows)
    say(
        f"{MILLION:,} cases seeded in {took:.1f} s (own work {own:.1f} s, {own / bare:.1f} times a bare insert without "
        f"checks or indexes), {held:,.0f} MB in memory"
    )
