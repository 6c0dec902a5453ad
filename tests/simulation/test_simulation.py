"""A short run of every layer: the promises hold, planted faults are found, and the same seed is the same history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation import contract, crashes, faults, full, hub, line, line_crashes, replay, scenes, walk
from tests.simulation.ground import Trace, shorten
from tests.simulation.place import Place
from tests.simulation.regressions import FINDINGS, LIVED, Finding, Lived


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    """The place of the full layer, on the session's database."""
    full.close()
    yield full.place(database_url)
    full.close()


def test_merge_and_plan_keep_every_edit_whatever_the_two_sides_do() -> None:
    for seed in range(5_000):
        walk.run(seed)


@pytest.mark.parametrize("block", range(4))
def test_the_line_keeps_every_promise_through_crashes_people_and_bad_luck(block: int) -> None:
    for seed in range(block * 150, block * 150 + 150):
        line.run(seed)


def test_the_rules_say_each_thing_once_and_overlook_nothing() -> None:
    for seed in range(150):
        contract.run(seed)


def test_the_whole_of_it_keeps_every_promise_on_a_real_store(place: Place) -> None:
    for seed in range(4):
        full.run(seed)


def test_a_hub_keeps_two_clients_apart_and_the_fault_that_mixes_them_is_found(database_url: str) -> None:
    full.close()
    hub.close()
    hub.place(database_url)
    try:
        hub.run(78)
        fault = faults.FAULTS["a row of another client is stored"]
        assert faults.hunt(fault, range(78, 79), shorten=False) is not None
    finally:
        hub.close()


def test_wherever_a_run_died_the_end_is_the_same() -> None:
    for seed in range(6):
        _, bad = line_crashes.judge(seed, pairs=seed == 0)
        assert bad == []


def test_a_run_on_a_real_store_may_die_at_any_side_effect(place: Place) -> None:
    _, bad = crashes.judge(place, "time_is_logged", every=11)
    assert bad == []
    count, bad = crashes.judge(place, "much_is_written", every=11)
    assert count > 40
    assert bad == []


def test_a_decision_made_while_the_service_writes_stays(place: Place) -> None:
    place.reset("a race")
    place.buy("flexi", 5, org="acme")
    valid = place.today().isoformat()
    estimate = place.estimate(place.case("acme"), 240, "acme", Valid_Until__c=valid)
    place.sync("acme")
    place.later(days=2)
    calls: list[str] = []

    def approve_late(name: str) -> None:
        calls.append(name)
        if name == "send POST composite" and calls.count(name) == 2:
            place.approve(estimate, "acme")

    place.worker(approve_late).sync("acme")
    assert calls.count("send POST composite") >= 2, "nobody wrote, so nothing was proven"
    for _ in range(2):
        place.later(minutes=20)
        place.sync("acme")
    assert place.shown("Maintenance_Estimate__c", estimate, "acme")["Status__c"] == "Approved"


@pytest.mark.parametrize("merged_again", [False, True])
def test_a_statement_that_names_a_deleted_case_comes_to_rest(place: Place, merged_again: bool) -> None:
    place.reset("full seed 68")
    case, _, _ = scenes._work(place)
    other = place.case("acme", Subject="the same")
    place.sync("acme")
    place.later(days=7)
    place.sync("acme")
    place.orgs["acme"].merge("Case", other, [case])
    place.sync("acme")
    if merged_again:
        loser, other = other, place.case("acme", Subject="the same once more")
        place.sync("acme")
        place.orgs["acme"].merge("Case", other, [loser])
        place.sync("acme")
        full.equal(place, "acme")
    place.orgs["acme"].delete("Case", other)
    for _ in range(2):
        place.later(minutes=61)
        place.sync("acme")
    full.equal(place, "acme")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.fault)
def test_what_was_found_once_is_found_again(finding: Finding) -> None:
    fault = faults.FAULTS[finding.fault]
    found = faults.hunt(fault, range(finding.seed, finding.seed + 1), shorten=False)
    assert found is not None, finding.sentence
    line.run(finding.seed)


@pytest.mark.parametrize("lived", LIVED, ids=lambda lived: f"{lived.layer}-{lived.seed}")
def test_a_history_that_broke_a_promise_once_holds_now(lived: Lived, place: Place) -> None:
    {"full": full.run, "line": line.run}[lived.layer](lived.seed, lived.steps)


def test_every_planted_fault_has_a_name_of_its_own_and_leaves_nothing_behind() -> None:
    assert len(faults.FAULTS) >= 40
    for fault in faults.FAULTS.values():
        before = [owner.__dict__[name] for owner, name, _ in fault.patches]
        with faults.planted(fault):
            assert all(owner.__dict__[name] is new for owner, name, new in fault.patches)
        assert [owner.__dict__[name] for owner, name, _ in fault.patches] == before


def test_the_simulation_finds_planted_faults() -> None:
    easy = ("last writer wins", "no overlap", "bookmark stored early", "creates are left out", "deletes are ignored")
    missed = [name for name in easy if faults.hunt(faults.FAULTS[name], range(40), shorten=False) is None]
    assert missed == []


def test_a_failing_history_is_shortened_to_what_matters() -> None:
    kept, _ = shorten(range(40), lambda steps: {7, 23} <= set(steps))
    assert kept == [7, 23]


@pytest.mark.parametrize("layer", ["merge", "line", "rules"])
def test_the_same_seed_is_the_same_history_whatever_the_hashes_are(layer: str) -> None:
    wrong, _ = replay.differing(layer, range(12))
    assert wrong == []


def test_the_same_seed_is_the_same_history_on_a_real_store(place: Place) -> None:
    digests = []
    for _ in range(2):
        trace = Trace()
        full.run(3, None, trace)
        digests.append(trace.digest)
    assert digests[0] == digests[1]
