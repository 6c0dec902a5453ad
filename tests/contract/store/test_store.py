"""Who there is, whose turn it is, what happened; and a COMMIT whose answer was lost."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from sfsync.errors import LeaseLost, SettingsError, StoreRefused, StoreUnavailable, WrongOrg
from sfsync.store.forms import clean, from_json, to_json
from sfsync.store.store import Store
from tests.contract.store.conftest import NOW, PIN, book, say


def test_an_org_is_known_with_its_pin_and_its_state(store) -> None:
    store.add_org("acme", "acme")
    [row] = store.orgs()
    assert (row.client, row.org, row.organization_id, row.state) == ("acme", "acme", PIN, "active")


def test_a_paused_org_shows_why_until_it_is_resumed(store) -> None:
    store.pause("acme", "acme", "login refused")
    assert [(row.state, row.reason) for row in store.orgs()] == [("paused", "login refused")]
    store.resume("acme", "acme")
    assert [(row.state, row.reason) for row in store.orgs()] == [("active", "")]


def test_an_org_that_is_not_there_cannot_be_paused(store) -> None:
    with pytest.raises(StoreRefused, match="there is no org nowhere"):
        store.pause("acme", "nowhere", "x")


def test_a_run_is_on_record_with_what_it_counted(store) -> None:
    name = store.begin_run("acme", "acme", NOW)
    lease = store.acquire("acme", "acme", "a worker")
    store.stage("acme", name, "extract", lease)
    assert [(r.state, r.stage) for r in store.runs("acme")] == [("running", "extract")]
    store.release(lease)
    store.acquire("acme", "acme", "another")
    with pytest.raises(LeaseLost):
        store.stage("acme", name, "evaluate", lease)
    assert store.runs("acme")[0].stage == "extract", "a run that lost its org says nothing any more"
    store.end_run("acme", name, NOW + timedelta(seconds=3), counts={"read": 12, "share": Decimal("0.5")})
    [row] = store.runs("acme", "acme")
    assert (row.state, row.counts) == ("done", {"read": 12, "share": Decimal("0.5")})
    assert store.orgs()[0].last_success_at == NOW + timedelta(seconds=3)


def test_a_run_that_died_is_lost_when_the_next_one_begins(store) -> None:
    store.begin_run("acme", "acme", NOW)
    second = store.begin_run("acme", "acme", NOW + timedelta(minutes=1))
    store.end_run("acme", second, NOW + timedelta(minutes=2), error="the org answered 503")
    assert [(r.state, r.error) for r in store.runs("acme")] == [("failed", "the org answered 503"), ("lost", "")]
    assert store.orgs()[0].last_success_at is None


def test_a_run_whose_org_was_taken_over_says_nothing_any_more(store) -> None:
    frozen = store.begin_run("acme", "acme", NOW)
    second = store.begin_run("acme", "acme", NOW + timedelta(minutes=1))
    store.end_run("acme", second, NOW + timedelta(minutes=2), counts={"read": 1})
    before = store.orgs(), store.runs("acme")
    for say_so in ({"counts": {"read": 99}}, {"error": "the org answered 503"}):
        with pytest.raises(LeaseLost):
            store.end_run("acme", frozen, NOW + timedelta(minutes=3), **say_so)
    assert (store.orgs(), store.runs("acme")) == before


def test_an_org_knows_what_its_runs_came_to(store) -> None:
    for minute, said in enumerate([{"counts": {"read": 5, "wrote": 2}}, {"counts": {"read": 1}}, {"error": "503"}]):
        run = store.begin_run("acme", "acme", NOW + timedelta(minutes=minute))
        store.end_run("acme", run, NOW + timedelta(minutes=minute, seconds=4), **said)
    store.begin_run("acme", "acme", NOW + timedelta(minutes=5))
    store.begin_run("acme", "acme", NOW + timedelta(minutes=6))
    row = store.org("acme", "acme")
    assert (row.counted["read"], row.counted["wrote"], row.last_ms) == (6, 2, 4000)
    assert (row.failed_runs, row.failed_at, row.running_since) == (2, NOW + timedelta(minutes=6), row.failed_at)
    assert store.org("acme", "elsewhere") is None


def test_runs_are_kept_for_ninety_days_and_their_sums_for_good(store) -> None:
    for day in (0, 2, 91):
        run = store.begin_run("acme", "acme", NOW + timedelta(days=day))
        store.end_run("acme", run, NOW + timedelta(days=day, seconds=1), counts={"read": 1})
    assert [row.started_at for row in store.runs("acme")] == [NOW + timedelta(days=91), NOW + timedelta(days=2)]
    assert store.org("acme", "acme").counted["read"] == 3


def test_a_grid_point_is_written_once_however_many_ask(store) -> None:
    assert [store.write_tick("nightly:acme", NOW) for _ in range(3)] == [True, False, False]


def test_what_was_missed_is_due_until_it_is_done_and_one_run_answers_it_all(store) -> None:
    for day in range(3):
        store.write_tick("nightly:acme", NOW + timedelta(days=day))
    newest = NOW + timedelta(days=2)
    assert store.due_ticks() == {"nightly:acme": newest}
    store.write_tick("nightly:acme", newest + timedelta(days=1))
    store.finish_ticks("nightly:acme", newest, newest)
    assert store.due_ticks() == {"nightly:acme": newest + timedelta(days=1)}


def test_old_grid_points_go_but_never_the_newest(store) -> None:
    store.write_tick("n", NOW)
    store.finish_ticks("n", NOW, NOW)
    store.finish_ticks("n", NOW, NOW + timedelta(days=99))
    assert store.write_tick("n", NOW) is False
    store.write_tick("n", NOW + timedelta(days=98))
    store.finish_ticks("n", NOW + timedelta(days=98), NOW + timedelta(days=99))
    assert store.write_tick("n", NOW) is True


def test_calls_of_an_hour_add_up_and_keep_what_the_org_said_last(store) -> None:
    hour = NOW.replace(minute=0, second=0)
    store.add_calls("acme", "acme", 3, NOW, used=100, allowed=15000)
    store.add_calls("acme", "acme", 2, NOW)
    store.add_calls("acme", "acme", 1, NOW, used=90, allowed=15000, said_at=NOW - timedelta(seconds=1))
    calls = store.calls("acme", "acme", hour)
    assert (calls.hours, calls.used, calls.allowed, calls.said_at) == (((hour, 6),), 100, 15000, NOW)
    later = store.calls("acme", "acme", hour + timedelta(hours=1))
    assert (later.ours, later.used) == (0, 100)


def test_calls_are_forgotten_after_a_month_and_what_the_org_said_is_not_carried_on(store) -> None:
    store.add_calls("acme", "acme", 3, NOW, used=100, allowed=15000)
    after = NOW + timedelta(days=40)
    assert store.add_calls("acme", "acme", 1, after).ours == 1
    kept = store.calls("acme", "acme", NOW - timedelta(days=1))
    assert (kept.ours, kept.used) == (1, None)


def test_a_calendar_is_published_in_versions_and_the_newest_counts(store) -> None:
    one, two = {date(2026, 12, 25): "Navidad"}, {date(2026, 12, 25): "Navidad", date(2026, 12, 7): "Puente"}
    publish = {"source": "a list 1.0", "now": NOW}
    assert store.publish_snapshot("acme", 2026, one, digest="1", **publish) == 1
    assert store.publish_snapshot("acme", 2026, one, digest="1", **publish) == 1
    assert store.publish_snapshot("acme", 2026, two, digest="2", **publish) == 2
    assert store.snapshots("acme") == {2026: two}


def test_a_url_that_is_no_postgresql_is_refused_by_name() -> None:
    for wrong in ("sqlite:///x", "nonsense"):
        with pytest.raises(SettingsError, match=r"store\.url"):
            Store(wrong)


def test_a_store_that_cannot_be_reached_asks_to_be_tried_again(tmp_path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        Store(f"postgresql:///x?host={tmp_path}", pool_size=0).check()


def lose_the_answer(store: Store, *, before: bool) -> None:
    """Cut the connection at the next COMMIT: before the server gets it, or after it has carried it out."""

    def arm(connection) -> None:
        driver = connection.connection.driver_connection
        commit = driver.commit

        def cut() -> None:
            del driver.commit
            if not before:
                commit()
            with psycopg.connect(driver.info.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])
            driver.execute("SELECT 1")

        driver.commit = cut

    event.listen(store._database.engine, "commit", arm, once=True)


def test_a_commit_whose_answer_was_lost_counts_when_it_happened(store, mappings) -> None:
    lose_the_answer(store, before=False)
    store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    assert set(store.facts("acme").packs) == {"pk:1"}


def test_a_commit_that_never_reached_the_server_is_told_and_may_be_tried_again(store, mappings) -> None:
    lose_the_answer(store, before=True)
    with pytest.raises(StoreUnavailable):
        store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    assert set(store.facts("acme").packs) == {"pk:1"}


def test_a_worker_that_stood_still_inside_a_transaction_may_try_again(store, mappings, database_url) -> None:
    def stand_still() -> None:
        with store._database.writing("acme") as connection:
            pid = connection.connection.driver_connection.info.backend_pid
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
            with psycopg.connect(database_url, autocommit=True) as other:
                while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
                    pass  # the server ends it within a millisecond or two
            connection.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailable, match=r"tried again|cannot be reached"):
        stand_still()
    store.amend("acme", mappings, say(packs=("pk:1",)), NOW)
    assert set(store.facts("acme").packs) == {"pk:1"}


def test_a_connection_that_was_cut_off_is_replaced_unseen(store, database_url) -> None:
    assert store.facts("acme").packs == {}
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'between tests'"
        )
    assert store.facts("acme").packs == {}


def test_a_connection_that_rested_long_is_asked_and_one_that_was_just_used_is_not(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    dialect = store._database.engine.dialect
    ping = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", lambda driver: asked.append(driver) or ping(driver))
    store.facts("acme")
    store.facts("acme")
    assert asked == []
    monkeypatch.setattr("sfsync.store.connection.RESTED_SECONDS", 0.0)
    store.facts("acme")
    assert len(asked) >= 1


def test_a_service_role_that_could_get_round_row_security_is_refused(own_database_url: str) -> None:
    with pytest.raises(StoreRefused, match="superuser"):
        Store(own_database_url, service_role="postgres", pool_size=0).upgrade()


def test_a_database_user_without_power_is_told_what_an_administrator_must_do(own_database_url: str) -> None:
    with psycopg.connect(own_database_url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS powerless")
        owner.execute("CREATE ROLE powerless LOGIN")
    for role, why in (("nobody_made_this", "does not exist"), ("sfsync_service", "may not step down")):
        weak = Store(own_database_url.replace("postgres@", "powerless@"), service_role=role, pool_size=0)
        with pytest.raises(StoreRefused, match=f"{why}.*CREATE ROLE {role} NOLOGIN"):
            weak.upgrade()


def test_an_owner_who_is_no_superuser_can_run_it_all(postgres, mappings) -> None:
    """As it is installed for real: a database of its own, and a user who owns it and may create the service role."""
    name = f"test_{os.getpid()}_plain"
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as admin:
        for sql in (
            f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
            f"DROP ROLE IF EXISTS {name}_service",
            f"DROP ROLE IF EXISTS {name}",
            f"CREATE ROLE {name} LOGIN CREATEROLE",
            f"CREATE DATABASE {name} OWNER {name}",
        ):
            admin.execute(sql)
        url = postgres.url_of(name).replace("postgres@", f"{name}@")
        store = Store(url, service_role=f"{name}_service", pool_size=0)
        store.upgrade()
        store.upgrade()
        assert store.check() == []
        store.add_org("acme", "acme", organization_id=PIN)
        store.amend("acme", mappings, say(book(480), packs=("pk:1",)), NOW)
        with pytest.raises(StoreRefused, match="no_overdraw"):
            store.amend("acme", mappings, say(book(-481, "te:1")), NOW)
        assert store.balances("acme") == {"pk:1": 480}
        with psycopg.connect(url) as owner:
            assert owner.execute("SELECT count(*) FROM pack").fetchone() == (0,), "FORCE holds for the owner too"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE {name}_service")
        admin.execute(f"DROP ROLE {name}")


def test_what_ran_in_another_database_session_setting_never_leaks(store) -> None:
    with store._database.reading("acme") as connection:
        assert connection.scalar(text("SELECT current_user")) == "sfsync_service"
    with store._database.owner() as connection:
        assert connection.scalar(text("SELECT current_user")) == "postgres"
        assert connection.scalar(text("SELECT nullif(current_setting('app.client', true), '')")) is None


instants = st.datetimes(timezones=st.just(UTC))
plain = st.none() | st.booleans() | st.integers() | st.text() | st.dates() | instants
values = plain | st.decimals(allow_nan=False, allow_infinity=False)
nested = st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3)


@given(st.dictionaries(st.text(), values | nested, max_size=5))
def test_values_come_back_from_json_as_they_went(given) -> None:
    def cleaned(value):
        if isinstance(value, list):
            return [cleaned(one) for one in value]
        if isinstance(value, dict):
            return {clean(name): cleaned(one) for name, one in value.items()}
        return clean(value)

    assert from_json(json.loads(to_json(given))) == cleaned(given)


def test_only_the_parts_of_a_hub_share_an_organisation(store) -> None:
    pin = "00D000000000077AAA"
    for client in ("acme", "beta"):
        store.add_org(client, f"{client}@hub", role="hub", organization_id=pin)
    with pytest.raises(WrongOrg, match="is already a hub"):
        store.add_org("gamma", "gamma", organization_id=pin)
    store.add_org("delta", "delta", organization_id="00D000000000078AAA")
    with pytest.raises(WrongOrg, match="is already org delta of client delta"):
        store.add_org("acme", "acme@two", role="hub", organization_id="00D000000000078AAA")
