"""``sfsync summary``: weekly summaries as they were issued.

May not compute a figure: what was issued is shown. It keeps one law: a week is shown as the client sees it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, hours, show, table
from sfsync.cli.rooms import Mistyped, runtime

if TYPE_CHECKING:
    from sfsync.records import SummaryLine, WeeklySummary


@click.group()
def summary() -> None:
    """Weekly summaries as issued."""


@summary.command("list")
@click.argument("client", required=False)
@as_json
def list_summaries(client: str | None, as_json: bool) -> None:
    """List the weeks of CLIENT, or of every client, newest first."""
    with runtime() as opened:
        rows = [
            {"client": name, **_figures(one)}
            for name in opened.clients(client)
            for one in sorted(opened.store.facts(name).summaries.values(), key=_week, reverse=True)
            if not one.deleted
        ]
    columns = ("Client", "Week", "Revision", "Opening", "Bought", "Used", "Closing", "Breaches", "Status", "Headline")
    show(
        as_json,
        {"summaries": rows},
        columns,
        [
            (
                r["client"], r["iso_week"], r["revision"], hours(r["opening_minutes"]), hours(r["purchased_minutes"]),
                hours(r["used_minutes"]), hours(r["closing_minutes"]), r["breaches"], r["status"], r["headline"],
            )
            for r in rows
        ],
        ("Headline", "Bought", "Opening"),
    )  # fmt: skip


@summary.command("show")
@click.argument("client")
@click.argument("week", required=False)
@as_json
def show_summary(client: str, week: str | None, as_json: bool) -> None:
    """Show one WEEK (such as 2026-W47; default: the newest) of CLIENT with its lines."""
    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
    found = sorted((s for s in facts.summaries.values() if not s.deleted), key=_week)
    chosen = [s for s in found if s.iso_week == week] if week else found[-1:]
    if not chosen:
        known = ", ".join(s.iso_week or s.key for s in found[-3:]) or "none yet"
        raise Mistyped(f"client {name} has no summary of {week or 'any week'}; the newest: {known}")
    lines = sorted(
        (x for x in facts.lines.values() if x.summary == chosen[0].key and not x.deleted),
        key=lambda x: (x.sort or 0, x.key),
    )
    if as_json:
        emit({"client": name, "summary": _figures(chosen[0]), "lines": [_line(x) for x in lines]})
        return
    for label, value in _figures(chosen[0]).items():
        if value not in (None, "", 0):
            shown = f"{hours(value)} h" if label.endswith("_minutes") else value
            click.echo(f"{label.removesuffix('_minutes'):<18}{shown}")
    table(
        ("Kind", "Case", "Pr.", "Category", "Hours", "Text", "Note"),
        [
            (x.kind, x.case_number, x.priority, x.category, hours(x.minutes), x.subject or x.status_text, x.note)
            for x in lines
        ],
    )


def _week(one: WeeklySummary) -> tuple[str, int]:
    return (one.iso_week or "", one.revision or 0)


def _figures(one: WeeklySummary) -> dict[str, Any]:
    left_out = {"created_at", "deleted", "extra", "account"}
    return {f.name: getattr(one, f.name) for f in fields(one) if f.name not in left_out}


def _line(one: SummaryLine) -> dict[str, Any]:
    left_out = {"created_at", "deleted", "extra", "summary"}
    return {f.name: getattr(one, f.name) for f in fields(one) if f.name not in left_out}
