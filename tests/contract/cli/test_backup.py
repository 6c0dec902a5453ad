"""A store that was lost comes back from its backup as it was."""

from __future__ import annotations

import stat
from pathlib import Path

import psycopg
import pytest

from tests.contract.cli.conftest import Desk
from tests.e2e.test_schedule import everything


def wipe(url: str) -> None:
    with psycopg.connect(url) as owner:
        owner.execute("DROP SCHEMA public CASCADE")
        owner.execute("CREATE SCHEMA public")


@pytest.fixture
def url(own_database_url: str) -> str:
    """A database of its own: its schema is taken away."""
    return own_database_url


@pytest.fixture
def database_url(url: str) -> str:
    return url


def test_a_wiped_store_comes_back_as_it_was(worked: Desk, url: str, home: Path) -> None:
    store, before = worked.opened.store, everything(url)
    balances = store.balances("acme")
    assert balances
    done = worked("db", "backup", "store.dump", "--json")
    file = home / "store.dump"
    assert (done.code, done.json["bytes"]) == (0, file.stat().st_size)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.close()
    wipe(url)
    back = worked("db", "restore", "store.dump", "--json")
    assert (back.code, back.json["problems"]) == (0, [])
    assert everything(url) == before
    assert store.balances("acme") == balances
    assert worked("ledger", "verify").code == 0
    assert worked("db", "check").code == 0


def test_a_restored_store_protects_its_rows_as_before(worked: Desk, url: str) -> None:
    worked("db", "backup", "store.dump")
    worked.opened.store.close()
    wipe(url)
    worked("db", "restore", "store.dump")
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL ROLE sfsync_service")
        assert connection.execute('SELECT count(*) FROM "case"').fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE posting SET minutes = 1")


def test_a_store_that_holds_clients_is_replaced_only_when_that_was_said(worked: Desk, url: str) -> None:
    worked("db", "backup", "store.dump")
    before = everything(url)
    worked.opened.store.pause("acme", "acme", "since the backup")
    worked.opened.store.close()
    refused = worked("db", "restore", "store.dump")
    assert (refused.code, "--replace" in refused.err) == (5, True)
    assert worked.opened.store.orgs()[0].state == "paused"
    worked.opened.store.close()
    assert worked("db", "restore", "store.dump", "--replace").code == 0
    assert everything(url) == before


def test_what_is_no_backup_or_half_of_one_changes_nothing(worked: Desk, url: str, home: Path) -> None:
    worked("db", "backup", "store.dump")
    whole = (home / "store.dump").read_bytes()
    worked.opened.store.close()
    before = everything(url)
    for name, content in (("text", b"hello"), ("half", whole[: len(whole) * 9 // 10])):
        (home / name).write_bytes(content)
        assert worked("db", "restore", name, "--replace").code != 0, name
        assert everything(url) == before
    assert worked("db", "restore", "not there").code == 5


def test_a_user_who_sees_one_client_at_a_time_makes_no_empty_backup(worked: Desk, url: str, home: Path) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS plain_backup")
        owner.execute("CREATE ROLE plain_backup LOGIN")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain_backup")
        owner.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO plain_backup")
    try:
        plain = url.replace("//postgres@", "//plain_backup@")
        assert plain != url
        refused = worked("db", "backup", "plain.dump", "--url", plain)
        assert (refused.code, "BYPASSRLS" in refused.err) == (1, True)
        assert not (home / "plain.dump").exists()
        assert not (home / "plain.dump.part").exists()
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("DROP OWNED BY plain_backup")
            owner.execute("DROP ROLE plain_backup")
