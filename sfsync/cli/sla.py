"""``sfsync sla``: which answers are due, why they are due then, and how many came in time.

May not reckon a due time: the rules do, and this shows it. It keeps one law: the explanation shown is derived from the
same history as the due time in the org.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, clock, emit, show, table, talk
from sfsync.cli.rooms import Mistyped, Opened, runtime

if TYPE_CHECKING:
    from sfsync.policy import ClientTerms
    from sfsync.rules.evaluate import Contract, Facts


@click.group()
def sla() -> None:
    """Due times: what is due, why, and what came in time."""


@sla.command()
@click.argument("client", required=False)
@as_json
def board(client: str | None, as_json: bool) -> None:
    """List every case of CLIENT, or of all clients, that waits for its first answer, the most urgent first."""
    with runtime() as opened:
        rows = [row for name in opened.clients(client) for row in _waiting(opened, name)]
        current = opened.now
    rows.sort(key=lambda row: (row["left_minutes"], row["client"], row["case"]))
    columns = ("Due", "There", "Left", "Client", "Case", "Pr.", "Target", "Clock", "State", "Subject")
    show(
        as_json,
        {"at": current, "cases": rows},
        columns,
        [
            (
                r["due_at"], r["due_local"], clock(r["left_minutes"]), r["client"], r["number"] or r["case"],
                r["priority"], clock(r["target_minutes"]), r["cover"], r["status"], r["subject"],
            )
            for r in rows
        ],
        ("There", "Clock", "Target", "Client"),
    )  # fmt: skip
    if not as_json:
        late = sum(row["status"] == "Breached" for row in rows)
        talk(f"{len(rows)} waiting, {late} breached; the time left is counted in cover hours")


def _waiting(opened: Opened, client: str) -> list[dict[str, Any]]:
    from sfsync.rules.sla import status_of

    keys = opened.reads.running_cases(client)
    cases = opened.reads.cases(client, keys)
    contract = opened.runtime.contract(client)
    rows = []
    for key, milestones in opened.store.milestones(client, keys).items():
        milestone = [m for m in milestones if m.clock == "ack"][-1]
        plan = contract.plans.sla.get(milestone.plan)
        target = plan.targets.get(milestone.priority) if plan else None  # type: ignore[call-overload]
        if milestone.met_at is not None or target is None:
            continue
        cover = contract.covers[target.cover]
        at = milestone.paused_since or opened.now
        ahead = cover.between(at, milestone.due_at) if at <= milestone.due_at else -cover.between(milestone.due_at, at)
        rows.append(
            {
                "client": client,
                "case": key,
                "number": cases[key].number,
                "priority": milestone.priority,
                "plan": milestone.plan,
                "cover": cover.label,
                "target_minutes": milestone.target_seconds // 60,
                "due_at": milestone.due_at,
                "due_local": cover.local(milestone.due_at).strftime("%a %d %b %H:%M"),
                "left_minutes": -(-ahead // 60),
                "status": status_of(milestone, contract.terms.policy, opened.now).value,
                "subject": cases[key].subject,
            }
        )
    return rows


@sla.command()
@click.argument("case")
@click.option("--client", help="Whose case it is; needed only if several clients have one of this number.")
@click.option("--language", help="Language of the sentences (en, es, ro); default: the client's first.")
@as_json
def explain(case: str, client: str | None, language: str | None, as_json: bool) -> None:
    """Explain when CASE (its number, key or org id) is due and why, step by step."""
    from sfsync.language import language as speak
    from sfsync.rules.sla import evaluate_case
    from sfsync.rules.sla_explain import derive

    with runtime() as opened:
        found = [(name, key) for name in opened.clients(client) if (key := opened.reads.case_called(name, case))]
        if not found:
            raise Mistyped(f"no case is called {case!r}; list them with: sfsync cases list")
        if len(found) > 1:
            names = ", ".join(name for name, _ in found)
            raise Mistyped(f"several clients have a case {case!r} ({names}); say --client")
        name, key = found[0]
        contract = opened.runtime.contract(name)
        one = opened.reads.cases(name, [key])[key]
        outcome = evaluate_case(
            one,
            opened.reads.events(name, key),
            terms=contract.terms,
            plans=contract.plans,
            covers=contract.covers,
            previous=opened.store.milestones(name, [key]).get(key, ()),
            now=opened.now,
        )
        told = [derive(r, contract.plans.sla[r.milestone.plan], contract.covers) for r in outcome.reckonings]
        spoken = speak(language or contract.terms.languages[0])
    if as_json:
        emit({"client": name, "case": key, "number": one.number, "derivations": [each.as_data() for each in told]})
    elif not told:
        click.echo(f"Case {one.number or key} has no clock: no SLA plan covers it.")
    for each in told if not as_json else ():
        click.echo(each.text(spoken, one.number))


@sla.command()
@click.argument("client", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only clocks that began on or after this day (UTC).")
@as_json
def report(client: str | None, since: datetime | None, as_json: bool) -> None:
    """Count answers in time and late, and the mean time to answer, by priority (SLA-M1)."""
    from sfsync.rules.sla_report import acknowledgements

    rows: list[dict[str, Any]] = []
    with runtime() as opened:
        for name in opened.clients(client):
            milestones = [
                one
                for group in opened.store.milestones(name).values()
                for one in group
                if since is None or one.started_at.date() >= since.date()
            ]
            rows += [
                {
                    "client": name,
                    **asdict(figures),
                    "mean_minutes": figures.mean_minutes,
                    "mean_within_target": figures.mean_within_target,
                    "compliance_pct": figures.compliance_pct,
                }
                for figures in acknowledgements(milestones).values()
            ]
    if as_json:
        emit({"since": since.date() if since else None, "figures": rows})
        return
    columns = ("Client", "Pr.", "Answered", "In time", "Breached", "Waived", "Waiting", "In time %", "Mean")
    table(
        columns,
        [
            (
                r["client"], r["priority"], r["answered"], r["in_time"], r["breached"], r["waived"], r["waiting"],
                r["compliance_pct"], clock(r["mean_minutes"]),
            )
            for r in rows
        ],
    )  # fmt: skip


@sla.command()
@click.argument("client")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A policy key, or sla_plan; several times.")
@as_json
def simulate(client: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say what another rule would have made of all cases of CLIENT; nothing is changed."""
    from dataclasses import replace

    if not changes:
        raise click.UsageError("Say what to change: --set KEY=VALUE.")
    with runtime() as opened:
        name = opened.client_called(client)
        contract = opened.runtime.contract(name)
        other = replace(contract, terms=_changed_terms(contract, changes))
        facts, current = opened.store.facts(name), opened.now
    now_said, then_said = _clocks(contract, facts, current), _clocks(other, facts, current)
    rows = [
        {
            "case": key,
            "number": facts.cases[key].number,
            "priority": facts.cases[key].priority,
            "due_at": now_said[key].get("due_at"),
            "new_due_at": then_said[key].get("due_at"),
            "breached": now_said[key].get("breached"),
            "new_breached": then_said[key].get("breached"),
        }
        for key in sorted(now_said, key=lambda key: (facts.cases[key].number or "", key))
        if any(now_said[key].get(one) != then_said[key].get(one) for one in ("due_at", "breached"))
    ]
    before, after = _count(now_said), _count(then_said)
    if as_json:
        emit({"client": name, "set": list(changes), "before": before, "after": after, "cases": rows})
        return
    columns = ("Case", "Pr.", "Due", "New due", "Breached", "New breached")
    names = ("number", "priority", "due_at", "new_due_at", "breached", "new_breached")
    table(columns, [tuple(row[one] for one in names) for row in rows])
    talk(
        f"{len(rows)} of {len(now_said)} cases would differ; breached {before['breached']} -> {after['breached']}, "
        f"with a clock {before['with_a_clock']} -> {after['with_a_clock']}"
    )


def _changed_terms(contract: Contract, changes: tuple[str, ...]) -> ClientTerms:
    """Return the terms with the changes; Mistyped names the first that cannot be."""
    from pydantic import ValidationError

    from sfsync.policy import Policy
    from sfsync.rules.sla_simulate import CLOCK_KEYS

    terms = contract.terms
    values: dict[str, Any] = terms.policy.model_dump()
    for change in changes:
        key, _, text = change.partition("=")
        if key == "sla_plan":
            if text and text not in contract.plans.sla:
                raise Mistyped(f"there is no SLA plan {text!r}; there are {', '.join(contract.plans.sla)}")
            terms = terms.model_copy(update={"sla_plan": text or None, "sla_plan_from": {}})
        elif key not in CLOCK_KEYS:
            what = f"no clock reads {key!r}" if key in values else f"there is no policy key {key!r}"
            raise Mistyped(f"{what}; there are sla_plan, {', '.join(CLOCK_KEYS)}")
        elif isinstance(values[key], tuple):
            values[key] = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            values[key] = text
    try:
        return terms.model_copy(update={"policy": Policy.model_validate(values)})
    except ValidationError as bad:
        first = bad.errors()[0]
        raise Mistyped(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def _clocks(contract: Contract, facts: Facts, at: datetime) -> dict[str, Mapping[str, Any]]:
    """Return what each case would show, reckoned from its history alone."""
    from sfsync.rules.sla import evaluate_case

    return {
        key: evaluate_case(
            case,
            facts.events.get(key, ()),
            terms=contract.terms,
            plans=contract.plans,
            covers=contract.covers,
            now=at,
        ).fields
        for key, case in facts.cases.items()
        if not case.deleted
    }


def _count(said: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {
        "with_a_clock": sum(fields.get("due_at") is not None for fields in said.values()),
        "breached": sum(bool(fields.get("breached")) for fields in said.values()),
    }
