"""The server out of a wheel: shared, restartable, private, and gentle to what it did not make."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sfsync.errors import StoreUnavailable
from sfsync.store.embedded import LONGEST_SOCKET_DIRECTORY, EmbeddedPostgres, _lives


@pytest.fixture
def server(tmp_path: Path):
    made = EmbeddedPostgres(tmp_path / "data", durable=False)
    yield made
    made.remove()


def ask(server: EmbeddedPostgres, sql: str = "SELECT 1"):
    with psycopg.connect(server.url, autocommit=True) as connection:
        answer = connection.execute(sql.encode())
        return answer.fetchall() if answer.description else None


def test_a_server_keeps_what_was_stored_over_a_restart(server) -> None:
    with server:
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with server:
        assert ask(server, "SELECT answer FROM kept") == [(42,)]


def test_the_last_one_out_stops_it(server, tmp_path) -> None:
    second = EmbeddedPostgres(tmp_path / "data", durable=False)
    with server:
        second.open()
    assert ask(second) == [(1,)]
    second.close()
    with pytest.raises(psycopg.OperationalError):
        ask(server)


def test_several_processes_share_one_server(server, tmp_path) -> None:
    with server:
        pid = server._postmaster()
        other = (
            "import sys; from pathlib import Path; from sfsync.store.embedded import EmbeddedPostgres as E\n"
            "with E(Path(sys.argv[1]), durable=False) as server: print(server._postmaster())"
        )
        done = subprocess.run(
            [sys.executable, "-c", other, str(tmp_path / "data")], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) == pid
        assert ask(server) == [(1,)]


def test_a_server_that_was_killed_starts_again_with_what_was_committed(tmp_path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    try:
        server.open()
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server._postmaster(), signal.SIGKILL)
        with EmbeddedPostgres(tmp_path / "data") as again:
            assert ask(again, "SELECT answer FROM kept") == [(42,)]
    finally:
        server.remove()


def test_a_first_start_that_was_cut_short_is_begun_again(server) -> None:
    server.open()
    server.close()
    (server._data / "PG_VERSION").unlink()
    with server:
        assert ask(server) == [(1,)]


def test_there_is_no_tcp_port_and_nobody_else_can_enter(server) -> None:
    with server:
        assert ask(server, "SHOW listen_addresses") == [("",)]
        for directory in (server._own, server._sockets, server._data):
            assert stat.S_IMODE(directory.stat().st_mode) & 0o077 == 0, directory


def test_nothing_that_was_there_before_changes_owner_or_mode(tmp_path) -> None:
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    watched = [home, *home.parents, Path(sys.prefix), *Path(sys.prefix).parents]

    def facts():
        return [(p, s.st_mode, s.st_uid, s.st_gid) for p in watched for s in [p.stat()]]

    before = facts()
    made = EmbeddedPostgres(home, durable=False)
    with made:
        assert ask(made) == [(1,)]
    made.remove()
    assert facts() == before


def test_a_home_with_a_long_path_gets_a_socket_that_fits(tmp_path) -> None:
    home = tmp_path / ("long" * 30)
    made = EmbeddedPostgres(home, durable=False)
    try:
        assert len(os.fsencode(made._sockets)) <= LONGEST_SOCKET_DIRECTORY
        with made:
            assert ask(made) == [(1,)]
    finally:
        made.remove()


def test_a_directory_that_somebody_else_could_enter_is_refused(server) -> None:
    server.place.mkdir(parents=True)
    server._own.mkdir(mode=0o755)
    server._own.chmod(0o755)
    with pytest.raises(StoreUnavailable, match="not a private directory of ours"):
        server.open()


def test_remove_leaves_nothing(server) -> None:
    server.open()
    pid = server._postmaster()
    server.remove()
    assert not server.place.exists()
    assert not _lives(pid)
