"""What pays for a piece of work: the SLA plan, a pack, or a quote; and how urgent a request is.

May not know balances or clocks. It keeps one law: every decision carries its reason, and work that an SLA
plan includes never consumes a pack (SCP-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sfsync.policy import Policy
from sfsync.records import Category, Priority
from sfsync.rules.wording import N_, Hours, Sentence

ACTIVITIES: Mapping[Category, Mapping[str, str]] = {
    Category.EVOLUTIONARY: {
        "automation": N_("Automations: flows, quick actions, e-mail alerts"),
        "extend_object": N_("Extending existing objects"),
        "user_experience": N_("User experience: dynamic forms, Lightning pages, guided flows"),
        "data_quality_rule": N_("Data quality rules: validation, duplicates"),
        "seasonal_release": N_("Rolling out features of a seasonal release"),
    },
    Category.PREVENTIVE: {
        "health_monitoring": N_("System health and performance monitoring"),
        "technical_review": N_("Review of flows, automation and technical debt"),
        "cleanup": N_("Cleaning unused fields, reports, dashboards and automations"),
        "permission_review": N_("Review of permission sets and access models"),
        "data_quality_check": N_("Regular data quality checks"),
    },
    Category.ADAPTIVE: {
        "process_adjustment": N_("Adjusting the org to new internal processes"),
        "approval_or_layout": N_("Changing approval flows or layouts for new rules"),
        "picklist_or_field": N_("New picklist values, fields and page sections"),
        "report_or_dashboard": N_("Reports and dashboards for new figures"),
        "adapt_integration": N_("Adapting an integration to changes on either side"),
    },
    Category.CORRECTIVE: {
        "release_bug": N_("Bugs or errors after a release"),
        "fix_logic": N_("Fixing validation rules, flows, triggers and reports"),
        "layout_or_visibility": N_("Page layout or visibility problems"),
        "security_patch": N_("Security patches and critical updates"),
        "user_support": N_("User support and incidents"),
    },
}
"""The closed list of activities, four categories of five (ACT-1)."""

INCLUDED: Mapping[str, Category] = {
    "configuration": Category.ADAPTIVE,
    "customization": Category.EVOLUTIONARY,
    "incident": Category.CORRECTIVE,
    "debugging": Category.CORRECTIVE,
    "performance": Category.PREVENTIVE,
    "training": Category.CORRECTIVE,
    "technical_assistance": Category.CORRECTIVE,
    "diagnosis": Category.CORRECTIVE,
    "proactive_follow_up": Category.PREVENTIVE,
    "simple_evolution": Category.EVOLUTIONARY,
}
"""What every SLA plan includes by name (SCP-1, SLA-X, X-34)."""

EXCLUDED: Mapping[str, Category] = {
    "new_development": Category.EVOLUTIONARY,
    "custom_project": Category.EVOLUTIONARY,
    "new_integration": Category.ADAPTIVE,
    "architecture_change": Category.ADAPTIVE,
    "data_migration": Category.ADAPTIVE,
    "new_implementation": Category.EVOLUTIONARY,
}
"""What no SLA plan includes: the new, as against adapting what exists (SCP-1, X-21)."""

WORK_TYPES: Mapping[str, Category] = {
    **{name: category for category, names in ACTIVITIES.items() for name in names},
    **INCLUDED,
    **EXCLUDED,
}
"""Every kind of work a decision can be asked for, with its category."""

_ALSO_CALLED = {
    "configuration_and_customization": "configuration",
    "configuration_customization": "configuration",
    "personalization": "customization",
    "incident_resolution": "incident",
    "incident_handling": "incident",
    "incident_resolution_and_debugging": "incident",
    "bug_fix": "debugging",
    "performance_optimization": "performance",
    "functional_training": "training",
    "follow_up": "proactive_follow_up",
    "development": "new_development",
    "new_developments": "new_development",
    "custom_projects": "custom_project",
    "external_integration": "new_integration",
    "integration": "new_integration",
    "integrations": "new_integration",
    "architecture": "architecture_change",
    "architecture_changes": "architecture_change",
    "migration": "data_migration",
    "implementation": "new_implementation",
    "new_implementations": "new_implementation",
}


class Funding(StrEnum):
    """What pays for the work (SCP-1..3)."""

    INCLUDED = "included"
    PACK = "pack"
    PACK_WITH_ESTIMATE = "pack_with_estimate"
    """From the pack if the client approves an estimate, although the SLA plan excludes the work."""
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class Scope:
    """A funding decision with its reason."""

    work_type: str
    category: Category
    funding: Funding
    fallback: Funding | None
    """What is offered when the client declines the first."""
    reason: Sentence


def decide_scope(
    work_type: str, *, has_sla: bool, has_pack: bool, policy: Policy, estimated_minutes: int | None = None
) -> Scope:
    """Return what pays for a kind of work, in the order included, pack, quote (SCP-1..3, X-21).

    ``estimated_minutes`` matters where the contract bounds a simple evolution
    (``simple_evolution_max_minutes``). Raises ``ValueError`` for a kind of work that is not in ``WORK_TYPES``.
    """
    name = work_type.strip().casefold().replace(" ", "_").replace("-", "_")
    name = _ALSO_CALLED.get(name, name)
    if name not in WORK_TYPES:
        raise ValueError(f"no kind of work is called {work_type!r}; known: {', '.join(sorted(WORK_TYPES))}")
    category, new = WORK_TYPES[name], name in EXCLUDED
    bound = policy.simple_evolution_max_minutes
    if (
        has_sla
        and not new
        and bound is not None
        and category is Category.EVOLUTIONARY
        and (estimated_minutes or 0) > bound
    ):
        reason = Sentence(N_("An evolution above {bound} is an additional service."), {"bound": Hours(bound)})
        funding = Funding.PACK_WITH_ESTIMATE if has_pack else Funding.QUOTE
    elif has_sla and not new:
        reason = Sentence(N_("The SLA plan includes it."))
        funding = Funding.INCLUDED
    elif new and has_pack:
        reason = Sentence(N_("New work is an additional service; the pack can pay for it after an approved estimate."))
        funding = Funding.PACK_WITH_ESTIMATE
    elif has_pack:
        reason = Sentence(N_("Maintenance of what exists is pack work."))
        funding = Funding.PACK
    elif new:
        reason = Sentence(N_("New work is an additional service and needs a quote."))
        funding = Funding.QUOTE
    else:
        reason = Sentence(N_("The client has no SLA plan and no pack that could pay for it."))
        funding = Funding.QUOTE
    fallback = Funding.QUOTE if funding is Funding.PACK_WITH_ESTIMATE else None
    return Scope(name, category, funding, fallback, reason)


IMPACTS: Mapping[str, Priority] = {
    "system_offline": Priority.P1,
    "system_down": Priority.P1,
    "process_blocked": Priority.P1,
    "data_loss": Priority.P1,
    "essential_function_affected": Priority.P2,
    "significant_impact": Priority.P2,
    "minor_problem": Priority.P3,
    "minor_improvement": Priority.P3,
    "noncritical_function": Priority.P3,
    "question": Priority.P4,
    "simple_evolution": Priority.P4,
    "improvement_no_urgency": Priority.P4,
    "request_no_urgency": Priority.P4,
}
"""What an answer about impact means (CLS-1)."""


def priority_of(impacts: Iterable[str]) -> Priority:
    """Return the most urgent priority that any of the answers gives (CLS-1).

    Raises ``ValueError`` for no answer or one that is not in ``IMPACTS``.
    """
    answers = list(impacts)
    unknown = [answer for answer in answers if answer not in IMPACTS]
    if unknown or not answers:
        raise ValueError(f"impact is one of {', '.join(IMPACTS)}, not {', '.join(unknown) or 'nothing'}")
    return min(IMPACTS[answer] for answer in answers)
