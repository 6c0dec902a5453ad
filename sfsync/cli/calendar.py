"""``sfsync calendar``: the holidays a client's clocks stand still on, and what a newer list would change.

May not decide anything: a person publishes. It keeps one law: before anything moves, it is shown what would.
"""

from __future__ import annotations

import click

from sfsync.cli.output import as_json, emit, finish, show, table, talk
from sfsync.cli.rooms import runtime
from sfsync.errors import Exit


@click.group()
def calendar() -> None:
    """Holidays as published, and what a newer list would change."""


@calendar.command("show")
@click.argument("client")
@click.option("--year", type=int, help="Only this year.")
@as_json
def show_days(client: str, year: int | None, as_json: bool) -> None:
    """Show the published holidays of CLIENT (a client or its org)."""
    with runtime() as opened:
        name = opened.client_called(client)
        opened.runtime.contract(name)
        published = opened.store.snapshots(name)
    days = sorted((day, label) for of, found in published.items() if year in (None, of) for day, label in found.items())
    show(as_json, {"client": name, "days": dict(days)}, ("Day", "Weekday", "Name"), [
        (day, f"{day:%a}", label) for day, label in days
    ])  # fmt: skip


@calendar.command()
@click.argument("client")
@as_json
def check(client: str, as_json: bool) -> None:
    """Compare the published holidays of CLIENT with the newest list; exit 5 if they differ. Changes nothing."""
    with runtime() as opened:
        name = opened.client_called(client)
        proposal = opened.runtime.calendars.proposal(opened.client(name), opened.store.facts(name), opened.now)
    if as_json:
        emit({"client": name, "days": list(proposal.days), "moved": list(proposal.moved)})
    else:
        table(("Day", "Change", "Name"), [(one.day, one.change, one.name) for one in proposal.days])
        if proposal.moved:
            table(
                ("Case", "Clock", "Due now", "Would be due"),
                [(one.case, one.clock, one.old_due_at, one.new_due_at) for one in proposal.moved],
            )
        talk(f"{len(proposal.days)} day(s) differ, {len(proposal.moved)} open deadline(s) would move")
        if proposal.days:
            talk(f"put it in force: sfsync calendar publish {client}")
    finish(Exit.CHECK_FAILED if proposal.days else Exit.OK)


@calendar.command()
@click.argument("client")
@as_json
def publish(client: str, as_json: bool) -> None:
    """Put the newest list in force for CLIENT; the next sync moves open deadlines and leaves closed ones alone."""
    with runtime() as opened:
        name = opened.client_called(client)
        changed = opened.runtime.calendars.publish(opened.client(name), opened.now)
    if as_json:
        emit({"client": name, "years": changed})
    else:
        talk(f"{changed} year(s) published anew" if changed else "nothing differs; nothing was published")
