"""The Tooling API's objects and their rows, made from the schema and the deployed components when they are asked for.

It may not know HTTP. It keeps one law: a row here says what describe and the Metadata API say, never more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from sfsync.localorg import ids
from sfsync.localorg.metadata.state import Kept, state_of
from sfsync.localorg.schema import Field, OnDelete, Schema, SObject
from sfsync.localorg.storage import Storage
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.access import Actor
    from sfsync.localorg.org import LocalOrg

Row = dict[str, Any]
_TEXT, _ID, _FLAG, _NUMBER, _WHEN = "string", "id", "boolean", "int", "datetime"

# name -> (fields by type, {lookup: (target, relationship)})
_OBJECTS: dict[str, tuple[dict[str, str], dict[str, tuple[str, str]]]] = {
    "EntityDefinition": (
        {
            _ID: "Id",
            _TEXT: "DurableId QualifiedApiName DeveloperName MasterLabel Label PluralLabel KeyPrefix NamespacePrefix "
            "InternalSharingModel ExternalSharingModel PublisherId Description",
            _FLAG: "IsCustomSetting IsQueryable IsLayoutable IsSearchable IsTriggerable IsRetrieveable IsReplicateable "
            "IsApexTriggerable IsWorkflowEnabled IsCustomizable IsDeprecatedAndHidden IsFieldHistoryTracked",
        },
        {},
    ),
    "FieldDefinition": (
        {
            _ID: "Id",
            _TEXT: "DurableId QualifiedApiName DeveloperName MasterLabel Label DataType NamespacePrefix "
            "RelationshipName Description ValueTypeId PublisherId",
            _NUMBER: "Length Precision Scale",
            _FLAG: "IsCalculated IsNillable IsIndexed IsNameField IsFieldHistoryTracked IsCompound IsApiFilterable",
        },
        {"EntityDefinitionId": ("EntityDefinition", "EntityDefinition")},
    ),
    "CustomObject": (
        {
            _ID: "Id",
            _TEXT: "DeveloperName NamespacePrefix ManageableState SharingModel Description FullName Metadata",
            _WHEN: "CreatedDate LastModifiedDate SystemModstamp",
        },
        {},
    ),
    "CustomField": (
        {
            _ID: "Id",
            _TEXT: "DeveloperName NamespacePrefix ManageableState TableEnumOrId InlineHelpText Description "
            "FullName Metadata",
            _NUMBER: "Length Precision Scale",
            _WHEN: "CreatedDate LastModifiedDate SystemModstamp",
        },
        {"EntityDefinitionId": ("EntityDefinition", "EntityDefinition")},
    ),
    "ValidationRule": (
        {
            _ID: "Id",
            _TEXT: "ValidationName NamespacePrefix ManageableState Description ErrorDisplayField ErrorMessage FullName "
            "Metadata",
            _FLAG: "Active",
            _WHEN: "CreatedDate LastModifiedDate SystemModstamp",
        },
        {"EntityDefinitionId": ("EntityDefinition", "EntityDefinition")},
    ),
    "Layout": (
        {_ID: "Id", _TEXT: "Name NamespacePrefix ManageableState TableEnumOrId LayoutType FullName Metadata"},
        {"EntityDefinitionId": ("EntityDefinition", "EntityDefinition")},
    ),
    "ApexClass": (
        {
            _ID: "Id",
            _TEXT: "Name NamespacePrefix Status Body ManageableState",
            _NUMBER: "LengthWithoutComments ApiVersion",
            _FLAG: "IsValid",
            _WHEN: "CreatedDate LastModifiedDate SystemModstamp",
        },
        {},
    ),
    "ApexTrigger": (
        {
            _ID: "Id",
            _TEXT: "Name NamespacePrefix Status Body TableEnumOrId ManageableState",
            _NUMBER: "ApiVersion",
            _FLAG: "IsValid",
        },
        {},
    ),
    "StandardValueSet": ({_ID: "Id", _TEXT: "DurableId MasterLabel FullName Metadata"}, {}),
    "SubscriberPackage": ({_ID: "Id", _TEXT: "Name NamespacePrefix Description"}, {}),
    "SubscriberPackageVersion": (
        {
            _ID: "Id",
            _TEXT: "Name Description ReleaseState",
            _NUMBER: "MajorVersion MinorVersion PatchVersion BuildNumber",
            _FLAG: "IsBeta IsManaged IsDeprecated",
        },
        {},
    ),
    "InstalledSubscriberPackage": (
        {_ID: "Id"},
        {
            "SubscriberPackageId": ("SubscriberPackage", "SubscriberPackage"),
            "SubscriberPackageVersionId": ("SubscriberPackageVersion", "SubscriberPackageVersion"),
        },
    ),
}
_EXTRA: dict[str, dict[str, Any]] = {
    "datetime": {"groupable": False},
    "boolean": {"nillable": False, "default": False},
    "id": {"length": 18},
}


def tooling_schema() -> Schema:
    """Return the objects of the Tooling API that this org models."""
    schema = Schema()
    for name, (by_type, lookups) in _OBJECTS.items():
        fields: dict[str, Field] = {}
        for kind, names in by_type.items():
            for field_name in names.split():
                given = {"length": 255} if kind == _TEXT else _EXTRA.get(kind, {})
                fields[field_name] = Field(field_name, kind, field_name, createable=False, updateable=False, **given)
        for field_name, (target, relationship) in lookups.items():
            kids = f"{name}s" if target == "EntityDefinition" and name in ("FieldDefinition", "CustomField") else None
            kids = {"FieldDefinitions": "Fields", "CustomFields": "CustomFields"}.get(kids or "")
            fields[field_name] = Field(
                field_name, "reference", field_name, length=18, createable=False, updateable=False,
                reference_to=(target,), relationship_name=relationship, child_relationship_name=kids,
                on_delete=OnDelete.NOTHING,
            )  # fmt: skip
        schema.put(SObject(name, name, f"{name}s", None, fields=fields, tooling=True))
    return schema


SCHEMA = tooling_schema()


def filled(org: LocalOrg, actor: Actor, statement: str) -> Storage:
    """Return a database with the rows of the tooling objects that a statement may touch, as the actor sees them."""
    storage = Storage()
    storage.functions(
        sf_now=lambda: org.now_seconds(),  # noqa: PLW0108 - the number of parameters is read from the code
        sf_today=lambda: org.date_in(actor.zone, org.now_seconds()),
        sf_zone_date=lambda unix: None if unix is None else org.date_in(actor.zone, int(unix)),
        sf_id15=lambda value: value[: ids.SHORT] if isinstance(value, str) else value,
    )
    mentioned = statement.lower()
    for sobject in SCHEMA:
        storage.create(sobject)
        make = _ROWS.get(sobject.name)
        needed = sobject.name == "EntityDefinition" or sobject.name.lower() in mentioned or "fields" in mentioned
        if make is None or not needed:
            continue
        columns = [f.name for f in sobject.stored_fields()]
        rows = [
            [row.get(c, 0 if sobject.fields[c].type == "boolean" else None) for c in columns]
            for row in make(org, actor)
        ]
        storage.insert(sobject.name, [*columns, "IsDeleted"], [[*row, 0] for row in rows], columns.index("Id"))
    return storage


def _definitions(org: LocalOrg, actor: Actor) -> Iterator[Row]:
    for each in actor.schema:
        name = each.name
        kept = state_of(org).kept.get(("CustomObject", name))
        yield {
            "Id": (kept.id if kept and each.custom else "") or name,
            "DurableId": (kept.id[:15] if kept and each.custom else "") or name,
            "QualifiedApiName": name,
            "DeveloperName": name.removesuffix("__c"),
            "MasterLabel": each.label,
            "Label": each.label,
            "PluralLabel": each.label_plural,
            "KeyPrefix": each.key_prefix,
            "InternalSharingModel": each.sharing_model,
            "ExternalSharingModel": "Private",
            "PublisherId": "<local>" if each.custom else "System",
            "Description": each.description,
            "IsCustomSetting": int(each.custom_setting),
            "IsQueryable": int(each.queryable),
            "IsLayoutable": int(each.layoutable),
            "IsSearchable": int(each.searchable),
            "IsTriggerable": int(each.triggerable),
            "IsApexTriggerable": int(each.triggerable),
            "IsRetrieveable": int(each.retrieveable),
            "IsReplicateable": int(each.replicateable),
            "IsWorkflowEnabled": int(each.layoutable),
            "IsCustomizable": int(each.layoutable),
            "IsFieldHistoryTracked": int(each.history_enabled),
        }


def _entity_id(org: LocalOrg, name: str) -> str:
    kept = state_of(org).kept.get(("CustomObject", name))
    return kept.id if kept is not None and name.endswith("__c") else name


def data_type(field: Field) -> str:
    """Return a field's type as Setup words it: ``Text(255)``, ``Number(9, 2)``, ``Lookup(Case)``."""
    if field.formula is not None:
        return f"Formula ({_WORDS.get(field.type, field.type.title())})"
    if field.auto_number is not None:
        return "Auto Number"
    if field.type == "reference":
        return f"{'Master-Detail' if field.master_detail else 'Lookup'}({','.join(field.reference_to)})"
    if field.type in ("double", "currency", "percent"):
        return f"{_WORDS[field.type]}({max(field.precision - field.scale, 0)}, {field.scale})"
    if field.type == "textarea" and field.length > 255:
        return f"Long Text Area({field.length})"
    if field.type == "string":
        unique = (
            " (Unique Case Sensitive)" if field.case_sensitive else " (Unique Case Insensitive)" if field.unique else ""
        )
        return f"Text({field.length}){' (External ID)' if field.external_id else ''}{unique}"
    return _WORDS.get(field.type, field.type.title())


_WORDS = {
    "double": "Number",
    "currency": "Currency",
    "percent": "Percent",
    "boolean": "Checkbox",
    "datetime": "Date/Time",
    "string": "Text",
    "textarea": "Text Area",
    "picklist": "Picklist",
    "multipicklist": "Picklist (Multi-Select)",
    "int": "Number",
    "url": "URL",
}


def _fields(org: LocalOrg, actor: Actor) -> Iterator[Row]:
    for each in actor.schema:
        owner = _entity_id(org, each.name)
        for field in each.fields.values():
            kept = state_of(org).kept.get(("CustomField", f"{each.name}.{field.name}"))
            short = owner[:15] if each.custom and owner != each.name else owner
            durable = f"{short}.{kept.id[:15] if kept else field.name}"
            yield {
                "Id": durable,
                "DurableId": durable,
                "QualifiedApiName": field.name,
                "DeveloperName": field.name.removesuffix("__c"),
                "MasterLabel": field.label,
                "Label": field.label,
                "DataType": data_type(field),
                "RelationshipName": field.relationship_name,
                "Description": field.description,
                "ValueTypeId": field.type,
                "PublisherId": "<local>" if field.custom else "System",
                "Length": field.length,
                "Precision": field.precision,
                "Scale": field.scale,
                "IsCalculated": int(field.calculated),
                "IsNillable": int(field.nillable),
                "IsIndexed": int(field.unique or field.external_id or field.name in ("Id", "SystemModstamp")),
                "IsNameField": int(field.name_field),
                "IsFieldHistoryTracked": int(field.history_tracked),
                "IsCompound": int(field.type in ("address", "location")),
                "IsApiFilterable": int(field.filterable),
                "EntityDefinitionId": owner,
            }


def as_json(element: Element) -> Any:
    """Return a component as the Tooling API's ``Metadata`` shows it: repeated elements as lists, words as values."""
    if not element.children:
        text = element.text.strip()
        if text in ("true", "false"):
            return text == "true"
        return int(text) if text.isdigit() and element.name in _NUMBERS else text
    made: dict[str, Any] = {}
    for child in element.children:
        if child.name in made or child.name in _LISTS:
            made[child.name] = [*_listed(made.get(child.name)), as_json(child)]
        else:
            made[child.name] = as_json(child)
    return made


_NUMBERS = frozenset({"length", "precision", "scale", "visibleLines", "startingNumber", "relationshipOrder"})
_LISTS = frozenset({"value", "fields", "validationRules", "columns", "filters"})


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _common(kept: Kept) -> Row:
    element = Element(kept.element.name, children=[c for c in kept.element.children if c.name != "fullName"])
    made, changed = int(kept.created_at.timestamp()), int(kept.modified_at.timestamp())
    return {
        "Id": kept.id,
        "ManageableState": "unmanaged",
        "FullName": kept.name,
        "Metadata": orjson.dumps(as_json(element) or {}).decode(),
        "CreatedDate": made,
        "LastModifiedDate": changed,
        "SystemModstamp": changed,
    }


def _kept(org: LocalOrg, kind: str) -> list[Kept]:
    return [k for k in state_of(org).kept.values() if k.kind == kind]


def _custom_objects(org: LocalOrg, _actor: Actor) -> Iterator[Row]:
    for kept in _kept(org, "CustomObject"):
        if kept.name.endswith("__c"):
            yield _common(kept) | {
                "DeveloperName": kept.name.removesuffix("__c"),
                "SharingModel": kept.element.value("sharingModel"),
                "Description": kept.element.value("description") or None,
            }


def _custom_fields(org: LocalOrg, _actor: Actor) -> Iterator[Row]:
    for kept in _kept(org, "CustomField"):
        owner, _, name = kept.name.partition(".")
        sobject = org.schema.get(owner)
        field = None if sobject is None else sobject.field(name)
        if field is None or not name.endswith("__c"):
            continue
        yield _common(kept) | {
            "DeveloperName": name.removesuffix("__c"),
            "TableEnumOrId": _entity_id(org, owner),
            "EntityDefinitionId": _entity_id(org, owner),
            "InlineHelpText": field.help_text,
            "Description": field.description,
            "Length": field.length or None,
            "Precision": field.precision or None,
            "Scale": field.scale if field.precision else None,
        }


def _rules(org: LocalOrg, _actor: Actor) -> Iterator[Row]:
    for kept in _kept(org, "ValidationRule"):
        owner, _, name = kept.name.partition(".")
        yield _common(kept) | {
            "ValidationName": name,
            "EntityDefinitionId": _entity_id(org, owner),
            "Active": int(kept.element.flag("active")),
            "Description": kept.element.value("description") or None,
            "ErrorDisplayField": kept.element.value("errorDisplayField") or None,
            "ErrorMessage": kept.element.value("errorMessage"),
        }


def _layouts(org: LocalOrg, _actor: Actor) -> Iterator[Row]:
    for kept in _kept(org, "Layout"):
        owner, _, name = kept.name.partition("-")
        yield _common(kept) | {
            "Name": name,
            "TableEnumOrId": _entity_id(org, owner),
            "EntityDefinitionId": _entity_id(org, owner),
            "LayoutType": "Standard",
        }


_ROWS: dict[str, Callable[[LocalOrg, Actor], Iterator[Row]]] = {
    "EntityDefinition": _definitions,
    "FieldDefinition": _fields,
    "CustomObject": _custom_objects,
    "CustomField": _custom_fields,
    "ValidationRule": _rules,
    "Layout": _layouts,
}
"""Objects that have rows; the others are known and empty."""
