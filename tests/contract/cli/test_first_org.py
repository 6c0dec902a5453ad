"""A first org from the command line alone, over HTTPS: key, connect, deploy, test, plan, sync, and what goes wrong."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sfsync.localorg.server import prepare, running
from tests.commandline import Answer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Serve two orgs over HTTPS and return what a client needs to log in."""
    with running(prepare(tmp_path_factory.mktemp("localorg"), orgs=["acme", "other"])) as line:
        yield line


@pytest.fixture
def typed(sfsync: Callable[..., Answer], home: Path, database_url: str) -> Callable[..., Answer]:
    """Return a command line with a store and no org."""
    (home / "sfsync.toml").write_text(f'data_dir = "data"\n\n[store]\nurl = "{database_url}"\n')
    return sfsync


def words(world: dict[str, Any], number: int = 0) -> list[str]:
    """Return how one of the served orgs is connected."""
    org = world["orgs"][number]
    return [
        org["name"], "--login-url", world["url"], "--username", org["integration_username"], "--client-id",
        org["client_id"], "--key", org["private_key_file"], "--ca-file", world["ca_file"],
    ]  # fmt: skip


TERMS = ["--name", "Acme: Distribución S.A.", "--time-zone", "Europe/Bucharest", "--sla-plan", "gold"]


def test_a_new_org_is_connected_deployed_and_synced_and_the_second_sync_writes_nothing(
    typed: Callable[..., Answer], world: dict[str, Any], home: Path
) -> None:
    connected = typed("org", "connect", *words(world), *TERMS, "--json")
    assert connected.code == 0, connected.err
    assert connected.json["organization_id"] == world["orgs"][0]["org_id"]
    assert "client_secret" not in (home / "sfsync.toml").read_text()
    assert typed("config", "validate").out == ""

    drift = typed("org", "test", "acme")
    assert drift.code == 5
    assert "Maintenance_Pack__c is missing" in drift.err
    told = drift.out.splitlines()
    assert (len(told), f"and {len(told) - 4} more" in drift.err) == (len(set(told)), True)
    assert typed("org", "test", "acme", "--json").json["problems"] == told

    admin = world["orgs"][0]["username"]
    assert typed("metadata", "deploy", "acme", "--as", admin, "--check-only", "--json").json["check_only"] is True
    assert typed("org", "test", "acme").code == 5
    assert typed("metadata", "deploy", "acme", "--as", admin, "--json").json["components"] > 100
    assert typed("org", "test", "acme", "--json").json["ok"] is True

    healthy = {one["name"]: one["level"] for one in typed("doctor", "--json").json["checks"]}
    assert {healthy[f"acme {what}"] for what in ("login", "schema", "clock", "API calls")} == {"ok"}

    assert typed("packs", "buy", "acme", "--plan", "flexi", "--packs", "5", "--reference", "I-1").code == 0
    previewed = typed("plan", "acme", "--exit-code", "--json")
    assert previewed.code == 6
    created = [c["key"] for c in previewed.json["orgs"][0]["changes"] if c["object"] == "Maintenance_Pack__c"]
    assert len(created) == 1
    assert typed("plan", "acme", "--json").json["orgs"][0]["changes"] == previewed.json["orgs"][0]["changes"]

    assert typed("plan", "acme", "--out", "plan.json").code == 0
    typed("packs", "buy", "acme", "--plan", "flexi", "--packs", "6", "--reference", "I-2")
    moved = typed("sync", "acme", "--plan", "plan.json")
    assert (moved.code, moved.out.splitlines()[1].split("\t")[1]) == (6, "moved")
    assert typed("plan", "acme", "--json").json["orgs"][0]["changes"] != previewed.json["orgs"][0]["changes"]
    previewed = typed("plan", "acme", "--out", "plan.json", "--json")

    first = typed("sync", "acme", "--plan", "plan.json", "--json")
    assert first.code == 0, first.err
    costs = previewed.json["orgs"][0]["write_calls"]
    assert 0 < costs <= first.json["orgs"][0]["calls"]
    assert first.json["orgs"][0]["created"] == len(previewed.json["orgs"][0]["changes"])
    typed("sync", "acme")
    third = typed("sync", "acme", "--json").json["orgs"][0]
    assert (third["result"], third["wrote"], third["absorbed"]) == ("done", 0, 0)
    assert typed("plan", "acme", "--exit-code").code == 0
    assert [r["state"] for r in typed("runs", "list", "--json").json["runs"]] == ["done"] * 3 + ["failed"]
    assert typed("status", "--json").json["orgs"][0]["balance_minutes"] == 2400 + 2880
    assert typed("ledger", "verify").code == 0
    audited = typed("audit", "run", "acme", "--json")
    assert (audited.code, audited.json["equal"]) == (0, True)
    (certificate,) = typed("audit", "list", "acme", "--json").json["certificates"]
    assert (certificate["genuine"], certificate["digest"]) == (True, audited.json["digest"])
    assert "+ Maintenance_Pack__c" not in typed("plan").out


def test_a_safety_stop_pauses_the_org_and_one_confirmed_run_wakes_it(
    typed: Callable[..., Answer], world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed("org", "connect", *words(world, 1), *TERMS).code == 0
    assert typed("metadata", "deploy", "other", "--as", world["orgs"][1]["username"]).code == 0
    monkeypatch.setenv("SFSYNC_ORGS__OTHER__MAX_CHANGES", "1")
    assert typed("packs", "buy", "other", "--plan", "starter", "--packs", "1", "--reference", "I-1").code == 0
    stopped = typed("sync", "other", "--json")
    assert (stopped.code, stopped.json["orgs"][0]["result"], stopped.json["orgs"][0]["wrote"]) == (3, "stopped", 0)
    assert "sfsync plan ORG" in stopped.err
    assert typed("sync", "other").code == 4
    assert len(typed("plan", "other", "--json").json["orgs"][0]["changes"]) > 1
    confirmed = typed("sync", "other", "--confirm", "--json")
    assert (confirmed.code, confirmed.json["orgs"][0]["result"]) == (0, "done")
    assert confirmed.json["orgs"][0]["wrote"] > 1
    assert typed("status", "--json").json["orgs"][0]["state"] == "active"


def test_what_was_deployed_is_taken_out_again_only_when_somebody_says_so(
    typed: Callable[..., Answer], world: dict[str, Any]
) -> None:
    assert typed("org", "connect", *words(world, 1), *TERMS).code == 0
    admin = world["orgs"][1]["username"]
    assert typed("metadata", "deploy", "other", "--as", admin).code == 0
    assert typed("metadata", "uninstall", "other", "--as", admin).code == 2  # nobody can be asked in a pipe
    assert typed("metadata", "uninstall", "other", "--as", admin, "--check-only").code == 0
    assert typed("org", "test", "other").code == 0
    assert typed("metadata", "uninstall", "other", "--as", admin, "--yes", "--json").json["components"] > 0
    assert typed("org", "list", "--json").json["orgs"][0]["state"] == "paused"
    gone = typed("org", "test", "other")
    assert (gone.code, "Maintenance_Pack__c" in gone.err) == (5, True)


def test_credentials_that_reach_another_organisation_pause_the_org_and_change_nothing(
    typed: Callable[..., Answer], world: dict[str, Any], home: Path
) -> None:
    assert typed("org", "connect", *words(world), *TERMS).code == 0
    pinned, other = world["orgs"][0]["org_id"], world["orgs"][1]
    text = (home / "sfsync.toml").read_text()
    for old, new in ((world["orgs"][0][k], other[k]) for k in ("integration_username", "client_id")):
        text = text.replace(f'"{old}"', f'"{new}"')
    (home / "sfsync.toml").write_text(text)
    answer = typed("org", "test", "acme")
    assert (answer.code, answer.out) == (4, "")
    assert pinned in answer.err
    assert other["org_id"] in answer.err
    synced = typed("sync", "acme", "--json")
    assert (synced.code, synced.json["orgs"][0]["result"]) == (4, "paused")
    (row,) = typed("org", "list", "--json").json["orgs"]
    assert (row["state"], row["organization_id"]) == ("paused", pinned)
    assert typed("org", "show", "acme", "--json").json["org"]["readings"] == []


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (("--login-url", "https://localhost:9"), 1, "localhost"),
        (("--client-id", "nobody"), 4, ""),
        (("--time-zone", "Mars/Olympus"), 2, "'Mars/Olympus' is no time zone"),
        (("--sla-plan", "tin"), 2, "there is no SLA plan 'tin'"),
        (("--name", ""), 2, "give --name and --time-zone"),
    ],
)
def test_an_org_that_cannot_be_connected_leaves_nothing_behind(
    typed: Callable[..., Answer], world: dict[str, Any], home: Path, change: tuple[str, str], code: int, sentence: str
) -> None:
    before = (home / "sfsync.toml").read_text()
    answer = typed("org", "connect", *words(world), *TERMS, *change)
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert sentence in answer.err
    assert (home / "sfsync.toml").read_text() == before
    assert not (home / "clients").exists()
    assert typed("org", "list", "--json").json["orgs"] == []


def test_one_organisation_is_never_two_orgs(typed: Callable[..., Answer], world: dict[str, Any], home: Path) -> None:
    assert typed("org", "connect", *words(world), *TERMS).code == 0
    again = typed("org", "connect", *words(world), *TERMS)
    assert (again.code, "acme is connected already" in again.err) == (2, True)
    twin = typed("org", "connect", "twin", *words(world)[1:], *TERMS)
    assert (twin.code, "is org acme already; nothing was written" in twin.err) == (2, True)
    assert "twin" not in (home / "sfsync.toml").read_text()


def test_a_key_is_made_once_and_only_its_owner_can_read_it(typed: Callable[..., Answer], home: Path) -> None:
    made = typed("org", "key", "acme", "--json").json
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    assert Path(made["certificate"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in Path(made["certificate"]).read_text()
    again = typed("org", "key", "acme")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_a_hub_is_connected_for_clients_that_have_an_org_and_its_parts_are_orgs(
    typed: Callable[..., Answer], world: dict[str, Any], home: Path
) -> None:
    hub = ["hub", *words(world, 1)[1:]]
    early = typed("org", "connect", *hub, "--hub-of", "acme")
    assert (early.code, "client acme of hub hub needs one org of its own; it has none" in early.err) == (2, True)
    assert typed("org", "connect", *words(world), *TERMS).code == 0
    same = typed("org", "connect", "hub", *words(world)[1:], "--hub-of", "acme")
    assert (same.code, "is org acme already; nothing was written" in same.err) == (2, True)
    both = typed("org", "connect", *hub, "--hub-of", "acme", "--client", "acme")
    assert (both.code, "a hub is no client's" in both.err) == (2, True)
    connected = typed("org", "connect", *hub, "--hub-of", "acme", "--json")
    assert connected.code == 0, connected.err
    assert (connected.json["clients"], connected.json["overlay"]) == (["acme"], None)
    assert 'role = "hub"\nclients = ["acme"]' in (home / "sfsync.toml").read_text()
    roles = {one["org"]: one["role"] for one in typed("org", "list", "--json").json["orgs"]}
    assert roles == {"acme": "client", "acme@hub": "hub"}
    named = typed("org", "show", "hub")
    assert (named.code, "hub is a hub; name one part of it; there are: acme@hub" in named.err) == (2, True)
    admin = world["orgs"][1]["username"]
    assert typed("metadata", "deploy", "acme@hub", "--as", admin).code == 0
    assert typed("org", "test", "acme@hub", "--json").json["ok"] is True
    checks = {one["name"]: one["level"] for one in typed("doctor", "--org", "acme@hub", "--json").json["checks"]}
    assert (checks["acme@hub login"], checks["acme@hub schema"]) == ("ok", "ok")
    waits = typed("sync", "hub")
    assert "acme@hub is read after the client's own org acme; first: sfsync sync acme" in waits.err
    assert typed("metadata", "package", "hub.zip", "--hub", "--json").json["files"] > 20
    assert typed("metadata", "check", "--hub").code == 0
