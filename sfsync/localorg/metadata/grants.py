"""A PermissionSet file as grants of the schema, or the words with which an org refuses it.

It may not know how grants are stored. It keeps one law: a grant names something that exists and may be granted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfsync.localorg.metadata.fields import Refused, spelled
from sfsync.localorg.schema import FieldPermission, ObjectPermission, PermissionSet
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.metadata.draft import Draft

_KNOWN = frozenset(
    """fullName applicationVisibilities categoryGroupVisibilities classAccesses custom customMetadataTypeAccesses
    customPermissions customSettingAccesses description emailRoutingAddressAccesses externalCredentialPrincipalAccesses
    externalDataSourceAccesses fieldPermissions flowAccesses hasActivationRequired label layoutAssignments license
    loginFlows loginHours loginIpRanges objectPermissions pageAccesses profileActionOverrides recordTypeVisibilities
    tabSettings tabVisibilities userLicense userPermissions""".split()
)
_USER_PERMISSIONS = frozenset(
    """ActivateContract ActivateOrder AllowUniversalSearch ApexRestServices ApiEnabled ApiUserOnly
    AssignPermissionSets AssignTopics AuthorApex BulkApiHardDelete BulkMacrosAllowed CanInsertFeedSystemFields
    CanUseNewDashboardBuilder ChatterInternalUser ChatterInviteExternalUsers ChatterOwnGroups
    ConnectOrgToEnvironmentHub ContentAdministrator ContentWorkspaces ConvertLeads CreateCustomizeDashboards
    CreateCustomizeReports CreateReportFolders CreateTopics CustomizeApplication DelegatedTwoFactor DeleteTopics
    DistributeFromPersWksp EditCaseComments EditEvent EditHtmlTemplates EditPublicDocuments EditPublicTemplates
    EditReports EditTask EditTopics EmailMass EmailSingle EnableNotifications ExportReport ImportCustomObjects
    ImportLeads ImportPersonal InstallPackaging LightningConsoleAllowedForUser LightningExperienceUser
    ListEmailSend ManageBusinessHourHolidays ManageCases ManageCustomPermissions ManageDashboards
    ManageDynamicDashboards ManageInteraction ManageInternalUsers ManageNetworks ManageProfilesPermissionsets
    ManageReportsInPubFolders ManageRoles ManageSharing ManageSolutions ManageTranslation ManageUsers
    ModifyAllData ModifyMetadata PasswordNeverExpires RemoveDirectMessageMembers ResetPasswords RunReports
    ScheduleReports SelectFilesFromSalesforce SendCustomNotifications SendExternalEmailAvailable SendSitRequests
    ShareInternalArticles SubmitMacrosAllowed SubscribeToLightningReports TransferAnyCase TransferAnyEntity
    TransferAnyLead UseTeamReassignWizards UseWebLink ViewAllData ViewAllUsers ViewDataAssessment
    ViewEventLogFiles ViewHelpLink ViewPublicDashboards ViewPublicReports ViewRoles ViewSetup ViewUserPII""".split()
)
_RIGHTS = (
    ("allowRead", "Read", ()),
    ("allowCreate", "Create", ("allowRead",)),
    ("allowEdit", "Edit", ("allowRead",)),
    ("allowDelete", "Delete", ("allowRead", "allowEdit")),
    ("viewAllRecords", "View All", ("allowRead",)),
    ("modifyAllRecords", "Modify All", ("allowRead", "allowEdit", "allowDelete", "viewAllRecords")),
)


def permission_set_from(name: str, element: Element, draft: Draft) -> PermissionSet:
    """Return the permission set of a file; Refused when it grants what is not there or cannot be granted."""
    spelled(element, _KNOWN, element.name)
    if element.name == "PermissionSet" and not element.value("label"):
        raise Refused("Required field is missing: label")
    _existing(element, draft)
    return PermissionSet(
        name,
        element.value("label") or name,
        element.value("description") or None,
        objects=dict(_object_permission(given, draft) for given in element.all("objectPermissions")),
        fields=dict(_field_permission(given, draft) for given in element.all("fieldPermissions")),
        custom_permissions=frozenset(
            _custom_permission(given, draft) for given in _enabled(element, "customPermissions")
        ),
        user_permissions=frozenset(_user_permission(given) for given in _enabled(element, "userPermissions")),
        is_profile=element.name == "Profile",
    )


def _enabled(element: Element, tag: str) -> list[Element]:
    return [given for given in element.all(tag) if given.flag("enabled")]


def _object_permission(given: Element, draft: Draft) -> tuple[str, ObjectPermission]:
    sobject = draft.schema.get(given.value("object"))
    if sobject is None:
        raise Refused(f"In field: field - no CustomObject named {given.value('object')} found")
    have = {tag for tag, _, _ in _RIGHTS if given.flag(tag)}
    called = {tag: word for tag, word, _ in _RIGHTS}
    for tag, word, needed in _RIGHTS:
        missing = [called[n] for n in needed if n not in have]
        if tag in have and missing:
            wants = ", ".join(f"{m} {sobject.name}" for m in missing)
            raise Refused(f"Permission {word} {sobject.name} depends on permission(s): {wants}")
    granted = ObjectPermission(
        read="allowRead" in have,
        create="allowCreate" in have,
        edit="allowEdit" in have,
        delete="allowDelete" in have,
        view_all="viewAllRecords" in have,
        modify_all="modifyAllRecords" in have,
    )
    return sobject.name, granted


def _field_permission(given: Element, draft: Draft) -> tuple[str, FieldPermission]:
    named = given.value("field")
    object_name, _, field_name = named.partition(".")
    sobject = draft.schema.get(object_name)
    if sobject is None:
        raise Refused(f"In field: field - no CustomObject named {object_name} found")
    field = sobject.field(field_name)
    if field is None:
        raise Refused(f"In field: field - no CustomField named {named} found")
    if not field.permissionable:
        raise Refused(f"You cannot deploy to a required field: {sobject.name}.{field.name}")
    readable, editable = given.flag("readable"), given.flag("editable")
    if editable and not readable:
        name = f"{sobject.name}.{field.name}"
        raise Refused(f"Permission Edit {name} depends on permission(s): Read {name}")
    if editable and field.calculated:
        raise Refused(f"Field {sobject.name}.{field.name} is not editable")
    return f"{sobject.name}.{field.name}", FieldPermission(readable, editable)


def _custom_permission(given: Element, draft: Draft) -> str:
    name = given.value("name")
    if name not in draft.custom_permissions:
        raise Refused(f"In field: customPermission - no CustomPermission named {name} found")
    return name


def _user_permission(given: Element) -> str:
    name = given.value("name")
    if name not in _USER_PERMISSIONS:
        raise Refused(f"Unknown user permission: {name}")
    return name


def _existing(element: Element, draft: Draft) -> None:
    for tag, inner, kind in (
        ("applicationVisibilities", "application", "CustomApplication"),
        ("tabSettings", "tab", "CustomTab"),
        ("tabVisibilities", "tab", "CustomTab"),
    ):
        for given in element.all(tag):
            name = given.value(inner)
            if not name.startswith("standard") and not draft.has(kind, name):
                raise Refused(f"In field: {inner} - no {kind} named {name} found")
