"""The people of the full layer: client, consultant, administrator, consultancy, and what time and weather do to them.

May not know what is promised of the line. It keeps one law: a person does only what an org lets a person do; what the
org refuses does not happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from sfsync.localorg.errors import ApiError
from sfsync.localorg.faults import KINDS, Faults
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.schema import PicklistValue, SchemaChange, ValidationRule, custom_field
from sfsync.records import Adjustment
from sfsync.rules.evaluate import Evaluation
from sfsync.rules.postings import posting_of
from tests.e2e.stage import CLIENT, CONSULTANT
from tests.simulation.place import Place

ENTRY, ESTIMATE, PACK, ACCOUNT = (
    "Time_Entry__c",
    "Maintenance_Estimate__c",
    "Maintenance_Pack__c",
    "Maintenance_Account__c",
)
ZONES = ("America/Argentina/Buenos_Aires", "Europe/Madrid", "Asia/Kathmandu", "Pacific/Apia")
KEY = "Sfsync_Key__c"
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

    def rekey(self, name: str, draw: Random, step: int) -> None:
        """An administrator edits the key field of a record, empties it, or swaps the keys of two."""
        org, sobject = self.place.orgs[name], draw.choice((ENTRY, PACK, ESTIMATE))
        one, other = self._pick(name, sobject, draw), self._pick(name, sobject, draw)
        if one is None or other is None:
            return
        first, second = org.get(sobject, one) or {}, org.get(sobject, other) or {}
        keys = first[KEY], second[KEY]
        if one == other:
            org.update(sobject, one, {KEY: draw.choice((None, f"xx:{name}{step}"))})
            return
        org.update(sobject, one, {KEY: None})
        org.update(sobject, other, {KEY: keys[0]})
        org.update(sobject, one, {KEY: keys[1]})

    def refund(self, name: str, draw: Random, step: int) -> None:
        """The consultancy pays back, or gives, minutes by hand."""
        left = self.place.runtime.store.balances(name)
        free = sorted(pack for pack, minutes in left.items() if minutes >= 60)
        if free:
            kind, minutes = draw.choice((("Refund", -60), ("Adjustment", 30), ("Adjustment", -15)))
            act_by_hand(self.place, name, draw.choice(free), kind, minutes, f"{name}-{step}")

    def slow(self, name: str, draw: Random, step: int) -> None:
        """Somebody's transaction stays open for a while."""
        org = self.place.orgs[name]
        case = self._pick(name, "Case", draw)
        if case is None:
            return
        with left_open(org, draw.randint(1, 1500)):
            self.place.log(case, 25, org=name, Description__c=f"{name}-{step}")
            if draw.random() < 0.5:
                org.update("Case", case, {"Subject": f"{name}-{step}"})

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
        self.place.terms(name, time_zone=draw.choice(ZONES))
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
            refuse(self.place, name)

    def drift(self, name: str, draw: Random, step: int) -> None:
        """A field is hidden from the service, or shown again."""
        org = self.place.orgs[name]
        (shown,) = org.storage.rows('SELECT count(*) FROM "FieldPermissions" WHERE "Field" = \'Case.SLA_Status__c\'')[0]
        if shown:
            hide(self.place, name)
        else:
            show(self.place, name)


@contextmanager
def left_open(org: LocalOrg, seconds: int) -> Iterator[None]:
    """Let everything in the block happen in a transaction that stays open for a while; a refusal undoes all of it."""
    held = org.hold(commit_at=org.now() + timedelta(seconds=seconds))
    try:
        with org.within(held):
            yield
    except ApiError:
        org.storage.abandon(held)


def hide(place: Place, name: str) -> None:
    """Hide a field from the service's user."""
    org = place.orgs[name]
    org.storage.db.execute(_RENAME, ("-SLA", "Case.SLA_Status__c"))
    org.schema_changed_at = org.now_seconds()
    org.access_changed()


def show(place: Place, name: str) -> None:
    """Show the field again, and let the org go on."""
    org = place.orgs[name]
    org.storage.db.execute(_RENAME, ("Case.SLA_Status__c", "-SLA"))
    org.schema_changed_at = org.now_seconds()
    org.access_changed()
    place.runtime.store.resume(name, name)


def refuse(place: Place, name: str) -> None:
    """Deploy a rule that refuses what the service writes to cases that are being worked on."""
    org = place.orgs[name]
    service = org.actor(org.integration_id).username
    formula = f'AND($User.Username = "{service}", ISPICKVAL(Status, "Working"))'
    rule = ValidationRule("Closed_Shop", formula, "Nobody touches what is being worked on")
    org.schema_change(SchemaChange(rules=[("Case", rule)]))


def allow(place: Place, name: str) -> None:
    """Take that rule away, and let what it refused out of quarantine."""
    org = place.orgs[name]
    if any(rule.name == "Closed_Shop" for rule in org.schema["Case"].rules):
        org.schema_change(SchemaChange(removed_rules=[("Case", "Closed_Shop")]))
    for one in place.runtime.store.quarantined(name):
        place.runtime.store.retry(name, name, one["object"], one["key"])


def act_by_hand(place: Place, name: str, pack: str, kind: str, minutes: int, reference: str) -> None:
    """Book minutes that a person gave or took, with the record that the org is to hold of it."""
    now = place.clock.now()
    act = Adjustment(
        key=f"pa:{reference}", pack=pack, kind=kind, minutes=minutes, effective_on=place.today(),
        booked_at=now.replace(microsecond=0), reference=reference, reason="agreed by telephone",
    )  # fmt: skip
    posting = posting_of(act)
    assert posting is not None
    place.runtime.store.amend(
        name, place.runtime.client(name).mappings, Evaluation(created=[act], postings=[posting]), now
    )
