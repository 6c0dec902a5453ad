"""Quick actions: the few buttons with which people log time, acknowledge and decide, without a flow or code.

It may not know permission sets. It keeps one law: an action that needs a field which is off, or which people do not
change in this org, is left out, and so is its button.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfsync.mapping import Mappings
from sfsync.metadata.fields import deployed
from sfsync.metadata.xmltext import Element, leaf, tree


@dataclass(frozen=True, slots=True)
class Action:
    """A button on records of the mapping ``on``.

    ``asks`` are the fields it shows (True: must be filled in); ``sets`` gives fields a word, or a formula when it ends
    with a parenthesis. ``creates`` names the mapping it makes a record of, and that record's lookup back.
    """

    name: str
    label: str
    on: str
    asks: tuple[tuple[str, bool], ...]
    sets: tuple[tuple[str, str], ...] = ()
    creates: tuple[str, str] | None = None


ACTIONS = (
    Action(
        "Log_Time",
        "Log Time",
        on="case",
        asks=(("worked_on", True), ("worked_minutes", True), ("category", False), ("description", False)),
        sets=(("worked_on", "TODAY()"),),
        creates=("time_entry", "case"),
    ),
    Action(
        "Acknowledge", "Acknowledge", on="case", asks=(("acknowledged_at", True),), sets=(("acknowledged_at", "NOW()"),)
    ),
    Action("Approve", "Approve", on="estimate", asks=(("client_comment", False),), sets=(("status", "Approved"),)),
    Action(
        "Reject",
        "Reject",
        on="estimate",
        asks=(("reject_reason", True), ("client_comment", False)),
        sets=(("status", "Rejected"),),
    ),
    Action(
        "Ask_A_Question",
        "Ask a Question",
        on="estimate",
        asks=(("client_comment", True),),
        sets=(("status", "Question"),),
    ),
)


def quick_actions(mappings: Mappings) -> dict[str, Element]:
    """Return the quick actions by full name, ``Case.Log_Time``."""
    made = {}
    for action in ACTIONS:
        element = _element(action, mappings)
        if element is not None:
            made[f"{mappings[action.on].object}.{action.name}"] = element
    return made


def _element(action: Action, mappings: Mappings) -> Element | None:
    if action.on not in mappings.objects or (action.creates and action.creates[0] not in mappings.objects):
        return None
    target = mappings[action.creates[0] if action.creates else action.on]
    if action.creates and target.copy:
        return None
    api = {f.name: f.api for f in deployed(target) if f.owner != "service"}
    needed = {name for name, _ in (*action.asks, *action.sets)} | ({action.creates[1]} if action.creates else set())
    if not needed <= api.keys():
        return None
    return tree(
        "QuickAction",
        overrides=[
            tree(
                "fieldOverrides",
                field=api[name],
                formula=value if value.endswith(")") else None,
                literalValue=None if value.endswith(")") else value,
            )
            for name, value in action.sets
        ],
        label=action.label,
        optionsCreateFeedItem=False,
        layout=_layout([(api[name], must) for name, must in action.asks]),
        targetObject=target.object if action.creates else None,
        targetParentField=api[action.creates[1]] if action.creates else None,
        type="Create" if action.creates else "Update",
    )


def _layout(fields: list[tuple[str, bool]]) -> Element:
    half = (len(fields) + 1) // 2
    columns = [
        Element(
            "quickActionLayoutColumns",
            children=[
                Element(
                    "quickActionLayoutItems",
                    children=[
                        leaf("emptySpace", False),
                        leaf("field", name),
                        leaf("uiBehavior", "Required" if must else "Edit"),
                    ],
                )
                for name, must in part
            ],
        )
        for part in (fields[:half], fields[half:])
    ]
    return Element("quickActionLayout", children=[leaf("layoutSectionStyle", "TwoColumnsLeftToRight"), *columns])


def action_list(mapping_name: str, mappings: Mappings) -> Element | None:
    """Return the buttons of our own object's page, ours before the standard ones; None when we have none for it."""
    here = mappings[mapping_name].object
    ours = [name for name in quick_actions(mappings) if name.partition(".")[0] == here]
    if not ours:
        return None
    buttons = [*((name, "QuickAction") for name in ours), ("Edit", "StandardButton")]
    return tree(
        "platformActionList",
        actionListContext="Record",
        items=[
            tree("platformActionListItems", actionName=name, actionType=kind, sortOrder=order)
            for order, (name, kind) in enumerate(buttons)
        ],
    )
