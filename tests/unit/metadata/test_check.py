"""What the check of a package finds: one thing broken at a time."""

from __future__ import annotations

import pytest

from sfsync.mapping import load_mappings
from sfsync.metadata import check, generate
from sfsync.metadata.formulas import names_in, permissions_in
from sfsync.metadata.shapes import shapes
from sfsync.metadata.xmltext import XmlError, parse, render

FILES = generate(load_mappings())
ENTRY = "objects/Time_Entry__c.object"
CASE = "objects/Case.object"
SET = "permissionsets/sfsync_Consultant.permissionset"
ACTION = "quickActions/Case.Log_Time.quickAction"
ESTIMATE_PAGE = "layouts/Maintenance_Estimate__c-Maintenance Estimate Layout.layout"
LAYOUT = "layouts/Time_Entry__c-Time Entry Layout.layout"

BROKEN = [
    # what the types say
    (ENTRY, "<type>Checkbox</type>", "<type>Tickbox</type>", "'Tickbox', which is no FieldType"),
    (ENTRY, "<unique>true</unique>", "<unique>yes</unique>", "'yes', which is not true or false"),
    (ENTRY, "<length>64</length>", "<length>long</length>", "'long', which is not a whole number"),
    (ENTRY, "<required>false</required>", "<mandatory>false</mandatory>", "CustomField has no element <mandatory>"),
    (ENTRY, "<label>State</label>", "<label>State</label><label>State</label>", "<label> stands twice"),
    (ENTRY, "<label>State</label>", "<label>State<b>!</b></label>", "xsd:string is a plain value"),
    (ENTRY, "<active>true</active>", "", "lacks <active>, which ValidationRule requires"),
    (ENTRY, "<unique>true</unique>", "<unique>true</unique><label>Late</label>", "stands after <unique>"),
    (ENTRY, "<CustomObject xmlns", "<CustomThing xmlns", "not XML"),
    (ENTRY, "soap.sforce.com/2006/04/metadata", "example.org/other", "is in the namespace http://example.org/other"),
    ("package.xml", "<version>63.0</version>", "", "lacks <version>, which Package requires"),
    # references between files
    (
        "package.xml",
        "<members>Time_Entry__c.State__c</members>",
        "",
        "CustomField Time_Entry__c.State__c is not listed",
    ),
    (
        "package.xml",
        "Time_Entry__c.State__c",
        "Time_Entry__c.Stato__c",
        "no file brings CustomField Time_Entry__c.Stato__c",
    ),
    (ENTRY, "Minutes__c / 60", "Minute__c / 60", "the formula names Minute__c, which Time_Entry__c does not have"),
    (
        ENTRY,
        "Minutes__c / 60",
        "Pack__r.Nope__c / 60",
        "the formula names Nope__c, which Maintenance_Pack__c does not have",
    ),
    (
        ENTRY,
        "Minutes__c / 60",
        "Bag__r.Status__c / 60",
        "the formula follows Bag__r, which Time_Entry__c does not have",
    ),
    (ENTRY, "ISCHANGED(State__c)", "ISCHANGED(Stato__c)", "the formula names Stato__c"),
    (ENTRY, "$Permission.sfsync_Service", "$Permission.sfsync_Servant", "asks for $Permission.sfsync_Servant"),
    (ENTRY, "<errorDisplayField>Minutes__c<", "<errorDisplayField>Minuta__c<", "shows its message at Minuta__c"),
    (ENTRY, "<columns>State__c</columns>", "<columns>Stato__c</columns>", "list view All names Stato__c"),
    (ENTRY, "<referenceTo>Maintenance_Pack__c<", "<referenceTo>Bag__c<", "refers to Bag__c, which no file brings"),
    (CASE, "<enableHistory>true</enableHistory>", "", "is tracked, but Case does not enable its history"),
    (
        SET,
        "<field>Case.SLA_Due_At__c</field>",
        "<field>Case.Nope__c</field>",
        "no CustomField named Case.Nope__c found",
    ),
    (SET, "<object>Time_Entry__c</object>", "<object>Nope__c</object>", "no CustomObject named Nope__c found"),
    (SET, "<tab>Time_Entry__c</tab>", "<tab>Nope__c</tab>", "no CustomTab named Nope__c found"),
    (SET, "<application>Sfsync_M", "<application>Other_M", "no CustomApplication named Other_Maintenance found"),
    (LAYOUT, "<field>State__c</field>", "<field>Stato__c</field>", "shows Stato__c, which Time_Entry__c does not have"),
    (LAYOUT, "<field>State__c</field>", "<field>Pack__c</field>", "shows Pack__c twice"),
    (LAYOUT, "<field>Minutes__c</field>", "<field>Hours2__c</field>", "does not show Minutes__c, which is required"),
    (
        "applications/Sfsync_Maintenance.app",
        "<tabs>Time_Entry__c<",
        "<tabs>Nope__c<",
        "no CustomTab named Nope__c found",
    ),
    (ACTION, "<targetObject>Time_Entry__c<", "<targetObject>Nope__c<", "no CustomObject named Nope__c found"),
    (ACTION, "<targetParentField>Case__c<", "<targetParentField>Pack__c<", "Pack__c does not point at Case"),
    (ACTION, "<field>Minutes__c</field>", "<field>Minuta__c</field>", "names Minuta__c, which Time_Entry__c does not"),
    (ESTIMATE_PAGE, "Maintenance_Estimate__c.Approve<", "Maintenance_Estimate__c.Aprove<", "no QuickAction named"),
    # what an org refuses
    (ENTRY, "<defaultValue>true</defaultValue>", "", "is a Checkbox field and must have <defaultValue>"),
    (ENTRY, "<length>64</length>", "", "is a Text field and must have <length>"),
    (ENTRY, "<length>64</length>", "<length>256</length>", "text holds 1 to 255 characters"),
    (ENTRY, "<precision>5</precision>", "<precision>19</precision>", "at most 18 digits"),
    (ENTRY, "<label>State</label>", f"<label>{'x' * 41}</label>", "has 41 characters; an org takes 40"),
    (ENTRY, "Day the work was done.", "x" * 511, "has 511 characters; an org takes 510"),
    (ENTRY, "<fullName>Refused</fullName>", "<fullName>counted</fullName>", "has the value 'counted' twice"),
    (ENTRY, "<fullName>State__c</fullName>", "<fullName>State__x__c</fullName>", "State__x__c is no API name"),
    (ENTRY, "<fullName>State__c</fullName>", "<fullName>State</fullName>", "standard fields are not deployed"),
    (ENTRY, "<relationshipName>Time_Entries</relationshipName>", "", "must have <relationshipName>"),
    (
        "objects/Maintenance_Estimate__c.object",
        "<relationshipName>Maintenance_Estimates</relationshipName>",
        "<relationshipName>Time_Entries</relationshipName>",
        "the same relationship Time_Entries",
    ),
]


@pytest.mark.parametrize(("path", "find", "replace", "expected"), BROKEN, ids=lambda v: str(v)[:40])
def test_a_broken_package_is_found_out(path: str, find: str, replace: str, expected: str) -> None:
    text = FILES[path].decode()
    assert find in text
    problems = check({**FILES, path: text.replace(find, replace).encode()})
    assert any(expected in p.message for p in problems), [str(p) for p in problems]


def test_a_problem_names_the_file_and_the_line() -> None:
    text = FILES[ENTRY].decode().replace("<type>Checkbox</type>", "<type>Tickbox</type>", 1)
    line = text[: text.index("Tickbox")].count("\n") + 1
    assert [str(p) for p in check({**FILES, ENTRY: text.encode()})] == [
        f"{ENTRY}:{line}: <type> says 'Tickbox', which is no FieldType"
    ]


def test_a_required_field_cannot_stand_in_a_permission_set() -> None:
    grant = (
        "<fieldPermissions><editable>true</editable><field>Time_Entry__c.Minutes__c</field>"
        "<readable>true</readable></fieldPermissions>"
    )
    text = FILES[SET].decode().replace("<fieldPermissions>", grant + "<fieldPermissions>", 1)
    assert any("is required, so everybody has it" in p.message for p in check({**FILES, SET: text.encode()}))


def test_a_formula_cannot_be_made_editable() -> None:
    text = FILES[SET].decode()
    at = text.index("<field>Time_Entry__c.Hours__c</field>")
    start = text.rindex("<editable>false", 0, at)
    text = text[:start] + text[start:].replace("<editable>false", "<editable>true", 1)
    assert any("is computed by the org" in p.message for p in check({**FILES, SET: text.encode()}))


def test_a_right_to_edit_needs_the_right_to_read() -> None:
    text = FILES[SET].decode()
    at = text.index("<object>Time_Entry__c</object>")
    start = text.rindex("<allowRead>true", 0, at)
    text = text[:start] + text[start:].replace("<allowRead>true", "<allowRead>false", 1)
    found = [p.message for p in check({**FILES, SET: text.encode()})]
    assert "Time_Entry__c: allowEdit needs allowRead" in found


def test_a_file_of_an_unknown_kind_is_a_problem() -> None:
    problems = check({**FILES, "classes/A.cls": FILES[ENTRY]})
    assert any(p.path == "classes/A.cls" for p in problems)


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<?php echo 1 ?><a/>",
        b"<a>&nope;</a>",
        b"",
        b"\xff\xfe\x00",
    ],
)
def test_hostile_xml_is_refused_before_anything_is_expanded(text: bytes) -> None:
    with pytest.raises(XmlError):
        parse(text)


def test_what_is_written_is_read_back() -> None:
    for data in FILES.values():
        assert render(parse(data)) == data


def test_text_in_a_formula_names_nothing() -> None:
    formula = 'IF(/* Old__c */ $Permission.Boss && A__c = "B__c \\" C__c", Pack__r.D__c, TEXT(A__c))'
    assert names_in(formula) == [("A__c",), ("Pack__r", "D__c")]
    assert permissions_in(formula) == ["Boss"]


def test_the_types_come_from_the_published_wsdl() -> None:
    assert shapes().version == "63.0"
    assert shapes().is_component("CustomField")
    assert not shapes().is_component("ValueSet")
    assert len(shapes().parts) > 1000
