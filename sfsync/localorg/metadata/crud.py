"""The CRUD calls of the Metadata API: one component a time, without a zip, each standing or falling by itself.

It may not know SOAP envelopes. It keeps one law: a component made here is the same as one that was deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata.deploy import Message, may_deploy, remember
from sfsync.localorg.metadata.draft import Draft
from sfsync.localorg.metadata.fields import Refused
from sfsync.localorg.metadata.kinds import CHILDREN, KINDS, NAMESPACE, place_in_order
from sfsync.localorg.metadata.package import Component
from sfsync.localorg.metadata.retrieve import standing, whole_object
from sfsync.localorg.metadata.state import state_of
from sfsync.localorg.xmltree import Element

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

MOST_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of one component: whether it was made, and the status code and words of a refusal."""

    name: str
    created: bool = False
    code: str | None = None
    message: str | None = None

    @property
    def success(self) -> bool:
        """Whether the component stands."""
        return self.code is None


def save(org: LocalOrg, actor: Actor, elements: Sequence[Element], verb: str) -> list[Saved]:
    """Create, update or upsert components, as ``verb`` says; one result each, in order."""
    may_deploy(actor)
    _few(len(elements))
    kinds = {_kind(e) for e in elements}
    if len(kinds) > 1:
        raise ApiError(400, "INVALID_TYPE", "All metadata in one call must be of the same type")
    return [_save_one(org, actor, element, _kind(element), verb) for element in elements]


def _few(count: int) -> None:
    if count > MOST_AT_ONCE:
        raise ApiError(
            400,
            "LIMIT_EXCEEDED",
            f"record limit reached. cannot submit more than {MOST_AT_ONCE} records in this operation",
        )


def _kind(element: Element) -> str:
    kind = element.attributes.get("type", "").rpartition(":")[2]
    if kind not in KINDS and kind not in CHILDREN:
        raise ApiError(400, "INVALID_TYPE", f"INVALID_TYPE: not modelled: metadata of type {kind or '(none given)'}")
    return kind


def _save_one(org: LocalOrg, actor: Actor, element: Element, kind: str, verb: str) -> Saved:
    name = element.value("fullName")
    if not name:
        return Saved("", False, "REQUIRED_FIELD_MISSING", "Required field is missing: fullName")
    exists = _exists(org, kind, name)
    if verb == "create" and exists:
        return Saved(name, False, "DUPLICATE_DEVELOPER_NAME", f"There is already a {kind} with the API name {name}.")
    if verb == "update" and not exists:
        return Saved(name, False, "INVALID_CROSS_REFERENCE_KEY", f"no {kind} named {name} found")
    problem = _carry_out(org, actor, _components(kind, name, element))
    if problem is not None:
        return Saved(name, False, problem[0], problem[1])
    return Saved(name, not exists)


def _components(kind: str, name: str, element: Element) -> list[Component]:
    """Return the component and, for an object, what its element holds besides its own settings."""
    inside = {tag: child for tag, child, _ in KINDS[kind].children} if kind in KINDS else {}
    own = Element(
        kind,
        NAMESPACE,
        "",
        {},
        [c for c in element.children if c.name not in inside and (c.name != "fullName" or kind in CHILDREN)],
    )
    made = [Component(kind, name, "", own, parent=name.partition(".")[0] if kind in CHILDREN else None)]
    for child in element.children:
        if child.name in inside:
            full_name = f"{name}.{child.value('fullName').rpartition('.')[2]}"
            made.append(Component(inside[child.name], full_name, "", child, parent=name))
    return sorted(made, key=lambda c: place_in_order(c.kind))


def _exists(org: LocalOrg, kind: str, name: str) -> bool:
    if kind == "CustomObject":
        return org.schema.get(name) is not None
    if kind == "CustomField":
        owner = org.schema.get(name.partition(".")[0])
        return owner is not None and owner.field(name.partition(".")[2]) is not None
    return (kind, name) in state_of(org).kept


def _carry_out(org: LocalOrg, actor: Actor, components: Sequence[Component]) -> tuple[str, str] | None:
    """Take the components all together; return the code and words of the first refusal, None when they stand."""
    state = state_of(org)
    draft = Draft(org, state)
    late: list[str] = []
    try:
        for component in components:
            draft.take(component)
        draft.finish(lambda _component, words: late.append(words))
        if late:
            raise Refused(late[0])
        org.schema_change(draft.change)
    except Refused as words:
        return _code(str(words)), str(words)
    except ApiError as refused:
        return refused.code, refused.message
    state.value_sets = draft.value_sets
    org.custom_permissions -= draft.removed_permissions
    for component in components:
        remember(org, state, actor, component, Message(component.kind, component.name, ""))
    return None


def _code(words: str) -> str:
    if words.startswith("not modelled"):
        return "FUNCTIONALITY_NOT_ENABLED"
    if words.startswith(("In field", "Entity of type", "no ", "No ", "referenceTo")):
        return "INVALID_CROSS_REFERENCE_KEY"
    if words.startswith(("Required field", "Must specify")):
        return "REQUIRED_FIELD_MISSING"
    return "FIELD_INTEGRITY_EXCEPTION"


def read(org: LocalOrg, kind: str, names: Sequence[str]) -> list[Element | None]:
    """Return the components as deployed, fullName first; None for one that is not there. At most ten."""
    _few(len(names))
    if kind not in KINDS and kind not in CHILDREN:
        raise ApiError(400, "INVALID_TYPE", f"INVALID_TYPE: not modelled: metadata of type {kind}")
    state = state_of(org)
    found: list[Element | None] = []
    for name in names:
        kept = state.kept.get((kind, name))
        if kept is None and kind == "CustomObject" and org.schema.get(name) is not None:
            kept = standing(org, org.schema[name].name)
        if kept is None:
            found.append(None)
            continue
        element = whole_object(state, kept) if kind == "CustomObject" else kept.element
        others = [c for c in element.children if c.name != "fullName"]
        found.append(Element(kind, NAMESPACE, "", {}, [Element("fullName", NAMESPACE, kept.name), *others]))
    return found


def delete(org: LocalOrg, actor: Actor, kind: str, names: Sequence[str]) -> list[Saved]:
    """Delete components; one result each, in order."""
    may_deploy(actor)
    _few(len(names))
    results = []
    for name in names:
        problem = _carry_out(org, actor, [Component(kind, name, "", Element(kind), removal=True)])
        results.append(Saved(name) if problem is None else Saved(name, False, *problem))
    return results
