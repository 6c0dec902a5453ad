"""What people see: list views, page layouts, tabs and the Maintenance app.

It may not know permission sets. It keeps one law: a page of a standard object belongs to the client, so only our own
objects get layouts, and the Case gets list views alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfsync.mapping import MappedField, Mappings, ObjectMapping
from sfsync.metadata.actions import action_list
from sfsync.metadata.fields import REVISION, deployed, written
from sfsync.metadata.xmltext import Element, leaf, tree

APP = "Sfsync_Maintenance"
TABS = ("account", "pack", "estimate", "time_entry", "summary")
"""Mappings that get a tab, in the order of the app."""

_MOTIF = "Custom67: Gears"
_RELATED_FIELDS = 4


@dataclass(frozen=True, slots=True)
class View:
    """A list view: ``columns`` are mapping names or standard columns, ``filters`` (field, operation, value)."""

    name: str
    label: str
    columns: tuple[str, ...]
    filters: tuple[tuple[str, str, str], ...] = ()
    mine: bool = False


VIEWS: dict[str, tuple[View, ...]] = {
    "account": (View("All", "All", ("NAME", "sla_plan", "available_minutes", "next_expiry_on", "waiting_estimates")),),
    "pack": (
        View("All", "All", ("NAME", "plan", "status", "remaining_minutes", "available_minutes", "last_valid_on")),
        View(
            "Active",
            "Active",
            ("NAME", "plan", "remaining_minutes", "available_minutes", "last_valid_on"),
            (("status", "equals", "Active"),),
        ),
        View(
            "Expiring",
            "Expiring in 60 days",
            ("NAME", "plan", "remaining_minutes", "last_valid_on", "extension_requested"),
            (("status", "equals", "Active"), ("last_valid_on", "equals", "NEXT_N_DAYS:60")),
        ),
    ),
    "case": (
        View(
            "Maintenance",
            "Maintenance requests",
            ("CASES.CASE_NUMBER", "CASES.SUBJECT", "CASES.STATUS", "priority", "category", "sla_status", "due_at"),
            (("request", "equals", "1"),),
        ),
        View(
            "Maintenance_By_Client",
            "Requests by client",
            ("client", "number", "CASES.SUBJECT", "CASES.STATUS", "priority", "sla_status", "due_at"),
            (("request", "equals", "1"),),
        ),
        View(
            "Maintenance_At_Risk",
            "SLA at risk",
            ("CASES.CASE_NUMBER", "CASES.SUBJECT", "priority", "due_at", "explained"),
            (("sla_status", "equals", "At risk"),),
        ),
        View(
            "Maintenance_Breached",
            "SLA breached",
            ("CASES.CASE_NUMBER", "CASES.SUBJECT", "priority", "due_at", "met_at"),
            (("breached", "equals", "1"),),
        ),
    ),
    "estimate": (
        View("All", "All", ("NAME", "case", "status", "hours", "category", "valid_until_on")),
        View(
            "Waiting",
            "Waiting for my decision",
            ("NAME", "case", "hours", "balance_after_minutes", "category", "valid_until_on"),
            (("status", "equals", "Sent"),),
        ),
    ),
    "time_entry": (
        View("All", "All", ("NAME", "case", "worked_on", "hours", "category", "state", "sync_message")),
        View(
            "My_Week",
            "My week",
            ("NAME", "case", "worked_on", "hours", "category", "state"),
            (("worked_on", "equals", "THIS_WEEK"),),
            mine=True,
        ),
        View(
            "Not_Counted",
            "Needs attention",
            ("NAME", "case", "worked_on", "hours", "state", "sync_message"),
            (("state", "equals", "Waiting for approval,Refused"),),
        ),
    ),
    "adjustment": (View("All", "All", ("NAME", "pack", "kind", "minutes", "effective_on", "reference", "reason")),),
    "summary": (
        View("All", "All", ("NAME", "iso_week", "status", "used_minutes", "closing_minutes", "breaches")),
        View(
            "Published",
            "Published",
            ("NAME", "iso_week", "used_minutes", "closing_minutes", "headline", "read_by_client"),
            (("status", "equals", "Published,Revised"),),
        ),
    ),
    "summary_line": (View("All", "All", ("NAME", "summary", "kind", "case_number", "subject", "minutes")),),
}


def list_views(mapping: ObjectMapping) -> list[Element]:
    """Return the list views of one object; a view that needs a field which is off is left out."""
    return [made for view in VIEWS.get(mapping.name, ()) if (made := _list_view(view, mapping)) is not None]


def _list_view(view: View, mapping: ObjectMapping) -> Element | None:
    here = {f.name: f.api for f in deployed(mapping)}
    wanted = {*(c for c in view.columns if c.islower()), *(f for f, _, _ in view.filters)}
    if not wanted <= here.keys():
        return None
    return tree(
        "listViews",
        fullName=view.name,
        columns=[leaf("columns", here.get(c, c)) for c in view.columns],
        filterScope="Mine" if view.mine else "Everything",
        filters=[tree("filters", field=here[f], operation=how, value=value) for f, how, value in view.filters],
        label=view.label,
    )


def layouts(mappings: Mappings) -> dict[str, Element]:
    """Return the page layouts of our own objects by the name of their file."""
    return {f"{m.object}-{m.label} Layout": _layout(m, mappings) for m in mappings if m.custom}


def _layout(mapping: ObjectMapping, mappings: Mappings) -> Element:
    fields = deployed(mapping)
    people = [f for f in fields if f.owner != "service" and f.formula is None]
    computed = [f for f in fields if f.owner == "service" or f.formula is not None]
    sections = [
        _section(mapping.label, [_item("Name", _name_behavior(mapping)), *(_item(f.api, _behavior(f)) for f in people)])
    ]
    if computed:
        sections.append(_section("Kept by the maintenance service", [_item(f.api, "Readonly") for f in computed]))
    system = [_item("OwnerId", "Edit"), _item("CreatedById", "Readonly"), _item("LastModifiedById", "Readonly")]
    if mapping.key:
        system.append(_item(mapping.key, "Readonly"))
    if written(mapping):
        system.append(_item(REVISION, "Readonly"))
    sections.append(_section("System Information", system))
    return tree(
        "Layout",
        sections=sections,
        actions=action_list(mapping.name, mappings),
        related=_related(mapping, mappings),
    )


def _section(label: str, items: list[Element]) -> Element:
    half = (len(items) + 1) // 2
    return tree(
        "layoutSections",
        customLabel=True,
        detailHeading=True,
        editHeading=True,
        label=label,
        columns=[
            Element("layoutColumns", children=items[:half]),
            Element("layoutColumns", children=items[half:]),
        ],
        style="TwoColumnsTopToBottom",
    )


def _item(field: str, behavior: str) -> Element:
    return tree("layoutItems", behavior=behavior, field=field)


def _behavior(field: MappedField) -> str:
    return "Required" if field.required else "Edit"


def _name_behavior(mapping: ObjectMapping) -> str:
    auto = mapping.name_type is not None and mapping.name_type.kind == "autonumber"
    return "Readonly" if auto else "Required"


def _related(mapping: ObjectMapping, mappings: Mappings) -> list[Element]:
    """Return one related list for each lookup that points here, with the first columns of that object's main view."""
    lists = []
    for child in mappings:
        views = VIEWS.get(child.name, ())
        here = {f.name: f.api for f in deployed(child)}
        for field in deployed(child):
            if field.type.target != mapping.object:
                continue
            columns = [here[c] for c in (views[0].columns if views else ()) if c in here and here[c] != field.api]
            lists.append(
                tree(
                    "relatedLists",
                    fields=[leaf("fields", c) for c in ["NAME", *columns[:_RELATED_FIELDS]]],
                    relatedList=f"{child.object}.{field.api}",
                )
            )
    return lists


def tabs(mappings: Mappings) -> dict[str, Element]:
    """Return the tabs of our own objects by name."""
    return {
        m.object: tree("CustomTab", customObject=True, description=m.description or None, motif=_MOTIF)
        for m in mappings
        if m.name in TABS and m.custom
    }


def app(mappings: Mappings) -> Element:
    """Return the Maintenance app: our tabs, and the Case between estimates and time."""
    named = {m.name: m.object for m in mappings if m.custom}
    order = [named[name] for name in TABS if name in named]
    if "case" in {m.name for m in mappings}:
        order.insert(min(3, len(order)), "standard-Case")
    return tree(
        "CustomApplication",
        description="Prepaid maintenance: hours left, estimates to decide on, work of the week.",
        formFactors=[leaf("formFactors", "Small"), leaf("formFactors", "Large")],
        label="Maintenance",
        navType="Standard",
        tabs=[leaf("tabs", name) for name in order],
        uiType="Lightning",
    )
