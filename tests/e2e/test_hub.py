"""A hub end to end: one client's records in two orgs, two clients in one hub, and nothing of one in the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sfsync.clock import seeded
from sfsync.errors import OrgBusy, SafetyStop
from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata import deploy
from tests.e2e.stage import CONSULTANT, Stage, iso
from tests.e2e.test_line import wipe
from tests.orgs import deploy_into, package

HUB = "hub"


@pytest.fixture
def stage(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """Two client orgs and one hub."""
    made = Stage(tmp_path, database_url, "acme", "beta", hub=HUB)
    made.deploy()
    yield made
    made.runtime.close()


def settle(stage: Stage, *clients: str) -> None:
    """Sync both orgs of each client until nothing is left to say."""
    for _ in range(8):
        wrote = 0
        for client in clients or stage.clients:
            for org in (client, f"{client}@{HUB}"):
                report = stage.sync(org)
                wrote += report.wrote + report.absorbed + report.later
        stage.later(minutes=20)
        if not wrote:
            return
    raise AssertionError("it does not come to rest")


def in_hub(stage: Stage, sobject: str, client: str = "acme") -> list[dict[str, object]]:
    """Return what the hub holds of a client, by the client's name in the key."""
    return [row for row in stage.rows(sobject, HUB) if str(row["Sfsync_Key__c"] or "").startswith(f"{client}/")]


def overwrite(stage: Stage, sobject: str, record: str, field: str, value: object) -> None:
    """Do what the package refuses people: an administrator who switched its rules off."""
    local = stage.orgs[HUB]
    with local.storage.unit():
        row = [(value, local.now_seconds(), record)]
        local.storage.update(sobject, [field, "SystemModstamp"], row)


def everything_of(stage: Stage, client: str) -> str:
    """Return the text of all that is kept of a client: every row of the store it may see, and its own org."""
    import psycopg

    found = []
    with psycopg.connect(stage.url) as connection:
        connection.execute("SELECT set_config('app.client', %s, true)", [client])
        connection.execute("SET LOCAL ROLE sfsync_service")
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity "
            "AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            found += [f"{table} {row}" for row in connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()]
    local = stage.orgs[client]
    for (name,) in local.storage.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        found += [f"{name} {row}" for row in local.storage.rows(f'SELECT * FROM "{name}"')]
    return "\n".join(found)


def test_a_case_of_the_client_is_worked_on_in_the_hub_and_the_client_sees_what_became_of_it(stage: Stage) -> None:
    case = stage.case(Description="since Monday")
    settle(stage, "acme")
    [copy] = in_hub(stage, "Case")
    assert (copy["Subject"], copy["Description"], copy["Maint_Client_Number__c"]) == (
        "Orders do not sync", "since Monday", stage.shown("Case", case)["CaseNumber"],
    )  # fmt: skip
    consultant = CONSULTANT.format(HUB)
    done = {
        "Status": "Working",
        "Maint_Priority__c": "P1",
        "Maint_Category__c": "Corrective",
        "Maint_Answer__c": "on it",
    }
    stage.orgs[HUB].update("Case", copy["Id"], done, user=consultant)
    settle(stage, "acme")
    shown = stage.shown("Case", case)
    assert {name: shown[name] for name in done} == done
    stage.orgs["acme"].update("Case", case, {"Subject": "Orders and bills"})
    settle(stage, "acme")
    [copy] = in_hub(stage, "Case")
    assert copy["Subject"] == "Orders and bills"
    assert stage.runtime.store.conflicts("acme") == []


def test_a_second_sync_of_every_org_writes_nothing_and_costs_one_call_each(stage: Stage) -> None:
    for client in stage.clients:
        stage.buy("flexi", 5, org=client)
        stage.case(client)
    settle(stage)
    for client in stage.clients:
        for org in (client, f"{client}@{HUB}"):
            again = stage.sync(org)
            assert (again.wrote, again.absorbed, again.calls, again.evaluated) == (0, 0, 1, False), org


def test_time_logged_in_the_hub_is_deducted_once_and_shown_in_the_clients_own_org(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    settle(stage, "acme")
    [copy] = in_hub(stage, "Case")
    estimate = stage.estimate(str(copy["Id"]), 360, HUB, Status__c="Draft", Sent_At__c=None)
    settle(stage, "acme")
    assert stage.rows("Maintenance_Estimate__c") == [], "the client sees a draft"
    stage.orgs[HUB].update(
        "Maintenance_Estimate__c", estimate, {"Status__c": "Sent", "Sent_At__c": iso(stage.clock.now())}
    )
    settle(stage, "acme")
    [offer] = stage.rows("Maintenance_Estimate__c")
    assert (offer["Status__c"], offer["Case__c"], offer["Minutes__c"], offer["Balance_After__c"]) == (
        "Sent",
        case,
        360,
        34.0,
    )
    stage.approve(offer["Id"])
    settle(stage, "acme")
    assert stage.shown("Maintenance_Estimate__c", estimate, HUB)["Status__c"] == "Approved"
    entry = stage.log(str(copy["Id"]), 90, org=HUB, Internal_Note__c="cost 40 EUR")
    settle(stage, "acme")
    assert stage.shown("Time_Entry__c", entry, HUB)["State__c"] == "Counted"
    [shown] = stage.rows("Time_Entry__c")
    assert (shown["Minutes__c"], shown["State__c"], shown["Case__c"], shown["Sfsync_Deleted__c"]) == (
        90,
        "Counted",
        case,
        0,
    )
    assert (shown["Estimate__c"], "Internal_Note__c" in shown) == (offer["Id"], False)
    for org in ("acme", HUB):
        [account] = stage.rows("Maintenance_Account__c", org)
        assert (account["Balance_Hours__c"], account["Reserved_Hours__c"]) == (38.5, 4.5), org
    stage.orgs[HUB].update("Time_Entry__c", entry, {"Minutes__c": 120})
    settle(stage, "acme")
    [shown] = stage.rows("Time_Entry__c")
    assert (shown["Minutes__c"], stage.rows("Maintenance_Account__c")[0]["Balance_Hours__c"]) == (120, 38.0)
    stage.orgs[HUB].delete("Time_Entry__c", entry)
    settle(stage, "acme")
    [shown] = stage.rows("Time_Entry__c")
    assert (shown["Sfsync_Deleted__c"], shown["State__c"]) == (1, "Reversed")
    assert sum(stage.runtime.store.balances("acme").values()) == 2400
    stage.orgs[HUB].undelete(entry)
    settle(stage, "acme")
    [shown] = stage.rows("Time_Entry__c")
    assert (shown["Sfsync_Deleted__c"], shown["State__c"]) == (0, "Counted")
    assert sum(stage.runtime.store.balances("acme").values()) == 2280


def test_an_hour_logged_on_a_clients_case_in_the_hub_is_nothing_to_another_client(stage: Stage) -> None:
    for client in stage.clients:
        stage.buy("flexi", 5, org=client)
        stage.case(client, Subject=f"of {client}")
    settle(stage)
    assert [pack["Sfsync_Key__c"] for pack in stage.rows("Maintenance_Pack__c", HUB)] == ["acme/pk:1", "beta/pk:1"]
    [copy] = in_hub(stage, "Case", "beta")
    stage.log(str(copy["Id"]), 90, org=HUB)
    settle(stage)
    assert len(stage.rows("Time_Entry__c", "beta")) == 1
    assert stage.rows("Time_Entry__c", "acme") == []
    assert stage.runtime.store.facts("acme").entries == {}


def test_a_case_that_is_no_request_for_the_consultancy_stays_with_the_client(stage: Stage) -> None:
    case = stage.case(Maint_Request__c=False)
    settle(stage, "acme")
    assert stage.rows("Case", HUB) == []
    stage.orgs["acme"].update("Case", case, {"Maint_Request__c": True})
    settle(stage, "acme")
    assert len(in_hub(stage, "Case")) == 1


def test_a_hub_is_read_after_the_clients_own_org_and_the_rules_wait_for_both(stage: Stage) -> None:
    stage.case()
    with pytest.raises(OrgBusy, match=f"acme@{HUB} is read after the client's own org acme; first: sfsync sync acme"):
        stage.sync(f"acme@{HUB}")
    assert f"acme@{HUB}" in stage.runtime.roster.due()
    assert stage.runtime.roster.sync_if_due(f"acme@{HUB}") is None
    assert not stage.sync("acme").evaluated
    assert stage.sync(f"acme@{HUB}").evaluated


def test_a_case_deleted_by_the_client_is_marked_in_the_hub_and_its_hours_stay_counted(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case = stage.case()
    settle(stage, "acme")
    [copy] = in_hub(stage, "Case")
    estimate = stage.estimate(str(copy["Id"]), 360, HUB)
    settle(stage, "acme")
    stage.approve(stage.rows("Maintenance_Estimate__c")[0]["Id"])
    settle(stage, "acme")
    entry = stage.log(str(copy["Id"]), 90, org=HUB)
    settle(stage, "acme")
    stage.orgs["acme"].delete("Case", case)
    settle(stage, "acme")
    assert in_hub(stage, "Case")[0]["Sfsync_Deleted__c"] == 1
    assert stage.shown("Time_Entry__c", entry, HUB)["Case__c"] == copy["Id"]
    assert sum(stage.runtime.store.balances("acme").values()) == 2310
    [shown] = stage.rows("Time_Entry__c")
    assert (shown["State__c"], shown["Case__c"]) == ("Counted", None)
    assert stage.runtime.store.quarantined("acme") == []
    stage.orgs["acme"].undelete(case)
    settle(stage, "acme")
    assert in_hub(stage, "Case")[0]["Sfsync_Deleted__c"] == 0
    assert stage.rows("Time_Entry__c")[0]["Case__c"] == case
    assert estimate


def test_a_case_deleted_in_the_hub_is_still_the_clients_and_is_not_brought_back_without_a_person(stage: Stage) -> None:
    stage.buy("flexi", 5)
    case, other = stage.case(), stage.case(Subject="second")
    settle(stage, "acme")
    copies = {row["Subject"]: str(row["Id"]) for row in in_hub(stage, "Case")}
    stage.log(copies["second"], 30, org=HUB)
    with pytest.raises(ApiError, match="associated"):
        stage.orgs[HUB].delete("Case", copies["second"])
    stage.orgs[HUB].delete("Case", copies["Orders do not sync"])
    settle(stage, "acme")
    facts = stage.runtime.store.facts("acme")
    assert [known.deleted for known in facts.cases.values()] == [False, False]
    stage.orgs["acme"].update("Case", case, {"Subject": "Orders and bills"})
    settle(stage, "acme")
    assert [row["Subject"] for row in in_hub(stage, "Case")] == ["second"]
    assert stage.runtime.audit(f"acme@{HUB}")[0].equal
    stage.orgs[HUB].undelete(copies["Orders do not sync"])
    settle(stage, "acme")
    assert {row["Subject"] for row in in_hub(stage, "Case")} == {"second", "Orders and bills"}
    assert stage.shown("Case", other)["Maint_Minutes_Logged__c"] == 30


def test_what_two_people_changed_in_two_orgs_is_in_force_or_on_record_whichever_org_is_read_first(stage: Stage) -> None:
    case = stage.case(Maint_Priority__c="P4")
    settle(stage, "acme")
    [copy] = in_hub(stage, "Case")
    for first, second in (("acme", f"acme@{HUB}"), (f"acme@{HUB}", "acme")):
        stage.orgs["acme"].update("Case", case, {"Maint_Priority__c": "P1", "Status": "Escalated"})
        stage.orgs[HUB].update("Case", copy["Id"], {"Maint_Priority__c": "P3", "Status": "Working"})
        stage.sync(first)
        stage.sync(second)
        stage.later(minutes=20)
        settle(stage, "acme")
        for org, record in (("acme", case), (HUB, str(copy["Id"]))):
            shown = stage.shown("Case", record, org)
            assert (shown["Maint_Priority__c"], shown["Status"]) == ("P1", "Working"), (first, org)
        lost = {(row["field"], row["kept"], row["lost"]) for row in stage.runtime.store.conflicts("acme")}
        assert lost == {("priority", "P1", "P3"), ("status", "Working", "Escalated")}, first
        stage.orgs["acme"].update("Case", case, {"Maint_Priority__c": "P4", "Status": "New"})
        settle(stage, "acme")


def test_a_key_that_somebody_edits_in_the_hub_moves_nothing_to_another_client(stage: Stage) -> None:
    for client in stage.clients:
        stage.case(client, Subject=f"secret of {client}")
    settle(stage)
    [theirs] = in_hub(stage, "Case", "acme")
    forged = str(theirs["Sfsync_Key__c"]).replace("acme/", "beta/")
    overwrite(stage, "Case", str(theirs["Id"]), "Sfsync_Key__c", forged)
    with pytest.raises(SafetyStop, match="is not, or is not about, a record of beta; nothing of it was stored"):
        stage.sync(f"beta@{HUB}")
    with pytest.raises(SafetyStop):
        stage.runtime.sync(f"beta@{HUB}", confirmed=True)
    assert "secret of acme" not in everything_of(stage, "beta")


def test_time_that_is_moved_to_another_clients_case_stops_the_hub_and_is_stored_nowhere(stage: Stage) -> None:
    for client in stage.clients:
        stage.case(client)
    settle(stage)
    [mine], [theirs] = in_hub(stage, "Case", "acme"), in_hub(stage, "Case", "beta")
    entry = stage.log(str(mine["Id"]), 90, org=HUB, Description__c="secret of acme")
    settle(stage)
    stage.orgs[HUB].update("Time_Entry__c", entry, {"Case__c": theirs["Id"]})
    with pytest.raises(SafetyStop, match="is not, or is not about, a record of acme"):
        stage.sync(f"acme@{HUB}")
    stage.sync(f"beta@{HUB}")
    assert stage.runtime.store.facts("beta").entries == {}
    assert "secret of acme" not in everything_of(stage, "beta")
    stage.orgs[HUB].update("Time_Entry__c", entry, {"Case__c": mine["Id"]})
    stage.runtime.store.resume("acme", f"acme@{HUB}")
    settle(stage)


SHARED = {
    "Status": ("status", ("New", "Working", "Escalated")),
    "Maint_Priority__c": ("priority", ("P1", "P2", "P3", "P4")),
}
"""What people of both orgs change on a case: API name to local name and values."""


@pytest.mark.parametrize("seed", [1, 2])
def test_people_in_three_orgs_edit_one_case_and_nothing_is_lost_and_nobody_sees_the_others(
    stage: Stage, seed: int
) -> None:
    random = seeded(seed)
    said: dict[tuple[str, str], str] = {}
    pending: dict[tuple[str, str], dict[str, str]] = {}
    logged = dict.fromkeys(stage.clients, 0)
    cases = {client: stage.case(client, Subject=f"{client}-word subject") for client in stage.clients}
    settle(stage)
    copies = {client: str(in_hub(stage, "Case", client)[0]["Id"]) for client in stage.clients}

    def edit(client: str, org: str) -> None:
        record = cases[client] if org == client else copies[client]
        api = random.choice((*SHARED, "Subject" if org == client else "Maint_Answer__c"))
        if api in SHARED:
            value = random.choice([v for v in SHARED[api][1] if v != stage.shown("Case", record, org)[api]])
            pending.setdefault((client, org), {})[api] = value
        else:
            value = said[client, api] = f"{client}-word {random.randrange(10**6)}"
        stage.orgs[org].update("Case", record, {api: value})

    def look(client: str, org: str) -> None:
        """Sync one org: what people changed there since is in force now, or on record as lost."""
        store = stage.runtime.store
        before = [row for row in store.conflicts(client) if row["kind"] == "conflict"]
        stage.sync(org if org == client else f"{client}@{HUB}")
        fresh = [row for row in store.conflicts(client) if row["kind"] == "conflict"][len(before) :]
        lost = {(row["field"], row["lost"]) for row in fresh}
        [case] = store.facts(client).cases.values()
        for api, value in pending.pop((client, org), {}).items():
            name = SHARED[api][0]
            assert getattr(case, name) == value or (name, value) in lost, (seed, client, org, api, value)

    for _ in range(36):
        client = random.choice(stage.clients)
        org = random.choice((client, HUB))
        what = random.random()
        if what < 0.5:
            edit(client, org)
        elif what < 0.65:
            minutes = random.randrange(5, 60)
            logged[client] += minutes
            stage.log(copies[client], minutes, org=HUB, Description__c=f"{client}-word work")
        else:
            look(client, org)
        stage.later(minutes=random.randrange(1, 15))
    for client in stage.clients:
        for org in (client, HUB):
            look(client, org)
    stage.later(minutes=20)
    settle(stage)
    for client in stage.clients:
        own, copy = stage.shown("Case", cases[client], client), stage.shown("Case", copies[client], HUB)
        for api in (*SHARED, "Subject", "Maint_Answer__c"):
            assert own[api] == copy[api], (seed, client, api)
            assert own[api] == said.get((client, api), own[api]), (seed, client, api)
        assert own["Maint_Minutes_Logged__c"] == copy["Maint_Minutes_Logged__c"] == logged[client], (seed, client)
        assert sum(row["Minutes__c"] for row in stage.rows("Time_Entry__c", client)) == logged[client]
        for org in (client, f"{client}@{HUB}"):
            certificate, _ = stage.runtime.audit(org)
            assert certificate.equal, (seed, certificate.content())
            again = stage.sync(org)
            assert (again.wrote, again.absorbed, again.calls) == (0, 0, 1), (seed, org)
        everything = everything_of(stage, client)
        assert f"{client}-word" in everything
        assert not [other for other in stage.clients if other != client and f"{other}-word" in everything], seed


def test_a_store_that_was_lost_comes_back_from_both_orgs_and_a_week_is_shown_in_both(stage: Stage) -> None:
    stage.buy("starter", 2, key="pk:a")
    stage.buy("flexi", 5, key="pk:b")
    for name in ("first", "second"):
        stage.case(Subject=name)
    stage.case("beta")
    settle(stage)
    for n, copy in enumerate(in_hub(stage, "Case")):
        stage.estimate(str(copy["Id"]), 600, HUB)
        settle(stage, "acme")
        stage.approve(next(e["Id"] for e in stage.rows("Maintenance_Estimate__c") if e["Status__c"] == "Sent"))
        settle(stage, "acme")
        entries = [stage.log(str(copy["Id"]), 100 + n + m, org=HUB) for m in range(3)]
        stage.orgs[HUB].update("Case", copy["Id"], {"Status": "Working"}, user=CONSULTANT.format(HUB))
    settle(stage, "acme")
    stage.orgs[HUB].delete("Time_Entry__c", entries[0])
    stage.later(days=7)
    settle(stage, "acme")
    [week] = stage.rows("Weekly_Summary__c")
    stage.orgs["acme"].update("Weekly_Summary__c", week["Id"], {"Read_By_Client__c": True})
    settle(stage, "acme")
    [copied] = in_hub(stage, "Weekly_Summary__c")
    assert (copied["Minutes_Used__c"], copied["Read_By_Client__c"]) == (week["Minutes_Used__c"], 1)
    names = ("Maintenance_Pack__c", "Maintenance_Estimate__c", "Time_Entry__c", "Case", "Weekly_Summary__c")
    shown = {(org, name): stage.rows(name, org) for org in ("acme", HUB) for name in names}
    balances = stage.runtime.store.balances("acme")
    stage.more = {"bulk_above_rows": 1}  # read again in bulk: of the hub, too, nothing but what is this client's
    wipe(stage)
    stage.sync("acme")
    stage.sync(f"acme@{HUB}")
    stage.more = {}
    stage.runtime.close()
    stage.runtime = stage.open()
    settle(stage, "acme")
    assert len(stage.runtime.store.facts("acme").cases) == 2
    assert stage.runtime.store.balances("acme") == balances
    for (org, name), rows in shown.items():
        assert stage.rows(name, org) == rows, f"rebuilding the store changed {name} in {org}"


def test_a_hub_that_comes_later_gets_what_there_was(tmp_path: Path, database_url: str) -> None:
    stage = Stage(tmp_path, database_url, "acme", hub=HUB)
    hub, stage.hub = stage.orgs.pop(HUB), None
    stage.deploy()
    stage.runtime.close()
    stage.runtime = stage.open()
    stage.buy("flexi", 5)
    case = stage.case(Maint_Category__c="Corrective")
    local = stage.org  # consultants still worked in the client's org: done by its administrator here
    entry = local.insert(
        "Time_Entry__c", {"Case__c": case, "Minutes__c": 60, "Work_Date__c": "2026-11-16", "Description__c": "before"}
    )[0]
    for _ in range(3):
        stage.sync("acme")
        stage.later(minutes=20)
    balances = stage.runtime.store.balances("acme")
    stage.orgs[HUB], stage.hub = hub, HUB
    deploy_into(hub, "hub")
    again = deploy.start(local, local.admin, package("mirrored"), deploy.DeployOptions(single_package=True))
    assert again.status == "Succeeded"
    stage.runtime.close()
    stage.runtime = stage.open()
    settle(stage)
    [copy], [old] = in_hub(stage, "Case"), in_hub(stage, "Time_Entry__c")
    assert (copy["Maint_Category__c"], old["Description__c"], old["Case__c"]) == ("Corrective", "before", copy["Id"])
    assert stage.shown("Time_Entry__c", entry)["Minutes__c"] == 60
    assert stage.shown("Case", case)["Maint_Category__c"] == "Corrective"
    assert stage.runtime.store.balances("acme") == balances
    stage.runtime.close()
