"""Other programs that read a Salesforce org, each in an environment of its own and run as it is meant to be.

Where one cannot be installed or does not run here, that is what is said of it, with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from sfsync.clock import SystemClock
from sfsync.mapping import load_mappings
from tests.bench.laden import OBJECTS, Laden, fields_of

HOME = Path(tempfile.gettempdir()) / f"sfsync-peers-{os.geteuid()}"
"""Where the environments are kept from one bench to the next; a peer is installed once."""
DOOR = Path(__file__).with_name("peer_door.py")
INSTALL_SECONDS = 600
RUN_SECONDS = 1800
SINCE = timedelta(days=730)
"""How far back a peer is told to read; the oldest row is younger."""
BOOKKEEPING = ("Id", "IsDeleted", "CreatedDate", "SystemModstamp")


class CannotError(Exception):
    """A peer cannot be installed or run here; the text is the reason."""


@dataclass(frozen=True)
class Ran:
    """What one run of a peer came to."""

    rows: int
    seconds: float
    calls: int
    logins: int

    @property
    def speed(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@dataclass(frozen=True)
class Peer:
    """One program: what is installed, how it is set up, and how many rows it brought."""

    name: str
    into: str
    """Where its rows end."""
    needs: tuple[tuple[str, ...], ...]
    """What pip is called with, one call each."""
    prepare: Callable[[Peer, Path, Laden, str], None]
    count: Callable[[Path, str], int]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return HOME / self.name / "bin" / "python"

    def install(self) -> None:
        """Make sure that its environment is there; CannotError if it cannot be made."""
        done = HOME / self.name / "installed"
        wanted = json.dumps(self.needs)
        if done.exists() and done.read_text() == wanted:
            return
        venv.create(HOME / self.name, with_pip=True, clear=True)
        for words in self.needs:
            command = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
            ended = _run(command, {}, INSTALL_SECONDS, None, HOME)
            if ended.returncode:
                raise CannotError(f"pip install {' '.join(words)}: {_last_words(ended.stderr)}")
        done.write_text(wanted)

    def run(self, folder: Path, org: Laden, database: str) -> Ran:
        """Install it, set it up, and let it read the whole org once."""
        self.install()
        folder.mkdir()
        (folder / "org.json").write_text(json.dumps(org.line), encoding="utf-8")
        self.prepare(self, folder, org, database)
        with org.counting() as counted:
            self.open_door(self.name, folder, org)
            ended = time.perf_counter()
        seconds = ended - float((folder / "began").read_text())  # one clock for all processes; imports are not counted
        rows = self.count(folder, database)
        if rows < org.rows:
            raise CannotError(f"it ended after {rows:,} of {org.rows:,} rows")
        return Ran(rows, seconds, counted["calls"], counted["logins"])

    def open_door(self, what: str, folder: Path, org: Laden) -> None:
        """Run the peer; what it prints goes to ``out``."""
        trust = {"REQUESTS_CA_BUNDLE": org.line["ca_file"], "SSL_CERT_FILE": org.line["ca_file"]}
        with (folder / "out").open("wb") as out:
            ended = _run([str(self.python), str(DOOR), what, str(folder)], trust, RUN_SECONDS, out, folder)
        if ended.returncode:
            said = ended.stderr + (folder / "out").read_text(encoding="utf-8", errors="replace")[-20_000:]
            raise CannotError(f"it ended with {ended.returncode}: {_last_words(said)}")


def _run(
    command: list[str], more: dict[str, str], seconds: float, out: Any, where: Path
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | more
    try:
        return subprocess.run(
            command, stdout=out or subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, timeout=seconds,
            text=True, check=False, errors="replace", cwd=where,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotError(f"it did not end within {seconds:.0f} s") from None


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line] or lines or ["it said nothing"]
    return telling[-1][:200]


# --- gurglefish: PostgreSQL, by upserts -------------------------------------------------------------------------


def _prepare_gurglefish(_peer: Peer, folder: Path, org: Laden, database: str) -> None:
    where = urlsplit(database)
    named = parse_qs(where.query)
    ini = {
        "id": "bench", "login": org.line["username"], "password": org.line["password"],
        "consumer_key": org.line["client_id"], "consumer_secret": org.line["client_secret"],
        "authurl": org.line["url"], "dbvendor": "postgresql", "dbname": where.path.lstrip("/"), "schema": "peer",
        "dbuser": where.username or "postgres", "dbpass": where.password or "",
        "dbhost": named.get("host", [where.hostname or ""])[0],
        "dbport": named.get("port", [str(where.port or 5432)])[0], "threads": "4",
    }  # fmt: skip
    text = "[bench]\n" + "".join(f"{key}={value}\n" for key, value in ini.items())
    (folder / "connections.ini").write_text(text, encoding="utf-8")
    objects = [load_mappings()[name].object.lower() for name in OBJECTS]
    config = {"configuration": {"sobjects": [{"name": name, "enabled": True} for name in objects]}}
    kept = folder / "db" / "bench"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS peer CASCADE")
        owner.execute("CREATE SCHEMA peer")


def _count_gurglefish(_folder: Path, database: str) -> int:
    with psycopg.connect(database) as owner:
        names = [load_mappings()[name].object.lower() for name in OBJECTS]
        return sum(_one(owner, f'SELECT count(*) FROM peer."{name}"') for name in names)


def _one(owner: psycopg.Connection[Any], statement: str) -> int:
    row = owner.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0


# --- Airbyte and Singer: standard output ------------------------------------------------------------------------


def _login(org: Laden) -> dict[str, Any]:
    return {
        "client_id": org.line["client_id"], "client_secret": org.line["client_secret"],
        "refresh_token": org.line["refresh_token"], "is_sandbox": False,
        "start_date": (SystemClock().now() - SINCE).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip


def _prepare_airbyte(_peer: Peer, folder: Path, org: Laden, _database: str) -> None:
    streams = [
        {
            "stream": {
                "name": load_mappings()[name].object, "json_schema": {}, "source_defined_cursor": True,
                "supported_sync_modes": ["full_refresh", "incremental"], "default_cursor_field": ["SystemModstamp"],
            },
            "sync_mode": "incremental", "destination_sync_mode": "append", "cursor_field": ["SystemModstamp"],
        }
        for name in OBJECTS
    ]  # fmt: skip
    (folder / "catalog.json").write_text(json.dumps({"streams": streams}), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(_login(org) | {"auth_type": "Client"}), encoding="utf-8")


def _prepare_tap(peer: Peer, folder: Path, org: Laden, _database: str) -> None:
    config = _login(org) | {"api_type": "REST", "select_fields_by_default": False}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    peer.open_door("tap_discovers", folder, org)
    mappings = load_mappings()
    wanted = {
        mappings[name].object: {*(mappings[name].fields[field].api for field in fields_of(name)), *BOOKKEEPING}
        for name in OBJECTS
    }
    streams = [s for s in json.loads((folder / "out").read_bytes())["streams"] if s["tap_stream_id"] in wanted]
    for stream in streams:
        for one in stream["metadata"]:
            crumb = one["breadcrumb"]
            one["metadata"]["selected"] = not crumb or crumb[1] in wanted[stream["tap_stream_id"]]
    (folder / "catalog.json").write_text(json.dumps({"streams": streams}), encoding="utf-8")


def _count_records(folder: Path, _database: str) -> int:
    with (folder / "out").open("rb") as out:
        return sum(1 for line in out if b'"RECORD"' in line[:200])


PEERS = (
    Peer(
        "gurglefish",
        "PostgreSQL",
        # Its own pins of 2019 do not build on today's Python; it runs as it is on today's versions of the same.
        (("requests", "arrow", "pyyaml", "python-dateutil", "psycopg2-binary"), ("--no-deps", "gurglefish==1.1.9")),
        _prepare_gurglefish,
        _count_gurglefish,
    ),
    Peer("airbyte", "standard output", (("airbyte-source-salesforce==2.10.3",),), _prepare_airbyte, _count_records),
    Peer("tap", "standard output", (("tap-salesforce==2.8.1",),), _prepare_tap, _count_records),
)
