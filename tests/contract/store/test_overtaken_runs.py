"""Runs that were overtaken: frozen between the check and the send, or while somebody else changed the client."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sfsync.errors import StoreUnavailable
from sfsync.mirror.merge import merge
from sfsync.mirror.plan import plan
from sfsync.mirror.translate import Bookmark, Page
from sfsync.rules.evaluate import Evaluation
from sfsync.store.store import Store
from tests.contract.store.conftest import NOW
from tests.contract.store.test_room import Line, a_case


def test_whoever_plans_after_a_run_that_began_writes_a_higher_revision(store: Store, mappings) -> None:
    frozen = Line(store.room("acme", "acme", mappings, store.acquire("acme", "acme", "first", seconds=0)), mappings)
    frozen.read(a_case(1))
    frozen.rules(Evaluation(fields={("Case", "ca:1"): {"logged_minutes": 30}}))
    [late] = frozen.plan().changes
    successor = Line(store.room("acme", "acme", mappings, store.acquire("acme", "acme", "second")), mappings)
    [change] = successor.plan().changes
    assert change.revision > late.revision, "the org takes an equal revision for a retry of the same run"


def test_memories_that_grew_old_are_not_merged_into_the_store(store: Store, room, mappings) -> None:
    line = Line(room, mappings)
    line.read(a_case(1))
    seen = a_case(1, stamp=NOW + timedelta(minutes=1), subject="Printer on fire")
    remembered, local = room.memories("Case", ["ca:1"])["ca:1"]
    merged = merge(mappings.by_object["Case"], seen, remembered, local, room.ids((), ()), {})
    store.amend("acme", mappings, Evaluation(fields={("Case", "ca:1"): {"logged_minutes": 30}}), NOW)
    page = Page("Case", (seen,), Bookmark("Case", NOW + timedelta(minutes=1)))
    with pytest.raises(StoreUnavailable, match="changed while its records were merged"):
        room.absorb(page, [(seen, merged)])
    assert room.bookmarks()["Case"].read_to == NOW
    line.read(seen)
    assert room.memories("Case", ["ca:1"])["ca:1"][1]["subject"] == "Printer on fire"


def test_what_both_sides_came_to_by_themselves_is_agreed(store: Store, room, mappings) -> None:
    line = Line(room, mappings)
    line.read(a_case(1))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    line.settle(line.plan().changes)
    line.read(a_case(1, stamp=NOW + timedelta(minutes=1), sla_status="Met"))  # by hand, to be put back
    store.amend("acme", mappings, Evaluation(fields={("Case", "ca:1"): {"sla_status": "Met"}}), NOW)  # now it is so
    assert line.plan().changes == ()
    link, _ = room.memories("Case", ["ca:1"])["ca:1"]
    assert link.agreed["sla_status"] == "Met"


@pytest.mark.parametrize("first", ["deleted", "alive"])
def test_a_record_in_the_bin_is_no_second_one_beside_the_living_that_carries_its_key(
    room, mappings, first: str
) -> None:
    binned = replace(a_case(1, stamp=NOW), deleted=True)
    living = replace(a_case(2, stamp=NOW), key="ca:1")
    line = Line(room, mappings)
    line.read(*((binned, living) if first == "deleted" else (living, binned)))
    link, _ = room.memories("Case", ["ca:1"])["ca:1"]
    assert (link.sf_id, link.deleted) == (living.sf_id, False)
    line.read(binned)
    link, _ = room.memories("Case", ["ca:1"])["ca:1"]
    assert (link.sf_id, link.deleted) == (living.sf_id, False)
    assert plan(mappings, room.unsettled(NOW), room.ids((), ())).refused == ()


def test_two_values_with_one_stamp_are_two_notes_and_one_value_is_one(store: Store, room, mappings) -> None:
    line = Line(room, mappings)
    line.read(a_case(1, sla_status=None))
    line.rules(Evaluation(fields={("Case", "ca:1"): {"sla_status": "On track"}}))
    line.settle(line.plan().changes)
    stamp = NOW + timedelta(minutes=1)
    for shown in ("Met", "Breached", "Breached"):  # a long transaction became visible with the stamp of the first
        line.read(a_case(1, stamp=stamp, sla_status=shown))
    notes = store.conflicts("acme")
    assert sorted(note["lost"] for note in notes) == ["Breached", "Met"]
    assert all(note["seen_at"].replace(microsecond=0) == stamp for note in notes)
