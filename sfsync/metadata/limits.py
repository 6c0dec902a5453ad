"""What an org refuses of a single field or object, beyond what the types say.

It may not know other files of the package. It keeps one law: a limit here is one an org is known to enforce, at its
smallest supported edition (Professional).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sfsync.metadata.xmltext import Element

LONGEST = {"label": 40, "inlineHelpText": 510, "description": 1000, "errorMessage": 255, "relationshipName": 40}
LONGEST_NAME = 40
LONGEST_FORMULA = 3900
MOST_FIELDS = 100
MOST_RULES = 100
MOST_TRACKED = 20
LONGEST_TEXT = 255
SHORTEST_LONG_TEXT, LONGEST_LONG_TEXT = 256, 131_072
MOST_DIGITS = 18

_NEEDS = {
    "Checkbox": ("defaultValue",),
    "Text": ("length",),
    "LongTextArea": ("length", "visibleLines"),
    "Number": ("precision", "scale"),
    "Picklist": ("valueSet",),
    "Lookup": ("referenceTo", "relationshipName", "relationshipLabel"),
    "AutoNumber": ("displayFormat",),
}
_EXTERNAL_IDS = {"Text", "Number", "Email", "AutoNumber"}


def field_problems(field: Element) -> Iterator[tuple[int, str]]:
    """Yield the line and the sentence of everything an org refuses of this field."""
    name, kind, line = field.value("fullName"), field.value("type"), field.line
    if not name.endswith("__c"):
        yield line, f"{name or 'a field without a name'} is no custom field: standard fields are not deployed"
    if len(name.removesuffix("__c")) > LONGEST_NAME or "__" in name.removesuffix("__c"):
        yield line, f"{name} is no API name: at most {LONGEST_NAME} characters and no two underscores together"
    if not field.value("label"):
        yield line, f"{name} has no label"
    yield from _too_long(field)
    calculated = field.find("formula") is not None
    needs = _NEEDS.get(kind, ()) if not calculated else {"Number": ("precision", "scale")}.get(kind, ())
    for tag in needs:
        if field.find(tag) is None:
            yield line, f"{name} is a {kind} field and must have <{tag}>"
    yield from _numbers(field)
    if kind == "Lookup" and field.value("required") == "true" and field.value("deleteConstraint") == "SetNull":
        yield line, f"{name} is required, so its delete constraint cannot be SetNull"
    if field.value("externalId") == "true" and kind not in _EXTERNAL_IDS:
        yield line, f"{name} is a {kind} field, which cannot be an external id"
    if field.value("trackHistory") == "true" and (calculated or kind == "AutoNumber"):
        yield line, f"{name} is computed by the org, so its history cannot be tracked"
    values = [v.value("fullName") for v in field.walk() if v.tag == "value" and v.children]
    for value, times in Counter(v.lower() for v in values).items():
        if times > 1:
            yield line, f"{name} has the value {value!r} twice"
    if kind == "Picklist" and field.find("valueSet") is not None and not values:
        yield line, f"{name} is a picklist without values"


def _numbers(field: Element) -> Iterator[tuple[int, str]]:
    name, kind, line = field.value("fullName"), field.value("type"), field.line
    length, precision, scale = (_whole(field.value(tag)) for tag in ("length", "precision", "scale"))
    if kind == "Text" and length is not None and not 1 <= length <= LONGEST_TEXT:
        yield line, f"{name}: text holds 1 to {LONGEST_TEXT} characters"
    if kind == "LongTextArea" and length is not None and not SHORTEST_LONG_TEXT <= length <= LONGEST_LONG_TEXT:
        yield line, f"{name}: long text holds {SHORTEST_LONG_TEXT} to {LONGEST_LONG_TEXT} characters"
    if precision is not None and scale is not None and not 0 <= scale <= precision <= MOST_DIGITS:
        yield line, f"{name}: a number has at most {MOST_DIGITS} digits, those after the point included"


def object_problems(name: str, root: Element) -> Iterator[tuple[int, str]]:
    """Yield the line and the sentence of everything an org refuses of this object, its fields aside."""
    if name.endswith("__c"):
        for tag in ("label", "pluralLabel", "nameField", "deploymentStatus", "sharingModel"):
            if root.find(tag) is None:
                yield root.line, f"{name} is a custom object and must have <{tag}>"
        shown = root.find("nameField")
        if shown is not None and shown.value("type") == "AutoNumber" and not shown.value("displayFormat"):
            yield shown.line, "an AutoNumber name must have <displayFormat>"
    yield from _too_long(root)
    for tag, most in (("fields", MOST_FIELDS), ("validationRules", MOST_RULES)):
        if len(list(root.all(tag))) > most:
            yield root.line, f"{name} has more than {most} {tag}"
        for twice, times in Counter(e.value("fullName").lower() for e in root.all(tag)).items():
            if times > 1:
                yield root.line, f"{name} has {twice} twice"
    if sum(f.value("trackHistory") == "true" for f in root.all("fields")) > MOST_TRACKED:
        yield root.line, f"{name} tracks the history of more than {MOST_TRACKED} fields"
    for rule in root.all("validationRules"):
        yield from _too_long(rule)
        if len(rule.value("errorConditionFormula")) > LONGEST_FORMULA:
            yield rule.line, f"{rule.value('fullName')}: a formula has at most {LONGEST_FORMULA} characters"


def _too_long(element: Element) -> Iterator[tuple[int, str]]:
    for tag, longest in LONGEST.items():
        found = element.find(tag)
        if found is not None and len(found.text) > longest:
            yield found.line, f"<{tag}> has {len(found.text)} characters; an org takes {longest}"


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None
