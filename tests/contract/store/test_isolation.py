"""One client's rows are nobody else's: through the store, and under it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import Table

from sfsync.errors import WrongOrg
from sfsync.store.tables import HOUSE, WRITES, metadata
from tests.contract.store.conftest import NOW, PIN, book, say


@pytest.fixture
def two_clients(store, mappings):
    store.add_org("beta", "beta", organization_id="00D000000000002EAA")
    for client in ("acme", "beta"):
        store.amend(
            client, mappings, say(book(480, f"secret of {client}", pack=f"pk:{client}"), packs=(f"pk:{client}",)), NOW
        )
    return store


def test_each_client_sees_its_own_records_and_postings_alone(two_clients) -> None:
    for client in ("acme", "beta"):
        assert set(two_clients.facts(client).packs) == {f"pk:{client}"}
        assert [p.source for p in two_clients.postings(client)] == [f"secret of {client}"]
        assert set(two_clients.balances(client)) == {f"pk:{client}"}


OF_CLIENTS = sorted(metadata.tables.keys() - HOUSE)
"""Every table there is but those of the house: one that is added later is looked at too."""

FITTING = {"direction": "in", "state": "running"}
BY_TYPE = {"TEXT": "x", "BIGINTEGER": 1, "INTEGER": 1, "BOOLEAN": False, "JSONB": "{}", "ARRAY": [], "DATE": NOW.date()}


def a_row(table: Table, client: str) -> dict[str, Any]:
    """Return values for every column that wants one."""
    wanted = [c for c in table.columns if not c.nullable and c.server_default is None and c.identity is None]
    plain = {c.name: BY_TYPE.get(type(c.type).__name__.upper(), NOW) for c in wanted}
    return plain | {name: value for name, value in FITTING.items() if plain.get(name) == "x"} | {"client": client}


@pytest.fixture
def full(store, database_url: str) -> None:
    """A row of each of two clients in every table that holds a client's data; foreign keys are not looked at."""
    store.add_org("beta", "beta")
    with psycopg.connect(database_url) as owner:
        owner.execute("SET session_replication_role = replica")
        for name in OF_CLIENTS:
            for client in ("acme", "beta"):
                row = a_row(metadata.tables[name], client)
                columns, places = ", ".join(f'"{c}"' for c in row), ", ".join(["%s"] * len(row))
                owner.execute(f'INSERT INTO "{name}" ({columns}) VALUES ({places})'.encode(), list(row.values()))


def clients_seen(connection: psycopg.Connection[Any], table: str) -> list[str]:
    return [row[0] for row in connection.execute(f'SELECT client FROM "{table}" ORDER BY 1'.encode())]


@pytest.mark.parametrize(("named", "sees"), [("", []), ("nobody", []), ("acme", ["acme"]), ("beta", ["beta"])])
def test_a_client_sees_its_own_row_of_every_table_and_without_one_no_row_is_visible(
    full: None, as_service, database_url: str, named: str, sees: list[str]
) -> None:
    connection = as_service(named)
    assert all(clients_seen(connection, name) == sees for name in OF_CLIENTS)
    with psycopg.connect(database_url) as owner:  # who is above all policies, so that the rows are known to be there
        assert all(clients_seen(owner, name) == ["acme", "beta"] for name in OF_CLIENTS)


@pytest.mark.parametrize("named", ["", "acme"])
def test_the_function_that_gathers_figures_leaves_no_client_behind(full: None, as_service, named: str) -> None:
    connection = as_service(named)
    told = connection.execute("SELECT DISTINCT of_client FROM figures_of(ARRAY['acme', 'beta'], now())").fetchall()
    assert sorted(told) == [("acme",), ("beta",)]
    assert not any(clients_seen(connection, name) for name in OF_CLIENTS)


def test_the_client_is_gone_with_its_transaction(two_clients, as_service) -> None:
    connection = as_service("acme")
    assert connection.execute("SELECT count(*) FROM pack").fetchone() == (1,)
    connection.commit()
    connection.execute("SET ROLE sfsync_service")
    assert connection.execute("SELECT count(*) FROM pack").fetchone() == (0,)


def test_a_row_for_another_client_cannot_be_written(two_clients, as_service) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        as_service("acme").execute(
            "INSERT INTO pack (client, key, changed_version, unset) VALUES ('beta', 'pk:x', 1, '{}')"
        )


def test_another_clients_rows_cannot_be_changed(two_clients, as_service) -> None:
    for table in metadata.tables.keys() - HOUSE:
        if "UPDATE" in WRITES[table]:
            changed = as_service("acme").execute(
                f"UPDATE \"{table}\" SET client = client WHERE client = 'beta'".encode()
            )
            assert changed.rowcount == 0, table


def test_a_posting_cannot_name_another_clients_pack(two_clients, as_service) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        as_service("acme").execute(
            "INSERT INTO posting "
            "(client, source, source_version, leg, pack, minutes, kind, effective_on, booked_at, reason) "
            "VALUES ('acme', 's', 1, 0, 'pk:beta', 5, 'purchase', '2026-01-01', now(), '')"
        )


def test_the_same_key_may_exist_in_two_clients(two_clients, mappings) -> None:
    for client in ("acme", "beta"):
        two_clients.amend(client, mappings, say(packs=("pk:same",)), NOW)
    assert "pk:same" in two_clients.facts("acme").packs


def test_an_organisation_once_pinned_is_never_another(store, database_url) -> None:
    with pytest.raises(WrongOrg, match=PIN):
        store.pin("acme", "acme", "00D000000000009EAA")
    with psycopg.connect(database_url) as owner, pytest.raises(psycopg.errors.RestrictViolation, match="pinned"):
        owner.execute("UPDATE org SET organization_id = '00D000000000009EAA'")


def test_two_clients_cannot_point_at_one_organisation(store) -> None:
    with pytest.raises(WrongOrg, match="already org acme of client acme"):
        store.add_org("beta", "beta", organization_id=PIN)


def test_a_hub_may_hold_several_clients(store) -> None:
    for client in ("acme", "beta"):
        store.add_org(client, "hub", role="hub", organization_id="00D000000000007EAA")
    assert [row.client for row in store.orgs() if row.org == "hub"] == ["acme", "beta"]
