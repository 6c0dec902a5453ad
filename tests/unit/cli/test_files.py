"""Commands over files alone: mapping, metadata, config. They need no store and no org."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from sfsync.mapping import editor_schema, load_mappings, standard_directory
from sfsync.metadata import generate

PLACE = r"mappings/case.yaml:\d+: fields\.priority\.ownr"


@pytest.fixture
def own_mappings(home: Path) -> Path:
    """Return a copy of the standard mappings that sfsync.toml points at."""
    copy = home / "mappings"
    shutil.copytree(standard_directory(), copy, ignore=shutil.ignore_patterns("salesforce*", "__pycache__"))
    (home / "sfsync.toml").write_text('mappings_dir = "mappings"\n')
    return copy


def spoil(file: Path, old: str, new: str) -> None:
    """Replace the first ``old`` in a file, which must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_mapping_list_counts_the_fields_of_each_owner(sfsync) -> None:
    for one in sfsync("mapping", "list", "--json").json["objects"]:
        assert one["org"] + one["service"] + one["shared"] == one["fields"] > 0
    assert len(sfsync("mapping", "list").rows) == len(load_mappings().objects)


def test_mapping_show_takes_a_mapping_an_object_or_a_record(sfsync) -> None:
    shown = [sfsync("mapping", "show", name, "--json").json for name in ("time_entry", "Time_Entry__c", "TimeEntry")]
    assert shown[0] == shown[1] == shown[2]
    minutes = next(f for f in shown[0]["fields"] if f["field"] == "worked_minutes")
    assert (minutes["api"], minutes["type"], minutes["owner"]) == ("Minutes__c", "integer(5)", "org")


def test_mapping_explain_says_owner_names_types_and_the_line_of_the_declaration(sfsync) -> None:
    text = sfsync("mapping", "explain", "pack.used_minutes").out
    at = next(
        n
        for n, line in enumerate((standard_directory() / "pack.yaml").read_text().splitlines(), 1)
        if "  used_minutes:" in line
    )
    assert f"mappings/pack.yaml:{at}" in text
    assert "hours in" not in text
    assert "hours with two places in the org, whole minutes in the store" in text
    assert "a change by hand is put back" in text


def test_mapping_explain_finds_a_field_by_its_api_name_in_every_object(sfsync) -> None:
    found = sfsync("mapping", "explain", "Sync_Message__c", "--json").json["fields"]
    assert len({f["mapping"] for f in found}) == len(found) > 1


def test_mapping_explain_of_an_unknown_field_is_wrong_usage(sfsync) -> None:
    answer = sfsync("mapping", "explain", "case.colour")
    assert (answer.code, answer.out) == (2, "")
    assert "no mapping has a field 'case.colour'" in answer.err


def test_every_type_is_shown_as_the_mapping_writes_it(sfsync) -> None:
    from sfsync.cli.mapping import type_text
    from sfsync.mapping import FieldType

    for mapping in load_mappings():
        for field in mapping.fields.values():
            assert FieldType.parse(type_text(field.type)) == field.type


def test_mapping_schema_is_the_editor_schema(sfsync) -> None:
    assert json.loads(sfsync("mapping", "schema").out) == editor_schema()


def test_a_mapping_with_an_unknown_key_is_named_by_file_line_and_key(sfsync, own_mappings: Path) -> None:
    spoil(own_mappings / "case.yaml", "owner: org", "ownr: org")
    answer = sfsync("mapping", "list")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("sfsync: mappings/case.yaml:")
    checked = sfsync("mapping", "check", "--json")
    assert checked.code == 5
    assert [p.startswith("mappings/case.yaml:") for p in checked.json["problems"]] == [True]


def test_a_plan_with_a_negative_price_is_named_by_file_line_and_key(sfsync, own_mappings: Path) -> None:
    spoil(own_mappings / "plans.yaml", '"400.00"', '"-400.00"')
    answer = sfsync("mapping", "check")
    assert answer.code == 5
    assert "mappings/plans.yaml:4: packs.flexi.unit_price_amount: " in answer.out
    assert "-400.00" in answer.out
    assert sfsync("mapping", "list").code == 2


def test_mapping_check_names_every_file_that_is_wrong(sfsync, own_mappings: Path, home: Path) -> None:
    (home / "clients").mkdir()
    for name in ("acme", "beta"):
        (home / "clients" / f"{name}.yaml").write_text(f"client: {name}\nname: A\ntime_zone: Mars/Olympus\n")
    answer = sfsync("mapping", "check", "--json")
    assert answer.code == 5
    assert answer.json["clients"] == 2
    assert [("Mars/Olympus" in p, "time_zone" in p) for p in answer.json["problems"]] == [(True, True)] * 2


def test_a_client_overlay_is_seen_through_its_option(sfsync, home: Path) -> None:
    (home / "sfsync.toml").write_text("")
    (home / "clients").mkdir()
    (home / "clients" / "acme.yaml").write_text(
        "client: acme\nname: Acme\ntime_zone: Europe/Bucharest\n"
        "mapping: {case: {fields: {priority: {api: Client_Urgency__c}}}}\n"
    )
    assert "Case.Client_Urgency__c" in sfsync("mapping", "explain", "case.priority", "--client", "acme").out
    answer = sfsync("mapping", "list", "--client", "nobody")
    assert (answer.code, "known clients: acme" in answer.err) == (2, True)


def test_metadata_check_proves_the_standard_package(sfsync) -> None:
    answer = sfsync("metadata", "check", "--json")
    assert answer.code == 0
    assert answer.json["ok"] is True
    assert answer.json["files"] == len(generate(load_mappings()))


def test_metadata_check_names_what_is_wrong_in_a_package_edited_by_hand(sfsync, home: Path) -> None:
    for path, data in generate(load_mappings()).items():
        (home / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "src" / path).write_bytes(data)
    spoil(home / "src/objects/Case.object", "<type>", "<typo>Text</typo><type>")
    answer = sfsync("metadata", "check", "--source", "src")
    assert answer.code == 5
    assert "objects/Case.object:" in answer.out


def test_metadata_generate_writes_once_and_then_nothing(sfsync, home: Path) -> None:
    (home / "mappings").mkdir()
    assert len(sfsync("metadata", "generate", "--json").json["changed"]) > 20
    assert (home / "mappings/salesforce/package.xml").is_file()
    assert sfsync("metadata", "generate", "--json").json["changed"] == []
    assert sfsync("metadata", "check", "--project", ".").code == 0
    spoil(home / "docs/fields.md", "owner", "boss")
    stale = sfsync("metadata", "check", "--project", ".", "--json")
    assert (stale.code, stale.json["problems"]) == (5, ["docs/fields.md: out of date, run: sfsync metadata generate"])


def test_metadata_generate_elsewhere_than_in_a_project_writes_nothing(sfsync, home: Path) -> None:
    assert sfsync("metadata", "generate").code == 2
    assert list(home.iterdir()) == []


def test_metadata_package_is_a_zip_that_a_deploy_takes(sfsync, home: Path) -> None:
    assert sfsync("metadata", "package", "in.zip").code == 0
    assert sfsync("metadata", "package", "out.zip", "--uninstall").code == 0
    assert "package.xml" in zipfile.ZipFile(io.BytesIO((home / "in.zip").read_bytes())).namelist()
    assert "destructiveChanges.xml" in zipfile.ZipFile(home / "out.zip").namelist()


def test_config_show_says_where_each_value_came_from(sfsync, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "sfsync.toml").write_text('[orgs.acme]\nusername = "u@acme"\n')
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", "hush-hush")
    monkeypatch.setenv("SFSYNC_LOG_LEVEL", "DEBUG")
    answer = sfsync("config", "show", "--json")
    origin = {row["key"]: row["from"] for row in answer.json["settings"]}
    assert origin["orgs.acme.username"] == "sfsync.toml"
    assert origin["orgs.acme.client_secret"] == "SFSYNC_ORGS__ACME__CLIENT_SECRET"
    assert origin["log_level"] == "SFSYNC_LOG_LEVEL"
    assert origin["broker.url"] == "default"
    assert {row[0] for row in sfsync("config", "show", "--set-only").rows} == {
        "log_level", "orgs.acme.username", "orgs.acme.client_secret", "clients_dir",
    } - {"clients_dir"}  # fmt: skip


def test_config_show_never_shows_a_secret(sfsync, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "sfsync.toml").write_text(
        '[store]\nurl = "postgresql://me:hush1@db/sfsync?password=hush2"\n[broker]\nurl = "redis://:hush3@b/0"\n'
        '[orgs.acme]\nrefresh_token = "hush4"\n'
    )
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", "hush5")
    for words in (("config", "show"), ("config", "show", "--json")):
        answer = sfsync(*words)
        assert answer.code == 0
        assert "hush" not in answer.out + answer.err
        assert "me:(set)@db/sfsync" in answer.out


def test_config_validate_says_everything_that_is_wrong(sfsync, home: Path) -> None:
    (home / "clients").mkdir()
    (home / "clients/acme.yaml").write_text("client: acme\nname: A\ntime_zone: Europe/Bucharest\n")
    (home / "open.key").write_text("key")
    (home / "open.key").chmod(0o644)
    (home / "sfsync.toml").write_text(
        '[orgs.acme]\nclient_id = "x"\nprivate_key_file = "open.key"\nca_file = "absent.pem"\n[orgs.beta]\n'
    )
    answer = sfsync("config", "validate", "--json")
    assert answer.code == 5
    told = answer.json["problems"]
    assert [p.split(": ")[0] for p in told] == [
        "orgs.acme.private_key_file", "orgs.acme.ca_file", "orgs.acme.username", "orgs.beta", "orgs.beta",
    ]  # fmt: skip
    assert "chmod 600" in told[0]


def test_config_validate_of_no_settings_at_all_finds_nothing_wrong(sfsync) -> None:
    answer = sfsync("config", "validate")
    assert (answer.code, answer.out, answer.err) == (0, "", "nothing wrong\n")


def test_an_unknown_setting_is_named_by_file_and_key(sfsync, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "sfsync.toml").write_text("[store]\nurll = 'x'\n")
    assert sfsync("config", "show").err == "sfsync: sfsync.toml: store.urll: there is no such key\n"
    (home / "sfsync.toml").write_text("")
    monkeypatch.setenv("SFSYNC_BROKER__COLOUR", "red")
    answer = sfsync("config", "show")
    assert (answer.code, answer.err) == (2, "sfsync: SFSYNC_BROKER__COLOUR: there is no such key\n")


def test_the_coverage_page_of_the_local_org_is_what_is_committed(sfsync, home: Path) -> None:
    assert sfsync("localorg", "coverage", "--into", "page.md").code == 0
    assert (home / "page.md").read_text() == sfsync("localorg", "coverage").out
