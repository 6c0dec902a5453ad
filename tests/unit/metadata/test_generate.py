"""The package that the mappings make."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sfsync.mapping import FieldType, MappedField, Mappings, ObjectMapping, load_mappings
from sfsync.metadata import (
    COMMAND,
    ROLES,
    check,
    generate,
    generated_files,
    package_page,
    stale,
    uninstall,
    write,
    zip_package,
)
from sfsync.metadata.xmltext import Element, parse

MAPPINGS = load_mappings()
FILES = generate(MAPPINGS)


def opened(path: str) -> Element:
    return parse(FILES[path])


def field_of(object_name: str, api: str) -> Element:
    return next(f for f in opened(f"objects/{object_name}.object").all("fields") if f.value("fullName") == api)


def shown(field: Element) -> dict[str, str]:
    return {child.tag: child.text for child in field.children if not child.children}


def with_field(mapping_name: str, **changes: object) -> Mappings:
    """Return the standard mappings with one more field on a mapping."""
    plain = MappedField(
        name="probe",
        api="Probe__c",
        type=FieldType("text", length=10),
        owner="service",
        label="Probe",
        help="",
        required=False,
        history=False,
        on_conflict="org",
        formula=None,
        default=None,
    )
    probe = replace(plain, **changes)  # type: ignore[arg-type]
    objects: dict[str, ObjectMapping] = dict(MAPPINGS.objects)
    mapping = objects[mapping_name]
    objects[mapping_name] = replace(mapping, fields={**mapping.fields, probe.name: probe})
    return Mappings(objects)


def probe_of(mappings: Mappings, object_name: str) -> dict[str, str]:
    root = parse(generate(mappings)[f"objects/{object_name}.object"])
    return shown(next(f for f in root.all("fields") if f.value("fullName") == "Probe__c"))


def test_the_same_mappings_give_the_same_bytes() -> None:
    again = generate(load_mappings())
    assert again == FILES
    assert list(again) == list(FILES)
    assert zip_package(again) == zip_package(dict(reversed(FILES.items())))


def test_the_package_of_the_standard_mappings_has_no_problem() -> None:
    assert check(FILES) == []


def test_every_mapped_custom_field_is_in_the_package_and_no_standard_field_is() -> None:
    for mapping in MAPPINGS:
        there = {f.value("fullName") for f in opened(f"objects/{mapping.object}.object").all("fields")}
        own = {"Sfsync_Revision__c"} | ({mapping.key} if mapping.key else set())
        assert there == {f.api for f in mapping.fields.values() if f.api.endswith("__c")} | own


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("text(120)", {"type": "Text", "length": "120", "required": "false"}),
        ("textarea(255)", {"type": "TextArea", "required": "false"}),
        ("longtext(8000)", {"type": "LongTextArea", "length": "8000", "visibleLines": "5"}),
        ("integer(5)", {"type": "Number", "precision": "5", "scale": "0", "required": "false"}),
        ("decimal(16,2)", {"type": "Number", "precision": "16", "scale": "2", "required": "false"}),
        ("hours(9,2)", {"type": "Number", "precision": "9", "scale": "2", "required": "false"}),
        ("date", {"type": "Date", "required": "false"}),
        ("datetime", {"type": "DateTime", "required": "false"}),
        ("checkbox", {"type": "Checkbox", "defaultValue": "false"}),
        ("autonumber(X-{0000})", {"type": "AutoNumber", "displayFormat": "X-{0000}"}),
        (
            "user",
            {
                "type": "Lookup", "referenceTo": "User", "deleteConstraint": "SetNull", "required": "false",
                "relationshipName": "Maintenance_Packs", "relationshipLabel": "Maintenance Packs",
            },
        ),
    ],
)  # fmt: skip
def test_a_mapping_type_becomes_one_metadata_type(written: str, expected: dict[str, str]) -> None:
    given = probe_of(with_field("pack", type=FieldType.parse(written)), "Maintenance_Pack__c")
    always = {"fullName": "Probe__c", "label": "Probe", "description": "sfsync owner=service"}
    assert given == expected | always


def test_a_picklist_is_restricted_to_the_values_of_its_line() -> None:
    values = field_of("Case", "Maint_Priority__c").find("valueSet")
    assert values is not None
    assert values.value("restricted") == "true"
    definition = values.find("valueSetDefinition")
    assert definition is not None
    assert [v.value("fullName") for v in definition.all("value")] == ["P1", "P2", "P3", "P4"]


def test_a_formula_has_no_required_no_default_and_eighteen_digits() -> None:
    assert shown(field_of("Time_Entry__c", "Hours__c")) == {
        "fullName": "Hours__c",
        "description": "sfsync owner=org",
        "formula": "Minutes__c / 60",
        "formulaTreatBlanksAs": "BlankAsBlank",
        "label": "Hours",
        "precision": "18",
        "scale": "2",
        "type": "Number",
    }


def test_a_required_lookup_restricts_deletion_because_it_cannot_be_emptied() -> None:
    mappings = with_field("pack", type=FieldType.parse("lookup(Account)"), required=True)
    assert probe_of(mappings, "Maintenance_Pack__c")["deleteConstraint"] == "Restrict"


def test_a_second_lookup_to_the_same_object_gets_a_relationship_name_of_its_own() -> None:
    mappings = with_field("time_entry", type=FieldType.parse("lookup(Case)"))
    assert probe_of(mappings, "Time_Entry__c")["relationshipName"] == "Probe_Time_Entries"
    assert check(generate(mappings)) == []


def test_each_keyed_object_has_a_unique_case_sensitive_external_id() -> None:
    for mapping in MAPPINGS:
        if mapping.key is None:
            continue
        key = shown(field_of(mapping.object, mapping.key))
        assert (key["type"], key["length"]) == ("Text", "64")
        assert key["externalId"] == key["unique"] == key["caseSensitive"] == "true"


def test_each_written_object_refuses_an_older_revision() -> None:
    for mapping in MAPPINGS:
        rules = {r.value("fullName"): r for r in opened(f"objects/{mapping.object}.object").all("validationRules")}
        fence = rules["Sfsync_Revision_Never_Falls"]
        assert fence.value("active") == "true"
        assert fence.value("errorConditionFormula") == (
            "AND(NOT(ISNEW()), Sfsync_Revision__c < PRIORVALUE(Sfsync_Revision__c))"
        )


def test_the_guard_names_exactly_the_fields_of_the_service() -> None:
    rules = {r.value("fullName"): r for r in opened("objects/Time_Entry__c.object").all("validationRules")}
    assert rules["Sfsync_Fields_Belong_To_Service"].value("errorConditionFormula") == (
        "AND(NOT($Permission.sfsync_Service), OR(ISCHANGED(Estimate__c), ISCHANGED(Pack__c), ISCHANGED(State__c), "
        "ISCHANGED(Sync_Message__c), ISCHANGED(Sfsync_Key__c), ISCHANGED(Sfsync_Revision__c)))"
    )


def test_a_rule_written_by_hand_is_dropped_with_the_field_it_needs_and_follows_its_new_name() -> None:
    estimate = MAPPINGS["estimate"]
    off = {n: f for n, f in estimate.fields.items() if n != "reject_reason"}
    renamed = {**off, "status": replace(off["status"], api="State__c")}
    files = generate(Mappings({**MAPPINGS.objects, "estimate": replace(estimate, fields=renamed)}))
    rules = {
        r.value("fullName"): r for r in parse(files["objects/Maintenance_Estimate__c.object"]).all("validationRules")
    }
    assert "Rejection_Needs_A_Reason" not in rules
    assert "ISCHANGED(State__c)" in rules["Approved_Is_Final"].value("errorConditionFormula")
    assert check(files) == []


def test_an_action_whose_field_is_off_is_dropped_with_its_button() -> None:
    estimate = MAPPINGS["estimate"]
    off = {n: f for n, f in estimate.fields.items() if n != "client_comment"}
    files = generate(Mappings({**MAPPINGS.objects, "estimate": replace(estimate, fields=off)}))
    assert [path for path in files if path.startswith("quickActions/")] == [
        "quickActions/Case.Acknowledge.quickAction",
        "quickActions/Case.Log_Time.quickAction",
    ]
    assert check(files) == []


def rights(role: str) -> dict[str, bool]:
    root = opened(f"permissionsets/{role}.permissionset")
    return {p.value("field"): p.value("editable") == "true" for p in root.all("fieldPermissions")}


def test_nobody_but_the_service_may_change_a_field_of_the_service() -> None:
    for mapping in MAPPINGS:
        for field in mapping.fields.values():
            if field.standard or field.owner != "service":
                continue
            name = f"{mapping.object}.{field.api}"
            assert [r.name for r in ROLES if rights(r.name)[name]] == ["sfsync_Service"], name


def test_the_service_may_not_change_a_field_of_people() -> None:
    mine = rights("sfsync_Service")
    for mapping in MAPPINGS:
        for field in mapping.fields.values():
            if field.owner == "org":
                assert not mine.get(f"{mapping.object}.{field.api}", False), (mapping.object, field.api)


def test_every_field_of_people_can_be_changed_by_some_role() -> None:
    people = [rights(r.name) for r in ROLES if not r.api_user]
    for mapping in MAPPINGS:
        for field in mapping.fields.values():
            name = f"{mapping.object}.{field.api}"
            if field.standard or field.owner == "service" or field.formula or field.required:
                continue
            if name in ("Maintenance_Estimate__c.Decided_By__c", "Maintenance_Estimate__c.Decided_At__c"):
                continue  # set by the approve action, never typed
            assert any(p[name] for p in people), name


def test_every_role_sees_every_field_that_is_not_seen_by_everybody_anyway() -> None:
    for role in ROLES:
        seen = rights(role.name)
        for mapping in MAPPINGS:
            for field in mapping.fields.values():
                if not field.standard and not field.required:
                    assert f"{mapping.object}.{field.api}" in seen


def test_nobody_may_delete_or_modify_all() -> None:
    for role in ROLES:
        for given in opened(f"permissionsets/{role.name}.permissionset").all("objectPermissions"):
            assert given.value("allowDelete") == given.value("modifyAllRecords") == "false"


def test_only_the_service_and_the_approver_carry_a_custom_permission() -> None:
    carried = {
        r.name: [p.value("name") for p in opened(f"permissionsets/{r.name}.permissionset").all("customPermissions")]
        for r in ROLES
    }
    assert carried == {
        "sfsync_Client_Approver": ["sfsync_Approve_Estimates"],
        "sfsync_Client_Viewer": [],
        "sfsync_Consultant": [],
        "sfsync_Service": ["sfsync_Service"],
    }


def test_the_uninstall_package_names_our_objects_and_our_case_fields_and_nothing_else() -> None:
    files = uninstall(MAPPINGS)
    assert sorted(files) == ["destructiveChanges.xml", "package.xml"]
    assert list(parse(files["package.xml"]).all("types")) == []
    gone = {t.value("name"): t.values("members") for t in parse(files["destructiveChanges.xml"]).all("types")}
    assert gone["CustomObject"] == sorted(m.object for m in MAPPINGS if m.custom)
    assert all(name.startswith("Case.") for name in gone["CustomField"] + gone["ValidationRule"] + gone["ListView"])
    assert "Case.Maint_Priority__c" in gone["CustomField"]


def test_the_zip_holds_the_package_at_its_root() -> None:
    with zipfile.ZipFile(io.BytesIO(zip_package(FILES))) as archive:
        assert set(archive.namelist()) == set(FILES)
        assert archive.read("package.xml") == FILES["package.xml"]


def test_the_page_about_the_package_counts_what_the_package_holds() -> None:
    page = package_page(FILES)
    fields = sum(len(list(parse(d).all("fields"))) for p, d in FILES.items() if p.startswith("objects/"))
    assert f"{fields} CustomField" in page
    assert "| `sfsync_Client_Viewer` | Sees packs, estimates, time and weekly summaries. | nothing | nothing |" in page
    for rule in parse(FILES["objects/Maintenance_Estimate__c.object"]).all("validationRules"):
        assert rule.value("errorMessage") in page


def test_the_committed_files_are_what_the_mappings_make() -> None:
    root = Path(__file__).parents[3]
    assert stale(MAPPINGS, root) == [], f"run: {COMMAND}"


def test_writing_changes_only_what_differs_and_removes_only_what_was_generated(tmp_path: Path) -> None:
    everything = sorted(generated_files(MAPPINGS))
    assert write(MAPPINGS, tmp_path) == everything
    assert stale(MAPPINGS, tmp_path) == []
    old = tmp_path / "mappings/salesforce/objects/Gone__c.object"
    old.write_bytes(FILES["objects/Time_Entry__c.object"])
    theirs = tmp_path / "mappings/salesforce/objects/README.md"
    theirs.write_text("kept by hand\n")
    (tmp_path / "docs/fields.md").write_text("edited\n")
    assert stale(MAPPINGS, tmp_path) == ["docs/fields.md", "mappings/salesforce/objects/Gone__c.object"]
    assert write(MAPPINGS, tmp_path) == ["docs/fields.md", "mappings/salesforce/objects/Gone__c.object"]
    assert not old.exists()
    assert theirs.exists()
