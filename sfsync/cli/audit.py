"""``sfsync audit``: proof that an org and the store are equal, or the exact records that are not.

May not compare anything itself. It keeps one law: a difference is never rounded away; each is printed.
"""

from __future__ import annotations

import click

from sfsync.cli.output import as_json, emit, finish, table, talk
from sfsync.cli.rooms import runtime
from sfsync.errors import Exit


@click.group(invoke_without_command=False)
def audit() -> None:
    """Proof that an org and the store are equal."""


@audit.command()
@click.argument("org")
@click.option("--repair", is_flag=True, help="Read again what differs; the next sync writes what follows from it.")
@click.option("--confirm", is_flag=True, help="Repair even if a great part of the records is gone.")
@as_json
def run(org: str, repair: bool, confirm: bool, as_json: bool) -> None:
    """Compare ORG with the store and keep the certificate; exit 5 if anything differs."""
    with runtime() as opened:
        made, digest = opened.runtime.audit(org, repair=repair, confirmed=confirm)
    if as_json:
        emit({**made.content(), "digest": digest, "equal": made.equal, "repaired": repair})
    else:
        columns = ("Object", "Record", "Key", "What", "Field", "In the org", "In the store")
        if made.differences:
            table(columns, [(d.object, d.sf_id, d.key, d.kind, d.field, d.org, d.store) for d in made.differences])
        talk(
            f"{sum(made.records.values())} records, {len(made.differences)} differences, "
            f"{made.waiting} waiting to be written, {made.calls} API calls, certificate {digest[:12]}"
        )
    finish(Exit.OK if made.equal or repair else Exit.CHECK_FAILED)


@audit.command("list")
@click.argument("org")
@as_json
def list_certificates(org: str, as_json: bool) -> None:
    """List the certificates of ORG, newest first; one that was changed since is named."""
    from sfsync.mirror.compare import digest_of

    with runtime() as opened:
        rows = opened.store.certificates(opened.runtime.client_name(org), org)
    for row in rows:
        row["genuine"] = digest_of(row["content"]) == row["digest"]
    if as_json:
        emit({"org": org, "certificates": rows})
        return
    table(
        ("At", "Equal", "Records", "Differences", "Certificate", "Genuine"),
        [
            (
                row["at"], row["equal"], sum(row["content"]["records"].values()), len(row["content"]["differences"]),
                row["digest"][:12], row["genuine"],
            )
            for row in rows
        ],
    )  # fmt: skip
