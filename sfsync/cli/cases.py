"""``sfsync cases``: cases, and what the rules say of them.

May not judge. It keeps one law: open cases stand in the order in which work is taken up (QUE-1).
"""

from __future__ import annotations

from typing import Any

import click

from sfsync.cli.output import as_json, clock, show
from sfsync.cli.rooms import Opened, runtime


@click.group()
def cases() -> None:
    """Cases and what the rules say of them."""


@cases.command("list")
@click.argument("client", required=False)
@click.option("--all", "every", is_flag=True, help="Closed cases, too.")
@click.option("--waiting", is_flag=True, help="Only those with an estimate that waits for a decision.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="How many of each client at most."
)
@as_json
def list_cases(client: str | None, every: bool, waiting: bool, limit: int, as_json: bool) -> None:
    """List the cases of CLIENT, or of every client, the most urgent first."""
    with runtime() as opened:
        rows = [row for name in opened.clients(client) for row in _cases(opened, name, every, waiting)[:limit]]
    columns = (
        "Client", "Case", "Pr.", "Status", "SLA", "Due", "Estimate", "Approved", "Logged", "Category", "Message",
        "Subject",
    )  # fmt: skip
    show(
        as_json,
        {"cases": rows},
        columns,
        [
            (
                r["client"], r["number"] or r["key"], r["priority"], r["status"], r["sla_status"], r["due_at"],
                r["estimate_status"], clock(r["approved_minutes"]), clock(r["logged_minutes"]), r["category"],
                r["message"], r["subject"],
            )
            for r in rows
        ],
        ("Message", "Category", "Logged", "Approved", "Estimate", "Client"),
    )  # fmt: skip


def _cases(opened: Opened, client: str, every: bool, waiting: bool) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    from sfsync.rules.queue import Waiting, lane_of, queue_order

    facts = opened.store.facts(client)
    lane = lane_of(facts.packs.values(), opened.runtime.plans.packs)
    default = opened.client(client).terms.policy.default_priority
    chosen = {
        case.key: case
        for case in facts.cases.values()
        if not case.deleted and (every or not case.is_closed) and (not waiting or case.estimate_status == "Waiting")
    }
    order = queue_order(
        Waiting(
            case.key,
            case.priority or default,
            None if case.is_closed or case.met_at else case.due_at,
            lane,
            case.created_at or datetime.max.replace(tzinfo=UTC),
        )
        for case in chosen.values()
    )
    return [
        {
            "client": client,
            "key": case.key,
            "number": case.number,
            "priority": case.priority,
            "category": case.category,
            "status": case.status,
            "scope": case.scope,
            "created_at": case.created_at,
            "sla_status": case.sla_status,
            "due_at": case.due_at,
            "met_at": case.met_at,
            "breached": bool(case.breached),
            "estimate_status": case.estimate_status,
            "approved_minutes": case.approved_minutes,
            "logged_minutes": case.logged_minutes,
            "message": case.sync_message,
            "subject": case.subject,
        }
        for case in (chosen[one.case] for one in order)
    ]
