"""Deploying metadata into a local org: what it takes, what it refuses and in which words, and what it leaves behind."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.metadata import Deployment, DeployOptions, deploy_zip, state_of
from sfsync.localorg.org import LocalOrg
from tests.contract.localorg.metadata_world import (
    NOW,
    Asking,
    box,
    box_package,
    fault_of,
    grant,
    manifest,
    removal,
    text_field,
    xml,
    zipped,
)

PARTIAL = DeployOptions(rollback_on_error=False)


def fresh() -> LocalOrg:
    return LocalOrg("acme", clock=ManualClock(NOW))


def deployed(data: bytes, options: DeployOptions | None = None, org: LocalOrg | None = None) -> Deployment:
    return deploy_zip(org or fresh(), data, options)


def number(name: str, more: str = "") -> str:
    inner = (
        f"<fullName>{name}</fullName><label>N</label><precision>9</precision><scale>2</scale><type>Number</type>{more}"
    )
    return f"<fields>{inner}</fields>"


def lookup(name: str, target: str, called: str, more: str = "") -> str:
    return (
        f"<fields><fullName>{name}</fullName><label>L</label><referenceTo>{target}</referenceTo>"
        f"<relationshipLabel>{called}</relationshipLabel><relationshipName>{called}</relationshipName>"
        f"<type>Lookup</type>{more}</fields>"
    )


def rule(name: str, formula: str, more: str = "") -> str:
    return (
        f"<validationRules><fullName>{name}</fullName><active>true</active>"
        f"<errorConditionFormula>{formula}</errorConditionFormula>{more}<errorMessage>No.</errorMessage></validationRules>"
    )


def field(kind: str, inner: str = "", label: str = "<label>F</label>") -> str:
    return f"<fields><fullName>F__c</fullName>{label}<type>{kind}</type>{inner}</fields>"


def permission_set(inner: str) -> dict[str, bytes]:
    return {"permissionsets/P.permissionset": xml("PermissionSet", f"{inner}")}


# What it takes


def test_a_custom_object_comes_into_being_with_its_fields_and_its_records_can_be_written() -> None:
    org = fresh()
    done = deployed(box_package(text_field("Tag__c"), number("Weight__c")), org=org)
    assert (done.status, done.total, done.deployed) == ("Succeeded", 3, 3)
    made = org.get("Box__c", org.insert("Box__c", {"Tag__c": "x", "Weight__c": 1.5})[0])
    assert made is not None
    assert (made["Name"], made["Tag__c"], made["Weight__c"]) == ("B-0001", "x", 1.5)


def test_components_may_stand_in_any_order_in_the_package() -> None:
    """A formula may come before the field it uses, a lookup before the object it points at."""
    other = xml(
        "CustomObject",
        "<deploymentStatus>Deployed</deploymentStatus><label>Aisle</label><nameField><label>Name</label><type>Text</type>"
        "</nameField><pluralLabel>Aisles</pluralLabel><sharingModel>Private</sharingModel>"
        + lookup("Box__c", "Box__c", "Aisles"),
    )
    twice = field("Number", "<formula>Weight__c * 2</formula><precision>18</precision><scale>2</scale>")
    data = zipped(
        {
            "package.xml": manifest(CustomObject=["Box__c", "Aisle__c"]),
            "objects/Aisle__c.object": other,
            "objects/Box__c.object": box(twice, number("Weight__c")),
        }
    )
    assert deployed(data).status == "Succeeded"


def test_the_same_package_twice_changes_nothing_and_keeps_the_rows() -> None:
    org = fresh()
    data = box_package(text_field("Tag__c"))
    deployed(data, org=org)
    record_id = org.insert("Box__c", {"Tag__c": "kept"})[0]
    again = deployed(data, org=org)
    assert [m.name for m in again.successes if m.changed] == ["package.xml"]
    row = org.get("Box__c", record_id)
    assert row is not None
    assert row["Tag__c"] == "kept"


def test_a_deployed_field_is_unseen_until_a_permission_set_shows_it() -> None:
    org = fresh()
    data = zipped(
        {
            "package.xml": manifest(CustomField=["Case.Tag__c"]),
            "objects/Case.object": xml("CustomObject", text_field("Tag__c")),
        }
    )
    assert deployed(data, org=org).status == "Succeeded"
    assert "Tag__c" not in org.actor(org.integration_id).schema["Case"].fields
    deployed(
        zipped(
            {"package.xml": manifest(PermissionSet=["P"]), **permission_set(grant("Case.Tag__c") + "<label>P</label>")}
        ),
        org=org,
    )
    org.assign("P", org.integration_id)
    assert "Tag__c" in org.actor(org.integration_id).schema["Case"].fields


def test_a_checkbox_added_to_old_rows_has_its_default_there() -> None:
    org = fresh()
    deployed(box_package(), org=org)
    record_id = org.insert("Box__c", {})[0]
    deployed(box_package(field("Checkbox", "<defaultValue>true</defaultValue>")), org=org)
    row = org.get("Box__c", record_id)
    assert row is not None
    assert row["F__c"] == 1


def test_history_of_a_standard_field_can_be_switched_on() -> None:
    org = fresh()
    tracked = "<fields><fullName>Subject</fullName><trackHistory>true</trackHistory></fields>"
    data = zipped(
        {"package.xml": manifest(CustomField=["Case.Subject"]), "objects/Case.object": xml("CustomObject", tracked)}
    )
    assert deployed(data, org=org).status == "Succeeded"
    assert org.schema["Case"].fields["Subject"].history_tracked


def test_a_global_value_set_feeds_a_picklist() -> None:
    org = fresh()
    values = xml(
        "GlobalValueSet",
        "<customValue><fullName>Red</fullName><default>true</default><label>Red</label></customValue>"
        "<customValue><fullName>Blue</fullName><default>false</default><label>Blue</label></customValue>"
        "<masterLabel>Colours</masterLabel><sorted>false</sorted>",
    )
    picklist = field("Picklist", "<valueSet><valueSetName>Colours</valueSetName></valueSet>")
    data = zipped(
        {
            "package.xml": manifest(CustomObject=["Box__c"], GlobalValueSet=["Colours"]),
            "objects/Box__c.object": box(picklist),
            "globalValueSets/Colours.globalValueSet": values,
        }
    )
    assert deployed(data, org=org).status == "Succeeded"
    assert [v.value for v in org.schema["Box__c"].fields["F__c"].picklist] == ["Red", "Blue"]


# What it refuses

NUMBER = "<precision>18</precision><scale>0</scale>"
REQUIRED = "<required>true</required><deleteConstraint>SetNull</deleteConstraint>"
ONE_VALUE = "<valueSetDefinition><sorted>false</sorted><value><fullName>New</fullName></value></valueSetDefinition>"


def edited(kind: str, inner: str = "") -> str:
    """Return a new version of Tag__c."""
    return f"<fields><fullName>Tag__c</fullName><label>T</label>{inner}<type>{kind}</type></fields>"


REFUSED = [
    (field("Text"), "Must specify 'length' for a CustomField of type Text"),
    (field("Text", "<length>256</length>"), "Length: value outside of valid range: 256 (valid range is 1 to 255)"),
    (field("Text", "<length>many</length>"), "Error parsing file: 'many' is not a valid value for the type xsd:int"),
    (field("Number", "<precision>9</precision>"), "Must specify 'scale' for a CustomField of type Number"),
    (field("Number", "<precision>19</precision><scale>0</scale>"), "valid range is 1 to 18"),
    (field("Number", "<precision>3</precision><scale>4</scale>"), "Decimal Places: value outside of valid range"),
    (field("LongTextArea", "<length>300</length>"), "Must specify 'visibleLines' for a CustomField"),
    (field("Checkbox"), "Must specify 'defaultValue' for a CustomField of type Checkbox"),
    (field("Checkbox", "<defaultValue>maybe</defaultValue>"), "Invalid default value for a Checkbox"),
    (field("Picklist"), "Must specify either 'valueSet' for a CustomField of type Picklist"),
    (field("Picklist", "<valueSet><valueSetName>Nope</valueSetName></valueSet>"), "no GlobalValueSet named Nope found"),
    (
        field(
            "Picklist",
            "<valueSet><valueSetDefinition><sorted>false</sorted><value><fullName>A</fullName></value>"
            "<value><fullName>a</fullName></value></valueSetDefinition></valueSet>",
        ),
        "Duplicate value: a",
    ),
    (field("Text", "<length>9</length>", ""), "Required field is missing: label"),
    (field("Text", "<length>9</length>", f"<label>{'x' * 41}</label>"), "Label: data value too large"),
    (field("Texte", "<length>9</length>"), "'Texte' is not a valid value for the enum 'FieldType'"),
    (field("Text", "<length>9</length><colour>red</colour>"), "Element colour invalid at this location in type"),
    (field("Text", "<length>9</length><unique>perhaps</unique>"), "is not a valid value for the type xsd:boolean"),
    (field("Date", "<externalId>true</externalId>"), "Cannot set externalId on a field of type Date"),
    (field("Summary"), "not modelled: a CustomField of type Summary"),
    (field("Location", "<displayLocationInDecimal>true</displayLocationInDecimal>"), "not modelled: a CustomField of"),
    (text_field("Bad__Name__c"), "can only contain underscores and alphanumeric characters"),
    (text_field("Nope"), "Could not resolve standard field's name."),
    (lookup("L__c", "Nope__c", "Boxes"), "referenceTo value of 'Nope__c' does not resolve to a valid sObject type"),
    (lookup("L__c", "Case", "Boxes") + lookup("M__c", "Case", "Boxes"), "a Child Relationship named Boxes on Case."),
    (lookup("L__c", "Case", "Boxes", REQUIRED), "choose Restrict"),
    (field("Number", "<formula>Nope__c * 2</formula>" + NUMBER), "Field Nope__c does not exist."),
    (field("Number", "<formula>ISCHANGED(Name)</formula>" + NUMBER), "ISCHANGED function cannot be used"),
    (rule("R", "Nope__c = 1"), "Field Nope__c does not exist. Check spelling."),
    (rule("R", "1 + 1"), "incompatible with expected data type (Boolean)"),
    (rule("R", "VLOOKUP(Name)"), "Unknown function VLOOKUP. Check spelling."),
    (rule("R", "TRUE", "<errorDisplayField>Nope__c</errorDisplayField>"), "no CustomField named Box__c.Nope__c found"),
    (
        "<listViews><fullName>All</fullName><columns>Nope__c</columns><filterScope>Everything</filterScope><label>All</label></listViews>",
        "Could not resolve list view column: Nope__c",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("inside", "words"), REFUSED, ids=[w for _, w in REFUSED])
def test_a_component_that_a_real_org_refuses_is_refused_in_its_words(inside: str, words: str) -> None:
    org = fresh()
    done = deployed(box_package(inside), org=org)
    assert done.status == "Failed"
    assert any(words in (m.problem or "") for m in done.failures), [m.problem for m in done.failures]
    assert "Box__c" not in org.schema


def test_history_is_tracked_only_where_the_object_enables_it() -> None:
    quiet = box().replace(b"<enableHistory>true</enableHistory>", b"")
    tracked = text_field("Tag__c", "<trackHistory>true</trackHistory>").encode()
    data = zipped(
        {
            "package.xml": manifest(CustomObject=["Box__c"]),
            "objects/Box__c.object": quiet.replace(b"</CustomObject>", tracked + b"</CustomObject>"),
        }
    )
    assert [m.problem for m in deployed(data).failures] == ["The entity: Box__c does not have history tracking enabled"]


def test_an_object_tracks_at_most_twenty_fields() -> None:
    many = [text_field(f"T{n}__c", "<trackHistory>true</trackHistory>") for n in range(21)]
    problems = [m.problem for m in deployed(box_package(*many)).failures]
    assert problems == ["exceeded the allowed number of fields to track on a given entity"]


def test_an_action_that_names_what_is_not_there_is_refused() -> None:
    action = xml(
        "QuickAction", "<fieldOverrides><field>Nope__c</field></fieldOverrides><label>A</label><type>Update</type>"
    )
    data = zipped({"package.xml": manifest(QuickAction=["Case.A"]), "quickActions/Case.A.quickAction": action})
    assert [m.problem for m in deployed(data).failures] == ["In field: field - no CustomField named Case.Nope__c found"]


GRANTS = [
    (
        grant("Case.Nope__c", editable=False),
        "In field: field - no CustomField named Case.Nope__c found",
    ),
    (
        grant("Nope__c.A__c", editable=False),
        "no CustomObject named Nope__c found",
    ),
    (
        grant("Box__c.Must__c"),
        "You cannot deploy to a required field: Box__c.Must__c",
    ),
    (
        grant("Case.Status"),
        "You cannot deploy to a required field: Case.Status",
    ),
    (
        grant("Box__c.Tag__c", readable=False),
        "Permission Edit Box__c.Tag__c depends on permission(s): Read Box__c.Tag__c",
    ),
    (
        "<objectPermissions><allowEdit>true</allowEdit><object>Box__c</object></objectPermissions>",
        "Permission Edit Box__c depends on permission(s): Read Box__c",
    ),
    (
        "<customPermissions><enabled>true</enabled><name>Nope</name></customPermissions>",
        "no CustomPermission named Nope found",
    ),
    (
        "<userPermissions><enabled>true</enabled><name>FlyToMoon</name></userPermissions>",
        "Unknown user permission: FlyToMoon",
    ),
    (
        "<tabSettings><tab>Nope__c</tab><visibility>Visible</visibility></tabSettings>",
        "no CustomTab named Nope__c found",
    ),
    ("<grants/>", "Element grants invalid at this location in type PermissionSet"),
]


@pytest.mark.parametrize(("given", "words"), GRANTS, ids=[w for _, w in GRANTS])
def test_a_permission_set_that_grants_what_cannot_be_granted_is_refused(given: str, words: str) -> None:
    data = zipped(
        {
            "package.xml": manifest(CustomObject=["Box__c"], PermissionSet=["P"]),
            "objects/Box__c.object": box(text_field("Tag__c"), text_field("Must__c", "<required>true</required>")),
            **permission_set(f"{given}<label>P</label>"),
        }
    )
    done = deployed(data)
    assert [m.kind for m in done.failures] == ["PermissionSet"]
    assert words in (done.failures[0].problem or "")


def test_a_failure_names_file_line_and_column_as_an_org_does() -> None:
    text = box(text_field("Tag__c")).decode().replace("<fields>", "\n    <fields>").replace("<length>40</length>", "")
    data = zipped({"package.xml": manifest(CustomObject=["Box__c"]), "objects/Box__c.object": text.encode()})
    failure = deployed(data).failures[0]
    line = text[: text.index("    <fields>")].count("\n") + 1
    assert (failure.file, failure.line, failure.column) == ("objects/Box__c.object", line, 13)


# The package itself


def test_a_zip_without_package_xml_is_refused() -> None:
    done = deployed(zipped({"objects/Box__c.object": box()}))
    assert [(m.file, m.problem) for m in done.failures] == [("package.xml", "No package.xml found")]


def test_what_is_named_must_be_there_and_what_is_there_must_be_named() -> None:
    files = {"package.xml": manifest(CustomObject=["Crate__c"]), "objects/Box__c.object": box()}
    assert [(m.name, m.problem) for m in deployed(zipped(files)).failures] == [
        ("Box__c", "Not in package.xml"),
        (
            "Crate__c",
            "An object 'Crate__c' of type CustomObject was named in package.xml, but was not found in zipped directory",
        ),
    ]
    lax = DeployOptions(allow_missing_files=True, auto_update_package=True)
    assert deployed(zipped(files), lax).status == "Succeeded"


def test_a_star_names_every_component_of_its_type() -> None:
    files = {"package.xml": manifest(CustomObject=["*"]), "objects/Box__c.object": box(text_field("Tag__c"))}
    assert deployed(zipped(files)).deployed == 2
    tagged = {
        "package.xml": manifest(CustomObject=["*"]),
        "objects/Case.object": xml("CustomObject", text_field("Tag__c")),
    }
    assert deployed(zipped(tagged)).status == "Succeeded"  # a standard object too, when it is in the zip


def test_a_package_may_lie_below_one_folder() -> None:
    done = deployed(zipped({"pkg/package.xml": manifest(CustomObject=["Box__c"]), "pkg/objects/Box__c.object": box()}))
    assert (done.status, done.successes[-1].file) == ("Succeeded", "pkg/objects/Box__c.object")


@pytest.mark.parametrize("data", [b"", b"PK nonsense", b"\x00" * 100])
def test_a_broken_zip_fails_the_deployment(data: bytes) -> None:
    done = deployed(data)
    assert (done.status, done.failures[0].problem) == ("Failed", "Not a valid zip file")


def test_a_path_that_leaves_the_zip_is_refused() -> None:
    done = deployed(zipped({"package.xml": manifest(), "../objects/Box__c.object": box()}))
    assert done.failures[0].problem == "Invalid file name in zip: ../objects/Box__c.object"


def test_hostile_xml_is_refused_unexpanded() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><CustomObject>&b;</CustomObject>'
    done = deployed(zipped({"package.xml": manifest(CustomObject=["Box__c"]), "objects/Box__c.object": bomb}))
    assert "DOCTYPE, entity and processing instruction are not allowed" in (done.failures[0].problem or "")


def test_a_kind_of_metadata_that_is_not_modelled_is_refused_loudly() -> None:
    done = deployed(zipped({"package.xml": manifest(ApexClass=["A"]), "classes/A.cls": b"class A {}"}))
    assert "not modelled: the kind of metadata in classes/A.cls" in {m.problem for m in done.failures}


# All or nothing


def test_one_refused_component_keeps_the_whole_deployment_out() -> None:
    org = fresh()
    done = deployed(box_package(text_field("Tag__c"), field("Text")), org=org)
    assert (done.status, len(done.failures)) == ("Failed", 1)
    assert "Box__c" not in org.schema
    assert state_of(org).kept == {}


def test_without_rollback_the_components_that_stand_stay() -> None:
    org = fresh()
    twice = text_field("G__c", "<formula>F__c &amp; Tag__c</formula>").replace("<length>40</length>", "")
    done = deployed(box_package(text_field("Tag__c"), field("Text"), twice), PARTIAL, org)
    assert done.status == "SucceededPartial"
    assert {m.name for m in done.failures} == {"Box__c.F__c", "Box__c.G__c"}
    assert {f for f in org.schema["Box__c"].fields if f.endswith("__c")} == {"Tag__c"}
    assert (done.total, done.deployed) == (4, 2)


def test_an_object_that_fails_takes_what_is_inside_it_along() -> None:
    text = box(text_field("Tag__c")).replace(b"<pluralLabel>Boxes</pluralLabel>", b"")
    data = zipped({"package.xml": manifest(CustomObject=["Box__c"]), "objects/Box__c.object": text})
    assert [m.problem for m in deployed(data, PARTIAL).failures] == [
        "Must specify a non-empty pluralLabel for the CustomObject",
        "Parent entity failed to deploy",
    ]


def test_a_check_alone_changes_nothing_and_can_be_deployed_quickly_afterwards() -> None:
    client = Asking()
    checked = deployed(box_package(text_field("Tag__c")), DeployOptions(check_only=True), client.org)
    assert checked.status == "Succeeded"
    assert "Box__c" not in client.org.schema
    quick_id = client.result("m", "deployRecentValidation", f"<validationId>{checked.id}</validationId>")[0].text
    assert quick_id.startswith("0Af")
    assert "Box__c" in client.org.schema


# Removal


def test_what_was_deployed_can_be_taken_out_again() -> None:
    org = fresh()
    deployed(box_package(text_field("Tag__c"), rule("R", "ISBLANK(Tag__c)")), org=org)
    gone = removal("CustomField", "Box__c.Tag__c")
    package = {"package.xml": manifest(), "destructiveChanges.xml": gone}
    held = deployed(zipped(package), org=org)
    assert "referenced elsewhere" in (held.failures[0].problem or "")
    rules = removal("ValidationRule", "Box__c.R")
    done = deployed(zipped({**package, "destructiveChangesPre.xml": rules}), org=org)
    assert (done.status, [m.name for m in done.successes if m.deleted]) == ("Succeeded", ["Box__c.R", "Box__c.Tag__c"])
    assert "Tag__c" not in org.schema["Box__c"].fields


def test_an_object_leaves_with_its_rows_its_grants_and_its_layouts() -> None:
    org = fresh()
    data = zipped(
        {
            "package.xml": manifest(CustomObject=["Box__c"], PermissionSet=["P"]),
            "objects/Box__c.object": box(text_field("Tag__c")),
            **permission_set(grant("Box__c.Tag__c") + "<label>P</label>"),
        }
    )
    deployed(data, org=org)
    org.insert("Box__c", {"Tag__c": "x"})
    gone = removal("CustomObject", "Box__c")
    deployed(zipped({"package.xml": manifest(), "destructiveChanges.xml": gone}), org=org)
    assert "Box__c" not in org.schema
    assert org.storage.rows('SELECT count(*) FROM "FieldPermissions"') == [(0,)]
    assert {k for k, _ in state_of(org).kept} == {"PermissionSet"}


def test_an_object_that_others_point_at_stays() -> None:
    org = fresh()
    deployed(box_package(), org=org)
    point = lookup("Box__c", "Box__c", "Cases")
    data = zipped(
        {"package.xml": manifest(CustomField=["Case.Box__c"]), "objects/Case.object": xml("CustomObject", point)}
    )
    deployed(data, org=org)
    gone = removal("CustomObject", "Box__c")
    done = deployed(zipped({"package.xml": manifest(), "destructiveChanges.xml": gone}), org=org)
    assert "Custom Field - Case.Box__c" in (done.failures[0].problem or "")
    assert "Box__c" in org.schema


def test_removing_what_is_not_there_is_a_warning() -> None:
    gone = removal("CustomObject", "Nope__c")
    done = deployed(zipped({"package.xml": manifest(), "destructiveChanges.xml": gone}))
    assert done.status == "Succeeded"
    assert [(m.problem, m.warning) for m in done.messages if m.problem] == [
        ("No CustomObject named: Nope__c found", True)
    ]


# Changing what is there


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (lookup("Tag__c", "Case", "Boxes"), "Cannot update a field to a Lookup, MasterDetail, or Hierarchy"),
        (edited("Text", "<formula>Name</formula>"), "from/to a Formula Field"),
        (edited("Checkbox", "<defaultValue>false</defaultValue>"), "Cannot change the type"),
    ],
)  # fmt: skip
def test_a_change_of_type_that_an_org_does_not_make_is_refused(new: str, words: str) -> None:
    org = fresh()
    deployed(box_package(text_field("Tag__c")), org=org)
    done = deployed(box_package(new), org=org)
    assert words in (done.failures[0].problem or "")


def test_text_becomes_a_picklist_with_its_values_kept() -> None:
    org = fresh()
    deployed(box_package(text_field("Tag__c")), org=org)
    record_id = org.insert("Box__c", {"Tag__c": "Old"})[0]
    picklist = edited("Picklist", f"<valueSet>{ONE_VALUE}</valueSet>")
    assert deployed(box_package(picklist), org=org).status == "Succeeded"
    row = org.get("Box__c", record_id)
    assert row is not None
    assert row["Tag__c"] == "Old"


# Who, when, and the end of it


def test_only_an_administrator_may_deploy() -> None:
    client = Asking()
    token = client.org.logins.open_session(client.org.integration_id)
    data = base64.b64encode(box_package()).decode()
    fault = fault_of(client.soap("m", "deploy", f"<ZipFile>{data}</ZipFile>", token=token))
    assert fault.value("faultcode") == "sf:INSUFFICIENT_ACCESS"


def test_a_slow_deployment_is_seen_in_progress_and_can_be_cancelled() -> None:
    client = Asking()
    org = client.org
    state_of(org).slow_seconds = 60
    first = deployed(box_package(), org=org)
    second = deployed(box_package(text_field("Tag__c")), org=org)
    assert (first.status, second.status) == ("InProgress", "Pending")
    assert "Box__c" not in org.schema
    cancelled = client.result("m", "cancelDeploy", f"<String>{second.id}</String>")[0]
    assert (cancelled.value("done"), second.status) == ("true", "Canceled")
    assert isinstance(org.clock, ManualClock)
    org.clock.set(NOW + timedelta(seconds=61))
    status = client.result("m", "checkDeployStatus", f"<asyncProcessId>{first.id}</asyncProcessId>")[0]
    assert (status.value("status"), status.value("completedDate")) == ("Succeeded", "2026-11-21T20:01:01.000Z")
    assert "Box__c" in org.schema
    assert "Tag__c" not in org.schema["Box__c"].fields


def test_an_ended_deployment_cannot_be_cancelled() -> None:
    client = Asking()
    done = deployed(box_package(), org=client.org)
    fault = fault_of(client.soap("m", "cancelDeploy", f"<String>{done.id}</String>"))
    assert "Deployment already completed" in fault.value("faultstring")


def test_production_deploys_with_rollback_only() -> None:
    client = Asking(LocalOrg("acme", clock=ManualClock(NOW), edition="Enterprise Edition"))
    data = base64.b64encode(box_package()).decode()
    options = "<DeployOptions><rollbackOnError>false</rollbackOnError></DeployOptions>"
    fault = fault_of(client.soap("m", "deploy", f"<ZipFile>{data}</ZipFile>{options}"))
    assert "rollbackOnError option must be true on a production org" in fault.value("faultstring")


def test_a_deployment_that_nobody_made_is_not_found() -> None:
    client = Asking()
    fault = fault_of(client.soap("m", "checkDeployStatus", "<asyncProcessId>0Af000000000001</asyncProcessId>"))
    assert fault.value("faultcode") == "sf:INVALID_CROSS_REFERENCE_KEY"
