"""The decision table of a field, and the life of a record through merge and plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from sfsync.clock import seeded
from sfsync.mapping import FieldType, Mappings, ObjectMapping, load_mappings
from sfsync.mirror.merge import Link, Merged, merge
from sfsync.mirror.plan import plan
from sfsync.mirror.translate import Ids, Seen, Wire, derived_key, same, to_wire
from sfsync.records import Value

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
IDS = Ids("00D000000000001AAA")
STANDARD = load_mappings()


def line(owner: str, on_conflict: str = "org") -> ObjectMapping:
    """Return an object with the one field ``note``."""
    field = replace(STANDARD["time_entry"].fields["description"], name="note", owner=owner, on_conflict=on_conflict)
    return replace(STANDARD["time_entry"], fields={"note": field})


def seen(note: Wire, *, stamp: datetime = NOON, **more: object) -> Seen:
    return Seen("Time_Entry__c", "a01000000000001AAA", "te:x", {"note": note}, stamp, **more)  # type: ignore[arg-type]


def link(agreed: Wire, remote: Wire | None = None) -> Link:
    remote = agreed if remote is None else remote
    return Link(
        "Time_Entry__c", "te:x", "a01000000000001AAA", {"note": remote}, {"note": agreed}, NOON - timedelta(hours=1)
    )


def decide(owner: str, agreed: Wire, remote: Wire, local: Value, on_conflict: str = "org") -> Merged:
    return merge(line(owner, on_conflict), seen(remote), link(agreed), {"note": local}, IDS, {})


def test_a_change_by_people_to_their_own_field_is_taken() -> None:
    assert decide("org", "a", "b", "a").local == {"note": "b"}


def test_a_field_of_the_org_follows_the_org_even_when_the_store_differs() -> None:
    assert decide("org", "a", "a", "c").local == {"note": "a"}


def test_a_hand_edit_of_our_field_is_counted_and_changes_nothing_here() -> None:
    merged = decide("service", "a", "b", "a")
    assert merged.local == {}
    assert [(e.found, e.ours) for e in merged.hand_edits] == [("b", "a")]


def test_a_hand_edit_is_counted_again_only_while_it_stands() -> None:
    edited = decide("service", "a", "b", "a")
    put_back = merge(line("service"), seen("a", stamp=NOON + timedelta(minutes=1)), edited.link, {"note": "a"}, IDS, {})
    assert put_back.hand_edits == ()
    assert put_back.link.agreed == {"note": "a"}


def test_a_service_field_that_we_are_about_to_write_is_no_hand_edit() -> None:
    assert decide("service", "a", "a", "new").hand_edits == ()


def test_a_shared_field_takes_the_side_that_moved() -> None:
    assert decide("shared", "a", "b", "a").local == {"note": "b"}
    assert decide("shared", "a", "a", "b").local == {}


def test_when_both_sides_moved_the_losing_value_is_kept_in_the_log() -> None:
    org_wins = decide("shared", "a", "theirs", "ours")
    assert org_wins.local == {"note": "theirs"}
    assert [(c.kept, c.lost, c.winner) for c in org_wins.conflicts] == [("theirs", "ours", "org")]
    store_wins = decide("shared", "a", "theirs", "ours", "store")
    assert store_wins.local == {}
    assert [(c.kept, c.lost, c.winner) for c in store_wins.conflicts] == [("ours", "theirs", "store")]


def test_a_conflict_is_logged_once_and_not_at_every_sync() -> None:
    first = decide("shared", "a", "theirs", "ours", "store")
    again = merge(line("shared", "store"), seen("theirs"), first.link, {"note": "ours"}, IDS, {})
    assert again.conflicts == ()
    assert not again.changed


@pytest.mark.parametrize("owner", ["shared", "service"])
def test_a_write_that_was_confirmed_and_never_happened_is_no_edit_by_a_person(owner: str) -> None:
    written = replace(link("ours"), unheard={"note": "old"})
    merged = merge(line(owner), seen("old", stamp=NOON - timedelta(hours=1)), written, {"note": "ours"}, IDS, {})
    assert merged.local == {}
    assert merged.conflicts == merged.hand_edits == ()
    assert (merged.link.agreed, merged.link.unheard, merged.relinked) == ({"note": "old"}, {}, True)


def test_where_a_person_may_have_taken_our_write_back_neither_value_is_lost() -> None:
    written = replace(link("ours"), unheard={"note": "old"})
    merged = merge(line("shared"), seen("old"), written, {"note": "ours"}, IDS, {})
    assert merged.local == {"note": "old"}
    assert [(c.kept, c.lost) for c in merged.conflicts] == [("old", "ours")]
    other = merge(line("shared"), seen("theirs"), written, {"note": "ours"}, IDS, {})
    assert other.local == {"note": "theirs"}
    assert [(c.kept, c.lost) for c in other.conflicts] == [("theirs", "ours")]


def test_both_sides_making_the_same_change_is_no_conflict() -> None:
    merged = decide("shared", "a", "b", "b")
    assert (merged.local, merged.conflicts, merged.link.agreed) == ({}, (), {"note": "b"})


def test_a_record_seen_for_the_first_time_is_adopted_whole_whoever_owns_its_fields() -> None:
    for owner in ("org", "service", "shared"):
        merged = merge(line(owner), seen("a"), None, None, IDS, {})
        assert (merged.local, merged.new) == ({"note": "a"}, True)


def test_reading_the_same_record_again_changes_nothing() -> None:
    first = merge(line("shared"), seen("a"), None, None, IDS, {})
    again = merge(line("shared"), seen("a"), first.link, first.local, IDS, {})
    assert not again.changed


def test_an_older_copy_that_arrives_late_is_ignored() -> None:
    fresh = merge(line("org"), seen("new"), link("a"), {"note": "a"}, IDS, {})
    late = merge(line("org"), seen("old", stamp=NOON - timedelta(minutes=5)), fresh.link, {"note": "new"}, IDS, {})
    assert not late.changed


def test_a_field_that_was_not_read_is_not_null() -> None:
    unread = replace(seen("x"), wire={})
    merged = merge(line("org"), unread, link("a"), {"note": "a"}, IDS, {})
    assert merged.local == {}
    assert merged.link.remote == {"note": "a"}


def test_null_and_a_value_are_told_apart_in_both_directions() -> None:
    assert decide("org", "a", None, "a").local == {"note": None}
    assert decide("org", None, "a", None).local == {"note": "a"}


def _mappings(mapping: ObjectMapping) -> Mappings:
    return Mappings({mapping.name: mapping})


def _after(merged: Merged, local: Mapping[str, Value]) -> dict[str, Value]:
    return {**local, **merged.local}


@pytest.mark.parametrize(("owner", "on_conflict"), list(product(("org", "service", "shared"), ("org", "store"))))
def test_whatever_each_side_held_both_agree_after_one_merge_and_one_write(owner: str, on_conflict: str) -> None:
    values = ("a", "b", None, "c")
    for agreed, remote, local in product(values, repeat=3):
        mapping = line(owner, on_conflict)
        merged = merge(mapping, seen(remote), link(agreed), {"note": local}, IDS, {})
        held = _after(merged, {"note": local})
        todo = plan(_mappings(mapping), [(merged.link, held)], IDS).changes
        shown = todo[0].fields["note"] if todo else merged.link.remote["note"]
        kind: FieldType = mapping.fields["note"].type
        assert same(kind, to_wire(kind, held["note"], IDS), shown), (agreed, remote, local)
        if owner == "shared" and len({agreed, remote, local}) == 3:
            assert len(merged.conflicts) == 1, "a value disappeared without a trace"


def test_no_value_of_a_shared_field_is_lost_in_a_random_history() -> None:
    seed = 20261121
    random = seeded(seed)
    for _ in range(300):
        mapping = line("shared", random.choice(("org", "store")))
        store: dict[str, Value] = {"note": "v0"}
        org: Wire = "v0"
        memory = link("v0")
        written, logged, overwritten = {"v0"}, set[Wire](), set[Wire]()
        stamp = NOON
        for step in range(1, 13):
            stamp += timedelta(minutes=1)
            value = f"v{step}"
            written.add(value)
            if random.random() < 0.5:
                overwritten.add(org)
                org = value
            else:
                overwritten.add(str(store["note"]))
                store["note"] = value
            if random.random() < 0.4:
                merged = merge(mapping, seen(org, stamp=stamp), memory, store, IDS, {})
                memory, store = merged.link, _after(merged, store)
                logged |= {c.lost for c in merged.conflicts}
                for change in plan(_mappings(mapping), [(memory, store)], IDS).changes:
                    org = change.fields["note"]
                    memory = replace(memory, remote={"note": org}, agreed={"note": org})
                assert org == store["note"], f"seed {seed}"
                alive = {org} | logged | overwritten
                assert written <= alive, f"seed {seed}: {written - alive} vanished"


def test_the_key_of_a_record_born_in_an_org_is_always_the_same() -> None:
    key = derived_key("te", "00D000000000001AAA", "a01000000000001AAA")
    assert key == derived_key("te", "00D000000000001", "a01000000000001AAA")
    assert key != derived_key("te", "00D000000000002AAA", "a01000000000001AAA")
    assert key.islower()


def test_a_deleted_record_is_never_written_back() -> None:
    mapping = line("service")
    gone = replace(link("a"), deleted=True)
    assert plan(_mappings(mapping), [(gone, {"note": "b"})], IDS).changes == ()


def test_parents_are_written_before_children_and_children_of_one_parent_together() -> None:
    packs = [Link("Maintenance_Pack__c", f"pk:{n}") for n in range(2)]
    lines = [Link("Weekly_Summary_Line__c", f"wl:{n}") for n in range(4)]
    weeks = [Link("Weekly_Summary__c", f"ws:{n}") for n in range(2)]
    records = [(one, {"summary": f"ws:{n % 2}", "minutes": 5}) for n, one in enumerate(lines)]
    records += [(one, {"iso_week": "2026-W47"}) for one in weeks]
    records += [(one, {"packs_bought": 1}) for one in packs]
    todo = plan(STANDARD, records, IDS).changes  # type: ignore[arg-type]
    assert [c.object for c in todo] == (
        ["Maintenance_Pack__c"] * 2 + ["Weekly_Summary__c"] * 2 + ["Weekly_Summary_Line__c"] * 4
    )
    assert [c.parent for c in todo][4:] == ["ws:0", "ws:0", "ws:1", "ws:1"]


def test_a_value_that_the_org_cannot_hold_is_refused_by_name_and_the_rest_goes_on() -> None:
    bad = (Link("Maintenance_Pack__c", "pk:1", "a02000000000001AAA"), {"sync_message": "x" * 256})
    good = (Link("Maintenance_Pack__c", "pk:2", "a02000000000002AAA"), {"sync_message": "fine"})
    result = plan(STANDARD, [bad, good], IDS)
    assert [c.key for c in result.changes] == ["pk:2"]
    assert [(r.key, r.field) for r in result.refused] == [("pk:1", "sync_message")]
    assert "256 characters" in result.refused[0].reason


def test_only_fields_the_service_may_write_are_planned() -> None:
    entry = STANDARD["time_entry"]
    everything = dict.fromkeys(entry.fields)
    link_ = Link("Time_Entry__c", "te:1", "a01000000000001AAA", {"worked_minutes": 5, "state": "New"})
    [change] = plan(STANDARD, [(link_, {**everything, "worked_minutes": 60, "state": "Counted"})], IDS).changes
    assert dict(change.fields) == {"state": "Counted"}


@pytest.mark.parametrize("name", list(STANDARD.objects))
def test_what_nobody_knew_is_taken_as_the_whole_table_would_take_it(name: str) -> None:
    mapping = STANDARD[name]
    dice = seeded(f"first {name}")
    kinds: dict[str, Wire] = {
        "hours": "1.50", "decimal": "2.25", "date": "2026-11-20", "datetime": "2026-11-20T10:00:00Z", "integer": 7,
        "checkbox": True, "lookup": "a01000000000001AAA", "user": "005000000000001AAA",
    }  # fmt: skip
    for _ in range(20):
        wire = {n: dice.choice([None, kinds.get(f.type.kind, "text")]) for n, f in mapping.fields.items()}
        shown = Seen(mapping.object, "a02000000000001AAA", "xx:1", wire, NOON, created_at=NOON, revision=3)
        asked_field_by_field = merge(mapping, shown, None, {}, IDS, {mapping.object: mapping.prefix})
        first = merge(mapping, shown, None, None, IDS, {mapping.object: mapping.prefix})
        assert first.local == asked_field_by_field.local
        assert first.link == asked_field_by_field.link
        assert (first.new, first.relinked) == (True, True)


def test_a_new_record_with_a_wrong_key_in_its_key_field_is_noted() -> None:
    merged = merge(line("org"), replace(seen("a"), miskeyed="te:other"), None, None, IDS, {})
    assert [edit.found for edit in merged.hand_edits] == ["te:other"]
    assert merged.new
