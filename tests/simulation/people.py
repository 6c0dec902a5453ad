"""The people of the full layer: client, consultant, administrator, consultancy, and what time and weather do to them.

May not know what is promised of the line. It keeps one law: a person does only what an org lets a person do; what the
org refuses does not happen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from sfsync.localorg.errors import ApiError
from sfsync.localorg.faults import KINDS, Faults
from sfsync.localorg.schema import PicklistValue, SchemaChange, ValidationRule, custom_field
from sfsync.records import PostingKind
from sfsync.rules.evaluate import Evaluation
from sfsync.rules.postings import act as posted
from tests.e2e.stage import CLIENT, CONSULTANT
from tests.simulation.place import Place

ENTRY, ESTIMATE, PACK, ACCOUNT = (
    "Time_Entry__c",
    "Maintenance_Estimate__c",
    "Maintenance_Pack__c",
    "Maintenance_Account__c",
)
ZONES = ("America/Argentina/Buenos_Aires", "Europe/Madrid", "Asia/Kathmandu", "Pacific/Apia")
FAULTS = tuple(KINDS)
"""Every fault that the local org knows."""
SECONDS = {"slow": 20, "late_commit": 90}
_RENAME = 'UPDATE "FieldPermissions" SET "Field" = ? WHERE "Field" = ?'


class People:
    """Everybody who acts beside the workers."""

    place: Place
    names: tuple[str, ...]
    rough: float
    decided: dict[tuple[str, str], str]
    """(org, estimate) to what a person decided last."""
    beyond: bool
    """True once something happened that only the store knows: in which zone the contract was."""

    def _pick(self, name: str, sobject: str, draw: Random, *, deleted: bool = False) -> str | None:
        rows = self.place.orgs[name].storage.rows(
            f'SELECT "Id" FROM "{sobject}" WHERE "IsDeleted" = ? ORDER BY "Id"', (int(deleted),)
        )
        return str(draw.choice(rows)[0]) if rows else None

    def case(self, name: str, draw: Random, step: int) -> None:
        """A person of the client opens a case."""
        self.place.case(name, Subject=f"{name}-{step}", Maint_Priority__c=draw.choice(("P1", "P2", "P3")))

    def log(self, name: str, draw: Random, step: int) -> None:
        """A consultant logs time."""
        case = self._pick(name, "Case", draw)
        if case is not None:
            on = self.place.today() - timedelta(days=draw.choice((0, 0, 1, 4)))
            self.place.log(case, draw.randrange(5, 200, 5), on, name, Description__c=f"{name}-{step}")

    def estimate(self, name: str, draw: Random, step: int) -> None:
        """A consultant proposes hours."""
        case = self._pick(name, "Case", draw)
        if case is not None:
            valid = (self.place.today() + timedelta(days=draw.choice((0, 1, 14)))).isoformat()
            self.place.estimate(case, draw.randrange(30, 600, 30), name, Version__c=step + 1, Valid_Until__c=valid)

    def decide(self, name: str, draw: Random, step: int) -> None:
        """A person of the client approves or rejects."""
        estimate = self._pick(name, "Maintenance_Estimate__c", draw)
        if estimate is not None:
            word = draw.choice(("Approved", "Approved", "Rejected", "Question"))
            values = {"Status__c": word, "Reject_Reason__c": "Not now" if word == "Rejected" else None}
            org = self.place.orgs[name]
            org.update("Maintenance_Estimate__c", estimate, values, user=CLIENT.format(name))
            self.decided[name, estimate] = word

    def edit(self, name: str, draw: Random, step: int) -> None:
        """A consultant corrects minutes, answers a case, or changes its urgency."""
        org = self.place.orgs[name]
        entry, case = self._pick(name, "Time_Entry__c", draw), self._pick(name, "Case", draw)
        what = draw.random()
        if what < 0.4 and entry is not None:
            org.update("Time_Entry__c", entry, {"Minutes__c": draw.randrange(5, 300, 5)})
        elif case is not None:
            values = draw.choice(
                ({"Status": "Working"}, {"Maint_Priority__c": "P1"}, {"Maint_Paused__c": True}, {"Status": "Closed"},
                 {"Subject": f"{name}-{step}"})
            )  # fmt: skip
            org.update("Case", case, values, user=CONSULTANT.format(name))

    def delete(self, name: str, draw: Random, step: int) -> None:
        """A person deletes a record or brings one back."""
        org, sobject = self.place.orgs[name], draw.choice((ENTRY, ENTRY, "Case", ESTIMATE))
        gone = self._pick(name, sobject, draw, deleted=True)
        if gone is not None and draw.random() < 0.5:
            org.undelete(gone)
            return
        record = self._pick(name, sobject, draw)
        if record is not None:
            org.delete(sobject, record, hard=sobject == "Time_Entry__c" and draw.random() < 0.2)

    def merge(self, name: str, draw: Random, step: int) -> None:
        """Two cases are found to be one; what hung on the one that goes hangs on the other."""
        master, loser = self._pick(name, "Case", draw), self._pick(name, "Case", draw)
        if master is not None and loser is not None and master != loser:
            self.place.orgs[name].merge("Case", master, [loser])

    def extend(self, name: str, draw: Random, step: int) -> None:
        """A person of the client asks for the extension of a pack, or thinks again."""
        pack = self._pick(name, PACK, draw)
        if pack is not None:
            org = self.place.orgs[name]
            org.update(PACK, pack, {"Extension_Requested__c": draw.random() < 0.8}, user=CLIENT.format(name))

    def admin(self, name: str, draw: Random, step: int) -> None:
        """An administrator corrects what belongs to the client, and moves the service's user to another zone."""
        org = self.place.orgs[name]
        account, estimate = self._pick(name, ACCOUNT, draw), self._pick(name, ESTIMATE, draw)
        what = draw.random()
        if what < 0.3 and account is not None:
            org.update(ACCOUNT, account, {"Report_Emails__c": f"{name}-{step}@example.com"})
        elif what < 0.7 and estimate is not None:
            word = draw.choice(("Withdrawn", "Sent", "Superseded"))
            org.update(ESTIMATE, estimate, {"Status__c": word})
            self.decided[name, estimate] = word
        else:
            org.update("User", org.integration_id, {"TimeZoneSidKey": draw.choice(ZONES)})

    def refund(self, name: str, draw: Random, step: int) -> None:
        """The consultancy pays back, gives or moves minutes by hand."""
        store = self.place.runtime.store
        left = {pack: minutes for pack, minutes in store.balances(name).items() if minutes >= 60}
        if not left:
            return
        pack = draw.choice(sorted(left))
        kind = draw.choice((PostingKind.REFUND, PostingKind.ADJUSTMENT))
        minutes = {pack: -60 if kind is PostingKind.REFUND else 30}
        now = self.place.clock.now()
        said = posted(f"{name}-{step}", kind, minutes, on=self.place.today(), now=now, reason="agreed by telephone")
        mappings = self.place.runtime.client(name).mappings
        store.amend(name, mappings, Evaluation(postings=said), now)

    def slow(self, name: str, draw: Random, step: int) -> None:
        """Somebody's transaction stays open for a while."""
        org = self.place.orgs[name]
        case = self._pick(name, "Case", draw)
        if case is None:
            return
        held = org.hold(commit_at=org.now() + timedelta(seconds=draw.randint(1, 1500)))
        row = {"Case__c": case, "Minutes__c": 25, "Work_Date__c": self.place.today().isoformat()}
        try:
            with org.within(held):
                org.insert("Time_Entry__c", {**row, "Description__c": f"{name}-{step}"})
                if draw.random() < 0.5:
                    org.update("Case", case, {"Subject": f"{name}-{step}"})
        except ApiError:
            org.storage.abandon(held)

    def hand(self, name: str, draw: Random, step: int) -> None:
        """An administrator writes into a field that is ours, past the rules."""
        org = self.place.orgs[name]
        pack = self._pick(name, "Maintenance_Pack__c", draw)
        if pack is not None and not org.storage.locked(pack):
            with org.storage.unit():
                values = [(99.0, org.now_seconds(), pack)]
                org.storage.update("Maintenance_Pack__c", ["Hours_Remaining__c", "SystemModstamp"], values)

    def buy(self, name: str, draw: Random, step: int) -> None:
        """The consultancy registers a payment."""
        plan, packs = draw.choice((("starter", 1), ("flexi", 5)))
        self.place.buy(plan, packs, org=name, key=f"pk:{name}{step}")

    def wait(self, name: str, draw: Random, step: int) -> None:
        """Time passes, or our clock is put back while the orgs' clocks go on."""
        if draw.random() < 0.15:
            back = draw.choice((60, 3_600))
            self.place.clock.set(self.place.clock.now() - timedelta(seconds=back))
            for skewed in self.place.skewed.values():
                skewed.skew += back
        else:
            self.place.later(hours=draw.choice((1, 9, 26, 170)))

    def weather(self, name: str, draw: Random, step: int) -> None:
        """Requests begin to fail in some way, or stop failing."""
        rules: list[dict[str, Any]] = []
        if draw.random() < self.rough:
            for _ in range(4):
                kind = draw.choice(FAULTS)
                seconds = SECONDS.get(kind, 1)
                rules.append({"kind": kind, "probability": 0.4, "times": draw.randint(1, 4), "seconds": seconds})
        self.place.orgs[name].faults = Faults.of({"seed": step, "rules": rules})

    def zone(self, name: str, draw: Random, step: int) -> None:
        """The client moves: its contract has another zone from now on."""
        self.place.zone(name, draw.choice(ZONES))
        self.beyond = True

    def deploy(self, name: str, draw: Random, step: int) -> None:
        """Somebody deploys: a field of their own comes or goes, a list of values grows, a rule refuses our writes."""
        org = self.place.orgs[name]
        case = org.schema["Case"]
        what = draw.random()
        if what < 0.4 and "Their__c" not in case.fields:
            org.schema_change(SchemaChange(fields=[("Case", custom_field("Their__c", "string", length=20))]))
        elif what < 0.4:
            org.schema_change(SchemaChange(removed_fields=[("Case", "Their__c")]))
        elif what < 0.7:
            origin = case.fields["Origin"]
            grown = replace(origin, picklist=(*origin.picklist, PicklistValue(f"Word {step}")))
            org.schema_change(SchemaChange(fields=[("Case", grown)]))
        else:
            service = org.actor(org.integration_id).username
            formula = f'AND($User.Username = "{service}", ISPICKVAL(Status, "Working"))'
            rule = ValidationRule("Closed_Shop", formula, "Nobody touches what is being worked on")
            org.schema_change(SchemaChange(rules=[("Case", rule)]))

    def _undo_rule(self, name: str) -> None:
        org = self.place.orgs[name]
        if any(rule.name == "Closed_Shop" for rule in org.schema["Case"].rules):
            org.schema_change(SchemaChange(removed_rules=[("Case", "Closed_Shop")]))

    def drift(self, name: str, draw: Random, step: int) -> None:
        """A field is hidden from the service, or shown again."""
        org = self.place.orgs[name]
        (shown,) = org.storage.rows('SELECT count(*) FROM "FieldPermissions" WHERE "Field" = \'Case.SLA_Status__c\'')[0]
        if shown:
            self._hide(name)
        else:
            self._show(name)

    def _hide(self, name: str) -> None:
        org = self.place.orgs[name]
        org.storage.db.execute(_RENAME, ("-SLA", "Case.SLA_Status__c"))
        org.schema_changed_at = org.now_seconds()
        org.access_changed()

    def _show(self, name: str) -> None:
        org = self.place.orgs[name]
        org.storage.db.execute(_RENAME, ("Case.SLA_Status__c", "-SLA"))
        org.schema_changed_at = org.now_seconds()
        org.access_changed()
        self.place.runtime.store.resume(name, name)
