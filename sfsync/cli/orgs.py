"""``sfsync org``: which orgs there are, whether they can be reached, and whether they take part.

May not know how an org is reached. It keeps one law: credentials are used and never shown.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from sfsync.cli.connect import connect, key
from sfsync.cli.output import as_json, emit, pairs, show, table, talk
from sfsync.cli.rooms import Opened, runtime
from sfsync.errors import SchemaDrift


@click.group()
def org() -> None:
    """Connect orgs, look at them, test, pause and resume them."""


org.add_command(connect)
org.add_command(key)


@org.command("list")
@as_json
def list_orgs(as_json: bool) -> None:
    """List every org of the settings with its state."""
    with runtime() as opened:
        rows = [_row(opened, name) for name in opened.orgs(())]
    columns = ("Org", "Client", "Role", "Organisation", "State", "Last sync", "Held by", "Reason")
    names = ("org", "client", "role", "organization_id", "state", "last_success_at", "holder", "reason")
    show(as_json, {"orgs": rows}, columns, [tuple(row[name] for name in names) for row in rows], ("Role", "Held by"))


@org.command("show")
@click.argument("org")
@as_json
def show_org(org: str, as_json: bool) -> None:
    """Show ORG: its contract, how far it has been read, and its API calls of 24 hours."""
    with runtime() as opened:
        row = _row(opened, org)
        terms = opened.client(row["client"]).terms
        row["name"], row["time_zone"], row["sla_plan"] = terms.name, terms.time_zone, terms.plan_at(opened.now)
        row["readings"] = opened.reads.readings(row["client"], org)
        row["calls"] = opened.runtime.calls(org)
    if as_json:
        emit({"org": row})
        return
    pairs({name: value for name, value in row.items() if name not in ("readings", "calls")})
    calls = row["calls"]
    everybody = f", {calls.used} of {calls.allowed} by everybody" if calls.used is not None else ""
    ours = f" of {calls.share}, {calls.left} left by day" if calls.share is not None else ""
    click.echo(f"{'calls in 24 h':<18}{calls.ours} by us{ours}{everybody}")
    table(("Object", "Read to", "Records"), [(r.object, r.read_to, r.records) for r in row["readings"]])


@org.command()
@click.argument("org")
@as_json
def test(org: str, as_json: bool) -> None:
    """Log in to ORG, check that it is the pinned organisation, and that its schema fits the mapping."""
    from sfsync.mirror.translate import Ids
    from sfsync.org.preflight import preflight

    with runtime() as opened:
        row = opened.org(org)
        with closing(opened.runtime.session(org)) as session:
            organization = session.organization_id
            opened.store.pin(row.client, org, organization)
            try:
                preflight(session, opened.runtime.mappings_of(org), {}, Ids(organization))
            except SchemaDrift as drift:
                if as_json:
                    emit({"ok": False, "org": org, "problems": drift.problems})
                else:
                    click.echo("\n".join(drift.problems))
                raise
            usage = session.budget.usage
            told = {
                "org": org,
                "organization_id": organization,
                "user_id": session.user_id,
                "instance_url": session.instance_url,
                "calls": session.calls.api,
                "api_used": usage.used if usage else None,
                "api_allowed": usage.allowed if usage else None,
            }
    if as_json:
        emit({"ok": True, **told})
    else:
        click.echo(f"{org}: logged in to {organization} as {told['user_id']}; every mapped field is there")
        if usage:
            talk(f"{usage.used} of {usage.allowed} API calls used today")


@org.command()
@click.argument("org")
@click.option("--reason", required=True, help="Why; a person reads it in the status.")
@as_json
def pause(org: str, reason: str, as_json: bool) -> None:
    """Leave ORG alone until it is resumed: nothing is read or written."""
    _set(org, reason, as_json)


@org.command()
@click.argument("org")
@as_json
def resume(org: str, as_json: bool) -> None:
    """Let ORG take part again; what was missed is read by its next sync."""
    _set(org, None, as_json)


def _set(org: str, reason: str | None, as_json: bool) -> None:
    with runtime() as opened:
        client = opened.org(org).client
        if reason is None:
            opened.store.resume(client, org)
        else:
            opened.store.pause(client, org, reason)
        row = _row(opened, org)
    if as_json:
        emit({"org": row})
    else:
        talk(f"{org} is {row['state']}" + (f": {row['reason']}" if row["reason"] else ""))


def _row(opened: Opened, name: str) -> dict[str, Any]:
    row = opened.org(name)
    return {
        "org": row.org,
        "client": row.client,
        "role": row.role,
        "organization_id": row.organization_id,
        "state": row.state,
        "reason": row.reason,
        "since": row.since,
        "last_success_at": row.last_success_at,
        "holder": row.holder,
    }
