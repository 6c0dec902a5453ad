"""What the settings and the mappings say of a hub: whose it is, who writes what where, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfsync.errors import MappingError, SafetyStop, SettingsError
from sfsync.mapping import ObjectMapping, beside_hub, in_hub, load_mappings
from sfsync.mirror.merge import Link
from sfsync.mirror.plan import plan
from sfsync.mirror.translate import Ids
from sfsync.org.whose import only_ours, own_key
from sfsync.settings import Settings, load
from tests.unit.ground.test_mapping import directory, spoil

__all__ = ["directory"]

STANDARD = load_mappings()
ALONE, BESIDE, HUB = STANDARD, beside_hub(STANDARD.declared), in_hub(STANDARD.declared, "acme_1")
TWO = '[orgs.acme]\n[orgs.beta]\n[orgs.hub]\nrole = "hub"\nclients = ["acme", "beta"]\napi_share = 0.3\n'
PINNED = '[orgs.acme]\norganization_id = "00D000000000001"\n'


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "sfsync.toml"
    path.write_text(text, encoding="utf-8")
    return load(
        path, {"HOME": str(tmp_path), "SFSYNC_ORGS__HUB__USERNAME": "service@hub.example"} if "hub" in text else {}
    )


def test_a_hub_is_written_once_and_is_an_org_for_each_of_its_clients(tmp_path: Path) -> None:
    settings = read(tmp_path, TWO)
    assert settings.hubs == {"hub": ["acme@hub", "beta@hub"]}
    part = settings.orgs["beta@hub"]
    assert (part.role, part.client, part.hub, part.username) == ("hub", "beta", "hub", "service@hub.example")
    assert part.api_share == pytest.approx(0.15)
    assert "hub" not in settings.orgs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[orgs.acme]\n[orgs.hub]\nrole = "hub"\n', "orgs.hub: a hub needs clients"),
        ('[orgs.acme]\n[orgs.hub]\nrole = "hub"\nclient = "acme"\n', 'say clients = ["acme"]'),
        ('[orgs.acme]\nclients = ["acme"]\n', "orgs.acme.clients: only a hub has clients"),
        (
            '[orgs.hub]\nrole = "hub"\nclients = ["acme"]\n',
            "client acme of hub hub needs one org of its own; it has none",
        ),
        (
            '[orgs.acme]\n[orgs.other]\nclient = "acme"\n[orgs.hub]\nrole = "hub"\nclients = ["acme"]\n',
            "it has acme and other",
        ),
        (
            '[orgs.acme]\n[orgs.hub]\nrole = "hub"\nclients = ["acme"]\n[orgs.two]\nrole = "hub"\nclients = ["acme"]\n',
            "client acme is in two hubs, hub and two",
        ),
        (
            '[orgs.hub]\nrole = "hub"\nclients = ["acme"]\norganization_id = "00D000000000001AAA"\n' + PINNED,
            "orgs.hub and orgs.acme are the same organisation 00D000000000001",
        ),
        (
            '[orgs.beta]\norganization_id = "00D000000000001"\n' + PINNED,
            "orgs.acme and orgs.beta are the same organisation",
        ),
        (TWO + 'colour = "red"\n', "orgs.hub.colour: there is no such key"),
        ('[orgs."acme@hub"]\n', "a hub is written once"),
    ],
)
def test_what_cannot_be_meant_of_a_hub_is_refused_with_the_way_out(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def owners(mapping: ObjectMapping, *names: str) -> list[str]:
    return [mapping.fields[name].owner if name in mapping.fields else "-" for name in names]


def test_each_field_is_written_where_its_people_are_and_copied_where_they_are_not() -> None:
    names = ("subject", "status", "category", "is_closed", "description", "answer", "sla_status", "deleted")
    assert owners(ALONE["case"], *names) == ["org", "org", "org", "org", "-", "-", "service", "-"]
    assert owners(BESIDE["case"], *names) == ["org", "shared", "service", "org", "org", "service", "service", "-"]
    assert owners(HUB["case"], *names) == ["service", "shared", "org", "-", "service", "org", "service", "service"]
    names = ("worked_minutes", "consultant", "internal_note", "state", "deleted")
    assert owners(BESIDE["time_entry"], *names) == ["service", "-", "-", "service", "service"]
    assert owners(HUB["time_entry"], *names) == ["org", "org", "org", "service", "-"]
    assert [m.copy for m in (BESIDE["case"], HUB["case"], BESIDE["time_entry"], HUB["time_entry"])] == [0, 1, 1, 0]


def test_the_same_side_wins_a_conflict_whichever_org_is_read() -> None:
    for name in ("status", "priority"):
        line = STANDARD.declared["case"].fields[name]
        winner = {"org": "client", "store": "hub"}[BESIDE["case"].fields[name].on_conflict]
        assert winner == {"org": "hub", "store": "client"}[HUB["case"].fields[name].on_conflict] == line.on_conflict


def test_a_field_that_both_write_must_say_who_wins(directory: Path) -> None:
    spoil(directory, "case.yaml", "people: both, on_conflict: hub", "people: both")
    with pytest.raises(MappingError, match="say who wins"):
        load_mappings(directory)


def test_in_a_hub_only_rows_with_the_clients_key_are_asked_for_and_an_underscore_is_no_wildcard() -> None:
    assert only_ours(ALONE["case"]) == ""
    assert only_ours(HUB["case"]) == r"Sfsync_Key__c LIKE 'acme\_1/%'"
    assert only_ours(HUB["time_entry"], "Parent.") == (
        r"(Parent.Sfsync_Key__c LIKE 'acme\_1/%' OR "
        r"(Parent.Sfsync_Key__c = null AND Parent.Case__r.Sfsync_Key__c LIKE 'acme\_1/%'))"
    )


@pytest.mark.parametrize(
    ("name", "external", "about"),
    [
        ("case", "beta/ca:1", ""),
        ("case", "acme-1/ca:1", ""),
        ("case", "", ""),
        ("case", "", "acme_1/ca:1"),
        ("time_entry", "beta/te:1", "acme_1/ca:1"),
        ("time_entry", "", "beta/ca:1"),
        ("time_entry", "", ""),
    ],
)
def test_a_row_that_is_not_provably_the_clients_is_a_safety_stop(name: str, external: str, about: str) -> None:
    with pytest.raises(SafetyStop, match="nothing of it was stored"):
        own_key(HUB[name], "500000000000001AAA", external, about)


def test_a_row_proves_itself_by_its_key_and_a_new_one_by_what_it_is_about() -> None:
    assert own_key(HUB["case"], "500", "acme_1/ca:1", "") == "ca:1"
    assert own_key(HUB["time_entry"], "a01", "", "acme_1/ca:1") == ""
    assert own_key(HUB["time_entry"], "a01", "acme_1/te:1", "beta/ca:1") == "te:1"


def test_what_is_not_for_the_other_org_is_not_brought_there_nor_what_is_about_it() -> None:
    ids = Ids("00D000000000009AAA")
    case, other = Link("Case", "ca:1"), Link("Case", "ca:2")
    entry, line = Link("Time_Entry__c", "te:1"), Link("Weekly_Summary_Line__c", "wl:1")
    made = plan(
        HUB,
        [
            (case, {"subject": "private", "request": False}),
            (other, {"subject": "printer", "request": True}),
            (entry, {"case": "ca:1", "worked_minutes": 30}),
            (line, {"case": "ca:1", "minutes": 30}),
        ],
        ids,
    )
    assert [(c.key, dict(c.fields)) for c in made.changes] == [
        ("ca:2", {"subject": "printer", "request": True}),
        ("wl:1", {"minutes": 30}),
    ]
