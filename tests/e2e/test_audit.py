"""The equality certificate: nothing that differs between org and store is overlooked."""

from __future__ import annotations

from sfsync.mirror.compare import Kind, digest_of
from tests.e2e.stage import CONSULTANT, Stage


def quiet(stage: Stage) -> None:
    for _ in range(3):
        stage.sync()
        stage.later(minutes=20)


def lived_in(stage: Stage) -> tuple[str, list[str]]:
    """A client with some history, synced until nothing is left to say."""
    stage.buy("flexi", 5)
    case = stage.case()
    stage.approve(stage.estimate(case, 600))
    entries = [stage.log(case, 30) for _ in range(4)]
    quiet(stage)
    return case, entries


def behind_our_back(stage: Stage, sobject: str, record: str, field: str, value: object) -> None:
    """Change a stored value without a stamp, as formulas and data centre moves do."""
    with stage.org.storage.unit():
        stage.org.storage.update(sobject, [field], [(value, record)])


def test_a_quiet_pair_is_certified_equal_for_two_calls_and_the_certificate_can_be_checked(stage: Stage) -> None:
    lived_in(stage)
    certificate, digest = stage.runtime.audit("acme")
    assert certificate.equal, certificate.differences
    assert certificate.records["Time_Entry__c"] == 4
    assert certificate.calls == 2
    [kept] = stage.runtime.store.certificates("acme", "acme")
    assert digest_of(kept["content"]) == kept["digest"] == digest
    assert digest_of({**kept["content"], "waiting": 7}) != digest


def test_a_number_that_changed_without_a_stamp_is_named_by_record_and_field(stage: Stage) -> None:
    _, entries = lived_in(stage)
    behind_our_back(stage, "Time_Entry__c", entries[1], "Minutes__c", 45)
    certificate, _ = stage.runtime.audit("acme")
    assert [
        (d.sf_id, d.kind, d.field, d.org, d.store) for d in certificate.differences if d.field == "worked_minutes"
    ] == [(entries[1], Kind.CHANGED, "worked_minutes", 45, 30)]


def test_a_record_that_vanished_without_a_trace_is_found_and_repaired(stage: Stage) -> None:
    _, entries = lived_in(stage)
    with stage.org.storage.unit():
        stage.org.storage.remove("Time_Entry__c", [entries[2]])
    stage.sync()
    assert sum(stage.runtime.store.balances("acme").values()) == 2400 - 120, "nobody told us that it is gone"
    certificate, _ = stage.runtime.audit("acme", repair=True)
    assert [(d.sf_id, d.kind) for d in certificate.differences] == [(entries[2], Kind.GONE)]
    stage.later(minutes=1)
    quiet(stage)
    assert sum(stage.runtime.store.balances("acme").values()) == 2400 - 90
    assert stage.runtime.audit("acme")[0].equal


def test_a_record_that_no_poll_has_shown_is_found_and_repaired(stage: Stage) -> None:
    case, _ = lived_in(stage)
    stage.later(hours=30)
    held = stage.org.hold(CONSULTANT.format("acme"))
    with stage.org.within(held):
        stage.log(case, 60)
    # A transaction that nothing warned of: its stamp lies a day behind when it commits.
    open_transactions = dict(stage.org.storage.held)
    stage.org.storage.held.clear()
    quiet(stage)
    stage.later(hours=30)
    quiet(stage)
    stage.org.storage.held.update(open_transactions)
    stage.org.commit_held(held)
    quiet(stage)
    assert sum(stage.runtime.store.balances("acme").values()) == 2400 - 120, "the late commit was not late enough"
    certificate, _ = stage.runtime.audit("acme", repair=True)
    assert [d.kind for d in certificate.differences] == [Kind.MISSING]
    stage.later(minutes=1)
    quiet(stage)
    assert sum(stage.runtime.store.balances("acme").values()) == 2400 - 180
    assert stage.runtime.audit("acme")[0].equal


def test_what_waits_to_be_written_is_not_called_equal(stage: Stage) -> None:
    lived_in(stage)
    stage.buy("starter", 1, key="pk:2")
    certificate, _ = stage.runtime.audit("acme")
    assert (certificate.differences, certificate.waiting, certificate.equal) == ((), 1, False)
