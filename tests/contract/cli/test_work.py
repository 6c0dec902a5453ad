"""What an operator asks of work: how long hours last, what was proposed, what was logged and why it counted."""

from __future__ import annotations

from sfsync.records import Estimate
from sfsync.rules.evaluate import Evaluation
from tests.contract.cli.conftest import Desk


def test_a_forecast_says_how_long_the_hours_last(worked: Desk) -> None:
    found = worked("packs", "forecast", "acme", "--json").json
    assert (found["available_minutes"], found["weeks"]) == (20 * 480 - 90 - 150, 4)
    assert found["burn_week_minutes"] in (22, 23), "90 minutes in four weeks"
    assert [row["pack"] for row in found["packs"]] == ["PK-0001", "PK-0002"]
    assert found["packs"][0]["after_extension_minutes"] < found["packs"][0]["at_risk_minutes"]
    assert "(WK-2)" in worked("packs", "forecast", "acme").out


def test_estimates_are_shown_with_the_rule_that_explains_them(worked: Desk) -> None:
    assert worked("estimates", "list", "acme", "--json").json["estimates"] == []
    [row] = worked("estimates", "list", "acme", "--all", "--json").json["estimates"]
    assert (row["name"], row["case"], row["status"], row["used_minutes"]) == ("EST-0001", "00001231", "Approved", 90)
    assert row["why"] == "1.50 h of the approved 4.00 h are used (APR-2)."
    assert "APR-2" in worked("estimates", "show", "acme", "EST-0001").out
    answer = worked("estimates", "show", "acme", "EST-9")
    assert (answer.code, "there are: EST-0001" in answer.err) == (2, True)


def test_an_estimate_is_sent_and_decided_on_behalf_and_judged_like_a_click(worked: Desk) -> None:
    big = {"case": "ca:2", "version": 1, "created_at": worked.now}
    drafts = [
        Estimate(key="es:7", name="EST-0007", estimated_minutes=60, status="Draft", **big),
        Estimate(key="es:8", name="EST-0008", estimated_minutes=900 * 60, status="Sent", sent_at=worked.now, **big),
    ]
    worked.opened.amend("acme", Evaluation(created=drafts))
    early = worked("estimates", "decide", "acme", "EST-0007", "approve", "--on-behalf", "L. Pérez")
    assert (early.code, "An estimate that is Draft cannot be changed so" in early.err) == (2, True)
    assert worked("estimates", "send", "acme", "EST-0007", "--json").json["status"] == "Sent"
    short = worked("estimates", "decide", "acme", "EST-0008", "approve", "--on-behalf", "L. Pérez")
    assert short.code == 2
    assert "pack(s) to buy (APR-4)" in short.err
    said = worked("estimates", "decide", "acme", "EST-0008", "reject", "--on-behalf", "L. Pérez", "--json").json
    assert (said["status"], said["changed"]) == ("Rejected", True)
    kept = worked.opened.store.facts("acme").estimates["es:8"]
    assert kept.status == "Rejected"
    assert [f["message"] for f in worked.opened.store.findings("acme") if f["code"] == "OnBehalf"] == [
        "Rejected on behalf of L. Pérez."
    ]
    assert kept.decided_at is not None
    late = worked("estimates", "withdraw", "acme", "EST-0008")
    assert (late.code, "is Rejected cannot be changed" in late.err) == (2, True)


def test_a_time_entry_is_explained_by_its_postings(worked: Desk) -> None:
    [row] = worked("time", "list", "acme", "--case", "00001231", "--json").json["entries"]
    assert (row["name"], row["state"], row["pack"]) == ("TE-1", "Counted", "PK-0001")
    assert worked("time", "list", "acme", "--state", "Refused", "--json").json["entries"] == []
    said = worked("time", "explain", "acme", "TE-1", "--json").json
    assert said["taken_minutes"] == 90
    assert [(p["kind"], p["minutes"]) for p in said["postings"]] == [("consume", -90)]
    assert said["why"].startswith("1:30 of 1:30 taken, from the pack that ends first (LED-2).")
    assert worked("time", "explain", "acme", "TE-9").code == 2
