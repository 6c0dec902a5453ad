"""Fixed scenes of a contract's life, in which a run is killed at each of its side effects in turn.

May not know how a run is killed. It keeps one law: a scene first comes to rest, then one thing happens; the run that
follows is the one that dies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from sfsync.errors import SchemaDrift
from tests.e2e.stage import CLIENT, CONSULTANT
from tests.simulation.ground import Killed
from tests.simulation.people import act_by_hand, allow, hide, refuse, show
from tests.simulation.place import Place

ENTRY, ESTIMATE, PACK = "Time_Entry__c", "Maintenance_Estimate__c", "Maintenance_Pack__c"
Scene = Callable[[Place], None]


def _rest(place: Place) -> None:
    for _ in range(2):
        place.sync("acme")
        place.later(minutes=20)


def _work(place: Place, *, minutes: int = 90) -> tuple[str, str, str]:
    """A pack, a case, an approved estimate and logged time."""
    place.buy("flexi", 5, org="acme")
    case = place.case("acme")
    estimate = place.estimate(case, 360, "acme")
    place.approve(estimate, "acme")
    return case, estimate, place.log(case, minutes, org="acme")


def nothing_happens(place: Place) -> None:
    """A quiet poll."""
    _work(place)
    _rest(place)


def first_run_of_a_client(place: Place) -> None:
    """Everything is new."""
    _work(place)


def pack_is_bought(place: Place) -> None:
    """A record that the service creates."""
    place.case("acme")
    _rest(place)
    place.buy("pro", 15, org="acme")


def case_is_opened(place: Place) -> None:
    """A clock starts."""
    _rest(place)
    place.case("acme", Maint_Priority__c="P1")


def estimate_is_sent(place: Place) -> None:
    """A balance after approval is shown."""
    place.buy("flexi", 5, org="acme")
    case = place.case("acme")
    _rest(place)
    place.estimate(case, 240, "acme")


def estimate_is_approved(place: Place) -> None:
    """Minutes are reserved."""
    place.buy("flexi", 5, org="acme")
    estimate = place.estimate(place.case("acme"), 240, "acme")
    _rest(place)
    place.approve(estimate, "acme")


def estimate_is_rejected(place: Place) -> None:
    """Nothing is reserved."""
    place.buy("flexi", 5, org="acme")
    estimate = place.estimate(place.case("acme"), 240, "acme")
    _rest(place)
    values = {"Status__c": "Rejected", "Reject_Reason__c": "Not now"}
    place.orgs["acme"].update(ESTIMATE, estimate, values, user=CLIENT.format("acme"))


def estimate_expires(place: Place) -> None:
    """Time alone changes a shared field."""
    place.buy("flexi", 5, org="acme")
    place.estimate(place.case("acme"), 240, "acme", Valid_Until__c=place.today().isoformat())
    _rest(place)
    place.later(days=2)


def time_is_logged(place: Place) -> None:
    """Minutes are drawn."""
    case, _, _ = _work(place)
    _rest(place)
    place.log(case, 45, org="acme")


def minutes_are_corrected(place: Place) -> None:
    """A reversal and a posting."""
    _, _, entry = _work(place)
    _rest(place)
    place.orgs["acme"].update(ENTRY, entry, {"Minutes__c": 30})


def entry_is_deleted(place: Place) -> None:
    """Minutes are given back."""
    _, _, entry = _work(place)
    _rest(place)
    place.orgs["acme"].delete(ENTRY, entry)


def entry_comes_back(place: Place) -> None:
    """Minutes are drawn again."""
    _, _, entry = _work(place)
    _rest(place)
    place.orgs["acme"].delete(ENTRY, entry)
    _rest(place)
    place.orgs["acme"].undelete(entry)


def entry_is_gone_for_good(place: Place) -> None:
    """Past the bin."""
    _, _, entry = _work(place)
    _rest(place)
    place.orgs["acme"].delete(ENTRY, entry, hard=True)


def work_waits_for_approval(place: Place) -> None:
    """Time without an estimate."""
    place.buy("flexi", 5, org="acme")
    case = place.case("acme")
    _rest(place)
    place.log(case, 60, org="acme")


def pack_runs_out(place: Place) -> None:
    """More work than one pack holds."""
    place.buy("starter", 1, org="acme")
    place.buy("flexi", 5, org="acme", key="pk:2")
    case = place.case("acme")
    place.approve(place.estimate(case, 2000, "acme"), "acme")
    _rest(place)
    for _ in range(3):
        place.log(case, 300, org="acme")


def case_is_breached(place: Place) -> None:
    """A deadline passes."""
    place.case("acme", Maint_Priority__c="P1")
    _rest(place)
    place.later(hours=5)


def case_is_answered(place: Place) -> None:
    """A consultant acknowledges."""
    case = place.case("acme", Maint_Priority__c="P1")
    _rest(place)
    place.orgs["acme"].update("Case", case, {"Status": "Working"}, user=CONSULTANT.format("acme"))


def case_becomes_urgent(place: Place) -> None:
    """Its target moves."""
    case = place.case("acme", Maint_Priority__c="P3")
    _rest(place)
    place.orgs["acme"].update("Case", case, {"Maint_Priority__c": "P1"}, user=CONSULTANT.format("acme"))


def case_is_closed(place: Place) -> None:
    """What was reserved is released."""
    case, _, _ = _work(place)
    _rest(place)
    place.orgs["acme"].update("Case", case, {"Status": "Closed"}, user=CONSULTANT.format("acme"))


def balance_is_edited_by_hand(place: Place) -> None:
    """It is put back, and on record."""
    _work(place)
    _rest(place)
    org = place.orgs["acme"]
    [(pack,)] = org.storage.rows(f'SELECT "Id" FROM "{PACK}"')
    with org.storage.unit():
        org.storage.update(PACK, ["Hours_Remaining__c", "SystemModstamp"], [(99.0, org.now_seconds(), pack)])


def week_is_closed(place: Place) -> None:
    """A summary and its lines are made."""
    _work(place)
    _rest(place)
    place.later(days=7)


def week_is_revised(place: Place) -> None:
    """Late work reaches a week that was issued."""
    case, _, _ = _work(place)
    _rest(place)
    place.later(days=7)
    _rest(place)
    place.log(case, 30, place.today() - timedelta(days=6), "acme")
    place.sync("acme")
    place.later(days=1)


def cases_are_merged(place: Place) -> None:
    """What hung on one case hangs on another."""
    case, _, _ = _work(place)
    other = place.case("acme", Subject="the same again")
    _rest(place)
    place.orgs["acme"].merge("Case", other, [case])


def decision_meets_expiry(place: Place) -> None:
    """A conflict: the estimate expired here, the run died before the org heard of it, and the client approved."""
    place.buy("flexi", 5, org="acme")
    estimate = place.estimate(place.case("acme"), 240, "acme", Valid_Until__c=place.today().isoformat())
    _rest(place)
    place.later(days=2)
    calls: list[str] = []

    def die_writing(name: str) -> None:
        calls.append(name)
        if name == "send POST composite" and calls.count(name) == 2:
            raise Killed

    with suppress(Killed):
        place.worker(die_writing).sync("acme")
    place.approve(estimate, "acme")
    place.forget_lease("acme")


def pack_expires(place: Place) -> None:
    """Time alone takes what was not used."""
    place.buy("starter", 1, on=place.today() - timedelta(days=85), org="acme")
    place.log(place.case("acme"), 60, org="acme")
    _rest(place)
    place.later(days=10)


def extension_is_asked_for(place: Place) -> None:
    """The client ticks a box, and the last day moves."""
    _work(place)
    _rest(place)
    [(pack,)] = place.orgs["acme"].storage.rows(f'SELECT "Id" FROM "{PACK}"')
    place.orgs["acme"].update(PACK, pack, {"Extension_Requested__c": True}, user=CLIENT.format("acme"))


def minutes_are_paid_back(place: Place) -> None:
    """A person's act: the ledger and a record of it."""
    _work(place)
    _rest(place)
    act_by_hand(place, "acme", "pk:1", "Refund", -480, "CN-1")


def estimate_is_superseded(place: Place) -> None:
    """A newer version takes the place of one that waits."""
    place.buy("flexi", 5, org="acme")
    case = place.case("acme")
    place.estimate(case, 240, "acme")
    _rest(place)
    place.estimate(case, 300, "acme", Version__c=2)


def plan_is_changed(place: Place) -> None:
    """Another support plan: the account shows it, and clocks have other targets."""
    place.buy("flexi", 5, org="acme")
    place.case("acme", Maint_Priority__c="P1")
    place.case("acme", Maint_Priority__c="P3")
    _rest(place)
    place.terms("acme", sla_plan="platinum")
    place.runtime.store.evaluate_again("acme")


def quarantine_is_released(place: Place) -> None:
    """The org refused a record; the rule is gone, and a person says: again."""
    case, _, _ = _work(place)
    _rest(place)
    refuse(place, "acme")
    place.orgs["acme"].update("Case", case, {"Status": "Working"}, user=CONSULTANT.format("acme"))
    place.log(case, 45, org="acme")
    _rest(place)
    assert place.runtime.store.quarantined("acme"), "the org refused nothing"
    allow(place, "acme")


def schema_comes_back(place: Place) -> None:
    """A field was hidden, the org was paused, people went on; now it is shown again."""
    case, _, _ = _work(place)
    _rest(place)
    hide(place, "acme")
    place.log(case, 45, org="acme")
    with suppress(SchemaDrift):
        place.sync("acme")
    place.later(minutes=30)
    show(place, "acme")


def much_is_written(place: Place) -> None:
    """Enough rows for a Bulk job."""
    case, _, _ = _work(place)
    _rest(place)
    for minutes in (15, 25, 35, 45, 55):
        place.log(case, minutes, org="acme")


MANY = {"much_is_written": 3}
"""Scenes in which so few rows are already a Bulk job."""

SCENES: dict[str, Scene] = {
    made.__name__: made
    for made in (
        nothing_happens, first_run_of_a_client, pack_is_bought, case_is_opened, estimate_is_sent, estimate_is_approved,
        estimate_is_rejected, estimate_expires, time_is_logged, minutes_are_corrected, entry_is_deleted,
        entry_comes_back, entry_is_gone_for_good, work_waits_for_approval, pack_runs_out, case_is_breached,
        case_is_answered, case_becomes_urgent, case_is_closed, balance_is_edited_by_hand, week_is_closed,
        week_is_revised, cases_are_merged, decision_meets_expiry, pack_expires, extension_is_asked_for,
        minutes_are_paid_back, estimate_is_superseded, plan_is_changed, quarantine_is_released, schema_comes_back,
        much_is_written,
    )
}  # fmt: skip
