"""``sfsync estimates``: what was proposed for a case, and what became of it.

May not judge an approval: the rules do. It keeps one law: a decision typed here is the client's own, and says by whose
word it was taken down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, hours, show
from sfsync.cli.rooms import Mistyped, Opened, runtime

if TYPE_CHECKING:
    from sfsync.records import Estimate
    from sfsync.rules.approval import Move
    from sfsync.rules.evaluate import Facts

OPEN = ("Draft", "Sent", "Question")
REFUSALS = {
    "stale_estimate_version": "Version {current} has replaced it; decide on that one (EST-3).",
    "estimate_expired": "It could be approved until {expired_at:%Y-%m-%d %H:%M}Z (EST-2); send a new version.",
    "not_possible": "An estimate that is {status} cannot be changed so (2.7).",
    "insufficient_balance": (
        "It needs {shortage_hours} h more than the {available_hours} h that are available: {packs_to_buy} pack(s) to "
        "buy (APR-4)."
    ),
}


@click.group()
def estimates() -> None:
    """Estimates between author and client."""


@estimates.command("list")
@click.argument("client", required=False)
@click.option("--all", "every", is_flag=True, help="Decided and withdrawn ones, too.")
@as_json
def list_estimates(client: str | None, every: bool, as_json: bool) -> None:
    """List the estimates of CLIENT, or of every client, that wait for somebody, oldest first."""
    with runtime() as opened:
        rows = []
        for name in opened.clients(client):
            facts = opened.store.facts(name)
            chosen = [e for e in facts.estimates.values() if not e.deleted and (every or (e.status or "Draft") in OPEN)]
            chosen.sort(key=lambda e: (e.sent_at is None, e.sent_at, e.key))
            rows += [_row(name, e, facts) for e in chosen]
    columns = ("Client", "Estimate", "Case", "Version", "Hours", "Status", "Sent", "Last day", "Used", "After", "Why")
    show(
        as_json,
        {"estimates": rows},
        columns,
        [
            (
                r["client"], r["name"] or r["key"], r["case"], r["version"], hours(r["estimated_minutes"]), r["status"],
                r["sent_at"], r["valid_until_on"], hours(r["used_minutes"]), hours(r["balance_after_minutes"]),
                r["why"],
            )
            for r in rows
        ],
        ("Client", "Used", "Sent", "Why"),
    )  # fmt: skip


@estimates.command("show")
@click.argument("client")
@click.argument("estimate")
@as_json
def show_estimate(client: str, estimate: str, as_json: bool) -> None:
    """Show one ESTIMATE (name or key) of CLIENT and say what its numbers mean."""
    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
        row = _row(name, _called(estimate, facts), facts)
    if as_json:
        emit({"client": name, "estimate": row})
        return
    for label, value in row.items():
        if value not in (None, ""):
            shown = f"{hours(value)} h" if label.endswith("_minutes") else value
            click.echo(f"{label.removesuffix('_minutes'):<18}{shown}")


@estimates.command()
@click.argument("client")
@click.argument("estimate")
@as_json
def send(client: str, estimate: str, as_json: bool) -> None:
    """Send a draft to the client; it can be approved from the next sync on."""
    _move(client, estimate, "send", as_json)


@estimates.command()
@click.argument("client")
@click.argument("estimate")
@as_json
def withdraw(client: str, estimate: str, as_json: bool) -> None:
    """Take an estimate back that nobody has decided on."""
    _move(client, estimate, "withdraw", as_json)


@estimates.command()
@click.argument("client")
@click.argument("estimate")
@click.argument("decision", type=click.Choice(["approve", "reject"]))
@click.option("--on-behalf", "person", required=True, metavar="NAME", help="Who of the client said so.")
@as_json
def decide(client: str, estimate: str, decision: str, person: str, as_json: bool) -> None:
    """Take down the client's DECISION on an estimate, said by telephone or mail."""
    _move(client, estimate, decision, as_json, person)


def _move(client: str, estimate: str, what: str, as_json: bool, person: str = "") -> None:
    from sfsync.records import Finding
    from sfsync.rules.approval import Move
    from sfsync.rules.evaluate import Evaluation

    with runtime() as opened:
        name = opened.client_called(client)
        facts = opened.store.facts(name)
        found = _called(estimate, facts)
        status = _after(opened, name, found, facts, Move(what))
        at = opened.now.replace(microsecond=0)
        said = Evaluation(fields={("Estimate", found.key): {"status": status}})
        if person:
            said.fields["Estimate", found.key]["decided_at"] = at
            message = f"{status} on behalf of {person}."
            said.findings.append(Finding(code="OnBehalf", record=found.key, message=message, rule="2.7", at=at))
        changed = status != found.status
        if changed:
            opened.amend(name, said)
    if as_json:
        emit({"client": name, "estimate": found.key, "status": status, "changed": changed})
    else:
        click.echo(f"{found.name or found.key}\t{status}")


def _after(opened: Opened, client: str, estimate: Estimate, facts: Facts, move: Move) -> str:
    """Return the status after a move; Mistyped says why not, in one sentence with its rule."""
    from sfsync.records import EstimateStatus
    from sfsync.rules.approval import Granted, Move, decide, step
    from sfsync.rules.wording import Refusal

    terms = opened.client(client).terms
    said: Granted | Refusal | EstimateStatus
    if move in (Move.APPROVE, Move.REJECT):
        said = decide(
            estimate,
            [e for e in facts.estimates.values() if e.case == estimate.case],
            move,
            opened.now,
            approver=True,
            available_minutes=(facts.account.available_minutes or 0) if facts.account else 0,
            policy=terms.policy,
            zone=terms.time_zone,
            pack_minutes=min((plan.minutes_per_pack for plan in opened.runtime.plans.packs.values()), default=480),
        )
    else:
        said = step(EstimateStatus(estimate.status or EstimateStatus.DRAFT), move)
    if isinstance(said, Refusal):
        details: dict[str, Any] = dict(said.details)
        for name in ("shortage", "available"):
            if name in details:
                details[f"{name}_hours"] = hours(int(str(details[name])))
        raise Mistyped(f"{estimate.name or estimate.key}: {REFUSALS[said.code].format(**details)}")
    return (said.status if isinstance(said, Granted) else said).value


def _called(name: str, facts: Facts) -> Estimate:
    found = [e for e in facts.estimates.values() if name in (e.key, e.name)]
    if len(found) != 1:
        known = ", ".join(sorted(e.name or e.key for e in facts.estimates.values())[-5:]) or "none"
        raise Mistyped(f"there is no estimate {name!r} of this client; there are: {known}")
    return found[0]


def _row(client: str, one: Estimate, facts: Facts) -> dict[str, Any]:
    case = facts.cases.get(one.case or "")
    return {
        "client": client,
        "key": one.key,
        "name": one.name,
        "case": (case.number if case else None) or one.case,
        "version": one.version,
        "category": one.category,
        "estimated_minutes": one.estimated_minutes,
        "status": one.status,
        "sent_at": one.sent_at,
        "valid_until_on": one.valid_until_on,
        "decided_at": one.decided_at,
        "used_minutes": one.used_minutes,
        "over_estimate": bool(one.over_estimate),
        "balance_after_minutes": one.balance_after_minutes,
        "why": _why(one),
    }


def _why(one: Estimate) -> str:
    """Return one sentence about the numbers of an estimate, with the rule it follows."""
    said = hours(one.estimated_minutes or 0)
    match one.status:
        case "Approved" if one.over_estimate:
            return f"{hours(one.used_minutes or 0)} h of the approved {said} h are used and more waits (OVN-1)."
        case "Approved":
            return f"{hours(one.used_minutes or 0)} h of the approved {said} h are used (APR-2)."
        case "Sent" | "Question" if one.balance_after_minutes is not None and one.balance_after_minutes < 0:
            return f"{hours(-one.balance_after_minutes)} h are missing for an approval (APR-4)."
        case "Sent" | "Question":
            return f"Nothing is deducted before the client says yes (ST-3b); {said} h would be reserved (APR-1)."
        case "Expired":
            return "It was not answered by its last day; nothing is reserved (EST-2)."
        case "Superseded":
            return "A newer version was sent (EST-1)."
        case "Rejected":
            return "The client said no; what waited is not billable (OVN-2)."
    return one.sync_message or "Not sent yet; nothing is reserved (EST-1)."
