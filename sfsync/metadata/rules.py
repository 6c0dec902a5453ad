"""Validation rules: what the org itself refuses, whoever asks.

It may not know pages or permission sets beyond the names of their custom permissions. It keeps one law: a rule names
fields by their mapping name, so an overlay that renames a field renames it here, and one that switches it off drops
the rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfsync.mapping import MappedField, ObjectMapping
from sfsync.metadata.fields import REVISION, deployed, written
from sfsync.metadata.xmltext import Element, tree

SERVICE = "sfsync_Service"
APPROVE = "sfsync_Approve_Estimates"

_NOT_SERVICE = f"NOT($Permission.{SERVICE})"


@dataclass(frozen=True, slots=True)
class DesignRule:
    """A rule written by hand: ``{field}`` stands for the API name of that field of the mapping."""

    name: str
    formula: str
    message: str
    field: str
    why: str


DESIGN: dict[str, tuple[DesignRule, ...]] = {
    "estimate": (
        DesignRule(
            "Only_Approvers_Approve",
            'AND(OR(ISNEW(), ISCHANGED({status})), ISPICKVAL({status}, "Approved"), '
            f"NOT($Permission.{APPROVE}), {_NOT_SERVICE})",
            "Only an approver can approve an estimate.",
            "status",
            "Approval takes hours off a pack, so it needs the approver's permission.",
        ),
        DesignRule(
            "Rejection_Needs_A_Reason",
            'AND(ISPICKVAL({status}, "Rejected"), ISBLANK(TEXT({reject_reason})))',
            "Choose why the estimate is rejected.",
            "reject_reason",
            "The consultants learn from the reason.",
        ),
        DesignRule(
            "Only_Sent_Is_Decided",
            "AND(NOT(ISNEW()), ISCHANGED({status}), "
            'OR(ISPICKVAL({status}, "Approved"), ISPICKVAL({status}, "Rejected")), '
            'NOT(ISPICKVAL(PRIORVALUE({status}), "Sent")), NOT(ISPICKVAL(PRIORVALUE({status}), "Question")), '
            f"{_NOT_SERVICE})",
            "Only an estimate that was sent can be approved or rejected.",
            "status",
            "A draft or a superseded version is no offer.",
        ),
        DesignRule(
            "Approved_Is_Final",
            'AND(NOT(ISNEW()), ISCHANGED({status}), ISPICKVAL(PRIORVALUE({status}), "Approved"), ' + _NOT_SERVICE + ")",
            "An approved estimate stays approved; ask for a new version.",
            "status",
            "Hours are reserved on it.",
        ),
        DesignRule(
            "Sent_Is_Frozen",
            'AND(NOT(ISNEW()), NOT(ISPICKVAL(PRIORVALUE({status}), "Draft")), '
            "OR(ISCHANGED({estimated_minutes}), ISCHANGED({category}), ISCHANGED({scope}), ISCHANGED({case})), "
            + _NOT_SERVICE
            + ")",
            "A sent estimate is not changed; make a new version.",
            "estimated_minutes",
            "The client decides on what it was shown.",
        ),
    ),
    "time_entry": (
        DesignRule(
            "Minutes_Within_A_Day",
            "OR({worked_minutes} < 1, {worked_minutes} > 1440)",
            "Log between 1 and 1440 minutes.",
            "worked_minutes",
            "Nothing and more than a day are typing errors.",
        ),
        DesignRule(
            "No_Work_In_The_Future",
            "AND(OR(ISNEW(), ISCHANGED({worked_on})), {worked_on} > TODAY(), " + _NOT_SERVICE + ")",
            "Work is logged on the day it was done or later.",
            "worked_on",
            "Planned work is an estimate.",
        ),
    ),
}


def validation_rules(mapping: ObjectMapping) -> list[Element]:
    """Return the rules of one object: the revision fence, the guard of service fields, then those written by hand."""
    rules = []
    if written(mapping):
        rules.append(
            _rule(
                "Sfsync_Revision_Never_Falls",
                f"AND(NOT(ISNEW()), {REVISION} < PRIORVALUE({REVISION}))",
                "A newer state of this record is already here.",
                REVISION,
                "Refuses a late write of a worker that has been replaced.",
            )
        )
        rules.append(
            _rule(
                "Sfsync_Fields_Belong_To_Service",
                f"AND({_NOT_SERVICE}, OR({', '.join(f'ISCHANGED({api})' for api in guarded(mapping))}))",
                "These fields are kept by the maintenance service and cannot be changed by hand.",
                None,
                "Fields with owner=service are computed; a change by hand would be put back.",
            )
        )
    rules.extend(_design(rule, mapping) for rule in DESIGN.get(mapping.name, ()) if _complete(rule, mapping))
    return rules


def guarded(mapping: ObjectMapping) -> list[str]:
    """Return the API names of the fields that only the service changes; long text cannot stand in such a formula."""
    fields = [f.api for f in mapping.fields.values() if _guardable(f)]
    return [*fields, *([mapping.key] if mapping.key else []), REVISION]


def _guardable(field: MappedField) -> bool:
    return field.owner == "service" and field.formula is None and field.type.kind != "longtext"


def _names(rule: DesignRule) -> set[str]:
    return {*re.findall(r"\{(\w+)\}", rule.formula), rule.field}


def _complete(rule: DesignRule, mapping: ObjectMapping) -> bool:
    return _names(rule) <= {f.name for f in deployed(mapping)}


def _design(rule: DesignRule, mapping: ObjectMapping) -> Element:
    names = {name: mapping.fields[name].api for name in _names(rule)}
    return _rule(rule.name, rule.formula.format(**names), rule.message, names[rule.field], rule.why)


def _rule(name: str, formula: str, message: str, field: str | None, why: str) -> Element:
    return tree(
        "validationRules",
        fullName=name,
        active=True,
        description=why,
        errorConditionFormula=formula,
        errorDisplayField=field,
        errorMessage=message,
    )
