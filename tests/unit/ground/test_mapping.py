"""A mapping or a plan that is wrong says where, in one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sfsync.errors import ConfigError, MappingError, PolicyError
from sfsync.mapping import OBJECT_FILES, load_client, load_clients, load_mappings, load_plans, standard_directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the standard shape that a test may spoil."""
    copy = tmp_path / "mappings"
    shutil.copytree(standard_directory(), copy, ignore=shutil.ignore_patterns("salesforce", "__pycache__"))
    return copy


def spoil(directory: Path, name: str, old: str, new: str) -> None:
    path = directory / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_standard_shape_loads_parents_before_children() -> None:
    mappings = load_mappings()
    assert tuple(mappings.objects) == OBJECT_FILES
    seen: set[str] = set()
    for mapping in mappings:
        ours = {target for target in mapping.lookups.values() if target in mappings.by_object}
        assert ours - {mapping.object} <= seen
        seen.add(mapping.object)


def test_every_field_of_a_custom_object_has_a_label_and_an_owner() -> None:
    for mapping in load_mappings():
        for field in mapping.fields.values():
            assert field.label
            assert field.owner in ("org", "service", "shared")
            assert field.standard or len(field.label) <= 40


def test_an_unknown_key_is_refused_with_file_line_and_key(directory: Path) -> None:
    spoil(
        directory, "time_entry.yaml", "state:          {api: State__c,", "state:          {colour: red, api: State__c,"
    )
    with pytest.raises(MappingError) as caught:
        load_mappings(directory)
    line = next(
        n for n, text in enumerate((directory / "time_entry.yaml").read_text().splitlines(), 1) if "colour" in text
    )
    assert str(caught.value) == f"mappings/time_entry.yaml:{line}: fields.state.colour: there is no such key"


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("type: integer(5)", "type: whole(5)", "fields.worked_minutes.type", "is not a type"),
        (
            "owner: org, required: true, label: Minutes",
            "owner: nobody, required: true, label: Minutes",
            "fields.worked_minutes.owner",
            "'nobody'",
        ),
        ("lookup(Case)", "lookup(Nowhere__c)", "fields.case.type", "no mapping file has that object"),
        ("record: TimeEntry", "record: Sheet", "record", "no record is called 'Sheet'"),
        ("api: Minutes__c", "api: Work_Date__c", "fields.worked_minutes.api", "is already the field 'worked_on'"),
        ("prefix: te", "prefix: te\nprefix: tf", "prefix", "stands here twice"),
        ("object: Time_Entry__c", "object: [", "", "not valid YAML"),
        ("label: Time Entry\n", "", "label", "missing"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_named(directory: Path, old: str, new: str, key: str, says: str) -> None:
    spoil(directory, "time_entry.yaml", old, new)
    with pytest.raises(MappingError) as caught:
        load_mappings(directory)
    assert says in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.file == "mappings/time_entry.yaml"
    if key:
        assert caught.value.place.key == key
        assert caught.value.place.line is not None


def test_a_negative_price_is_refused_with_its_line(directory: Path) -> None:
    spoil(directory, "plans.yaml", '"400.00"', '"-400.00"')
    with pytest.raises(PolicyError) as caught:
        load_plans(directory)
    assert str(caught.value).startswith("mappings/plans.yaml:4: packs.flexi.unit_price_amount: ")


def test_a_target_in_an_unknown_cover_is_refused(directory: Path) -> None:
    spoil(directory, "plans.yaml", 'P1: {cover: "24x7"', 'P1: {cover: "always"')
    with pytest.raises(PolicyError, match="no cover is called 'always'"):
        load_plans(directory)


def test_windows_that_overlap_or_close_before_they_open_are_refused(directory: Path) -> None:
    spoil(directory, "plans.yaml", 'mon: [{open: "09:00", close: "18:00"}]', 'mon: [{open: "19:00", close: "18:00"}]')
    with pytest.raises(PolicyError, match="closes before it opens"):
        load_plans(directory)


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "pack.yaml").unlink()
    with pytest.raises(MappingError, match=r"mappings/pack\.yaml: cannot be read"):
        load_mappings(directory)


CLIENT = """
client: acme
name: Acme
time_zone: America/Argentina/Buenos_Aires
sla_plan: gold
holidays: {country: AR}
policy: {tolerance_pct: 10}
mapping:
  case:
    fields:
      priority: {api: Urgency__c}
      scope: {skip: true}
"""


def write_client(directory: Path, text: str) -> Path:
    path = directory / "clients" / "acme.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_overlay_renames_switches_off_and_sets_numbers(directory: Path) -> None:
    mappings, plans = load_mappings(directory), load_plans(directory)
    client = load_client(write_client(directory, CLIENT), mappings, plans)
    assert client.terms.policy.tolerance_pct == 10
    assert client.mappings["case"].fields["priority"].api == "Urgency__c"
    assert "scope" not in client.mappings["case"].fields
    assert mappings["case"].fields["priority"].api == "Maint_Priority__c"
    assert load_clients(directory / "clients", mappings, plans).keys() == {"acme"}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("America/Argentina/Buenos_Aires", "America/Nowhere", "time_zone"),
        ("sla_plan: gold", "sla_plan: bronze", "sla_plan"),
        ("tolerance_pct: 10", "tolerance: 10", "policy.tolerance"),
        ("tolerance_pct: 10", "tolerance_pct: -1", "policy.tolerance_pct"),
        ("  case:\n", "  kase:\n", "mapping.kase"),
        ("      priority:", "      prio:", "mapping.case.fields.prio"),
        ("client: acme", "client: other", "client"),
    ],
)
def test_what_is_wrong_in_an_overlay_is_named(directory: Path, old: str, new: str, key: str) -> None:
    mappings, plans = load_mappings(directory), load_plans(directory)
    assert old in CLIENT
    path = write_client(directory, CLIENT.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_client(path, mappings, plans)
    assert caught.value.place is not None
    assert caught.value.place.key == key
    assert caught.value.place.line is not None
