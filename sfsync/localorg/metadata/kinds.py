"""The metadata types this org knows: where their files live, and what is done with them.

It may not know any component. It keeps one law: a type is applied, kept for retrieval, or refused; never dropped in
silence.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


@dataclass(frozen=True, slots=True)
class Kind:
    """A metadata type: folder and suffix of its files, prefix of its ids, the child types its files hold.

    ``applied`` says that a deploy changes what the org does; otherwise the file is kept and can be retrieved.
    """

    name: str
    folder: str
    suffix: str
    prefix: str
    applied: bool = False
    children: tuple[tuple[str, str, str], ...] = ()
    """(element in the file, type, id prefix) of each child."""


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("CustomLabels", "labels", "labels", "101"),
        Kind("GlobalValueSet", "globalValueSets", "globalValueSet", "0Nt", applied=True),
        Kind(
            "CustomObject",
            "objects",
            "object",
            "01I",
            applied=True,
            children=(
                ("fields", "CustomField", "00N"),
                ("validationRules", "ValidationRule", "03d"),
                ("recordTypes", "RecordType", "012"),
                ("listViews", "ListView", "00B"),
                ("compactLayouts", "CompactLayout", "0AH"),
                ("fieldSets", "FieldSet", "0IX"),
                ("businessProcesses", "BusinessProcess", "019"),
                ("webLinks", "WebLink", "00b"),
                ("sharingReasons", "SharingReason", "0CD"),
                ("indexes", "Index", "4ie"),
            ),
        ),
        Kind("Layout", "layouts", "layout", "00h"),
        Kind("CustomTab", "tabs", "tab", "01r"),
        Kind("CustomApplication", "applications", "app", "02u"),
        Kind("QuickAction", "quickActions", "quickAction", "09D"),
        Kind("FlexiPage", "flexipages", "flexipage", "0M0"),
        Kind("PathAssistant", "pathAssistants", "pathAssistant", "0JB"),
        Kind("ReportType", "reportTypes", "reportType", "070"),
        Kind("CustomNotificationType", "notificationtypes", "notiftype", "0ML", applied=True),
        Kind("CustomPermission", "customPermissions", "customPermission", "0CP", applied=True),
        Kind("PermissionSet", "permissionsets", "permissionset", "0PS", applied=True),
        Kind("Profile", "profiles", "profile", "00e", applied=True),
        Kind("RemoteSiteSetting", "remoteSiteSettings", "remoteSite", "0rp"),
        Kind("Translations", "translations", "translation", "01h"),
        Kind("CustomObjectTranslation", "objectTranslations", "objectTranslation", "01s"),
    )
}
"""Types with files of their own, in the order a deploy takes them."""

NONE_HERE = frozenset(
    """ApexClass ApexComponent ApexPage ApexTestSuite ApexTrigger AssignmentRules AuraDefinitionBundle AutoResponseRules
    ConnectedApp ContentAsset CustomMetadata CustomSite Dashboard DashboardFolder Document DocumentFolder DuplicateRule
    EmailFolder EmailTemplate EscalationRules ExperienceBundle ExternalClientApplication ExternalDataSource Flow
    FlowDefinition Group HomePageComponent HomePageLayout InstalledPackage Letterhead LightningComponentBundle
    LightningMessageChannel MatchingRules MilestoneType NamedCredential Network PermissionSetGroup PlatformEventChannel
    Queue Report ReportFolder Role SamlSsoConfig Scontrol Settings SharingRules StandardValueSet StaticResource Workflow
    WorkflowAlert WorkflowRule""".split()
)
"""Types of a real org of which this one has nothing: they may be listed and asked for, and not deployed."""

CHILDREN: dict[str, tuple[Kind, str]] = {
    child: (kind, element) for kind in KINDS.values() for element, child, _ in kind.children
}
"""Child type to the type whose file holds it, and the element there."""

PREFIXES: dict[str, str] = {
    **{kind.name: kind.prefix for kind in KINDS.values()},
    **{child: prefix for kind in KINDS.values() for _, child, prefix in kind.children},
}
"""Type to the prefix of its ids."""

ORDER: dict[str, int] = {
    name: place
    for place, name in enumerate(
        (
            "GlobalValueSet",
            "CustomObject",
            "CustomField",
            "RecordType",
            "CustomPermission",
            "ValidationRule",
            "ListView",
            "CustomNotificationType",
            "CustomTab",
        )
    )
}
"""What must be there first is taken first; types that are not named come after, in any order."""

LAST = ("PermissionSet", "Profile")

BY_FOLDER: dict[str, Kind] = {kind.folder: kind for kind in KINDS.values()}


def place_in_order(kind: str) -> tuple[int, str]:
    """Return the key by which components are taken: what others refer to first, permissions last."""
    if kind in LAST:
        return len(ORDER) + 1 + LAST.index(kind), ""
    return ORDER.get(kind, len(ORDER)), ""
