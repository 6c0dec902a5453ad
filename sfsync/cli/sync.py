"""``sfsync sync`` and ``sfsync plan``: bring orgs and store to agree, or show what that would do.

May not know the stages. It keeps one law: one org's failure is said and counted, and the others go on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli import say
from sfsync.cli.output import as_json, emit, finish, plain, table, talk
from sfsync.cli.rooms import Opened, runtime
from sfsync.errors import Exit, InputError, LeaseLost, Place, SfsyncError

if TYPE_CHECKING:
    from sfsync.mapping import Mappings
    from sfsync.mirror.plan import Change, Plan, Unplannable
    from sfsync.sync import Preview, Report

COUNTS = (
    "read", "absorbed", "wrote", "created", "refused", "later", "conflicts", "hand_edits", "findings", "calls",
)  # fmt: skip
WORST_LAST = (
    Exit.OK, Exit.CHANGES, Exit.REFUSED, Exit.BUSY, Exit.CHECK_FAILED, Exit.LOGIN, Exit.UNEXPECTED, Exit.USAGE,
)  # fmt: skip
"""Of several orgs the worst outcome gives the exit code."""

LONGEST_WAIT_SECONDS = 900
"""A task is ended after as long; a lease of a worker that died ends within a minute."""
LOOK_AGAIN_SECONDS = 2

every_option = click.option("--all", "every", is_flag=True, help="Every org of the settings; so without any name, too.")


@click.command()
@click.argument("orgs", nargs=-1)
@every_option
@click.option("--confirm", is_flag=True, help="Go on although a safety stop paused the org.")
@click.option("--wait", is_flag=True, help="Wait while another run holds the org, at most 15 minutes.")
@click.option("--plan", "plan_file", type=click.Path(dir_okay=False, path_type=Path), help="Do exactly this plan.")
@as_json
def sync(orgs: tuple[str, ...], every: bool, confirm: bool, wait: bool, plan_file: Path | None, as_json: bool) -> None:
    """Read what changed in ORGS, apply the rules, and write back what the orgs should show."""
    if confirm and not orgs:
        raise click.UsageError("--confirm is for orgs that are named.")
    agreed = _agreed(plan_file, orgs) if plan_file else None
    with runtime() as opened:
        rows = [_synced(opened, org, confirm, wait, agreed) for org in opened.orgs(orgs, every)]
    code = max((row["exit"] for row in rows), key=WORST_LAST.index, default=Exit.OK)
    if as_json:
        emit({"orgs": rows, "exit": code})
    else:
        columns = ("Org", "Result", "Read", "In", "Out", "New", "Refused", "Later", "Conflicts", "Hand edits", "Calls")
        table(columns, [(row["org"], row["result"], *(row[name] for name in _SHOWN)) for row in rows])
        talk(_summary(rows))
    finish(code)


_SHOWN = ("read", "absorbed", "wrote", "created", "refused", "later", "conflicts", "hand_edits", "calls")


def _agreed(file: Path, orgs: tuple[str, ...]) -> Plan:
    """Return the plan in a file, which must be for the one org that is named; InputError says what is wrong with it."""
    from sfsync.mirror.plan import plan_of

    if len(orgs) != 1:
        raise click.UsageError("A plan is for one org: name it.")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("plan_version") != PLAN_VERSION:
            raise ValueError("this is not a plan that sfsync plan --out wrote")
        if data.get("org") != orgs[0]:
            raise ValueError(f"this plan is for org {data.get('org')}, not for {orgs[0]}")
        return plan_of(data)
    except OSError as bad:
        raise InputError(f"cannot be read: {bad.strerror}", Place(str(file))) from None
    except ValueError as bad:
        raise InputError(str(bad), Place(str(file))) from None


PLAN_VERSION = 1


def _synced(opened: Opened, org: str, confirm: bool, wait: bool, agreed: Plan | None) -> dict[str, Any]:
    """Run one org and return what became of it; an error is said and becomes a row."""
    waited = 0
    while True:
        try:
            with _progress(org) as step:
                report = opened.runtime.sync(org, confirmed=confirm, agreed=agreed, step=step)
        except LeaseLost as busy:
            if wait and waited < LONGEST_WAIT_SECONDS:
                opened.runtime.clock.sleep(LOOK_AGAIN_SECONDS)
                waited += LOOK_AGAIN_SECONDS
                continue
            return _failed(org, busy)
        except SfsyncError as bad:
            return _failed(org, bad)
        for one in report.details:
            told = _detail(one)
            if told:
                talk(f"{org}: {told}")
        code = Exit.REFUSED if report.refused else Exit.OK
        return {"org": org, "result": "done", "exit": code, "error": "", **_counts(report)}


def _failed(org: str, bad: SfsyncError) -> dict[str, Any]:
    say(bad)
    result = {
        Exit.BUSY: "busy",
        Exit.LOGIN: "paused",
        Exit.CHECK_FAILED: "paused",
        Exit.REFUSED: "stopped",
        Exit.CHANGES: "moved",
    }
    nothing = dict.fromkeys(COUNTS, 0)
    return {"org": org, "result": result.get(bad.exit, "failed"), "exit": bad.exit, "error": str(bad), **nothing}


def _counts(report: Report) -> dict[str, int]:
    return {name: getattr(report, name) for name in COUNTS}


def _summary(rows: list[dict[str, Any]]) -> str:
    """Return the one line that an operator reads first."""
    done = sum(row["result"] == "done" for row in rows)
    told = [f"{done} org(s) synced"]
    for result in ("paused", "stopped", "moved", "busy", "failed"):
        count = sum(row["result"] == result for row in rows)
        if count:
            told.append(f"{count} {result}")
    refused = sum(row["refused"] for row in rows)
    if refused:
        told.append(f"{refused} record(s) refused: sfsync quarantine list")
    return f"{', '.join(told)}; {sum(row['calls'] for row in rows)} API calls"


def _detail(one: object) -> str:
    """Return what a person wants to hear of one thing that was not plain: never the text of a record."""
    from sfsync.mirror.merge import Conflict, HandEdit
    from sfsync.mirror.plan import Outcome, Result, Unplannable

    match one:
        case Conflict():
            return f"both sides changed {one.object} {one.key} {one.field}; the {one.winner}'s value was kept"
        case HandEdit():
            return f"{one.object} {one.key} {one.field} was edited by hand and is put back"
        case Unplannable():
            return f"refused {one.object} {one.key} {one.field}: {one.reason}"
        case Outcome(result=Result.REJECTED):
            return f"refused {one.change.object} {one.change.key}: {one.code} {one.message}"
    return ""


@contextmanager
def _progress(org: str) -> Iterator[Callable[[str], None]]:
    """Show the stage on a person's terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(org) as status:
        yield lambda stage: status.update(f"{org}: {stage}")


# --- plan ------------------------------------------------------------------------------------------------


@click.command()
@click.argument("orgs", nargs=-1)
@every_option
@click.option("--exit-code", is_flag=True, help="End with 6 if a sync would change anything.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan of one org to a file.")
@as_json
def plan(orgs: tuple[str, ...], every: bool, exit_code: bool, out: Path | None, as_json: bool) -> None:
    """Show what a sync of ORGS would do in both directions, and stop. The orgs are read; nothing is changed."""
    if out is not None and len(orgs) != 1:
        raise click.UsageError("--out is for the plan of one org: name it.")
    with runtime() as opened:
        shown = [_planned(opened, org, out) for org in opened.orgs(orgs, every)]
    if as_json:
        emit({"orgs": shown})
    else:
        for one in shown:
            if not one["error"]:
                _show_preview(one)
    codes = [one["exit"] for one in shown if exit_code or one["exit"] is not Exit.CHANGES]
    finish(max(codes, key=WORST_LAST.index, default=Exit.OK))


def _planned(opened: Opened, org: str, out: Path | None) -> dict[str, Any]:
    """Return what a sync of one org would do; an error is said and stands in the answer."""
    from sfsync.mirror.plan import plan_data

    try:
        preview = opened.runtime.plan(org)
        if out is not None:
            data = {"plan_version": PLAN_VERSION, "org": org, "made_at": plain(opened.now), **plan_data(preview.plan)}
            out.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            talk(f"run it: sfsync sync {org} --plan {out}")
        return _preview(org, preview, opened.runtime.mappings_of(org))
    except SfsyncError as bad:
        say(bad)
        nothing: dict[str, Any] = {name: [] for name in ("changes", "refused", "hand_edits", "conflicts", "findings")}
        return {
            "org": org,
            "exit": bad.exit,
            "error": str(bad),
            "read": 0,
            "taken": 0,
            "calls": 0,
            "write_calls": 0,
            **nothing,
        }


def _preview(org: str, preview: Preview, mappings: Mappings) -> dict[str, Any]:
    from sfsync.mirror.merge import Conflict, HandEdit

    report = preview.report
    moves = bool(preview.plan.changes or preview.plan.refused or report.absorbed)
    return {
        "org": org,
        "exit": Exit.CHANGES if moves else Exit.OK,
        "error": "",
        "read": report.read,
        "taken": report.absorbed,
        "calls": report.calls,
        "write_calls": _cost(preview.plan.changes, mappings),
        "changes": [_change(one, mappings) for one in preview.plan.changes],
        "refused": [_refused(one) for one in preview.plan.refused],
        "hand_edits": [d for d in report.details if isinstance(d, HandEdit)],
        "conflicts": [d for d in report.details if isinstance(d, Conflict)],
        "findings": [] if preview.evaluation is None else list(preview.evaluation.findings),
    }


BULK_CALLS = 6
"""What a Bulk job costs, from making it to its results."""


def _cost(changes: Iterable[Change], mappings: Mappings) -> int:
    """Return about how many API calls it takes to write ``changes``, if the org refuses none."""
    from sfsync.org import transport

    rows = []
    for change in changes:
        try:
            rows.append(transport.row_of(change, mappings, {}))
        except (transport.NotYet, SfsyncError, ValueError):
            continue  # costs nothing: it is not sent
    return sum(
        BULK_CALLS
        if batch.bulk
        else transport.calls_for(transport.spread(transport.chunked(batch.chunks, transport.COLLECTION)))
        for batch in transport.batches(transport.ordered(rows, mappings))
    )


def _change(change: Change, mappings: Mappings) -> dict[str, Any]:
    from sfsync.mirror.translate import line_of

    mapping = mappings.by_object[change.object]
    return {
        "action": "create" if change.creates else "update",
        "object": change.object,
        "key": change.key,
        "sf_id": change.sf_id,
        "fields": {
            name: {"api": line_of(mapping, name).api, "before": change.before.get(name), "after": after}
            for name, after in change.fields.items()
        },
    }


def _refused(one: Unplannable) -> dict[str, Any]:
    return {"object": one.object, "key": one.key, "field": one.field, "reason": one.reason}


def _show_preview(one: dict[str, Any]) -> None:
    click.echo(
        f"{one['org']}: read {one['read']} record(s), {one['taken']} say something new, {one['calls']} API calls"
    )
    for change in one["changes"]:
        sign = "+" if change["action"] == "create" else "~"
        click.echo(f"  {sign} {change['object']}  {change['key']}")
        for values in change["fields"].values():
            before = "" if sign == "+" else f"{_value(values['before'])} -> "
            click.echo(f"      {values['api']:<24}{before}{_value(values['after'])}")
    for edit in one["hand_edits"]:
        found, ours = _value(edit.found), _value(edit.ours)
        click.echo(f"  ! {edit.object}  {edit.key}  {edit.field} was edited by hand ({found}); put back to {ours}")
    for conflict in one["conflicts"]:
        kept, lost = _value(conflict.kept), _value(conflict.lost)
        click.echo(
            f"  ! {conflict.object}  {conflict.key}  {conflict.field}: both changed it; {kept} stays, {lost} is lost"
        )
    for refused in one["refused"]:
        click.echo(f"  x {refused['object']}  {refused['key']}  {refused['field']}: {refused['reason']}")
    added = sum(change["action"] == "create" for change in one["changes"])
    talk(
        f"{one['org']}: {one['taken']} in, {len(one['changes'])} out ({added} to add, {len(one['changes']) - added} to "
        f"change, 0 to delete), {len(one['refused'])} refused, {len(one['hand_edits'])} hand edit(s) undone; "
        f"writing costs about {one['write_calls']} API call(s)"
    )


def _value(value: Any) -> str:
    if value is None:
        return "(empty)"
    text = str(plain(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
