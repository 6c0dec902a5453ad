"""``sfsync status``: one line an org, and what an operator must look at.

May not compute what the rules compute. It keeps one law: it costs no API call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, hours, table, talk
from sfsync.cli.rooms import Opened, runtime

if TYPE_CHECKING:
    from sfsync.store.store import OrgRow


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show each org's balance, last and next sync, what is at risk and what waits."""
    with runtime() as opened:
        seen = overview(opened)
    if as_json:
        emit(seen)
        return
    rows, current = seen["orgs"], seen["at"]
    columns = (
        "Org", "Plan", "Last sync", "Next", "Hours left", "Free", "Open", "At risk", "Breached", "To decide",
        "Quarantine", "Audit", "State",
    )  # fmt: skip
    table(
        columns,
        [
            (
                r["org"], r["sla_plan"], _ago(r["last_success_at"], current), r["next_at"] or "paused",
                hours(r["balance_minutes"]), hours(r["balance_minutes"] - r["reserved_minutes"]), r["open_cases"],
                r["at_risk"], r["breached"], r["waiting_estimates"], r["quarantined"], _audit(r, current), _state(r),
            )
            for r in rows
        ],
        ("To decide", "Free", "Plan", "Next", "Audit", "Quarantine"),
    )  # fmt: skip
    wrong = [r for r in rows if r["state"] != "active" or r["quarantined"] or r["error"] or r["audit_differences"]]
    talk(f"{len(rows)} org(s), {len(wrong)} need(s) a look" if wrong else f"{len(rows)} org(s), all well")


def overview(opened: Opened) -> dict[str, Any]:
    """Return every org's figures, as ``--json`` prints them."""
    known = {(row.client, row.org): row for row in opened.store.orgs()}
    owed: dict[str, dict[str, datetime]] = {}
    for tick, at in opened.store.due_ticks().items():
        owed.setdefault(tick.rpartition(":")[2], {})[tick.partition(":")[0]] = at
    names = [(name, (opened.runtime.client_name(name), name)) for name in opened.orgs(())]
    return {"at": opened.now, "orgs": [_row(opened, known[place], owed.get(name, {})) for name, place in names]}


def _row(opened: Opened, row: OrgRow, owed: Mapping[str, datetime]) -> dict[str, Any]:
    name = row.org
    last = opened.store.runs(row.client, name, limit=1)
    audits = opened.store.certificates(row.client, name, limit=1)
    return {
        "org": name,
        "client": row.client,
        "sla_plan": opened.client(row.client).terms.plan_at(opened.now),
        "state": row.state,
        "reason": row.reason,
        "holder": row.holder,
        "last_success_at": row.last_success_at,
        "next_at": None if row.state == "paused" else _next(opened, row, owed),
        "error": last[0].error if last and last[0].state == "failed" else "",
        "audited_at": audits[0]["at"] if audits else None,
        "audit_differences": len(audits[0]["content"]["differences"]) if audits else None,
        "calls": asdict(opened.runtime.calls(name)),
        **asdict(opened.reads.figures(row.client)),
    }


def _next(opened: Opened, row: OrgRow, owed: Mapping[str, datetime]) -> datetime:
    """Return the next grid point of the org's own rhythm; one that has passed and is not done yet comes first."""
    from datetime import timedelta

    from sfsync import schedule

    waits = row.waits_until
    if waits is not None and waits > opened.now and not {"nightly", "deadline"} & owed.keys():
        return waits
    if owed:
        return min(owed.values())
    minutes = opened.runtime.org(row.org).every_minutes
    past = schedule.every("", minutes, opened.now, schedule.spread(row.org, minutes * 60))
    return past.due_at + timedelta(minutes=minutes)


def _state(row: dict[str, Any]) -> str:
    if row["state"] == "paused":
        return f"paused: {row['reason']}"
    if row["error"]:
        return f"failed: {row['error']}"
    if row["holder"]:
        return "syncing"
    if row["calls"]["waits_until"] is not None:
        return f"few API calls left: every {row['calls']['every_minutes']} min"
    return "low balance" if row["low_balance"] else "ok"


def _audit(row: dict[str, Any], current: datetime) -> str:
    """Return when org and store were last compared, with how many records differed then."""
    when = _ago(row["audited_at"], current)
    return f"{row['audit_differences']} differ, {when}" if row["audit_differences"] else when


def _ago(at: datetime | None, current: datetime) -> str:
    if at is None:
        return "never"
    minutes = int((current - at).total_seconds()) // 60
    if minutes < 1:
        return "now"
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 2880 else f"{minutes // 1440} days ago"
