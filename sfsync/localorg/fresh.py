"""What a fresh org comes with: its organisation record, people, profiles, statuses, business hours, a queue.

It may not know HTTP. It keeps one law: two orgs made with the same name, seed and clock are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfsync.localorg.access import ADMIN_PROFILE

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

INTEGRATION_PROFILE = "Minimum Access - API Only Integrations"
STANDARD_PROFILE = "Standard User"
CONSULTANTS = (("Mihai", "Ionescu"), ("Elena", "Popa"))
CLIENT_PEOPLE = (("Carla", "Gómez"), ("Diego", "Ruiz"))
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@dataclass(frozen=True, slots=True)
class Assignment:
    """An entry of an assignment rule: the first whose formula is true gives the case its owner."""

    rule_id: str
    formula: str
    owner_id: str


def _insert(org: LocalOrg, object_name: str, values: dict[str, Any]) -> str:
    """Write one row without checks: the first rows of an org refer to each other."""
    sobject = org.schema[object_name]
    now = org.now_seconds()
    row: dict[str, Any] = {"IsDeleted": 0}
    for each in sobject.stored_fields():
        if each.type == "boolean":
            row[each.name] = int(bool(each.default))
        elif each.default is not None:
            row[each.name] = each.default
    stamps = {"CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now}
    people = {"CreatedById": org.admin_id, "LastModifiedById": org.admin_id}
    row |= {n: v for n, v in (stamps | people).items() if n in sobject.fields}
    row["Id"] = values.get("Id") or org.ids.one(sobject.key_prefix or "000")
    row |= {n: int(v) if isinstance(v, bool) else v for n, v in values.items()}
    org.storage.insert(object_name, list(row), [list(row.values())], list(row).index("Id"))
    return str(row["Id"])


def _user(org: LocalOrg, user_id: str, first: str, last: str, profile_id: str, account: str) -> None:
    _insert(
        org,
        "User",
        {
            "Id": user_id,
            "FirstName": first or None,
            "LastName": last,
            "Name": f"{first} {last}".strip(),
            "Username": f"{account}@{org.name}.example",
            "Email": f"{account}@{org.name}.example",
            "Alias": account[:8],
            "CommunityNickname": account,
            "IsActive": True,
            "ProfileId": profile_id,
            "TimeZoneSidKey": org.zone,
            "LocaleSidKey": "en_US",
            "LanguageLocaleKey": "en_US",
            "EmailEncodingKey": "UTF-8",
            "UserType": "Standard",
        },
    )


def furnish(org: LocalOrg) -> None:
    """Write the rows that every org has; ``org.admin_id`` and ``org.integration_id`` are set afterwards."""
    org.admin_id, org.integration_id = org.ids.one("005"), org.ids.one("005")
    with org.storage.unit():
        _insert(
            org,
            "Organization",
            {
                "Id": org.org_id,
                "Name": org.name.title(),
                "Country": "US",
                "PrimaryContact": "Ada Admin",
                "DefaultLocaleSidKey": "en_US",
                "TimeZoneSidKey": org.zone,
                "LanguageLocaleKey": "en_US",
                "OrganizationType": org.edition,
                "InstanceName": "CS1" if org.sandbox else "NA1",
                "IsSandbox": org.sandbox,
                "DefaultAccountAccess": "Edit",
                "DefaultContactAccess": "ControlledByParent",
                "DefaultOpportunityAccess": "Edit",
                "DefaultLeadAccess": "ReadEditTransfer",
                "DefaultCaseAccess": "ReadEditTransfer",
                "DefaultCalendarAccess": "HideDetailsInsert",
                "DefaultPricebookAccess": "ReadSelect",
                "DefaultCampaignAccess": "All",
                "PreferencesConsentManagementEnabled": True,
                "PreferencesLightningLoginEnabled": True,
                "UiSkin": "Theme3",
                "SignupCountryIsoCode": "US",
                "NumKnowledgeService": 0,
                "MonthlyPageViewsUsed": 0,
                "MonthlyPageViewsEntitlement": 0,
                "WebToCaseDefaultOrigin": "Web",
            },
        )
        profiles = {
            n: _insert(org, "Profile", {"Name": n}) for n in (ADMIN_PROFILE, STANDARD_PROFILE, INTEGRATION_PROFILE)
        }
        for name, profile_id in profiles.items():
            _insert(
                org,
                "PermissionSet",
                {
                    "Name": f"X00e{profile_id[-9:]}",
                    "Label": name,
                    "ProfileId": profile_id,
                    "IsOwnedByProfile": True,
                    "IsCustom": False,
                    "Type": "Profile",
                },
            )
        _user(org, org.admin_id, "Ada", "Admin", profiles[ADMIN_PROFILE], "admin")
        _user(org, org.integration_id, "Integration", "User", profiles[INTEGRATION_PROFILE], "integration")
        for people, kind in ((CONSULTANTS, "consultant"), (CLIENT_PEOPLE, "client")):
            for number, (first, last) in enumerate(people, 1):
                _user(org, org.ids.one("005"), first, last, profiles[STANDARD_PROFILE], f"{kind}{number}")
        for order, (status, closed) in enumerate((("New", 0), ("Working", 0), ("Escalated", 0), ("Closed", 1)), 1):
            values = {
                "MasterLabel": status,
                "ApiName": status,
                "SortOrder": order,
                "IsDefault": order == 1,
                "IsClosed": closed,
            }
            _insert(org, "CaseStatus", values)
        hours: dict[str, Any] = {"Name": "Default", "IsActive": True, "IsDefault": True, "TimeZoneSidKey": org.zone}
        for day in (*_DAYS, "Saturday", "Sunday"):
            hours |= {f"{day}StartTime": "00:00:00.000Z", f"{day}EndTime": "00:00:00.000Z"}
        _insert(org, "BusinessHours", hours)
        queue = _insert(
            org,
            "Group",
            {"Name": "Support", "DeveloperName": "Support", "Type": "Queue", "Email": f"support@{org.name}.example"},
        )
        _insert(org, "QueueSobject", {"QueueId": queue, "SobjectType": "Case"})
        rule = _insert(org, "AssignmentRule", {"Name": "Standard", "SobjectType": "Case", "Active": True})
        org.assignment.append(Assignment(rule, "TRUE", queue))
