"""``sfsync quarantine`` and ``sfsync conflicts``: what an org refused, and which values lost.

May not know why an org refuses. It keeps one law: nothing leaves quarantine without a person, and what is given up is
on record with the reason.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from sfsync.cli.output import agree, as_json, emit, pairs, show, talk, yes
from sfsync.cli.rooms import Mistyped, Opened, runtime


@click.group()
def quarantine() -> None:
    """Records that wait because an org refused them; the rest of their org goes on."""


@quarantine.command("list")
@click.argument("org", required=False)
@as_json
def list_waiting(org: str | None, as_json: bool) -> None:
    """List what waits, of ORG or of all orgs, oldest first."""
    with runtime() as opened:
        found = _waiting(opened, org)
    columns = ("Since", "Org", "Key", "Object", "Direction", "Code", "Tries", "What the org said", "What to do")
    rows = [
        (r["since"], r["org"], r["key"], r["object"], r["direction"], r["code"], r["tries"], r["message"], r["advice"])
        for r in found
    ]
    show(as_json, {"quarantine": found}, columns, rows, ("Tries", "Direction", "Object", "Since"))


@quarantine.command("show")
@click.argument("org")
@click.argument("key")
@as_json
def show_waiting(org: str, key: str, as_json: bool) -> None:
    """Show everything known of what waits under KEY in ORG, and the values that would be written."""
    with runtime() as opened:
        found = _called(opened, org, key)
        room = opened.store.room(opened.runtime.client_name(org), org, opened.runtime.mappings_of(org))
        for row in found:
            memory = room.memories(row["object"], [row["key"]]).get(row["key"], (None, None))
            row["sf_id"] = memory[0].sf_id if memory[0] else None
            row["local"] = dict(memory[1] or {})
            row["remote"] = dict(memory[0].remote) if memory[0] else {}
    if as_json:
        emit({"quarantine": found})
        return
    for row in found:
        pairs({name: value for name, value in row.items() if name not in ("local", "remote")}, 12)
        for name, value in row["local"].items():
            if value != row["remote"].get(name):
                click.echo(f"  {name:<22}{row['remote'].get(name)!s} -> {value!s}")


@quarantine.command()
@click.argument("org")
@click.argument("keys", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Everything that waits in this org.")
@as_json
def retry(org: str, keys: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Let KEYS of ORG be tried again by the next sync."""
    if bool(keys) == every:
        raise click.UsageError("Name keys or say --all.")
    with runtime() as opened:
        found = _waiting(opened, org) if every else [row for key in keys for row in _called(opened, org, key)]
        chosen = {(row["client"], row["object"], row["key"]) for row in found}
        for client, object_name, key in sorted(chosen):
            opened.store.retry(client, org, object_name, key)
    if as_json:
        emit({"org": org, "retried": sorted(key for _, _, key in chosen)})
    else:
        talk(f"{len(chosen)} record(s) will be tried again by the next sync")


@quarantine.command()
@click.argument("org")
@click.argument("keys", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why they are given up; stays on record.")
@yes
@as_json
def discard(org: str, keys: tuple[str, ...], reason: str, yes: bool, as_json: bool) -> None:
    """Give KEYS of ORG up: they are written again only when somebody changes them."""
    from sfsync.records import Finding
    from sfsync.rules.evaluate import Evaluation
    from sfsync.store.reads import settle_as_is

    with runtime() as opened:
        found = [row for key in keys for row in _called(opened, org, key)]
        agree(f"Give up {len(found)} refused record(s) of {org}?", yes)
        client = found[0]["client"]
        findings = [
            Finding(
                code="Discarded",
                record=row["key"],
                message=f"{row['code']} in {org} was given up: {reason}",
                at=opened.now,
                details={"org": org, "object": row["object"], "said": row["message"]},
            )
            for row in found
        ]
        opened.amend(client, Evaluation(findings=findings))
        for row in found:
            settle_as_is(opened.store, client, org, row["object"], row["key"])
    if as_json:
        emit({"org": org, "discarded": sorted({row["key"] for row in found})})
    else:
        talk(f"{len(found)} record(s) given up")


@click.group()
def conflicts() -> None:
    """Values that lost against another edit, and edits by hand that were put back."""


@conflicts.command("list")
@click.argument("org", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only what was seen on or after this day (UTC).")
@as_json
def list_conflicts(org: str | None, since: datetime | None, as_json: bool) -> None:
    """List both values of each, of ORG or of all orgs, oldest first."""
    with runtime() as opened:
        names = set(opened.orgs((org,) if org else ()))
        clients = {opened.runtime.client_name(name) for name in names}
        found = [row for client in sorted(clients) for row in opened.store.conflicts(client) if row["org"] in names]
    found = [row for row in found if since is None or row["seen_at"].date() >= since.date()]
    columns = ("Seen", "Org", "Object", "Key", "Field", "Kind", "Kept", "Lost", "Winner", "By")
    names_of = ("seen_at", "org", "object", "key", "field", "kind", "kept", "lost", "winner", "by")
    show(as_json, {"conflicts": found}, columns, [tuple(row[n] for n in names_of) for row in found], ("By", "Winner"))


def _waiting(opened: Opened, org: str | None) -> list[dict[str, Any]]:
    names = set(opened.orgs((org,) if org else ()))
    clients = {opened.runtime.client_name(name) for name in names}
    found = [row for client in sorted(clients) for row in opened.store.quarantined(client) if row["org"] in names]
    return sorted(found, key=lambda row: (row["since"], row["org"], row["key"]))


def _called(opened: Opened, org: str, key: str) -> list[dict[str, Any]]:
    found = [row for row in _waiting(opened, org) if row["key"] == key]
    if not found:
        raise Mistyped(f"nothing waits under {key!r} in org {org}; list what does with: sfsync quarantine list {org}")
    return found
