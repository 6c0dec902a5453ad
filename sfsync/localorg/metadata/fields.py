"""A CustomField as an org takes it: the element becomes a field of the schema, or is refused with the org's words.

It may not know SQL or HTTP. It keeps one law: a field that this org cannot hold faithfully is refused, not bent.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sfsync.localorg.schema import Field, OnDelete, PicklistValue, Schema, custom_field
from sfsync.localorg.xmltree import Element

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*__c")
_LONGEST_LABEL = 40
_LONGEST_HELP = 510
_LONGEST_TEXT = 255
_LONG_TEXT = (256, 131_072)
_MOST_DIGITS = 18

DESCRIBE_TYPES = {
    "Text": "string",
    "TextArea": "textarea",
    "LongTextArea": "textarea",
    "Html": "textarea",
    "Number": "double",
    "Currency": "currency",
    "Percent": "percent",
    "Checkbox": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "Time": "time",
    "Email": "email",
    "Phone": "phone",
    "Url": "url",
    "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist",
    "Lookup": "reference",
    "MasterDetail": "reference",
    "AutoNumber": "string",
    "EncryptedText": "encryptedstring",
}
NOT_MODELLED = frozenset(
    {
        "Summary",
        "Location",
        "Address",
        "Hierarchy",
        "ExternalLookup",
        "IndirectLookup",
        "MetadataRelationship",
        "File",
        "Array",
    }
)
_FORMULA_TYPES = frozenset({"Text", "Number", "Currency", "Percent", "Checkbox", "Date", "DateTime", "Time"})
_FIXED_LENGTHS = {"Email": 80, "Phone": 40, "Url": 255, "TextArea": 255, "Picklist": 255, "MultiselectPicklist": 4099}
_NEEDS = {
    "Text": ("length",),
    "EncryptedText": ("length",),
    "LongTextArea": ("length", "visibleLines"),
    "Html": ("length", "visibleLines"),
    "Number": ("precision", "scale"),
    "Currency": ("precision", "scale"),
    "Percent": ("precision", "scale"),
    "Checkbox": ("defaultValue",),
    "MultiselectPicklist": ("visibleLines",),
    "AutoNumber": ("displayFormat",),
    "Lookup": ("referenceTo", "relationshipName"),
    "MasterDetail": ("referenceTo", "relationshipName"),
}
_EXTERNAL = frozenset({"Text", "Number", "Email", "AutoNumber"})
KNOWN = frozenset(
    """fullName businessOwnerGroup businessOwnerUser businessStatus caseSensitive complianceGroup customDataType
    defaultValue deleteConstraint deprecated description displayFormat displayLocationInDecimal elementType
    encryptionScheme escapeMarkup externalDeveloperName externalId fieldManageability formula formulaTreatBlanksAs
    inlineHelpText isAIPredictionField isConvertLeadDisabled isFilteringDisabled isNameField isSortingDisabled label
    length lookupFilter maskChar maskType metadataRelationshipControllingField populateExistingRows precision
    referenceTargetField referenceTo relationshipLabel relationshipName relationshipOrder reparentableMasterDetail
    required restrictedAdminField scale securityClassification startingNumber stripMarkup summarizedField
    summaryFilterItems summaryForeignKey summaryOperation trackFeedHistory trackHistory trackTrending translateData
    type unique valueSet visibleLines writeRequiresMasterRead""".split()
)
_BOOLEANS = frozenset(
    """caseSensitive deprecated escapeMarkup externalId isFilteringDisabled isNameField isSortingDisabled required
    reparentableMasterDetail trackFeedHistory trackHistory trackTrending translateData unique""".split()
)


class Refused(Exception):
    """What the org says against a component."""


def spelled(element: Element, known: frozenset[str], type_name: str) -> None:
    """Refuse an element that the type does not have."""
    for child in element.children:
        if child.name not in known:
            raise Refused(f"Error parsing file: Element {child.name} invalid at this location in type {type_name}")


def field_from(
    element: Element, object_name: str, schema: Schema, value_sets: Callable[[str], tuple[PicklistValue, ...] | None]
) -> Field:
    """Return the schema field of a CustomField on an object that exists in ``schema``; Refused with the org's words."""
    spelled(element, KNOWN, "CustomField")
    name = element.value("fullName")
    sobject = schema.get(object_name)
    if sobject is None:
        raise Refused(f"Entity of type 'CustomObject' named '{object_name}' cannot be found")
    old = sobject.field(name)
    if not name.endswith("__c"):
        return _standard(element, name, old)
    _common(element, name)
    kind = element.value("type")
    made = _made(element, name, kind, object_name, schema, value_sets)
    if old is not None:
        _compatible(old, made)
    return made


def _standard(element: Element, name: str, old: Field | None) -> Field:
    """A standard field takes few settings: whether its history is tracked, its help."""
    if old is None:
        raise Refused("Could not resolve standard field's name.")
    from dataclasses import replace

    return replace(
        old,
        history_tracked=element.flag("trackHistory", old.history_tracked),
        help_text=element.value("inlineHelpText") or old.help_text,
    )


def _common(element: Element, name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_LABEL + 3:
        raise Refused(
            f"The Developer Name: {name.removesuffix('__c')} can only contain underscores and alphanumeric characters. "
            "It must be unique, begin with a letter, not include spaces, not end with an underscore, and not contain "
            "two consecutive underscores."
        )
    for tag in _BOOLEANS:
        text = element.value(tag)
        if element.find(tag) is not None and text not in ("true", "false", "0", "1"):
            raise Refused(f"Error parsing file: '{text}' is not a valid value for the type xsd:boolean")
    if not element.value("label"):
        raise Refused("Required field is missing: label")
    for tag, most in (("label", _LONGEST_LABEL), ("inlineHelpText", _LONGEST_HELP)):
        if len(element.value(tag)) > most:
            shown = {"label": "Label", "inlineHelpText": "Help Text"}[tag]
            raise Refused(f"{shown}: data value too large: {element.value(tag)} (max length={most})")


def _made(
    element: Element,
    name: str,
    kind: str,
    object_name: str,
    schema: Schema,
    value_sets: Callable[[str], tuple[PicklistValue, ...] | None],
) -> Field:
    if kind in NOT_MODELLED:
        raise Refused(f"not modelled: a CustomField of type {kind}")
    if kind not in DESCRIBE_TYPES:
        raise Refused(
            f"Error parsing file: '{kind}' is not a valid value for the enum 'FieldType'"
            if kind
            else "Must specify a 'type' for a CustomField"
        )
    formula = element.value("formula") or None
    given: dict[str, object] = {
        "label": element.value("label"),
        "help_text": element.value("inlineHelpText") or None,
        "description": element.value("description") or None,
        "history_tracked": element.flag("trackHistory"),
    }
    if formula is not None:
        if kind not in _FORMULA_TYPES:
            raise Refused(f"Formula field cannot be of type {kind}")
        given |= {"formula": formula, "formula_blank_as_zero": element.value("formulaTreatBlanksAs") != "BlankAsBlank"}
        given |= {"length": 1300} if kind == "Text" else {}
        if kind in ("Number", "Currency", "Percent"):
            given |= {"precision": _MOST_DIGITS, "scale": _number(element, "scale", 0, _MOST_DIGITS)}
        if element.flag("trackHistory"):
            raise Refused("Cannot track history of a formula field")
        return custom_field(name, DESCRIBE_TYPES[kind], **given)
    for tag in _NEEDS.get(kind, ()):
        if not element.value(tag):
            raise Refused(f"Must specify '{tag}' for a CustomField of type {kind}")
    given |= _sizes(element, kind)
    if element.flag("externalId") and kind not in _EXTERNAL:
        raise Refused(f"Cannot set externalId on a field of type {kind}")
    given |= {"unique": element.flag("unique"), "external_id": element.flag("externalId")}
    given["case_sensitive"] = element.flag("unique") and element.flag("caseSensitive")
    if element.flag("required") and kind not in ("Checkbox", "AutoNumber", "MasterDetail"):
        given["nillable"] = False
    if kind in ("Picklist", "MultiselectPicklist"):
        given |= _values(element, value_sets)
    elif kind in ("Lookup", "MasterDetail"):
        given |= _lookup(element, name, kind, object_name, schema)
    elif kind == "AutoNumber":
        given["auto_number"] = element.value("displayFormat")
    elif kind == "Checkbox":
        given["default"] = _checkbox_default(element)
    if kind not in ("Checkbox", "AutoNumber") and element.value("defaultValue"):
        given["default_formula"] = element.value("defaultValue")
        given["defaulted_on_create"] = True
    if kind == "Html":
        given["html"] = True
    if kind == "TextArea":
        given["plain_textarea"] = True
    return custom_field(name, DESCRIBE_TYPES[kind], **given)


def _checkbox_default(element: Element) -> bool:
    text = element.value("defaultValue").lower()
    if text not in ("true", "false"):
        raise Refused(f"Invalid default value for a Checkbox: {element.value('defaultValue')}")
    return text == "true"


def _number(element: Element, tag: str, least: int, most: int) -> int:
    text = element.value(tag)
    try:
        value = int(text)
    except ValueError:
        raise Refused(f"Error parsing file: '{text}' is not a valid value for the type xsd:int") from None
    if not least <= value <= most:
        shown = {"length": "Length", "precision": "Length", "scale": "Decimal Places"}.get(tag, tag)
        raise Refused(f"{shown}: value outside of valid range: {value} (valid range is {least} to {most})")
    return value


def _sizes(element: Element, kind: str) -> dict[str, object]:
    if kind in ("Text", "EncryptedText"):
        return {"length": _number(element, "length", 1, _LONGEST_TEXT)}
    if kind in ("LongTextArea", "Html"):
        return {"length": _number(element, "length", *_LONG_TEXT)}
    if kind in ("Number", "Currency", "Percent"):
        precision = _number(element, "precision", 1, _MOST_DIGITS)
        return {"precision": precision, "scale": _number(element, "scale", 0, precision)}
    return {"length": _FIXED_LENGTHS[kind]} if kind in _FIXED_LENGTHS else {}


def _values(element: Element, value_sets: Callable[[str], tuple[PicklistValue, ...] | None]) -> dict[str, object]:
    value_set = element.find("valueSet")
    if value_set is None:
        raise Refused("Must specify either 'valueSet' for a CustomField of type Picklist")
    named = value_set.value("valueSetName")
    if named:
        found = value_sets(named)
        if found is None:
            raise Refused(f"In field: valueSetName - no GlobalValueSet named {named} found")
        return {"picklist": found, "restricted": True}
    definition = value_set.find("valueSetDefinition")
    values = picklist_values(definition) if definition is not None else ()
    if not values:
        raise Refused("Must specify at least one value for a picklist")
    return {"picklist": values, "restricted": value_set.flag("restricted")}


def picklist_values(definition: Element, tag: str = "value") -> tuple[PicklistValue, ...]:
    """Return the values of a value set, sorted when it says so; Refused when one stands twice."""
    made: list[PicklistValue] = []
    seen: set[str] = set()
    for each in definition.all(tag):
        name = each.value("fullName") or each.value("label")
        if name.lower() in seen:
            raise Refused(f"Duplicate value: {name}")
        seen.add(name.lower())
        made.append(PicklistValue(name, each.value("label"), each.flag("isActive", True), each.flag("default")))
    if definition.flag("sorted"):
        made.sort(key=lambda value: value.label.lower())
    return tuple(made)


def _lookup(element: Element, name: str, kind: str, object_name: str, schema: Schema) -> dict[str, object]:
    target = schema.get(element.value("referenceTo"))
    if target is None:
        raise Refused(f"referenceTo value of '{element.value('referenceTo')}' does not resolve to a valid sObject type")
    called = element.value("relationshipName")
    for child in schema.children(target.name):
        taken = child.name is not None and child.name.lower() in (called.lower(), f"{called}__r".lower())
        if taken and (child.child.lower(), child.field.lower()) != (object_name.lower(), name.lower()):
            raise Refused(f"There is already a Child Relationship named {called} on {target.label}.")
    constraint = element.value("deleteConstraint") or ("Restrict" if element.flag("required") else "SetNull")
    if constraint not in ("SetNull", "Restrict", "Cascade"):
        raise Refused(f"Error parsing file: '{constraint}' is not a valid value for the enum 'DeleteConstraint'")
    if constraint == "SetNull" and element.flag("required"):
        raise Refused("Cannot specify SetNull for a required lookup: choose Restrict")
    given: dict[str, object] = {
        "reference_to": (target.name,),
        "child_relationship_name": f"{called}__r",
        "on_delete": OnDelete(constraint),
    }
    if kind == "MasterDetail":
        order = element.value("relationshipOrder")
        given |= {
            "master_detail": True,
            "on_delete": OnDelete.CASCADE,
            "relationship_order": int(order) if order.isdigit() else 0,
            "reparentable": element.flag("reparentableMasterDetail"),
        }
    return given


_CONVERSIONS = {
    ("string", "textarea"), ("textarea", "string"), ("string", "picklist"), ("picklist", "string"), ("string", "email"),
    ("string", "phone"), ("string", "url"), ("email", "string"), ("phone", "string"), ("url", "string"),
    ("double", "currency"), ("currency", "double"), ("double", "percent"), ("percent", "double"), ("double", "string"),
    ("picklist", "multipicklist"), ("date", "datetime"), ("datetime", "date"), ("string", "double"), ("string", "date"),
    ("string", "datetime"), ("boolean", "string"), ("date", "string"), ("datetime", "string"),
}  # fmt: skip


def _compatible(old: Field, new: Field) -> None:
    if (old.formula is None) != (new.formula is None):
        raise Refused("Cannot change which type a Custom Field is from/to a Formula Field")
    if old.type == new.type:
        if old.type == "reference" and old.reference_to != new.reference_to:
            raise Refused("Cannot change referenceTo of an existing relationship field")
        return
    if "reference" in (old.type, new.type):
        raise Refused("Cannot update a field to a Lookup, MasterDetail, or Hierarchy from something else")
    if (old.type, new.type) not in _CONVERSIONS:
        raise Refused(f"Cannot change the type of {old.name} from {old.type} to {new.type}")
