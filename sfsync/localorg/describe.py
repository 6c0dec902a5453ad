"""Describe: what an org says about its objects and fields, with every key that a real org gives.

It may not know users; it is handed the schema as a user sees it. It keeps one law: keys, types and order are those of
recorded describes.
"""

from __future__ import annotations

from typing import Any

from sfsync.localorg.schema import COMPOUND_TYPES, Field, OnDelete, RecordType, Schema, SObject

MASTER_RECORD_TYPE = "012000000000000AAA"
_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "base64": "xsd:base64Binary",
    "address": "urn:address",
    "location": "urn:location",
}


def field_describe(field: Field) -> dict[str, Any]:
    """Return one element of ``fields``."""
    calculated = field.formula is not None and field.custom
    return {
        "aggregatable": field.aggregatable and field.type not in COMPOUND_TYPES,
        "aiPredictionField": False,
        "autoNumber": field.auto_number is not None,
        "byteLength": field.byte_length or (field.length if field.type in ("id", "reference") else field.length * 3),
        "calculated": calculated,
        "calculatedFormula": field.formula if calculated else None,
        "cascadeDelete": field.on_delete is OnDelete.CASCADE and field.custom,
        "caseSensitive": field.case_sensitive,
        "compoundFieldName": field.compound_name,
        "controllerName": field.controller_name,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default if field.type == "boolean" or not field.picklist else None,
        "defaultValueFormula": field.default_formula,
        "defaultedOnCreate": field.defaulted_on_create,
        "dependentPicklist": field.controller_name is not None,
        "deprecatedAndHidden": False,
        "digits": field.digits,
        "displayLocationInDecimal": False,
        "encrypted": field.encrypted,
        "externalId": field.external_id,
        "extraTypeInfo": field.extra_type_info,
        "filterable": (field.filterable and field.type not in COMPOUND_TYPES) or field.type == "address",
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": field.formula_blank_as_zero,
        "groupable": field.groupable,
        "highScaleNumber": False,
        "htmlFormatted": field.html,
        "idLookup": field.id_lookup,
        "inlineHelpText": field.help_text,
        "label": field.label,
        "length": field.length,
        "mask": None,
        "maskType": None,
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": field.name_pointing,
        "nillable": field.nillable,
        "permissionable": field.permissionable,
        "picklistValues": [
            {"active": v.active, "defaultValue": v.default, "label": v.label, "validFor": None, "value": v.value}
            for v in field.picklist
        ],
        "polymorphicForeignKey": field.polymorphic,
        "precision": field.precision,
        "queryByDistance": field.type in COMPOUND_TYPES,
        "referenceTargetField": None,
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship_name,
        "relationshipOrder": field.relationship_order,
        "restrictedDelete": field.on_delete is OnDelete.RESTRICT and field.custom,
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "searchPrefilterable": field.search_prefilterable,
        "soapType": _SOAP.get(field.type, "xsd:string"),
        "sortable": field.sortable,
        "type": field.type,
        "unique": field.unique,
        "updateable": field.updateable,
        "writeRequiresMasterRead": False,
    }


def _urls(sobject: SObject, base: str, *, full: bool) -> dict[str, str]:
    root = f"{base}/sobjects/{sobject.name}"
    urls = {"rowTemplate": f"{root}/{{ID}}", "describe": f"{root}/describe", "sobject": root}
    if sobject.layoutable:
        urls |= {
            "approvalLayouts": f"{root}/describe/approvalLayouts",
            "compactLayouts": f"{root}/describe/compactLayouts",
            "layouts": f"{root}/describe/layouts",
            "listviews": f"{root}/listviews",
            "quickActions": f"{root}/quickActions",
        }
        if full:
            urls |= {
                "uiDetailTemplate": "/{ID}",
                "uiEditTemplate": "/{ID}/e",
                "uiNewRecord": f"/{sobject.key_prefix}/e",
            }
    return urls


def _head(sobject: SObject, base: str, *, full: bool) -> dict[str, Any]:
    return {
        "activateable": False,
        "associateEntityType": sobject.associate_type,
        "associateParentEntity": sobject.associate_parent,
        "createable": sobject.createable,
        "custom": sobject.custom,
        "customSetting": sobject.custom_setting,
        "deepCloneable": False,
        "deletable": sobject.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": sobject.feed_enabled,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": sobject.key_prefix,
        "label": sobject.label,
        "labelPlural": sobject.label_plural,
        "layoutable": sobject.layoutable,
        "mergeable": sobject.mergeable,
        "mruEnabled": sobject.mru_enabled,
        "name": sobject.name,
        "queryable": sobject.queryable,
        "replicateable": sobject.replicateable,
        "retrieveable": sobject.retrieveable,
        "searchable": sobject.searchable,
        "triggerable": sobject.triggerable,
        "undeletable": sobject.undeletable,
        "updateable": sobject.updateable,
        "urls": _urls(sobject, base, full=full),
    }


def global_describe(schema: Schema, base: str) -> dict[str, Any]:
    """Return the answer of ``GET /sobjects`` for the objects a user sees."""
    objects = sorted((o for o in schema if not o.tooling), key=lambda o: o.name)
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_head(o, base, full=False) for o in objects]}


def _record_type(record_type: RecordType, base: str, name: str, *, default: bool) -> dict[str, Any]:
    return {
        "active": record_type.active,
        "available": True,
        "defaultRecordTypeMapping": default,
        "developerName": record_type.developer_name,
        "master": record_type.id == MASTER_RECORD_TYPE,
        "name": record_type.label,
        "recordTypeId": record_type.id,
        "urls": {"layout": f"{base}/sobjects/{name}/describe/layouts/{record_type.id}"},
    }


def object_describe(schema: Schema, sobject: SObject, base: str) -> dict[str, Any]:
    """Return the answer of ``GET /sobjects/T/describe`` for an object as a user sees it."""
    children: list[dict[str, Any]] = [
        {
            "cascadeDelete": c.on_delete is OnDelete.CASCADE,
            "childSObject": c.child,
            "deprecatedAndHidden": False,
            "field": c.field,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
            "relationshipName": c.name,
            "restrictedDelete": c.on_delete is OnDelete.RESTRICT,
        }
        for c in sorted(schema.children(sobject.name), key=lambda c: (c.child, c.field))
    ]
    master = RecordType(MASTER_RECORD_TYPE, "Master", "Master")
    types = [*sobject.record_types, master]
    head = _head(sobject, base, full=True)
    head |= {
        "actionOverrides": [],
        "childRelationships": children,
        "compactLayoutable": sobject.layoutable,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [field_describe(f) for f in sobject.fields.values()],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [_record_type(t, base, sobject.name, default=t is types[0]) for t in types],
        "searchLayoutable": sobject.layoutable,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [
            {"label": f"All {sobject.label_plural.lower()}", "name": "everything"},
            {"label": f"My {sobject.label_plural.lower()}", "name": "mine"},
        ]
        if sobject.layoutable
        else [],
    }
    return dict(sorted(head.items()))
