"""The store's schema: what the database itself refuses, read from its catalogue and tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sfsync.store.store import Store
from sfsync.store.tables import HOUSE, WRITES, metadata


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def rows(connection: psycopg.Connection[Any], sql: str) -> list[Any]:
    return connection.execute(sql.encode()).fetchall()


TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


def test_the_migrations_make_exactly_the_tables_of_the_code(database_url: str) -> None:
    store = Store(database_url, pool_size=0)
    assert store.check() == []


def test_an_upgrade_of_a_newest_schema_changes_nothing(database_url: str) -> None:
    store = Store(database_url, pool_size=0)
    store.upgrade()
    assert store.check() == []


def test_an_empty_database_is_told_what_to_do(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    assert Store(own_database_url, pool_size=0).check() == ["the store is empty: sfsync db upgrade"]


def test_every_table_with_a_clients_data_has_row_security_enabled_and_forced(owner: psycopg.Connection[Any]) -> None:
    found = dict(rows(owner, TABLES.replace("relname F", "relname, relrowsecurity AND relforcerowsecurity F")))
    found.pop("alembic_version")
    assert found.keys() == metadata.tables.keys()
    assert {name for name, secured in found.items() if not secured} == HOUSE


def test_every_policy_compares_the_client_for_reading_and_for_writing(owner: psycopg.Connection[Any]) -> None:
    policies = rows(
        owner, "SELECT tablename, qual, with_check, cmd, permissive FROM pg_policies WHERE schemaname = 'public'"
    )
    assert {name for name, *_ in policies} == metadata.tables.keys() - HOUSE
    for _, qual, check, command, _ in policies:
        assert qual == check
        assert re.fullmatch(r"\(client = NULLIF\(current_setting\('app\.client'::text, true\), ''::text\)\)", qual)
        assert command == "ALL"


def test_the_client_is_the_first_column_of_every_key_but_the_pin(owner: psycopg.Connection[Any]) -> None:
    keys = rows(
        owner,
        "SELECT c.conrelid::regclass::text, c.conname, a.attname FROM pg_constraint c JOIN pg_attribute a "
        "ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype IN ('p', 'u', 'f') "
        "AND c.connamespace = 'public'::regnamespace",
    )
    wrong = {
        (table, name) for table, name, column in keys if column != "client" and table not in ("tick", "alembic_version")
    }
    assert wrong == set()
    unique = rows(
        owner,
        "SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
        "AND a.attnum = i.indkey[0] JOIN pg_class t ON t.oid = i.indrelid AND t.relnamespace = 'public'::regnamespace "
        "WHERE i.indisunique AND NOT i.indisprimary",
    )
    assert {name for name, column in unique if column != "client"} == {"uq_org_organization_id"}


def test_the_service_role_owns_nothing_bypasses_nothing_and_truncates_nothing(owner: psycopg.Connection[Any]) -> None:
    powers = "rolsuper, rolbypassrls, rolcanlogin, rolcreaterole"
    assert rows(owner, f"SELECT {powers} FROM pg_roles WHERE rolname = 'sfsync_service'") == [(False,) * 4]
    assert rows(owner, f"{TABLES} AND relowner = 'sfsync_service'::regrole") == []
    for table in metadata.tables:
        granted = {
            kind
            for kind in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")
            if rows(owner, f"SELECT has_table_privilege('sfsync_service', '\"{table}\"', '{kind}')") == [(True,)]
        }
        assert granted == set(WRITES[table].replace(" ", "").split(",")) - {""}, table
