"""``sfsync ledger verify``: proof that the books are what was booked.

May not repair anything. It keeps one law: every figure is computed from the postings alone, and then compared.
"""

from __future__ import annotations

from typing import Any

import click

from sfsync.cli.output import as_json, emit, finish, table, talk
from sfsync.cli.rooms import Opened, runtime
from sfsync.errors import Exit


@click.group()
def ledger() -> None:
    """The append-only ledger and its proof."""


@ledger.command()
@click.argument("client", required=False)
@click.option("--expect", metavar="HASH", help="Fail unless the ledger of CLIENT has this hash, or had it in its past.")
@as_json
def verify(client: str | None, expect: str | None, as_json: bool) -> None:
    """Fold the postings of CLIENT, or of every client, again and compare what stands in the store."""
    if expect and not client:
        raise click.UsageError("--expect is for one CLIENT.")
    with runtime() as opened:
        found = [_verified(opened, name, expect) for name in opened.clients(client)]
    bad = [problem for one in found for problem in one["problems"]]
    if as_json:
        emit({"ok": not bad, "clients": found})
    else:
        table(
            ("Client", "Postings", "Balance (min)", "Hash", "Problems"),
            [(f["client"], f["postings"], f["balance_minutes"], f["hash"], f["problems"]) for f in found],
        )
        talk(f"{len(bad)} problem(s)" if bad else "every balance is the sum of its postings")
    finish(Exit.CHECK_FAILED if bad else Exit.OK)


def _verified(opened: Opened, client: str, expect: str | None) -> dict[str, Any]:
    from sfsync.rules.postings import GENESIS, books, chain, dips
    from sfsync.rules.postings import verify as verify_chain

    facts = opened.store.facts(client)
    postings = facts.postings
    kept = {pack: minutes for pack, minutes in opened.store.balances(client).items() if minutes}
    folded: dict[str, int] = {}
    for one in postings:
        folded[one.pack] = folded.get(one.pack, 0) + one.minutes
    problems = [
        f"{pack}: the store keeps {kept.get(pack, 0)} min, its postings say {folded.get(pack, 0)}"
        for pack in sorted(folded.keys() | kept.keys())
        if folded.get(pack, 0) != kept.get(pack, 0)
    ]
    problems += [f"{one.pack}: {one.source}#{one.source_version} takes it below zero" for one in dips(postings)]
    told = books(postings)
    if not told.sound:
        problems.append(f"bought and used differ from the balance by {told.error} min (LED-9)")
    wrong = verify_chain(postings, opened.store.chain(client))
    if wrong is not None and wrong < len(postings):
        one = postings[wrong]
        problems.append(
            f"posting {one.source}#{one.source_version}.{one.leg} ({one.minutes:+d} min on {one.pack}, booked "
            f"{one.booked_at:%Y-%m-%d %H:%M}Z) is not what was booked, or the one before it is gone (LED-1)"
        )
    hashes = chain(postings)
    if expect and expect not in (GENESIS, *hashes):
        problems.append(f"no state of this ledger ever had the hash {expect}: postings were changed or taken away")
    return {
        "client": client,
        "postings": len(postings),
        "balance_minutes": sum(folded.values()),
        "hash": hashes[-1] if hashes else GENESIS,
        "problems": problems,
    }
