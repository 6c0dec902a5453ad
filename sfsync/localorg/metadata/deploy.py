"""Deployments: a package tried on a draft, then applied all together, partly, or not at all.

It may not know SOAP or REST. It keeps one law: what a deployment reports is what the org holds afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError
from sfsync.localorg.metadata.draft import Draft
from sfsync.localorg.metadata.fields import Refused
from sfsync.localorg.metadata.kinds import PREFIXES, place_in_order
from sfsync.localorg.metadata.package import BadZip, Component, Package, Refusal, read_package
from sfsync.localorg.metadata.state import Kept, MetadataState, state_of
from sfsync.localorg.xmltree import Element, rendered

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

TEST_LEVELS = ("NoTestRun", "RunSpecifiedTests", "RunLocalTests", "RunAllTestsInOrg", "RunRelevantTests")


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """The options of a deploy call, with the defaults an org gives them."""

    allow_missing_files: bool = False
    auto_update_package: bool = False
    check_only: bool = False
    ignore_warnings: bool = False
    perform_retrieve: bool = False
    purge_on_delete: bool = False
    rollback_on_error: bool = True
    single_package: bool = False
    test_level: str = "NoTestRun"
    run_tests: tuple[str, ...] = ()


@dataclass(slots=True)
class Message:
    """What became of one component: the element DeployMessage of the API."""

    kind: str
    name: str
    file: str
    id: str | None = None
    created: bool = False
    changed: bool = False
    deleted: bool = False
    success: bool = True
    problem: str | None = None
    warning: bool = False
    line: int | None = None
    column: int | None = None


@dataclass(slots=True)
class Deployment:
    """A deployment from its call to its end."""

    id: str
    options: DeployOptions
    data: bytes
    actor: Actor
    created_at: datetime
    due_at: datetime
    status: str = "Pending"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    modified_at: datetime | None = None
    error: tuple[str, str] | None = None
    messages: list[Message] = field(default_factory=list)
    canceled_by: Actor | None = None
    validated: str | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, however."""
        return self.status in ("Succeeded", "SucceededPartial", "Failed", "Canceled")

    @property
    def successes(self) -> list[Message]:
        """The components that stand."""
        return [m for m in self.messages if m.success]

    @property
    def failures(self) -> list[Message]:
        """The components that were refused."""
        return [m for m in self.messages if not m.success]

    @property
    def counted(self) -> list[Message]:
        """The components that the totals count: all but the manifest."""
        return [m for m in self.messages if m.kind]

    @property
    def total(self) -> int:
        """The number of components in the package."""
        return len(self.counted) + sum(1 for m in self.failures if not m.kind)

    @property
    def deployed(self) -> int:
        """The number of components that stand."""
        return sum(1 for m in self.counted if m.success)


def start(org: LocalOrg, actor: Actor, data: bytes, options: DeployOptions) -> Deployment:
    """Take a deploy call: unless the org was told to be slow, it has ended when this returns.

    Raises ApiError when the caller may not deploy or asks for what this org does not have.
    """
    may_deploy(actor)
    if options.test_level not in TEST_LEVELS:
        raise ApiError(400, "INVALID_FIELD", f"testLevel of {options.test_level} is not valid")
    if options.run_tests and options.test_level != "RunSpecifiedTests":
        raise ApiError(400, "INVALID_OPERATION", "runTests can be used only with a testLevel of RunSpecifiedTests")
    if not options.rollback_on_error and not org.sandbox and org.edition not in ("Developer Edition",):
        raise ApiError(400, "INVALID_OPERATION", "rollbackOnError option must be true on a production org")
    state = state_of(org)
    now = org.now()
    made = Deployment(
        org.ids.one("0Af"), options, data, actor, now, now + timedelta(seconds=state.slow_seconds), modified_at=now
    )
    state.deployments[made.id] = made
    settle(org)
    return made


def quick(org: LocalOrg, actor: Actor, validated_id: str) -> Deployment:
    """Deploy what was validated before; ApiError when there is no such successful validation."""
    may_deploy(actor)
    known = find(org, validated_id)
    if not known.options.check_only or known.status != "Succeeded":
        raise ApiError(400, "INVALID_ID_FIELD", f"no qualified validation with the id {validated_id}")
    from dataclasses import replace

    made = start(org, actor, known.data, replace(known.options, check_only=False))
    made.validated = known.id
    return made


def find(org: LocalOrg, deployment_id: str) -> Deployment:
    """Return a deployment by its 15- or 18-character id; ApiError when there is none."""
    settle(org)
    for known in state_of(org).deployments.values():
        if deployment_id in (known.id, known.id[:15]):
            return known
    raise ApiError(404, "INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {deployment_id}")


def cancel(org: LocalOrg, actor: Actor, deployment_id: str) -> Deployment:
    """Cancel a deployment that has not ended; ApiError when it has."""
    may_deploy(actor)
    known = find(org, deployment_id)
    if known.done:
        raise ApiError(400, "INVALID_ID_FIELD", "Deployment already completed")
    known.status, known.canceled_by = "Canceled", actor
    known.completed_at = known.modified_at = org.now()
    return known


def settle(org: LocalOrg) -> None:
    """Begin and end the deployments whose time has come by the org's clock, one after the other as an org does."""
    now = org.now()
    for each in list(state_of(org).deployments.values()):
        if each.done:
            continue
        if each.due_at > now:
            if each.status == "Pending":
                each.status, each.started_at = "InProgress", each.created_at
            return
        _run(org, each)


def may_deploy(actor: Actor) -> None:
    """Raise ApiError when this user may not change metadata."""
    if not (actor.admin or "ModifyMetadata" in actor.custom_permissions):
        raise ApiError(
            403, "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS: use of the Metadata API requires a user with the "
            "ModifyAllData or ModifyMetadata permissions",
        )  # fmt: skip


def _run(org: LocalOrg, deployment: Deployment) -> None:
    deployment.started_at = deployment.started_at or deployment.created_at
    options = deployment.options
    try:
        package = read_package(
            deployment.data, allow_missing=options.allow_missing_files, auto_update=options.auto_update_package
        )
    except BadZip as bad:
        deployment.error = ("INVALID_ZIP", str(bad))
        package = Package()
        deployment.messages.append(Message("", "", "", success=False, problem=str(bad)))
    _carry_out(org, deployment, package)
    now = org.now()
    deployment.completed_at = deployment.modified_at = now


def _carry_out(org: LocalOrg, deployment: Deployment, package: Package) -> None:
    options, state = deployment.options, state_of(org)
    messages = deployment.messages
    messages.extend(_refused(refusal) for refusal in package.refusals)
    draft = Draft(org, state)
    taken = _tried(draft, package, messages)
    failed = any(not m.success for m in messages)
    if failed and options.rollback_on_error:
        deployment.status = "Failed"
    elif options.check_only:
        deployment.status = "Failed" if failed else "Succeeded"
    else:
        _apply(org, deployment, package, draft, taken, failed)
    if package.version and deployment.status != "Failed":
        messages.insert(0, Message("", "package.xml", "package.xml", changed=True))


def _refused(refusal: Refusal) -> Message:
    return Message(
        refusal.kind, refusal.name, refusal.file, success=refusal.warning, problem=refusal.problem,
        warning=refusal.warning, line=refusal.line, column=refusal.column,
    )  # fmt: skip


def _tried(draft: Draft, package: Package, messages: list[Message]) -> list[tuple[Component, Message]]:
    """Take every component into the draft, what others refer to first, and return those that stand."""
    outcome: dict[int, Message] = {}
    components = sorted(package.components, key=lambda c: place_in_order(c.kind))
    before = sorted(package.removals_before, key=lambda c: place_in_order(c.kind), reverse=True)
    after = sorted(package.removals_after, key=lambda c: place_in_order(c.kind), reverse=True)

    def refuse(component: Component, problem: str) -> None:
        made = outcome[id(component)]
        # Removing what is not there is a warning, as in life.
        made.warning = component.removal and problem.startswith("No ")
        made.success = made.warning
        made.problem, made.line, made.column = problem, component.line, component.column

    for component in (*before, *components, *after):
        outcome[id(component)] = Message(component.kind, component.name, component.file)
        try:
            draft.take(component)
        except Refused as words:
            refuse(component, str(words))
    draft.finish(refuse)
    for target, holder in draft.loose_ends():
        for component in (*before, *after):
            if component.kind == "CustomObject" and component.name == target:
                refuse(
                    component,
                    f"This custom object is referenced elsewhere in salesforce.com. : Custom Field - {holder}",
                )
    in_file_order = [*package.removals_before, *package.components, *package.removals_after]
    messages.extend(outcome[id(c)] for c in in_file_order)
    return [(c, outcome[id(c)]) for c in in_file_order if outcome[id(c)].success and not outcome[id(c)].warning]


def _apply(
    org: LocalOrg,
    deployment: Deployment,
    package: Package,
    draft: Draft,
    taken: list[tuple[Component, Message]],
    failed: bool,
) -> None:
    """Change the org; components refused by the change itself fail the whole deployment."""
    if failed and any(not m.success and m.kind in ("CustomObject", "CustomField") for m in deployment.messages):
        # What was built on a refused component is judged again without it.
        stood = {id(c) for c, _ in taken}
        smaller = Package(
            package.version,
            [c for c in package.components if id(c) in stood],
            [c for c in package.removals_before if id(c) in stood],
            [c for c in package.removals_after if id(c) in stood],
        )
        draft = Draft(org, state_of(org))
        again: list[Message] = []
        taken = _tried(draft, smaller, again)
        by_name = {(m.kind, m.name): m for m in again}
        deployment.messages[:] = [by_name.get((m.kind, m.name), m) if m.success else m for m in deployment.messages]
    try:
        org.schema_change(draft.change)
    except ApiError as refused:
        deployment.status, deployment.error = "Failed", (refused.code, refused.message)
        for _, message in taken:
            message.success = False
        deployment.messages.append(Message("", "", "", success=False, problem=refused.message))
        return
    state = state_of(org)
    state.value_sets = draft.value_sets
    org.custom_permissions -= draft.removed_permissions
    for component, message in taken:
        remember(org, state, deployment.actor, component, message)
    deployment.status = "SucceededPartial" if any(not m.success for m in deployment.messages) else "Succeeded"


def remember(org: LocalOrg, state: MetadataState, actor: Actor, component: Component, message: Message) -> None:
    """Keep a component that the org has just taken, or forget one that was removed, and complete its message."""
    key, now = (component.kind, component.name), org.now()
    old = state.kept.get(key)
    if component.removal:
        message.deleted = message.changed = True
        message.id = old.id if old else None
        _forget(org, state, component)
        return
    element = merged(old.element, component.element) if old and component.kind == "CustomObject" else component.element
    message.created = old is None
    message.changed = old is None or rendered(old.element) != rendered(element)
    if old is None:
        made_id = (component.kind == "PermissionSet" and org.permission_set_id(component.name)) or org.ids.one(
            PREFIXES[component.kind]
        )
        old = Kept(component.kind, component.name, element, made_id, now, actor.user_id, now, actor.user_id)
    elif message.changed:
        old.element, old.modified_at, old.modified_by = element, now, actor.user_id
    state.kept[key] = old
    message.id = old.id


def merged(old: Element, new: Element) -> Element:
    """Return the settings of an object after a deploy: those it names, and the others as they were."""
    named = {child.name for child in new.children}
    children = [*(c for c in old.children if c.name not in named), *new.children]
    return Element(new.name, new.namespace, "", {}, sorted(children, key=lambda c: c.name))


def _forget(org: LocalOrg, state: MetadataState, component: Component) -> None:
    """Drop a removed component, what lived inside it, and grants that name it."""
    state.kept.pop((component.kind, component.name), None)
    inside = f"{component.name}."
    if component.kind == "CustomObject":
        for key in list(state.kept):
            kind, name = key
            if name.startswith(inside) or (kind == "Layout" and name.startswith(f"{component.name}-")):
                del state.kept[key]
        state.kept.pop(("CustomTab", component.name), None)
    if component.kind not in ("CustomObject", "CustomField"):
        return
    for kept in state.kept.values():
        if kept.kind in ("PermissionSet", "Profile"):
            children = [c for c in kept.element.children if not _names(c, component.name, inside)]
            kept.element = Element(kept.element.name, kept.element.namespace, "", {}, children)
    for table, column in (("FieldPermissions", "Field"), ("ObjectPermissions", "SobjectType")):
        rows = org.storage.rows(f'SELECT "Id", "{column}" FROM "{table}"')
        gone = [i for i, name in rows if name == component.name or str(name).startswith(inside)]
        org.storage.remove(table, gone)


def _names(grant: Element, name: str, inside: str) -> bool:
    field_name = grant.value("field")
    return grant.value("object") == name or field_name == name or field_name.startswith(inside)
