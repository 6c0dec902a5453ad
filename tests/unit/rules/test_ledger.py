"""The ledger by example: each rule of packs, approvals, expiry and corrections once (sections 2.6 and 2.7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sfsync.records import Adjustment, Case, EntryState, EstimateStatus, PackStatus, PostingKind
from sfsync.rules.ledger import Book, LedgerFacts, move, settle
from sfsync.rules.postings import act, balances, posting_of, unposted
from tests.unit.rules.scene import PLANS, Client, at, day, drawn, left, posted

FREE = {"approval_required": False}
AB = (("A", 300, "2026-08-21", "2027-02-21"), ("B", 480, "2026-09-30", "2026-12-31"))


def client(**policy: object) -> Client:
    return Client(dict(policy))


# drawing


def test_the_pack_that_ends_first_is_drawn_first_then_the_older_then_the_one_bought_first() -> None:  # L-04
    c = client(**FREE)
    c.pack("late", 60, "2026-01-01", "2026-12-31", purchase_seq=1)
    c.pack("young", 60, "2026-03-01", "2026-11-30", purchase_seq=1)
    c.pack("old-second", 60, "2026-02-01", "2026-11-30", purchase_seq=3)
    c.pack("old-first", 60, "2026-02-01", "2026-11-30", purchase_seq=2)
    c.work("t", 240, "2026-06-01")
    order = [pack for pack, _ in drawn(c.settle("2026-06-02"), "t")]
    assert order == ["old-first", "old-second", "young", "late"]


def test_the_work_date_decides_which_packs_may_pay() -> None:  # LED-3
    c = client(**FREE).pack(*AB[0]).pack(*AB[1])
    c.work("before", 10, "2026-08-20", created_at=at("2026-10-01")).work("after", 10, "2027-01-01").work(
        "last", 10, "2026-12-31"
    )
    outcome = c.settle("2027-01-02")
    assert drawn(outcome, "before") == []
    assert drawn(outcome, "after") == [("A", 10)]
    assert drawn(outcome, "last") == [("B", 10)]


def test_uncovered_minutes_are_a_figure_apart_and_the_next_purchase_settles_the_oldest_work_first() -> None:  # L-07
    c = client(**FREE).pack("A", 60, "2026-11-01", "2027-02-01")
    c.work("newer", 50, "2026-11-12", created_at=at("2026-11-12"))
    c.work("older", 100, "2026-11-10", created_at=at("2026-11-13"))
    outcome = c.settle("2026-11-14")
    assert (outcome.account.balance_minutes, outcome.account.uncovered_minutes) == (0, 90)
    c.pack("N", 80, "2026-11-20", "2027-02-20")
    outcome = c.settle("2026-11-20")
    assert drawn(outcome, "older") == [("A", 10), ("N", 80)]
    assert drawn(outcome, "newer") == [("A", 50)]
    assert (outcome.account.uncovered_minutes, outcome.account.balance_minutes) == (10, 0)
    assert {p.effective_on for p in outcome.postings if p.pack == "N"} == {day("2026-11-20")}
    assert "No pack covers 0.17 h yet" in str(outcome.entries["older"].sentence)


def test_of_uncovered_entries_the_older_work_is_settled_first_whenever_it_was_entered() -> None:  # OVR-1
    c = client(**FREE).work("newer", 100, "2026-11-12", created_at=at("2026-11-12"))
    c.work("older", 100, "2026-11-10", created_at=at("2026-11-13")).settle("2026-11-14")
    outcome = c.pack("N", 120, "2026-11-20", "2027-02-20").settle("2026-11-20")
    assert (drawn(outcome, "older"), drawn(outcome, "newer")) == ([("N", 100)], [("N", 20)])


def test_a_purchase_does_not_pay_for_older_work_that_is_entered_after_it() -> None:  # L-06
    c = client(**FREE).pack("Z", 480, "2026-12-05", "2027-03-05")
    c.work("t", 60, "2026-12-01", created_at=at("2026-12-07"))
    assert c.settle("2026-12-08").account.uncovered_minutes == 60
    c.pack("N", 480, "2026-12-09", "2027-03-09")
    assert drawn(c.settle("2026-12-09"), "t") == [("N", 60)]


def test_work_entered_on_the_day_of_the_purchase_is_paid_by_it() -> None:  # OVR-1
    c = client(**FREE).pack("Z", 480, "2026-12-05", "2027-03-05")
    c.work("t", 60, "2026-12-01", created_at=at("2026-12-05 08:00"))
    assert drawn(c.settle("2026-12-05"), "t") == [("Z", 60)]


def test_a_negative_balance_is_only_by_contract_and_to_its_limit() -> None:
    c = client(**FREE, overdraw="negative", overdraw_limit_minutes=100).pack("A", 60, "2026-11-01", "2027-02-01")
    account = c.work("t", 200, "2026-11-10").settle("2026-11-11").account
    assert (account.balance_minutes, account.available_minutes, account.uncovered_minutes) == (-100, -100, 40)


# approvals


def test_what_is_not_approved_waits_and_says_so() -> None:
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").work("t", 90, "2026-11-10", "C9")
    outcome = c.settle("2026-11-10")
    entry = outcome.entries["t"]
    assert (entry.state, entry.waiting_minutes) == (EntryState.WAITING, 90)
    assert str(entry.sentence) == "No approved estimate covers this case. 1.50 h wait."
    assert [(f.code, f.record, f.message) for f in outcome.findings] == [
        ("NeedsApproval", "C9", "No approved estimate covers this case. 1.50 h wait.")
    ]


def test_closing_a_case_releases_what_was_not_used() -> None:
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 360, "2026-11-10")
    c.work("t", 270, "2026-11-11", "C1").close("C1", "2026-11-12")
    account = c.settle("2026-11-12").account
    assert (account.balance_minutes, account.reserved_minutes, account.available_minutes) == (210, 0, 210)


def test_an_approval_above_what_is_available_is_refused_with_the_packs_to_buy() -> None:
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 600, "2026-11-10")
    outcome = c.settle("2026-11-10")
    refused = outcome.estimates["C1/1"]
    assert (refused.refusal, refused.shortage_minutes, refused.packs_to_buy) == ("insufficient_balance", 120, 1)
    assert outcome.account.reserved_minutes == 0
    assert [f.code for f in outcome.findings] == ["Shortage"]


def test_an_approval_of_all_that_is_available_stands_and_one_minute_more_does_not() -> None:
    enough = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 480, "2026-11-10").settle("2026-11-10")
    assert (enough.account.reserved_minutes, enough.estimates["C1/1"].refusal) == (480, "")
    more = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 481, "2026-11-10").settle("2026-11-10")
    assert (more.account.reserved_minutes, more.estimates["C1/1"].shortage_minutes) == (0, 1)


def test_a_refused_approval_takes_effect_with_the_purchase_it_asked_for() -> None:  # APR-4
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 600, "2026-11-10")
    c.work("t", 60, "2026-11-11", "C1")
    assert "needs 2.00 h more" in str(c.settle("2026-11-11").entries["t"].sentence)
    c.plan("S", "Starter", 1, "2026-11-12")
    outcome = c.settle("2026-11-12")
    assert outcome.estimates["C1/1"].refusal == ""
    assert drawn(outcome, "t") == [("S", 60)]
    assert outcome.reservations == {"C1": {"A": 120, "S": 420}}


def test_a_refused_approval_lapses_with_its_estimate() -> None:  # EST-2
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 600, "2026-11-10")
    c.plan("S", "Starter", 1, "2026-11-25")
    outcome = c.settle("2026-11-25")
    assert outcome.estimates["C1/1"].refusal == "insufficient_balance"
    assert outcome.account.reserved_minutes == 0


def test_an_approval_of_a_replaced_version_has_no_effect() -> None:  # EST-3
    c = client().pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 120, "2026-11-12", sent_at=at("2026-11-10"))
    c.approve("C1", 180, "2026-11-13", version=2, sent_at=at("2026-11-11"))
    outcome = c.settle("2026-11-13")
    assert outcome.estimates["C1/1"].refusal == "stale_estimate_version"
    assert outcome.account.reserved_minutes == 180


def test_an_approval_after_the_last_day_has_no_effect() -> None:
    c = client().pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 120, "2026-11-17 00:00", sent_at=at("2026-11-02"))
    c.approve("C2", 120, "2026-11-16 23:59", sent_at=at("2026-11-02"))
    outcome = c.settle("2026-11-17")
    assert outcome.estimates["C1/1"].refusal == "estimate_expired"
    assert outcome.reservations == {"C2": {"A": 120}}


def test_a_sent_estimate_shows_what_would_be_left_and_expires_by_itself() -> None:  # EST-2
    c = client().pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 120, "2026-11-02", status=EstimateStatus.SENT, decided_at=None)
    outcome = c.settle("2026-11-03")
    assert outcome.estimates["C1/1"].balance_after_minutes == 360
    assert (outcome.account.waiting_estimates, outcome.cases["C1"].estimate_status) == (1, "Waiting")
    assert outcome.next_due_at == at("2026-11-17 00:00")
    outcome = c.settle("2026-11-17 00:00")
    assert (outcome.estimates["C1/1"].status, outcome.account.waiting_estimates) == ("Expired", 0)


def test_a_supplementary_approval_takes_the_over_run_first() -> None:
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 240, "2026-11-10")
    c.work("t1", 200, "2026-11-11", "C1").work("t2", 60, "2026-11-12", "C1")
    outcome = c.settle("2026-11-12")
    assert (outcome.entries["t2"].counted_minutes, outcome.entries["t2"].waiting_minutes) == (40, 20)
    assert (outcome.estimates["C1/1"].used_minutes, outcome.estimates["C1/1"].over_estimate) == (240, True)
    c.approve("C1", 60, "2026-11-13", version=2)
    outcome = c.settle("2026-11-13")
    assert posted(outcome) == [("consume", "A", -20)]
    assert (outcome.cases["C1"].counted_minutes, outcome.account.reserved_minutes) == (260, 40)
    assert [outcome.estimates[k].used_minutes for k in ("C1/1", "C1/2")] == [240, 20]


def test_a_supplementary_approval_smaller_than_the_over_run_leaves_the_rest_waiting() -> None:  # OVN-1
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 240, "2026-11-10")
    c.work("t1", 260, "2026-11-11", "C1").approve("C1", 5, "2026-11-12", version=2)
    outcome = c.settle("2026-11-12")
    assert (outcome.entries["t1"].counted_minutes, outcome.account.waiting_minutes) == (245, 15)


def test_a_rejection_writes_off_what_waits_for_good() -> None:  # A-09, OVN-2
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 240, "2026-11-10")
    c.work("t1", 260, "2026-11-11", "C1")
    c.approve("C1", 60, "2026-11-12", version=2, status=EstimateStatus.REJECTED)
    c.approve("C1", 60, "2026-11-14", version=3)
    c.work("t2", 10, "2026-11-15", "C1")
    outcome = c.settle("2026-11-15")
    assert (outcome.entries["t1"].refused_minutes, outcome.entries["t1"].counted_minutes) == (20, 240)
    assert outcome.entries["t2"].counted_minutes == 10
    assert str(outcome.entries["t1"].sentence) == "4.00 h counted. 0.33 h are not billable."


def test_tolerance_lets_a_little_through() -> None:  # A-10, OVN-3
    c = client(tolerance_pct=10).pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 240, "2026-11-10")
    entry = c.work("t", 270, "2026-11-11", "C1").settle("2026-11-11").entries["t"]
    assert (entry.counted_minutes, entry.waiting_minutes) == (264, 6)


def test_an_emergency_may_begin_before_the_approval_which_then_includes_it() -> None:  # A-18, EST-4
    c = client(emergency_allowance_minutes=60).pack("A", 480, "2026-11-01", "2027-05-01")
    c.cases = {"P1": Case(key="P1", priority="P1"), "P2": Case(key="P2", priority="P2")}
    c.work("t1", 90, "2026-11-10", "P1").work("t2", 90, "2026-11-10", "P2")
    outcome = c.settle("2026-11-10")
    assert [outcome.entries[k].counted_minutes for k in ("t1", "t2")] == [60, 0]
    c.approve("P1", 80, "2026-11-11")
    assert c.settle("2026-11-11").entries["t1"].counted_minutes == 80  # not 80 and the allowance besides
    c.approve("P1", 40, "2026-11-12", version=2)
    outcome = c.settle("2026-11-12")
    assert (outcome.cases["P1"].counted_minutes, outcome.cases["P1"].reserved_minutes) == (90, 30)


def test_a_small_estimate_is_approved_by_being_sent() -> None:
    c = client(auto_approve_below_minutes=60).pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 59, "2026-11-10", status=EstimateStatus.SENT, decided_at=None)
    c.approve("C2", 60, "2026-11-10", status=EstimateStatus.SENT, decided_at=None)
    outcome = c.settle("2026-11-10")
    assert outcome.estimates["C1/1"].status == "Approved"
    assert outcome.reservations == {"C1": {"A": 59}}


def test_a_client_is_low_when_less_is_available_than_the_contract_says() -> None:
    c = client(low_balance_minutes=60).pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 420, "2026-11-10")
    assert c.settle("2026-11-10").account.low_balance is False
    assert c.approve("C2", 1, "2026-11-11").settle("2026-11-11").account.low_balance is True


def test_an_estimate_below_the_smallest_request_is_pointed_out_until_it_is_decided() -> None:
    c = client(min_request_minutes=60).pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 59, "2026-11-10", status=EstimateStatus.SENT, decided_at=None)
    c.approve("C2", 60, "2026-11-10", status=EstimateStatus.SENT, decided_at=None)
    c.approve("C3", 59, "2026-11-10")
    outcome = c.settle("2026-11-10")
    assert str(outcome.estimates["C1/1"].sentence) == "This estimate is smaller than the smallest request, 1.00 h."
    assert [(f.code, f.record) for f in outcome.findings if f.rule == "X-1"] == [("EstimateTooSmall", "C1/1")]
    assert outcome.account.reserved_minutes == 59  # an approval stands


def test_the_fixed_price_is_deducted_at_the_close_and_late_work_is_part_of_it() -> None:
    c = client(deduction="fixed").pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 360, "2026-11-10")
    c.work("t1", 270, "2026-11-11", "C1").close("C1", "2026-11-13")
    assert posted(c.settle("2026-11-13")) == [("consume", "A", -270), ("adjustment", "A", -90)]
    c.work("t2", 30, "2026-11-12", "C1", created_at=at("2026-11-14"))
    outcome = c.settle("2026-11-14")
    assert posted(outcome) == [("reversal", "A", 90), ("consume", "A", -30), ("adjustment", "A", -60)]
    assert outcome.account.balance_minutes == 120


def test_work_done_before_the_close_but_entered_later_still_counts_under_its_approval() -> None:  # APR-3
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").approve("C1", 120, "2026-11-10").close("C1", "2026-11-12")
    c.work("in-time", 60, "2026-11-12", "C1", created_at=at("2026-11-14"))
    c.work("after", 60, "2026-11-13", "C1", created_at=at("2026-11-14"))
    outcome = c.settle("2026-11-14")
    assert [outcome.entries[k].counted_minutes for k in ("in-time", "after")] == [60, 0]


# what is not drawn


@pytest.mark.parametrize(
    ("values", "state", "says"),
    [
        ({"worked_minutes": 0}, EntryState.REFUSED, "Minutes must be more than zero"),
        ({"worked_minutes": None}, EntryState.REFUSED, "minutes are missing"),
        ({"worked_on": None}, EntryState.REFUSED, "work date is missing"),
        ({"worked_on": day("2026-11-12")}, EntryState.REFUSED, "ahead of the day"),
        ({"billable": False}, EntryState.COUNTED, "Not billable"),
        ({"deleted": True}, EntryState.REVERSED, "Deleted"),
    ],
)
def test_an_entry_that_cannot_count_draws_nothing_and_says_why(
    values: dict[str, object], state: EntryState, says: str
) -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-05-01").work("t", 60, "2026-11-10").change("t", **values)
    outcome = c.settle("2026-11-13")
    assert outcome.entries["t"].state == state
    assert says in str(outcome.entries["t"].sentence)
    assert outcome.account.balance_minutes == 480


@pytest.mark.parametrize("funding", ["included", "quote"])
def test_work_that_the_support_plan_includes_or_a_quote_pays_never_takes_from_a_pack(funding: str) -> None:  # SCP-1
    c = client().pack("A", 480, "2026-11-01", "2027-05-01").work("t", 60, "2026-11-10", "C1")
    c.funding = {"C1": funding}
    outcome = c.settle("2026-11-10")
    assert (outcome.entries["t"].state, outcome.account.balance_minutes) == (EntryState.COUNTED, 480)
    assert outcome.findings == ()


def test_more_than_a_day_on_one_day_is_flagged_and_counted() -> None:  # RND-1
    c = client(**FREE).pack("A", 4800, "2026-11-01", "2027-05-01")
    c.work("t1", 800, "2026-11-10", consultant="ana").work("t2", 641, "2026-11-10", consultant="ana")
    c.work("t3", 1440, "2026-11-10", consultant="leo")
    outcome = c.settle("2026-11-10")
    assert [(f.code, f.details["minutes"]) for f in outcome.findings] == [("LongDay", 1441)]
    assert outcome.account.balance_minutes == 4800 - 800 - 641 - 1440


def test_rounding_by_case_and_day_bills_the_sum_once() -> None:
    c = client(**FREE, increment=15, rounding_scope="case_day").pack("A", 480, "2026-11-01", "2027-05-01")
    c.work("t1", 7, "2026-11-10", "C1").work("t2", 8, "2026-11-10", "C1", created_at=at("2026-11-10 13:00"))
    c.work("t3", 8, "2026-11-11", "C1")
    outcome = c.settle("2026-11-11")
    assert [outcome.entries[k].billed_minutes for k in ("t1", "t2", "t3")] == [15, 0, 15]


# expiry


def test_expiry_is_one_posting_dated_on_the_last_day_and_booked_after_its_midnight() -> None:  # L-08, L-09
    c = client(**FREE).pack("A", 130, "2026-08-22", "2026-11-22")
    assert posted(c.settle("2026-11-22 23:59")) == []
    assert c.settle("2026-11-22 23:59").next_due_at == at("2026-11-23 00:00")
    outcome = c.settle("2026-11-23 00:00")
    assert [(p.kind, p.minutes, p.effective_on) for p in outcome.postings] == [
        (PostingKind.EXPIRE, -130, day("2026-11-22"))
    ]
    assert c.settle("2026-11-23 00:00").postings == ()


def test_midnight_is_the_clients() -> None:  # V-09
    c = client(**FREE).pack("A", 130, "2026-08-22", "2026-11-22")
    c.zone = "America/Argentina/Buenos_Aires"
    assert posted(c.settle("2026-11-23 04:59")) == []  # 02:59 UTC: still the 22nd in Buenos Aires
    assert posted(c.settle("2026-11-23 05:00")) == [("expire", "A", -130)]


def test_work_in_time_that_is_entered_late_takes_expired_minutes_back() -> None:  # L-10
    c = client(**FREE).pack("A", 130, "2026-08-22", "2026-11-22")
    c.settle("2026-11-23")
    c.work("t", 45, "2026-11-20", created_at=at("2026-11-25"))
    assert posted(c.settle("2026-11-25")) == [("expire_reversal", "A", 45), ("consume", "A", -45)]


def test_without_grace_a_reservation_ends_with_its_pack_and_other_packs_pay() -> None:
    c = client(reservation_grace_days=0)
    c.pack("A", 300, "2026-08-20", "2026-11-20").pack("B", 480, "2026-11-01", "2027-02-01")
    c.approve("C1", 120, "2026-11-18")
    assert posted(c.settle("2026-11-21")) == [("expire", "A", -300)]
    outcome = c.work("t", 90, "2026-11-24", "C1").close("C1", "2026-11-26").settle("2026-11-26")
    assert drawn(outcome, "t") == [("B", 90)]
    assert left(outcome) == {"A": 0, "B": 390}


def test_a_reservation_nobody_uses_lapses_when_its_grace_ends() -> None:  # EXP-3
    c = client().pack("A", 300, "2026-08-20", "2026-11-20").approve("C1", 120, "2026-11-18")
    assert posted(c.settle("2026-11-21")) == [("expire", "A", -180)]
    assert c.settle("2026-12-20").account.reserved_minutes == 120
    outcome = c.settle("2026-12-21")
    assert posted(outcome) == [("expire", "A", -120)]
    assert outcome.postings[0].effective_on == day("2026-12-20")
    assert outcome.cases["C1"].reserved_minutes == 0


def test_an_extension_counts_from_the_day_it_is_asked_for_and_moves_the_pack_in_the_burn_order() -> None:  # PK-9
    c = client(**FREE).plan("F", "Flexi", 5, "2026-01-10").pack("B", 480, "2026-01-10", "2026-08-31")
    c.work("t1", 60, "2026-03-01").work("t2", 60, "2026-07-08")
    assert drawn(c.settle("2026-07-08"), "t1") == [("F", 60)]
    c.packs["F"] = replace(c.packs["F"], extension_requested=True, extension_requested_on=day("2026-07-05"))
    outcome = c.settle("2026-07-08")
    assert drawn(outcome, "t1") == [("F", 60)], "what was drawn before stays"
    assert drawn(outcome, "t2") == [("B", 60)]
    figures = outcome.packs["F"]
    assert (figures.extended, figures.last_valid_on) == (True, day("2026-10-10"))
    assert figures.original_last_valid_on == day("2026-07-10")


@pytest.mark.parametrize(("plan", "asked"), [("Starter", "2026-02-01"), ("Flexi", "2026-07-11")])
def test_an_extension_that_may_not_be_is_refused_and_said(plan: str, asked: str) -> None:  # PK-8, X-10
    c = client().plan("X", plan, 5, "2026-01-10", extension_requested=True, extension_requested_on=day(asked))
    outcome = c.settle(asked)
    assert [f.code for f in outcome.findings] == ["ExtensionRefused"]
    assert not outcome.packs["X"].extended


def test_with_grace_an_extension_wakes_a_pack_that_has_ended() -> None:
    c = client(**FREE, extension_grace_days=10).plan("F", "Flexi", 5, "2026-01-10")
    assert posted(c.settle("2026-07-11")) == [("expire", "F", -2400)]
    c.packs["F"] = replace(c.packs["F"], extension_requested=True, extension_requested_on=day("2026-07-15"))
    assert posted(c.settle("2026-07-15")) == [("expire_reversal", "F", 2400)]


# corrections


def test_a_correction_reverses_in_full_to_the_same_packs_and_posts_again() -> None:  # L-11, COR-1
    c = client(**FREE).pack(*AB[0]).pack(*AB[1]).work("t1", 600, "2026-11-20")
    c.settle("2026-11-20")
    outcome = c.change("t1", worked_minutes=500).settle("2026-11-21")
    assert posted(outcome) == [
        ("reversal", "A", 120),
        ("reversal", "B", 480),
        ("consume", "B", -480),
        ("consume", "A", -20),
    ]
    assert [(p.source_version, p.leg) for p in outcome.postings] == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_our_correction_of_work_on_an_ended_pack_gives_a_courtesy_pack() -> None:  # L-12, COR-2
    c = client(**FREE).pack("A", 300, "2026-08-21", "2026-11-21").work("t1", 300, "2026-11-20")
    c.settle("2026-11-20")
    c.settle("2026-11-22")
    outcome = c.change("t1", worked_minutes=180).settle("2026-11-25")
    (gift,) = outcome.new_packs
    assert (gift.bought_minutes, gift.activated_on, gift.last_valid_on) == (120, day("2026-11-25"), day("2026-12-25"))
    assert outcome.account.balance_minutes == 120
    assert c.settle("2026-11-26").new_packs == ()
    again = Client(c.policy, c.packs, entries=c.entries).settle("2026-11-26")
    assert again.account == c.settle("2026-11-26").account, "the gift survives the loss of the store"


def test_a_correction_before_the_end_gives_no_courtesy() -> None:
    c = client(**FREE).pack("A", 300, "2026-08-21", "2026-11-21").work("t1", 300, "2026-11-20")
    c.settle("2026-11-20")
    outcome = c.change("t1", worked_minutes=180).settle("2026-11-21")
    assert (outcome.new_packs, outcome.account.balance_minutes) == ((), 120)


def test_minutes_that_only_move_between_packs_give_no_courtesy() -> None:
    c = client(**FREE).pack("A", 100, "2026-08-21", "2026-11-21").work("t1", 100, "2026-11-20")
    c.settle("2026-11-22")
    c.pack("first", 100, "2026-08-21", "2026-11-20")  # it was bought in August and reaches us now
    outcome = c.settle("2026-11-25")
    assert drawn(outcome, "t1") == [("first", 100)]
    assert outcome.new_packs == ()


def test_a_deleted_entry_gives_its_minutes_back() -> None:  # L-14
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01").work("t", 90, "2026-11-10")
    c.settle("2026-11-10")
    assert posted(c.change("t", deleted=True).settle("2026-11-11")) == [("reversal", "A", 90)]
    assert posted(c.change("t", deleted=False).settle("2026-11-12")) == [("consume", "A", -90)]


def test_a_correcting_entry_stands_in_the_place_of_the_one_it_corrects() -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01").work("t1", 90, "2026-11-10")
    c.settle("2026-11-10")
    c.work("t2", 60, "2026-11-10", created_at=at("2026-11-12"), correction_of="t1")
    outcome = c.settle("2026-11-12")
    assert outcome.entries["t1"].state == EntryState.REVERSED
    assert outcome.account.balance_minutes == 420
    c.change("t2", deleted=True)
    assert c.settle("2026-11-13").account.balance_minutes == 390


def test_an_entry_that_moves_to_another_client_is_reversed_here_and_posted_there() -> None:  # L-15
    x = client(**FREE).pack("X", 480, "2026-11-01", "2027-02-01").work("t", 30, "2026-11-10")
    y = client(**FREE).pack("Y", 480, "2026-11-01", "2027-02-01")
    x.settle("2026-11-10")
    y.settle("2026-11-10")
    gone, come = move(
        (x.facts(), x.postings, x.terms()), (y.facts(), y.postings, y.terms()), x.entries["t"], PLANS, at("2026-11-11")
    )
    assert (gone.account.balance_minutes, come.account.balance_minutes) == (480, 450)
    assert (posted(gone), posted(come)) == ([("reversal", "X", 30)], [("consume", "Y", -30)])


def test_an_entry_that_changes_case_or_category_is_posted_anew() -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01").work("t", 30, "2026-11-10", "C1", category="Adaptive")
    c.settle("2026-11-10")
    outcome = c.change("t", category="Corrective").settle("2026-11-11")
    assert [(p.minutes, p.category) for p in outcome.postings] == [(30, "Adaptive"), (-30, "Corrective")]


def test_a_pack_that_was_drawn_on_stays_when_somebody_deletes_it_and_is_said() -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01").pack("B", 60, "2026-11-01", "2027-03-01")
    c.work("t", 90, "2026-11-10").settle("2026-11-10")
    c.packs = {key: replace(pack, deleted=True) for key, pack in c.packs.items()}
    outcome = c.settle("2026-11-11")
    assert left(outcome) == {"A": 390, "B": 0}
    assert [(f.code, f.record) for f in outcome.findings] == [("PackDeleted", "A")]
    assert posted(outcome) == [("reversal", "B", -60)]


# what people do by hand


def test_a_refund_takes_free_minutes_and_stays() -> None:  # REF-1
    c = client().pack("A", 480, "2026-11-01", "2027-02-01").approve("C1", 120, "2026-11-10")
    c.settle("2026-11-10")
    c.postings += act("r1", PostingKind.REFUND, {"A": -360}, on=day("2026-11-11"), now=at("2026-11-11"), reason="asked")
    outcome = c.settle("2026-11-12")
    assert (outcome.account.balance_minutes, outcome.account.available_minutes) == (120, 0)
    assert c.settle("2027-03-05").packs["A"].moved_minutes == -360


def test_work_that_turns_up_after_its_minutes_were_refunded_is_uncovered() -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01")
    c.settle("2026-11-10")
    c.postings += act("r1", PostingKind.REFUND, {"A": -480}, on=day("2026-11-11"), now=at("2026-11-11"), reason="asked")
    outcome = c.work("t", 60, "2026-11-10").settle("2026-11-12")
    assert (outcome.account.balance_minutes, outcome.account.uncovered_minutes) == (0, 60)


@pytest.mark.parametrize(
    ("kind", "minutes", "reason"),
    [
        (PostingKind.REFUND, {"A": 10}, "x"),
        (PostingKind.TRANSFER, {"A": -10, "B": 20}, "x"),
        (PostingKind.CONSUME, {"A": -10}, "x"),
        (PostingKind.ADJUSTMENT, {"A": 10}, ""),
        (PostingKind.ADJUSTMENT, {}, "x"),
    ],
)
def test_an_act_that_is_none_is_refused(kind: PostingKind, minutes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match="not an act"):
        act("a", kind, minutes, on=day("2026-11-11"), now=at("2026-11-11"), reason=reason)


# time


def test_a_first_settling_books_the_past_where_it_was() -> None:
    c = client(**FREE).pack("A", 480, "2026-06-01", "2026-09-01").work("t", 90, "2026-07-10")
    c.settle("2026-11-20")
    assert [(p.kind.value, p.booked_at) for p in c.postings] == [
        ("purchase", at("2026-06-01 00:00")),
        ("consume", at("2026-07-10")),
        ("expire", at("2026-09-02 00:00")),
    ]
    assert balances(c.postings, booked_until=at("2026-08-01")) == {"A": 390}
    c.work("late", 10, "2026-08-01", created_at=at("2026-08-01"))
    assert {p.booked_at for p in c.settle("2026-11-21").postings} == {at("2026-11-21")}


def test_a_balance_can_be_asked_for_at_any_past_instant() -> None:
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01")
    c.settle("2026-11-09")
    c.work("t", 90, "2026-11-08", created_at=at("2026-11-10")).settle("2026-11-10")
    assert balances(c.postings, booked_until=at("2026-11-09")) == {"A": 480}
    assert balances(c.postings, booked_until=at("2026-11-10")) == {"A": 390}
    assert balances(c.postings, effective_until=day("2026-11-08")) == {"A": 390}
    assert balances(c.postings, effective_until=day("2026-11-07")) == {"A": 480}


def test_a_book_goes_back_with_the_clock() -> None:
    c = client(**FREE).pack("A", 130, "2026-08-22", "2026-11-22")
    book = Book(c.facts(), (), c.terms(), PLANS)
    assert book.settle(at("2026-11-23")).account.balance_minutes == 0
    assert book.settle(at("2026-11-20")).account.balance_minutes == 130
    assert book.settle(at("2026-11-24")).account.balance_minutes == 0


def test_an_entry_of_the_next_seconds_counts_at_once() -> None:
    c = client(**FREE).pack("A", 130, "2026-08-22", "2026-11-22")
    c.work("t", 30, "2026-11-10", created_at=at("2026-11-10") + timedelta(seconds=5))
    assert c.settle("2026-11-10").account.balance_minutes == 100


def test_a_pack_that_begins_later_is_a_draft_until_its_day() -> None:  # PK-12
    c = client().plan("F", "Flexi", 5, "2026-12-01")
    outcome = c.settle("2026-11-30 23:59")
    assert (outcome.packs["F"].status, outcome.packs["F"].remaining_minutes) == (PackStatus.DRAFT, 0)
    assert (outcome.account.balance_minutes, outcome.next_due_at) == (0, at("2026-12-01 00:00"))
    assert c.settle("2026-12-01 00:00").packs["F"].remaining_minutes == 2400


def test_an_estimate_sent_without_a_note_of_when_was_sent_when_it_was_made() -> None:  # EST-2
    c = client().pack("A", 480, "2026-11-01", "2027-05-01")
    c.approve("C1", 120, "2026-11-20", sent_at=None, created_at=at("2026-11-02"))
    assert c.settle("2026-11-20").estimates["C1/1"].refusal == "estimate_expired"


def test_a_recorded_act_is_the_same_posting_wherever_it_is_read() -> None:  # REF-1
    taken = Adjustment(
        key="pa:1", pack="A", kind="Refund", minutes=-60, effective_on=day("2026-11-05"),
        booked_at=at("2026-11-05 10:00"), reference="CN-1", reason="contract ended",
    )  # fmt: skip
    posting = posting_of(taken)
    assert posting is not None
    assert (posting.pack, posting.minutes, posting.kind, posting.source) == ("A", -60, PostingKind.REFUND, "act:pa:1")
    assert unposted([taken, replace(taken, key="pa:2", deleted=True)], []) == [posting]
    assert unposted([taken], [posting]) == []
    assert posting_of(replace(taken, pack=None)) is None
    c = client(**FREE).pack("A", 480, "2026-11-01", "2027-02-01").work("t", 90, "2026-11-02")
    said = settle(c.facts(), [posting], c.terms(), PLANS, at("2026-11-20"))
    assert [p.booked_at for p in said.postings] == [at("2026-11-01 00:00"), at("2026-11-02")], "the past stays"
    assert said.account.balance_minutes == 480 - 90 - 60


def test_nothing_is_nothing() -> None:
    book = Book(LedgerFacts(), (), client().terms(), PLANS)
    outcome = book.settle(at("2026-11-10"))
    assert (outcome.postings, outcome.findings, outcome.next_due_at) == ((), (), None)
    assert outcome.account.balance_minutes == 0
