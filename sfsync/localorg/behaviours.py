"""What the platform itself does when certain objects are saved: numbers, closing, names, files, queues, comments.

It may not know HTTP. It keeps one law: a behaviour belongs to an object by name, and an object without one is plain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sfsync.localorg.errors import ApiError

if TYPE_CHECKING:
    from sfsync.localorg.access import Actor
    from sfsync.localorg.org import LocalOrg
    from sfsync.localorg.records import Change, Options
    from sfsync.localorg.schema import SObject

Step = Callable[["LocalOrg", "Sequence[Change]", "Options", "Actor"], None]
_LINKED = (
    'SELECT 1 FROM "ContentDocumentLink" WHERE "ContentDocumentId" = ? AND "LinkedEntityId" = ? AND "IsDeleted" = 0'
)
_WON, _LOST = "Closed Won", "Closed Lost"


def before_insert(org: LocalOrg, sobject: SObject, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    """Let the platform fill in what it fills in when rows of this object are created."""
    _before(org, sobject, changes, options, actor)


def before_update(org: LocalOrg, sobject: SObject, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    """Let the platform fill in what it fills in when rows of this object are changed."""
    _before(org, sobject, changes, options, actor)


def after_insert(org: LocalOrg, sobject: SObject, changes: Sequence[Change], actor: Actor) -> None:
    """Let the platform do what follows when rows of this object were created."""
    step = _AFTER_INSERT.get(sobject.name)
    if step is not None and changes:
        step(org, changes, actor)


def after_update(org: LocalOrg, sobject: SObject, changes: Sequence[Change], actor: Actor) -> None:
    """Let the platform do what follows when rows of this object were changed."""
    step = _AFTER_UPDATE.get(sobject.name)
    if step is not None and changes:
        step(org, changes, actor)


def _before(org: LocalOrg, sobject: SObject, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    step = _BEFORE.get(sobject.name)
    if step is not None and changes:
        step(org, changes, options, actor)


def _case(org: LocalOrg, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    closed = org.closed_statuses()
    default_hours = org.default_business_hours()
    now = org.now_seconds()
    for change in changes:
        row, old = change.new, change.old
        if row.get("BusinessHoursId") is None:
            row["BusinessHoursId"] = default_hours
        if (
            row.get("ContactId")
            and not row.get("AccountId")
            and (old is None or old.get("ContactId") != row["ContactId"])
        ):
            row["AccountId"] = org.account_of_contact(row["ContactId"])
        is_closed = int((row.get("Status") or "").lower() in closed)
        row["IsClosed"] = is_closed
        if not is_closed:
            row["ClosedDate"] = None
        elif row.get("ClosedDate") is None or (old is not None and not old.get("IsClosed")):
            row["ClosedDate"] = row.get("ClosedDate") if options.audit and row.get("ClosedDate") else now
    if options.assign is not False and not options.audit:
        org.assign_cases(changes, options.assign, actor)


def _comments(org: LocalOrg, changes: Sequence[Change], actor: Actor) -> None:
    written = [(c.new["Id"], c.new["Comments"]) for c in changes if c.new.get("Comments")]
    if not written:
        return
    body = [{"ParentId": case_id, "CommentBody": text} for case_id, text in written]
    org.records.insert(actor, "CaseComment", body)
    # Comments is a way to write a CaseComment; a case never gives it back.
    org.storage.update("Case", ["Comments"], [(None, case_id) for case_id, _ in written])


def _person(_: LocalOrg, changes: Sequence[Change], __: Options, ___: Actor) -> None:
    for change in changes:
        row = change.new
        row["Name"] = " ".join(p for p in (row.get("FirstName"), row.get("LastName")) if p)


def _user(org: LocalOrg, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    _person(org, changes, options, actor)
    for change in changes:
        row = change.new
        if not row.get("CommunityNickname"):
            row["CommunityNickname"] = (row.get("Username") or "").split("@")[0][:40]
        name = row.get("Username")
        if name and (change.old is None or change.old.get("Username") != name):
            taken = org.storage.rows('SELECT "Id" FROM "User" WHERE "Username" = ?', (name,))
            if any(t[0] != row.get("Id") for t in taken):
                message = (
                    "Duplicate Username.<br>The username already exists in this or another Salesforce organization."
                )
                change.refuse(ApiError(400, "DUPLICATE_USERNAME", message, ["Username"]))


def _opportunity(_: LocalOrg, changes: Sequence[Change], __: Options, ___: Actor) -> None:
    for change in changes:
        row = change.new
        row["IsWon"] = int(row.get("StageName") == _WON)
        row["IsClosed"] = int(row.get("StageName") in (_WON, _LOST))
        if row.get("Amount") is not None and row.get("Probability") is not None:
            row["ExpectedRevenue"] = row["Amount"] * row["Probability"] / 100


def _task(_: LocalOrg, changes: Sequence[Change], __: Options, ___: Actor) -> None:
    for change in changes:
        change.new["IsClosed"] = int(change.new.get("Status") == "Completed")


def _attachment(_: LocalOrg, changes: Sequence[Change], __: Options, ___: Actor) -> None:
    for change in changes:
        change.new["BodyLength"] = len(change.new.get("Body") or b"")


def _developer_name(_: LocalOrg, changes: Sequence[Change], __: Options, ___: Actor) -> None:
    for change in changes:
        row = change.new
        if not row.get("DeveloperName"):
            name = "".join(c if c.isalnum() else "_" for c in row.get("Name") or "").strip("_")
            row["DeveloperName"] = name[:80] or None


def _content_version(org: LocalOrg, changes: Sequence[Change], options: Options, actor: Actor) -> None:
    now = org.now_seconds()
    for change in changes:
        row, old = change.new, change.old
        if old is None and not row.get("PathOnClient") and not row.get("ContentUrl") and not options.audit:
            change.refuse(
                ApiError(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [PathOnClient]", ["PathOnClient"])
            )
            continue
        if old is None and row.get("VersionData") is None and not row.get("ContentUrl") and not options.audit:
            change.refuse(
                ApiError(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [VersionData]", ["VersionData"])
            )
            continue
        data = row.get("VersionData") or b""
        path = PurePosixPath((row.get("PathOnClient") or "").replace("\\", "/"))
        extension = path.suffix.removeprefix(".").lower()
        row["Title"] = row.get("Title") or path.stem or None
        if old is None or old.get("VersionData") != row.get("VersionData"):
            row["ContentSize"] = len(data)
            row["Checksum"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
            row["ContentModifiedDate"], row["ContentModifiedById"] = now, actor.user_id
        row["FileExtension"] = extension or None
        row["FileType"] = (extension or "unknown").upper()
        if old is None:
            row["IsLatest"] = 1
            _document(org, change, actor, now)


def _document(org: LocalOrg, change: Change, actor: Actor, now: int) -> None:
    """Give a new version its document: the one it names, or a new one."""
    row = change.new
    document_id = row.get("ContentDocumentId")
    if document_id is None:
        document_id = row["ContentDocumentId"] = org.ids.one("069")
        row["VersionNumber"] = "1"
        document: dict[str, Any] = {
            "Id": document_id,
            "IsDeleted": 0,
            "IsArchived": 0,
            "OwnerId": row.get("OwnerId") or actor.user_id,
            "CreatedDate": now,
            "CreatedById": actor.user_id,
            "LastModifiedDate": now,
            "LastModifiedById": actor.user_id,
            "SystemModstamp": now,
            "Title": row["Title"],
            "PublishStatus": "P",
        }
        org.storage.insert("ContentDocument", list(document), [list(document.values())], 0)
    else:
        numbers = org.storage.rows(
            'SELECT max(CAST("VersionNumber" AS INTEGER)) FROM "ContentVersion" WHERE "ContentDocumentId" = ?',
            (document_id,),
        )
        row["VersionNumber"] = str((numbers[0][0] or 0) + 1)
        older = org.storage.rows(
            'SELECT "Id" FROM "ContentVersion" WHERE "ContentDocumentId" = ? AND "IsLatest" = 1', (document_id,)
        )
        org.storage.update("ContentVersion", ["IsLatest"], [(0, i) for (i,) in older])


def _versions_published(org: LocalOrg, changes: Sequence[Change], actor: Actor) -> None:
    now = org.now_seconds()
    columns = (
        "LatestPublishedVersionId",
        "Title",
        "ContentSize",
        "FileType",
        "FileExtension",
        "ContentModifiedDate",
        "Description",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
    )
    for change in changes:
        row = change.new
        values = [row["Id"], *(row.get(c) for c in columns[1:7]), now, actor.user_id, now]
        org.storage.update("ContentDocument", columns, [(*values, row["ContentDocumentId"])])
        if change.old is None:
            links = [row.get("OwnerId") or actor.user_id]
            place = row.get("FirstPublishLocationId")
            if place and place not in links:
                links.append(place)
            if row["VersionNumber"] == "1" or place:
                for target in links:
                    _link(org, row["ContentDocumentId"], target, "I" if target == links[0] else "V", now)


def _link(org: LocalOrg, document_id: str, target: str, share: str, now: int) -> None:
    known = org.storage.rows(
        _LINKED,
        (document_id, target),
    )
    if not known:
        values = (org.ids.one("06A"), 0, target, document_id, share, "AllUsers", now)
        columns = (
            "Id",
            "IsDeleted",
            "LinkedEntityId",
            "ContentDocumentId",
            "ShareType",
            "Visibility",
            "SystemModstamp",
        )
        org.storage.insert("ContentDocumentLink", columns, [values], 0)


def _document_link(org: LocalOrg, changes: Sequence[Change], _: Options, __: Actor) -> None:
    for change in changes:
        row = change.new
        if change.old is None and org.storage.rows(
            _LINKED,
            (row.get("ContentDocumentId"), row.get("LinkedEntityId")),
        ):
            message = f"Document with ID: {row.get('ContentDocumentId')} is already linked with the entity with ID: "
            change.refuse(
                ApiError(400, "DUPLICATE_VALUE", message + str(row.get("LinkedEntityId")), ["LinkedEntityId"])
            )


def _assignment(org: LocalOrg, changes: Sequence[Change], _: Options, __: Actor) -> None:
    for change in changes:
        row = change.new
        if change.old is None and org.storage.rows(
            'SELECT 1 FROM "PermissionSetAssignment" WHERE "AssigneeId" = ? AND "PermissionSetId" = ?',
            (row.get("AssigneeId"), row.get("PermissionSetId")),
        ):
            message = "Duplicate PermissionSetAssignment. Assignee and Permission Set already exist"
            change.refuse(ApiError(400, "DUPLICATE_VALUE", message, []))


def _access_changed(org: LocalOrg, _: Sequence[Change], __: Actor) -> None:
    org.access_changed()


_BEFORE: dict[str, Step] = {
    "Case": _case,
    "Contact": _person,
    "Lead": _person,
    "User": _user,
    "Opportunity": _opportunity,
    "Task": _task,
    "Attachment": _attachment,
    "Group": _developer_name,
    "UserRole": _developer_name,
    "ContentVersion": _content_version,
    "ContentDocumentLink": _document_link,
    "PermissionSetAssignment": _assignment,
}
_AFTER_INSERT: dict[str, Callable[[LocalOrg, Sequence[Change], Actor], None]] = {
    "Case": _comments,
    "ContentVersion": _versions_published,
    "PermissionSetAssignment": _access_changed,
    "User": _access_changed,
    "ObjectPermissions": _access_changed,
    "FieldPermissions": _access_changed,
    "PermissionSet": _access_changed,
}
_AFTER_UPDATE = _AFTER_INSERT
