"""A deploy in the making: components tried one by one on a copy of the schema, and the change that would bring them.

It may not know HTTP, SOAP or zips. It keeps one law: the org itself is not touched here; a component that is refused
leaves nothing in the draft.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sfsync.localorg import formula
from sfsync.localorg.metadata.fields import Refused, field_from, picklist_values
from sfsync.localorg.metadata.grants import permission_set_from
from sfsync.localorg.metadata.kinds import KINDS
from sfsync.localorg.metadata.package import Component
from sfsync.localorg.schema import (
    Field,
    PicklistValue,
    RecordType,
    Schema,
    SchemaChange,
    SObject,
    ValidationRule,
)
from sfsync.localorg.standard import custom_object
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.metadata.state import MetadataState
    from sfsync.localorg.org import LocalOrg

_MOST_TRACKED = 20
_LONGEST_MESSAGE = 255
_LONGEST_FORMULA = 3_900


class Draft:
    """The org as it would be after the components taken so far."""

    def __init__(self, org: LocalOrg, state: MetadataState) -> None:
        self.change = SchemaChange()
        self.schema = Schema(replace(o, fields=dict(o.fields)) for o in org.schema)
        self.value_sets: dict[str, tuple[PicklistValue, ...]] = dict(state.value_sets)
        self.custom_permissions = set(org.custom_permissions)
        self.removed_permissions: set[str] = set()
        self._names = {(kind, name.lower()) for kind, name in state.kept}
        self._org = org
        self._failed: set[str] = set()
        # Fields of an object that is new go with it: its table is then made in one step.
        self._new: dict[str, SObject] = {}
        self._unchecked: list[tuple[Component, SObject, Field]] = []

    def has(self, kind: str, name: str) -> bool:
        """Return whether the org, or the draft so far, has a component."""
        return (kind, name.lower()) in self._names

    def take(self, component: Component) -> None:
        """Add a component, or remove it when it is a removal; Refused with the org's words when it cannot be done."""
        if component.removal:
            self._remove(component)
            self._names.discard((component.kind, component.name.lower()))
            return
        if component.parent is not None and component.parent in self._failed:
            raise Refused("Parent entity failed to deploy")
        try:
            _TAKE.get(component.kind, _keep)(self, component)
        except Refused:
            if component.kind == "CustomObject":
                self._failed.add(component.name)
            raise
        self._names.add((component.kind, component.name.lower()))

    def finish(self, refuse: Callable[[Component, str], None]) -> None:
        """Check formulas and defaults of the fields taken, which may name any other field of the deploy."""
        for component, owner, made in self._unchecked:
            try:
                if made.formula is not None:
                    formula.check(made.formula, self.schema, owner)
                    formula.sql_expression(self.schema, owner, made, "t")
                if made.default_formula is not None:
                    formula.check(made.default_formula, self.schema, owner)
            except formula.FormulaError as problem:
                refuse(component, str(problem))

    # Objects and what is inside them

    def _object(self, component: Component) -> None:
        element, name = component.element, component.name
        old = self.schema.get(name)
        history = element.flag("enableHistory", old.history_enabled if old else False)
        if not name.endswith("__c"):
            if old is None:
                raise Refused(f"Entity of type 'CustomObject' named '{name}' cannot be found")
            old.history_enabled = history
            self.change.objects.append(replace(old, fields={}, rules=(), record_types=(), history_enabled=history))
            return
        for tag, words in _OBJECT_NEEDS.items():
            if (
                old is None
                and not element.value(tag)
                and element.find("nameField" if tag == "nameField" else tag) is None
            ):
                raise Refused(words)
        label = element.value("label") or (old.label if old else "")
        plural = element.value("pluralLabel") or (old.label_plural if old else "")
        sharing = element.value("sharingModel") or (old.sharing_model if old else "ReadWrite")
        named = _name_field(element, label)
        fields = {"Name": named} if named is not None and (old is None or old.name_field != named) else {}
        made = SObject(
            name, label, plural, None, custom=True, fields=fields, description=element.value("description") or None,
            sharing_model=sharing, searchable=element.flag("enableSearch"), feed_enabled=element.flag("enableFeeds"),
            history_enabled=history,
        )  # fmt: skip
        self.change.objects.append(made)
        if old is None:
            shell = custom_object(name, label, plural, None, named)
            shell.history_enabled = history
            self.schema.put(shell)
            self._new[name] = made
        else:
            old.history_enabled, old.label, old.label_plural = history, label, plural
            for each in fields.values():
                old.put(each)

    def _field(self, component: Component) -> None:
        owner_name, owner, element = *self._owner(component), component.element
        local = component.name.partition(".")[2]
        made = field_from(_named(element, local), owner_name, self.schema, self.value_sets.get)
        if made.history_tracked and not owner.history_enabled:
            raise Refused(f"The entity: {owner.name} does not have history tracking enabled")
        tracked = {f.name for f in owner.fields.values() if f.history_tracked} | (
            {made.name} if made.history_tracked else set()
        )
        if len(tracked) > _MOST_TRACKED:
            raise Refused("exceeded the allowed number of fields to track on a given entity")
        self.schema.put_field(owner.name, made)
        if owner.name in self._new:
            self._new[owner.name].put(made)
        else:
            self.change.fields.append((owner.name, made))
        if made.formula is not None or made.default_formula is not None:
            self._unchecked.append((component, owner, made))

    def _owner(self, component: Component) -> tuple[str, SObject]:
        name, _, local = component.name.partition(".")
        owner = self.schema.get(name)
        if owner is None or not local:
            raise Refused(f"Entity of type 'CustomObject' named '{name}' cannot be found")
        return owner.name, owner

    def _rule(self, component: Component) -> None:
        _, owner = self._owner(component)
        element, name = component.element, component.name.partition(".")[2]
        condition, message = element.value("errorConditionFormula"), element.value("errorMessage")
        if not condition:
            raise Refused("Required field is missing: errorConditionFormula")
        if not message:
            raise Refused("Required field is missing: errorMessage")
        if len(message) > _LONGEST_MESSAGE:
            raise Refused(f"Error Message: data value too large: {message} (max length={_LONGEST_MESSAGE})")
        if len(condition) > _LONGEST_FORMULA:
            raise Refused(
                f"Formula is too long ({len(condition)} characters). Maximum length is {_LONGEST_FORMULA} characters."
            )
        shown = element.value("errorDisplayField") or None
        if shown is not None and owner.field(shown) is None:
            raise Refused(f"In field: errorDisplayField - no CustomField named {owner.name}.{shown} found")
        try:
            formula.check(condition, self.schema, owner, rule=True)
        except formula.FormulaError as problem:
            raise Refused(str(problem)) from problem
        rule = ValidationRule(
            name, condition, message, element.flag("active"), shown, element.value("description") or None
        )
        owner.rules = (*(r for r in owner.rules if r.name != name), rule)
        self.change.rules.append((owner.name, rule))

    def _record_type(self, component: Component) -> None:
        _, owner = self._owner(component)
        element, name = component.element, component.name.partition(".")[2]
        if not element.value("label"):
            raise Refused("Required field is missing: label")
        old = next((r for r in owner.record_types if r.developer_name == name), None)
        made = RecordType(
            old.id if old else self._org.ids.one("012"), name, element.value("label"), element.flag("active", True),
            element.value("description") or None,
        )  # fmt: skip
        owner.record_types = (*(r for r in owner.record_types if r.developer_name != name), made)
        self.change.record_types.append((owner.name, made))

    def _list_view(self, component: Component) -> None:
        _, owner = self._owner(component)
        element = component.element
        for tag in ("label", "filterScope"):
            if not element.value(tag):
                raise Refused(f"Required field is missing: {tag}")
        columns = [*element.values("columns"), *(f.value("field") for f in element.all("filters"))]
        for column in columns:
            if column.endswith("__c") and owner.field(column) is None:
                raise Refused(f"Could not resolve list view column: {column}")

    # Things beside objects

    def _layout(self, component: Component) -> None:
        owner = self.schema.get(component.name.partition("-")[0])
        if owner is None or owner.name in self._failed:
            raise Refused("Parent entity failed to deploy")
        placed = set()
        for item in (e for e in component.element.walk() if e.name == "layoutItems"):
            name = item.value("field")
            placed.add(name.lower())
            if name and owner.field(name) is None and (owner.custom or name.endswith("__c")):
                raise Refused(f"In field: field - no CustomField named {owner.name}.{name} found")
        for each in owner.fields.values():
            needed = each.name == "Name" or (each.custom and each.required)
            if owner.custom and needed and each.name.lower() not in placed:
                raise Refused(f"Layout must contain an item for required layout field: {each.name}")

    def _quick_action(self, component: Component) -> None:
        element = component.element
        target = self.schema.get(element.value("targetObject") or component.name.partition(".")[0])
        if target is None:
            raise Refused(f"In field: targetObject - no CustomObject named {element.value('targetObject')} found")
        for item in (e for e in element.walk() if e.name in ("field", "targetParentField")):
            if target.field(item.text.strip()) is None:
                raise Refused(f"In field: {item.name} - no CustomField named {target.name}.{item.text.strip()} found")

    def _tab(self, component: Component) -> None:
        if component.element.flag("customObject") and self.schema.get(component.name) is None:
            raise Refused(f"In field: customObject - no CustomObject named {component.name} found")

    def _app(self, component: Component) -> None:
        for tab in component.element.values("tabs"):
            if not tab.startswith("standard-") and not self.has("CustomTab", tab):
                raise Refused(f"In field: tabs - no CustomTab named {tab} found")

    def _value_set(self, component: Component) -> None:
        self.value_sets[component.name] = picklist_values(component.element, "customValue")

    def _custom_permission(self, component: Component) -> None:
        if not component.element.value("label"):
            raise Refused("Required field is missing: label")
        self.custom_permissions.add(component.name)
        self.change.custom_permissions.append(component.name)

    def _permission_set(self, component: Component) -> None:
        self.change.permission_sets.append(permission_set_from(component.name, component.element, self))

    def _profile(self, component: Component) -> None:
        if component.name != "Admin":
            raise Refused(f"not modelled: a deploy of the profile {component.name}; use a permission set")
        permission_set_from(component.name, component.element, self)

    # Removal

    def _remove(self, component: Component) -> None:
        kind, name = component.kind, component.name
        if kind == "CustomObject":
            self._remove_object(name)
        elif kind == "CustomField":
            self._remove_field(name)
        elif kind == "ValidationRule":
            owner_name, _, local = name.partition(".")
            owner = self.schema.get(owner_name)
            if owner is None or all(r.name != local for r in owner.rules):
                raise Refused(f"No ValidationRule named: {name} found")
            owner.rules = tuple(r for r in owner.rules if r.name != local)
            self.change.removed_rules.append((owner.name, local))
        elif kind == "PermissionSet":
            if self._org.permission_set_id(name) is None:
                raise Refused(f"No PermissionSet named: {name} found")
            self.change.removed_permission_sets.append(name)
        elif not self.has(kind, name):
            raise Refused(f"No {kind} named: {name} found")
        elif kind == "CustomPermission":
            self.custom_permissions.discard(name)
            self.removed_permissions.add(name)

    def _remove_object(self, name: str) -> None:
        owner = self.schema.get(name)
        if owner is None or not owner.custom:
            raise Refused(f"No CustomObject named: {name} found")
        self.schema.drop(owner.name)
        self.change.removed_objects.append(owner.name)

    def _remove_field(self, name: str) -> None:
        owner_name, _, local = name.partition(".")
        owner = self.schema.get(owner_name)
        gone = None if owner is None else owner.field(local)
        if owner is None or gone is None or not gone.custom:
            raise Refused(f"No CustomField named: {name} found")
        self.schema.drop_field(owner.name, gone.name)
        user = self._user_of_missing(owner)
        if user is not None:
            self.schema.put_field(owner.name, gone)
            raise Refused(
                f"This custom field is referenced elsewhere in salesforce.com. Remove the usage and try again. : {user}"
            )
        self.change.removed_fields.append((owner.name, gone.name))

    def _user_of_missing(self, owner: SObject) -> str | None:
        """Return the rule or formula that no longer works, or None."""
        for rule in owner.rules:
            try:
                formula.check(rule.formula, self.schema, owner, rule=True)
            except formula.FormulaError:
                return f"Validation Rule - {rule.name}"
        for each in self.schema:
            for one in each.fields.values():
                if one.custom and one.formula is not None:
                    try:
                        formula.check(one.formula, self.schema, each)
                    except formula.FormulaError:
                        return f"Formula Field - {each.name}.{one.name}"
        return None

    def loose_ends(self) -> list[tuple[str, str]]:
        """Return (removed object, field of another object that still points at it)."""
        gone = {n.lower() for n in self.change.removed_objects}
        return [
            (target, f"{each.name}.{one.name}")
            for each in self.schema
            for one in each.fields.values()
            if one.custom
            for target in one.reference_to
            if target.lower() in gone
        ]


def _keep(draft: Draft, component: Component) -> None:
    """A component that this org only keeps."""
    if component.parent is not None and draft.schema.get(component.parent) is None:
        raise Refused(f"Entity of type 'CustomObject' named '{component.parent}' cannot be found")
    if component.kind not in KINDS and component.parent is None and "." not in component.name:
        raise Refused(f"not modelled: a {component.kind} outside the file of its object")


_OBJECT_NEEDS = {
    "label": "Must specify a non-empty label for the CustomObject",
    "pluralLabel": "Must specify a non-empty pluralLabel for the CustomObject",
    "nameField": "Must specify a nameField of type Text or AutoNumber for the CustomObject",
    "sharingModel": "Must specify a sharingModel for the CustomObject",
}

_TAKE: dict[str, Callable[[Draft, Component], None]] = {
    "CustomObject": Draft._object,
    "CustomField": Draft._field,
    "ValidationRule": Draft._rule,
    "RecordType": Draft._record_type,
    "ListView": Draft._list_view,
    "Layout": Draft._layout,
    "CustomTab": Draft._tab,
    "QuickAction": Draft._quick_action,
    "CustomApplication": Draft._app,
    "GlobalValueSet": Draft._value_set,
    "CustomPermission": Draft._custom_permission,
    "PermissionSet": Draft._permission_set,
    "Profile": Draft._profile,
}


def _named(element: Element, local: str) -> Element:
    """Return the element with the bare name of the field, as it stands in a file (the CRUD calls send Object.Field)."""
    if element.value("fullName") == local:
        return element
    others = [c for c in element.children if c.name != "fullName"]
    name = Element("fullName", element.namespace, local)
    return Element(element.name, element.namespace, "", {}, [name, *others], element.line, element.column)


def _name_field(element: Element, label: str) -> Field | None:
    given = element.find("nameField")
    if given is None:
        return None
    called = given.value("label") or f"{label} Name"
    if given.value("type") == "AutoNumber":
        shape = given.value("displayFormat")
        if "{0" not in shape:
            raise Refused("Must specify a 'displayFormat' for a nameField of type AutoNumber")
        return Field(
            "Name", "string", called, length=80, name_field=True, id_lookup=True, auto_number=shape, nillable=False,
            createable=False, updateable=False, defaulted_on_create=True,
        )  # fmt: skip
    if given.value("type") not in ("Text", ""):
        raise Refused("Must specify a nameField of type Text or AutoNumber for the CustomObject")
    return Field(
        "Name", "string", called, length=80, name_field=True, id_lookup=True, defaulted_on_create=True,
        history_tracked=given.flag("trackHistory"),
    )  # fmt: skip
