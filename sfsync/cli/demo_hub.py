"""The last act of the demo: the consultancy opens a hub, and works there on cases of both its clients.

What an operator types is typed, and what is shown was read from the orgs. May not know sfsync's rules. It keeps one
law: the only thing that somebody does by hand is what a consultant does in the hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sfsync.cli.demo_people import CONSULTANTS, People
from sfsync.clock import ManualClock, SystemClock
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.runtime import Runtime
from sfsync.settings import load, part_of_hub

if TYPE_CHECKING:
    from sfsync.cli.demo import Show

HUB = "hub"
SEED = 9
ROUNDS = 4
"""After so many syncs of both its orgs a client has come to rest, or something is wrong."""
LOGGED_MINUTES = 45


def open_hub(show: Show) -> None:
    """Connect the consultancy's own org as a hub of both clients, deploy, and bring every case there."""
    org = LocalOrg(HUB, clock=SystemClock(), seed=SEED, zone="UTC")
    line = show.stack.enter_context(running(prepare(show.place / "orgs" / HUB, orgs=[org])))
    show.orgs[HUB], show.lines[HUB] = org, line
    show.people[HUB] = People(org, ManualClock(show.clock.now()))
    clients = [word for name in show.names for word in ("--hub-of", name)]
    show.command(
        "org", "connect", HUB, *clients, "--login-url", line["login_url"], "--username", line["integration_username"],
        "--client-id", line["client_id"], "--key", line["private_key_file"], "--ca-file", line["ca_file"],
    )  # fmt: skip
    show.command("metadata", "deploy", part_of_hub(show.names[0], HUB), "--as", line["username"])
    for name in show.names:  # beside a hub a client's org shows a little more, and time is logged elsewhere
        show.command("metadata", "deploy", name, "--as", show.lines[name]["username"])
    org.assign("sfsync_Consultant", show.people[HUB].user(CONSULTANTS[0]))
    show.runtime = show.stack.enter_context(Runtime.open(load(show.place / "sfsync.toml")))
    for name in show.names:
        come_to_rest(show, name)
        cases = show.ask(part_of_hub(name, HUB), f"SELECT COUNT(Id) n FROM Case WHERE {_of(name)}")
        entries = show.ask(part_of_hub(name, HUB), f"SELECT COUNT(Id) n FROM Time_Entry__c WHERE {_of(name)}")
        click.echo(f"      {HUB:<6} {cases[0]['n']} cases and {entries[0]['n']} time entries of {name}")
    show.say("A hub is connected: the consultancy's own org has the cases of both clients")


def work_in_hub(show: Show) -> None:
    """A consultant logs time on a client's case in the hub; the client sees it in its own org, and nobody else does."""
    mine, others = show.names[0], show.names[1:]
    before = {name: _entries(show, name) for name in show.names}
    asked = "SELECT Case__c, Case__r.CaseNumber FROM Maintenance_Estimate__c WHERE Status__c = 'Approved' AND "
    estimate = show.ask(part_of_hub(mine, HUB), f"{asked}{_of(mine)} ORDER BY Minutes__c DESC")[0]
    people = show.people[HUB]
    with people.org.lock:
        people.log(estimate["Case__c"], LOGGED_MINUTES, "Evolutionary", people.user(CONSULTANTS[0]))
    for name in show.names:
        come_to_rest(show, name)
    new = _entries(show, mine) - before[mine]
    if len(new) != 1 or any(_entries(show, name) != before[name] for name in others):
        raise AssertionError(f"one entry in {mine} was expected, and no other anywhere: {new}")
    [entry] = show.ask(
        mine,
        f"SELECT Name, State__c, Pack__r.Name, Case__r.CaseNumber FROM Time_Entry__c WHERE Id = '{new.pop()}'",
    )
    [account] = show.ask(mine, "SELECT Balance_Hours__c FROM Maintenance_Account__c")
    click.echo(
        f"      {LOGGED_MINUTES} min logged in the hub on {estimate['Case__r']['CaseNumber']}: in {mine} it is "
        f"{entry['Name']} on {entry['Case__r']['CaseNumber']}, {entry['State__c']} on {entry['Pack__r']['Name']}, "
        f"balance {account['Balance_Hours__c']} h; {' and '.join(others)}: nothing of it"
    )
    show.say("Time logged in the hub, read back from the client's own org")


def come_to_rest(show: Show, client: str) -> None:
    """Sync a client's own org and its part of the hub until neither has anything to say."""
    for _ in range(ROUNDS):
        reports = [show.runtime.sync(org) for org in (client, part_of_hub(client, HUB))]
        if not any(report.wrote + report.absorbed + report.later for report in reports):
            return
    raise AssertionError(f"{client} and its part of the hub do not come to rest")


def _of(client: str) -> str:
    return f"Sfsync_Key__c LIKE '{client}/%'"


def _entries(show: Show, client: str) -> set[str]:
    return {row["Id"] for row in show.ask(client, "SELECT Id FROM Time_Entry__c")}
