"""``sfsync time``: work that was logged, and why it counted or did not.

May not judge an entry: the rules did. It keeps one law: each line of an explanation is a posting, or what the entry
shows.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, clock, emit, show, table
from sfsync.cli.rooms import Mistyped, runtime

if TYPE_CHECKING:
    from sfsync.records import TimeEntry
    from sfsync.rules.evaluate import Facts

DAY = click.DateTime(["%Y-%m-%d"])
STATES = ("New", "Counted", "Waiting for approval", "Refused", "Reversed")


@click.group()
def time() -> None:
    """Work that was logged, and what became of it."""


@time.command("list")
@click.argument("client", required=False)
@click.option("--since", type=DAY, help="Only work done on or after this day.")
@click.option("--case", help="Only work on the case of this number or key.")
@click.option("--state", type=click.Choice(STATES), help="Only entries in this state.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="How many of each client at most."
)
@as_json
def list_entries(
    client: str | None, since: datetime | None, case: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """List the time entries of CLIENT, or of every client, newest work first."""
    with runtime() as opened:
        rows = []
        for name in opened.clients(client):
            facts = opened.store.facts(name)
            chosen = [
                e
                for e in facts.entries.values()
                if not e.deleted
                and (since is None or (e.worked_on is not None and e.worked_on >= since.date()))
                and (state is None or e.state == state)
                and (case is None or case in (e.case, _number(e, facts)))
            ]
            chosen.sort(key=lambda e: (e.worked_on or date.min, e.key), reverse=True)
            rows += [_row(name, e, facts) for e in chosen[:limit]]
    columns = ("Client", "Entry", "Worked", "Time", "Case", "Category", "State", "Pack", "Message")
    show(
        as_json,
        {"entries": rows},
        columns,
        [
            (
                r["client"], r["name"] or r["key"], r["worked_on"], clock(r["worked_minutes"]), r["case"],
                r["category"], r["state"], r["pack"], r["message"],
            )
            for r in rows
        ],
        ("Client", "Category", "Pack", "Message"),
    )  # fmt: skip


@time.command()
@click.argument("client")
@click.argument("entry")
@as_json
def explain(client: str, entry: str, as_json: bool) -> None:
    """Say why ENTRY (name or key) of CLIENT counted or did not, and show every posting of it."""
    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
    found = [e for e in facts.entries.values() if entry in (e.key, e.name)]
    if len(found) != 1:
        raise Mistyped(f"there is no time entry {entry!r} of client {name}; see them with: sfsync time list {name}")
    postings = [
        {
            "booked_at": p.booked_at,
            "effective_on": p.effective_on,
            "kind": p.kind.value,
            "minutes": p.minutes,
            "pack": (facts.packs[p.pack].name if p.pack in facts.packs else None) or p.pack,
            "source_version": p.source_version,
            "reason": p.reason,
        }
        for p in facts.postings
        if p.source == found[0].key
    ]
    taken = -sum(int(str(p["minutes"])) for p in postings)
    sentence = _why(found[0], taken, len({p["pack"] for p in postings}))
    if as_json:
        emit({"client": name, "entry": _row(name, found[0], facts), "taken_minutes": taken, "why": sentence,
              "postings": postings})  # fmt: skip
        return
    click.echo(sentence)
    if postings:
        table(
            ("Booked", "Effective", "Entry", "Minutes", "Pack", "Why"),
            [
                (p["booked_at"], p["effective_on"], p["kind"], f"{p['minutes']:+d}", p["pack"], p["reason"])
                for p in postings
            ],
        )


def _why(entry: TimeEntry, taken: int, packs: int) -> str:
    """Return one sentence about what was taken, with the rule it follows."""
    logged, said = clock(entry.worked_minutes or 0), entry.sync_message or ""
    where = f"{clock(taken)} of {logged} taken"
    if entry.deleted:
        return f"Deleted in the org; every posting of it is taken back (COR-1). {said}".strip()
    match entry.state:
        case "Waiting for approval":
            rule = "OVN-1" if taken else "ST-3b"
            return f"{where}; the rest waits for the client's yes ({rule}). {said}".strip()
        case "Refused":
            return f"Nothing is taken (RND-1, OVN-2). {said}".strip()
        case "Reversed":
            return f"Nothing stands; another entry took its place or it was taken back (COR-1). {said}".strip()
        case "Counted" if packs > 1:
            return f"{where}, from {packs} packs: the one that ends first pays first (LED-2). {said}".strip()
        case "Counted" if taken:
            return f"{where}, from the pack that ends first (LED-2). {said}".strip()
        case "Counted":
            return f"Nothing is taken: not billable, included, or no pack covers it yet (SCP-1, OVR-1). {said}".strip()
    return "The rules have not looked at it yet; the next sync lets them."


def _number(entry: TimeEntry, facts: Facts) -> str | None:
    case = facts.cases.get(entry.case or "")
    return (case.number if case else None) or entry.case


def _row(client: str, entry: TimeEntry, facts: Facts) -> dict[str, Any]:
    pack = facts.packs.get(entry.pack or "")
    return {
        "client": client,
        "key": entry.key,
        "name": entry.name,
        "case": _number(entry, facts),
        "worked_on": entry.worked_on,
        "worked_minutes": entry.worked_minutes,
        "category": entry.category,
        "billable": entry.billable,
        "state": entry.state,
        "pack": (pack.name if pack else None) or entry.pack,
        "message": entry.sync_message,
    }
