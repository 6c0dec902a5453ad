"""The standard package in a fresh local org: generated, zipped, deployed, described, permitted, enforced."""

from __future__ import annotations

import pytest

from sfsync.clock import ManualClock
from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata import deploy_zip
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import Field
from sfsync.mapping import MappedField, load_mappings
from sfsync.metadata import generate, uninstall, zip_package
from tests.contract.localorg.metadata_world import NOW, Asking

MAPPINGS = load_mappings()
PACKAGE = zip_package(generate(MAPPINGS))
APPROVER, CONSULTANT = "client1@acme.example", "consultant1@acme.example"


@pytest.fixture
def org() -> LocalOrg:
    made = LocalOrg("acme", clock=ManualClock(NOW))
    done = deploy_zip(made, PACKAGE)
    assert done.status == "Succeeded", [m.problem for m in done.failures]
    for permission_set, user in (
        ("sfsync_Service", made.integration_id),
        ("sfsync_Client_Approver", APPROVER),
        ("sfsync_Consultant", CONSULTANT),
    ):
        made.assign(permission_set, user)
    return made


def mapped() -> list[tuple[str, MappedField]]:
    return [(m.object, f) for m in MAPPINGS for f in m.fields.values()]


def expected_type(field: MappedField) -> str:
    return {
        "text": "string",
        "textarea": "textarea",
        "longtext": "textarea",
        "integer": "double",
        "decimal": "double",
        "hours": "double",
        "checkbox": "boolean",
        "lookup": "reference",
        "user": "reference",
        "autonumber": "string",
    }.get(field.type.kind, field.type.kind)


def test_describe_shows_every_mapped_field_with_its_type() -> None:
    client = Asking()
    assert deploy_zip(client.org, PACKAGE).status == "Succeeded"
    for mapping in MAPPINGS:
        described = {f["name"]: f for f in client.rest(f"/sobjects/{mapping.object}/describe")["fields"]}
        for field in mapping.fields.values():
            shown = described[field.api]
            assert shown["type"] == expected_type(field), (mapping.object, field.api)
            if not field.standard:
                assert shown["label"] == field.label
                assert shown["calculated"] == (field.formula is not None)
            if field.type.values:
                assert [v["value"] for v in shown["picklistValues"]] == list(field.type.values)
                assert shown["restrictedPicklist"]
            if field.type.kind in ("decimal", "hours", "integer") and field.formula is None:
                assert (shown["precision"], shown["scale"]) == (field.type.precision, field.type.scale)


def test_the_service_sees_nothing_before_its_permission_set_and_everything_after() -> None:
    org = LocalOrg("acme", clock=ManualClock(NOW))
    deploy_zip(org, PACKAGE)
    before = org.actor(org.integration_id).schema
    assert "Maintenance_Pack__c" not in before
    assert "SLA_Due_At__c" not in before["Case"].fields
    org.assign("sfsync_Service", org.integration_id)
    after = org.actor(org.integration_id).schema
    for object_name, field in mapped():
        assert field.api in after[object_name].fields, (object_name, field.api)


def test_each_role_may_change_what_its_permission_set_says() -> None:
    org = LocalOrg("acme", clock=ManualClock(NOW))
    deploy_zip(org, PACKAGE)
    org.assign("sfsync_Consultant", CONSULTANT)
    consultant = org.actor(CONSULTANT)
    for object_name, field in mapped():
        if field.owner == "service" and not field.standard:
            assert not consultant.may_edit(object_name, field.api), (object_name, field.api)
    assert consultant.may_edit("Time_Entry__c", "Minutes__c")
    assert consultant.may("Time_Entry__c").create
    assert not consultant.may("Time_Entry__c").delete


def test_the_service_writes_by_key_and_a_repeated_write_makes_no_twin(org: LocalOrg) -> None:
    for hours in (8.0, 16.0):
        org.upsert(
            "Maintenance_Pack__c", "Sfsync_Key__c",
            [{"Sfsync_Key__c": "pk:1", "Hours_Bought__c": hours, "Sfsync_Revision__c": hours}], user=org.integration_id,
        )  # fmt: skip
    assert org.count("Maintenance_Pack__c") == 1


def test_an_older_revision_is_refused_and_an_equal_one_passes(org: LocalOrg) -> None:
    service = org.integration_id
    pack = org.insert("Maintenance_Pack__c", {"Sfsync_Key__c": "pk:1", "Sfsync_Revision__c": 7}, user=service)[0]
    org.update("Maintenance_Pack__c", pack, {"Hours_Bought__c": 8, "Sfsync_Revision__c": 7}, user=service)
    with pytest.raises(ApiError, match="A newer state of this record is already here") as refused:
        org.update("Maintenance_Pack__c", pack, {"Hours_Bought__c": 0, "Sfsync_Revision__c": 6}, user=service)
    assert (refused.value.code, refused.value.fields) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ["Sfsync_Revision__c"])


def test_an_administrator_cannot_change_what_the_service_computes(org: LocalOrg) -> None:
    pack = org.insert("Maintenance_Pack__c", {"Sfsync_Key__c": "pk:1", "Hours_Bought__c": 8}, user=org.integration_id)[
        0
    ]
    with pytest.raises(ApiError, match="kept by the maintenance service"):
        org.update("Maintenance_Pack__c", pack, {"Hours_Bought__c": 80})
    org.update("Maintenance_Pack__c", pack, {"Extension_Requested__c": True})


def test_hours_follow_from_minutes(org: LocalOrg) -> None:
    client = Asking(org)
    case = org.insert("Case", {"Subject": "s"})[0]
    org.insert("Time_Entry__c", {"Case__c": case, "Minutes__c": 90, "Work_Date__c": "2026-11-20"}, user=CONSULTANT)
    rows = client.rest("/query?q=SELECT+Name,Minutes__c,Hours__c,Billable__c+FROM+Time_Entry__c")["records"]
    assert [(r["Name"], r["Minutes__c"], r["Hours__c"], r["Billable__c"]) for r in rows] == [
        ("TE-000001", 90.0, 1.5, True)
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Minutes__c": 0}, "Log between 1 and 1440 minutes."),
        ({"Minutes__c": 1441}, "Log between 1 and 1440 minutes."),
        ({"Minutes__c": 30, "Work_Date__c": "2026-11-23"}, "Work is logged on the day it was done or later."),
    ],
)
def test_a_time_entry_that_cannot_be_true_is_refused(org: LocalOrg, values: dict[str, object], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        org.insert("Time_Entry__c", values, user=CONSULTANT)


def sent_estimate(org: LocalOrg) -> str:
    values = {"Minutes__c": 120, "Status__c": "Draft", "Version__c": 1}
    made = org.insert("Maintenance_Estimate__c", values, user=CONSULTANT)[0]
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Sent"}, user=CONSULTANT)
    return made


def test_only_an_approver_approves_and_only_what_was_sent(org: LocalOrg) -> None:
    draft = org.insert("Maintenance_Estimate__c", {"Minutes__c": 60, "Status__c": "Draft"}, user=CONSULTANT)[0]
    with pytest.raises(ApiError, match="Only an estimate that was sent"):
        org.update("Maintenance_Estimate__c", draft, {"Status__c": "Approved"}, user=APPROVER)
    made = sent_estimate(org)
    with pytest.raises(ApiError, match="Only an approver can approve"):
        org.update("Maintenance_Estimate__c", made, {"Status__c": "Approved"}, user=CONSULTANT)
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Approved"}, user=APPROVER)
    with pytest.raises(ApiError, match="stays approved"):
        org.update("Maintenance_Estimate__c", made, {"Status__c": "Draft"}, user=CONSULTANT)


def test_a_sent_estimate_is_frozen_and_a_rejection_needs_a_reason(org: LocalOrg) -> None:
    made = sent_estimate(org)
    with pytest.raises(ApiError, match="make a new version"):
        org.update("Maintenance_Estimate__c", made, {"Minutes__c": 60}, user=CONSULTANT)
    with pytest.raises(ApiError, match="Choose why"):
        org.update("Maintenance_Estimate__c", made, {"Status__c": "Rejected"}, user=APPROVER)
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Rejected", "Reject_Reason__c": "Not now"}, user=APPROVER)


def test_the_service_supersedes_an_approved_estimate_that_people_cannot_touch(org: LocalOrg) -> None:
    made = sent_estimate(org)
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Approved"}, user=APPROVER)
    org.update("Maintenance_Estimate__c", made, {"Status__c": "Superseded"}, user=org.integration_id)


def test_history_is_kept_of_the_fields_that_track_it(org: LocalOrg) -> None:
    case = org.insert("Case", {"Subject": "s"})[0]
    org.update("Case", case, {"Maint_Priority__c": "P1"}, user=CONSULTANT)
    client = Asking(org)
    rows = client.rest("/query?q=SELECT+Field,NewValue+FROM+CaseHistory+WHERE+Field='Maint_Priority__c'")["records"]
    assert [(r["Field"], r["NewValue"]) for r in rows] == [("Maint_Priority__c", "P1")]


def test_the_uninstall_package_leaves_the_org_as_it_was(org: LocalOrg) -> None:
    fresh = LocalOrg("acme", clock=ManualClock(NOW))
    done = deploy_zip(org, zip_package(uninstall(MAPPINGS)))
    assert done.status == "Succeeded", [m.problem for m in done.failures]
    assert {o.name for o in org.schema} == {o.name for o in fresh.schema}

    def plain(fields: dict[str, Field]) -> list[str]:
        return sorted(fields)

    for each in fresh.schema:
        assert plain(org.schema[each.name].fields) == plain(each.fields)
        assert org.schema[each.name].rules == each.rules
    assert org.permission_set_id("sfsync_Service") is None
    assert org.custom_permissions == set()
