"""What an operator reads and decides over a store: packs, cases, SLA, quarantine, runs, proof."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from sfsync.cli.runs import endings
from sfsync.mapping import standard_directory
from sfsync.mirror.compare import Certificate, Difference, Kind
from tests.contract.cli.conftest import PIN, Desk, refuse


def test_status_shows_each_org_without_asking_it(worked: Desk) -> None:
    (row,) = worked("status", "--json").json["orgs"]
    assert (row["org"], row["state"], row["sla_plan"]) == ("acme", "active", "gold")
    assert row["balance_minutes"] == 20 * 480 - 90
    assert row["reserved_minutes"] == 240 - 90
    assert row["open_cases"] == 2
    shown = worked("status")
    assert shown.rows[0][0] == "acme"
    assert "158.50" in shown.rows[0]


def test_status_tells_when_each_org_was_last_audited_and_what_differed(worked: Desk) -> None:
    (row,) = worked("status", "--json").json["orgs"]
    assert (row["audited_at"], row["audit_differences"]) == (None, None)
    assert "never" in worked("status").rows[0]
    gone = Difference("Case", "500", "ca:1", Kind.GONE, "", "", "")
    worked.opened.store.keep_certificate(Certificate("acme", "acme", PIN, worked.now, {"Case": 7}, (gone,), 0, 2))
    (row,) = worked("status", "--json").json["orgs"]
    assert (row["audited_at"], row["audit_differences"]) == (f"{worked.now:%Y-%m-%dT%H:%M:%SZ}", 1)
    shown = worked("status")
    assert "1 differ, now" in shown.rows[0]
    assert "1 need(s) a look" in shown.err


def test_status_of_a_paused_org_says_why(desk: Desk) -> None:
    assert desk("org", "pause", "acme", "--reason", "contract ended").code == 0
    assert "paused: contract ended" in desk("status").out
    (row,) = desk("org", "list", "--json").json["orgs"]
    assert (row["state"], row["reason"], row["organization_id"]) == ("paused", "contract ended", PIN)
    assert desk("org", "resume", "acme", "--json").json["org"]["state"] == "active"


def test_a_paused_org_is_not_synced_and_ends_with_4(desk: Desk) -> None:
    desk("org", "pause", "acme", "--reason", "contract ended")
    answer = desk("sync", "acme", "--json")
    assert answer.code == 4
    assert answer.json["orgs"][0]["result"] == "paused"
    assert "contract ended" in answer.err
    assert desk("runs", "list", "--json").json["runs"] == []


def test_an_org_held_by_another_run_ends_with_7_and_changes_nothing(desk: Desk) -> None:
    lease = desk.opened.store.acquire("acme", "acme", "somebody else")
    assert lease is not None
    answer = desk("sync", "acme", "--json")
    assert (answer.code, answer.json["orgs"][0]["result"]) == (7, "busy")
    assert "somebody else" in answer.err
    assert desk("plan", "acme").code == 7


def test_an_org_that_cannot_be_reached_ends_with_1_and_leaves_a_failed_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_ID", "app")
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", "hush")
    answer = desk("sync", "acme", "--json")
    assert (answer.code, answer.json["orgs"][0]["result"]) == (1, "failed")
    assert answer.json["orgs"][0]["error"] in answer.err
    assert "hush" not in answer.out + answer.err
    (run,) = desk("runs", "list", "--json").json["runs"]
    assert (run["state"], run["error"]) == ("failed", answer.json["orgs"][0]["error"])
    planned = desk("plan", "acme", "--json")
    assert (planned.code, planned.json["orgs"][0]["changes"]) == (1, [])


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("case.yaml", "owner: org", "owner: org, colour: red", "colour: there is no such key"),
        ("plans.yaml", '"400.00"', '"-400.00"', "packs.flexi.unit_price_amount: "),
        ("pack.yaml", "prefix: pk", "prefix: PK9", "prefix: "),
        ("time_entry.yaml", "fields:", "fields: [", "not valid YAML"),
    ],
)
def test_a_file_that_must_be_edited_stops_every_command_before_anything_is_done(
    desk: Desk, home: Path, file: str, old: str, new: str, said: str
) -> None:
    shutil.copytree(
        standard_directory(), home / "mappings", ignore=shutil.ignore_patterns("salesforce*", "__pycache__")
    )
    spoiled = (home / "mappings" / file).read_text()
    assert old in spoiled
    (home / "mappings" / file).write_text(spoiled.replace(old, new, 1))
    (home / "sfsync.toml").write_text('mappings_dir = "mappings"\n' + (home / "sfsync.toml").read_text())
    for words in (("sync", "acme"), ("plan", "acme"), ("status",), ("packs", "quote", "--packs", "5")):
        answer = desk(*words)
        assert (answer.code, answer.out) == (2, ""), words
        assert answer.err.startswith(f"sfsync: mappings/{file}:")
        assert said in answer.err
        assert answer.err.count("\n") == 1
    assert desk.opened.store.runs("acme") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", ""),
        ("[]", "this is not a plan that sfsync plan --out wrote"),
        ('{"plan_version": 1}', "this plan is for org None, not for acme"),
        ('{"plan_version": 1, "org": "beta"}', "this plan is for org beta, not for acme"),
        ('{"plan_version": 1, "org": "acme", "changes": [{"colour": "red"}], "refused": []}', "this is not a plan"),
        ('{"plan_version": 1, "org": "acme", "changes": 7, "refused": []}', "this is not a plan"),
    ],
)
def test_a_file_that_is_no_plan_is_named_and_nothing_is_done(desk: Desk, home: Path, text: str, said: str) -> None:
    (home / "plan.json").write_text(text)
    answer = desk("sync", "acme", "--plan", "plan.json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"sfsync: plan.json: {said}")
    assert desk("sync", "acme", "--plan", "absent.json").err.startswith("sfsync: absent.json: cannot be read: ")
    assert desk.opened.store.runs("acme") == []


def test_a_broken_overlay_is_named_and_its_org_alone_fails(desk: Desk, home: Path) -> None:
    (home / "clients/acme.yaml").write_text("client: acme\nname: A\ntime_zone: Europe/Bucharest\nsla_plan: tin\n")
    answer = desk("sync", "--json")
    assert (answer.code, answer.json["orgs"][0]["result"]) == (2, "failed")
    assert "acme.yaml:4: sla_plan: there is no SLA plan 'tin'" in answer.err
    assert desk.opened.store.runs("acme") == []


def test_quiet_leaves_the_talk_out_and_the_data_in(worked: Desk) -> None:
    loud, quiet = worked("status"), worked("--quiet", "status")
    assert loud.err != ""
    assert (quiet.code, quiet.err, quiet.rows[0][0]) == (0, "", "acme")


@pytest.mark.parametrize(
    "words", [("sync", "nobody"), ("plan", "nobody"), ("org", "show", "nobody"), ("org", "test", "nobody")]
)
def test_an_unknown_org_is_one_sentence_that_names_those_there_are(desk: Desk, words: tuple[str, ...]) -> None:
    answer = desk(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.strip().count("\n") == 0
    assert "nobody" in answer.err
    assert "acme" in answer.err


@pytest.mark.parametrize(
    "words", [("packs", "show", "nobody"), ("cases", "list", "nobody"), ("sla", "board", "nobody")]
)
def test_an_unknown_client_is_one_sentence(desk: Desk, words: tuple[str, ...]) -> None:
    answer = desk(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "sfsync: there is no client or org 'nobody'; there are: acme\n"


def test_org_show_tells_contract_bookmarks_and_calls(desk: Desk) -> None:
    shown = desk("org", "show", "acme", "--json").json["org"]
    assert (shown["name"], shown["time_zone"]) == ("Acme Distribución S.A.", "America/Argentina/Buenos_Aires")
    assert shown["calls"]["ours"] == 0
    assert "Acme Distribución" in desk("org", "show", "acme").out


def test_packs_show_gives_the_balance_the_database_keeps(worked: Desk) -> None:
    found = worked("packs", "show", "acme", "--json").json
    assert [p["name"] for p in found["packs"]] == ["PK-0001", "PK-0002"]
    assert [p["balance_minutes"] for p in found["packs"]] == [5 * 480 - 90, 15 * 480]
    assert (found["balance_minutes"], found["reserved_minutes"]) == (20 * 480 - 90, 150)


def test_packs_show_at_an_instant_says_what_was_booked_by_then_and_nothing_of_today(worked: Desk) -> None:
    before = worked("packs", "show", "acme", "--at", "2000-01-01", "--json").json
    assert {(p["bought_minutes"], p["used_minutes"], p["balance_minutes"]) for p in before["packs"]} == {(0, 0, 0)}
    after = worked("packs", "show", "acme", "--at", "2999-01-01", "--json").json
    assert after["packs"][0] == {
        "key": "pk:1", "name": "PK-0001", "plan": "Flexi", "bought_minutes": 2400, "used_minutes": 90,
        "expired_minutes": 0, "refunded_minutes": 0, "adjusted_minutes": 0, "balance_minutes": 2310,
    }  # fmt: skip
    assert after["balance_minutes"] == 20 * 480 - 90
    assert worked("packs", "show", "acme", "--at", "2999-01-01").rows[0][2:4] == ["40.00", "1.50"]


def test_packs_ledger_shows_every_posting_with_what_was_left(worked: Desk) -> None:
    rows = worked("packs", "ledger", "acme", "--json").json["postings"]
    assert [(r["kind"], r["minutes"], r["left_minutes"], r["pack"]) for r in rows] == [
        ("purchase", 2400, 2400, "PK-0001"), ("purchase", 7200, 7200, "PK-0002"), ("consume", -90, 2310, "PK-0001"),
    ]  # fmt: skip
    assert rows[2]["case"] == "00001231"
    assert len(worked("packs", "ledger", "acme", "PK-0002").rows) == 1
    answer = worked("packs", "ledger", "acme", "PK-9")
    assert (answer.code, "there are: PK-0001, PK-0002" in answer.err) == (2, True)


def test_a_purchase_typed_twice_with_one_reference_is_one_purchase(worked: Desk) -> None:
    words = ("packs", "buy", "acme", "--plan", "starter", "--packs", "2", "--reference", "INV-7", "--json")
    first, second = worked(*words).json, worked(*words).json
    assert (first["booked"], second["booked"]) == (True, False)
    assert first["pack"]["key"] == second["pack"]["key"]
    assert (first["pack"]["bought_minutes"], first["pack"]["total_price_amount"]) == (960, "1000.00")
    assert len(worked("packs", "show", "acme", "--json").json["packs"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--plan", "pro", "--packs", "3"), "This plan starts from 15 packs."),
        (("--plan", "gold", "--packs", "3"), "There is no pack plan 'gold'; there are starter, flexi, pro."),
        (("--plan", "pro", "--packs", "-1"), "Packs are bought whole: give a number of packs from 1."),
        (("--plan", "starter", "--packs", "1", "--paid-on", "2999-01-01"), "2999-01-01 lies ahead"),
    ],
)
def test_a_purchase_that_is_not_for_sale_books_nothing(desk: Desk, words: tuple[str, ...], sentence: str) -> None:
    answer = desk("packs", "buy", "acme", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"sfsync: {sentence}")
    assert desk("packs", "show", "acme", "--all", "--json").json["packs"] == []


def with_policy(home: Path, **keys: str) -> None:
    file = home / "clients/acme.yaml"
    kept = file.read_text().partition("policy:")[0]
    file.write_text(f"{kept}policy: {{{', '.join(f'{name}: {value}' for name, value in keys.items())}}}\n")


def test_a_top_up_is_priced_by_what_the_client_has_where_the_contract_says_so(worked: Desk, home: Path) -> None:
    words = ("packs", "buy", "acme", "--plan", "pro", "--packs", "1", "--json", "--reference")
    assert worked(*words, "T-1").code == 2, "alone one pack does not reach Pro"
    with_policy(home, topup_pricing="inherit_active_tier")
    quoted = worked("packs", "quote", "--client", "acme", "--packs", "1", "--json").json
    assert quoted["order"]["net_amount"] == "300.00"
    assert worked(*words, "T-1").json["pack"]["total_price_amount"] == "300.00"
    with_policy(home, topup_pricing="cumulative_12_months")
    assert worked(*words, "T-2").json["pack"]["plan"] == "Pro"


def test_where_validity_counts_from_the_invoice_its_day_is_asked_for(worked: Desk, home: Path) -> None:
    words = ("packs", "buy", "acme", "--plan", "starter", "--packs", "1", "--json", "--reference", "I-9")
    assert "counts from the payment" in worked(*words, "--invoiced-on", "2026-01-31").err
    with_policy(home, validity_from="invoice")
    assert "give its day: --invoiced-on" in worked(*words).err
    assert "younger than its payment" in worked(*words, "--invoiced-on", "2026-02-01", "--paid-on", "2026-01-31").err
    bought = worked(*words, "--invoiced-on", "2026-01-31", "--paid-on", "2026-02-10").json["pack"]
    assert bought["activated_on"] == "2026-01-31"


def test_a_refund_pays_free_hours_back_once_and_never_more(worked: Desk) -> None:
    words = ("packs", "refund", "acme", "PK-0001", "--reason", "contract ended", "--reference", "CN-4", "--json")
    asked = worked(*words, "--hours", "10")
    assert (asked.code, asked.json["booked"], asked.json["minutes"]) == (0, True, -600)
    assert asked.json["amount"] == "500.00"
    again = worked(*words)
    assert (again.json["booked"], again.json["minutes"], again.json["adjustment"]) == (
        False, -600, asked.json["adjustment"],
    )  # fmt: skip
    balances = worked.opened.store.balances("acme")
    assert balances["pk:1"] == 5 * 480 - 90 - 600
    more = worked("packs", "refund", "acme", "PK-0001", "--hours", "900", "--reason", "r", "--reference", "CN-5")
    assert (more.code, more.out) == (2, "")
    assert "900.00 h cannot be paid back (REF-1)" in more.err
    assert worked.opened.store.balances("acme") == balances


def test_an_adjustment_gives_or_takes_and_no_pack_goes_below_zero(worked: Desk) -> None:
    words = ("packs", "adjust", "acme", "PK-0002", "--reason", "agreed", "--reference")
    assert worked(*words, "T-1", "--hours=-1.5").code == 0
    assert worked(*words, "T-2", "--hours", "2").code == 0
    assert "T-2 was booked before" in worked(*words, "T-2", "--hours", "2").err
    assert worked.opened.store.balances("acme")["pk:2"] == 15 * 480 - 90 + 120
    answer = worked(*words, "T-3", "--hours=-500")
    assert (answer.code, "no pack goes below zero (LED-1)" in answer.err) == (2, True)
    acts = [p for p in worked.opened.store.postings("acme") if p.source.startswith("act:")]
    assert [(p.kind.value, p.minutes, p.reason) for p in acts] == [
        ("adjustment", -90, "agreed"), ("adjustment", 120, "agreed"),
    ]  # fmt: skip


def test_an_extension_is_asked_for_once_and_only_where_the_plan_has_one(worked: Desk) -> None:
    today = worked.opened.today("acme")
    answer = worked("packs", "extend", "acme", "PK-0001", "--json")
    assert answer.json["asked_on"] == today.isoformat()
    assert answer.json["last_valid_on"] > worked("packs", "show", "acme", "--json").json["packs"][0]["last_valid_on"]
    worked("packs", "buy", "acme", "--plan", "starter", "--packs", "1", "--reference", "S", "--json")
    key = next(p["key"] for p in worked("packs", "show", "acme", "--json").json["packs"] if p["plan"] == "Starter")
    refused = worked("packs", "extend", "acme", key)
    assert (refused.code, refused.err) == (2, "sfsync: A pack of this plan cannot be extended.\n")


def test_cases_stand_in_the_order_of_work_and_text_never_breaks_a_line(worked: Desk) -> None:
    listed = worked("cases", "list", "--json").json["cases"]
    assert [c["number"] for c in listed] == ["00001231", "00001232"]
    assert (listed[0]["approved_minutes"], listed[0]["logged_minutes"]) == (240, 90)
    lines = worked("cases", "list", "acme").rows
    assert [len(line) for line in lines] == [12, 12]
    assert lines[1][-1] == "New field, please"


def test_the_sla_board_lists_what_waits_with_the_cover_time_left(worked: Desk) -> None:
    rows = worked("sla", "board", "--json").json["cases"]
    assert [r["number"] for r in rows] == ["00001231", "00001232"]
    assert (rows[0]["status"], rows[0]["target_minutes"]) == ("Breached", 240)
    assert rows[0]["left_minutes"] < 0 < rows[1]["left_minutes"] <= 240


def test_sla_explain_adds_up_to_the_target_in_the_language_asked_for(worked: Desk) -> None:
    data = worked("sla", "explain", "00001231", "--json").json
    ack = next(d for d in data["derivations"] if d["clock"] == "ack")
    assert sum(line["seconds"] for line in ack["lines"] if line["kind"] == "cover") == ack["limit_seconds"] == 240 * 60
    assert "Gold" in worked("sla", "explain", "ca:1", "--language", "en").out
    answer = worked("sla", "explain", "99999999")
    assert (answer.code, answer.err.startswith("sfsync: no case is called '99999999'")) == (2, True)


def test_sla_report_counts_by_priority(worked: Desk) -> None:
    figures = {row["priority"]: row for row in worked("sla", "report", "--json").json["figures"]}
    assert (figures["P2"]["breached"], figures["P4"]["waiting"]) == (1, 1)
    assert figures["P2"]["compliance_pct"] == "0.00"


def test_sla_simulate_says_what_another_rule_would_have_said_and_changes_nothing(worked: Desk) -> None:
    told = worked("sla", "simulate", "acme", "--set", "sla_plan=platinum", "--json").json
    assert told["before"] == {"with_a_clock": 2, "breached": 1}
    assert [c["number"] for c in told["cases"]] == ["00001231", "00001232"]
    assert all(c["new_due_at"] < c["due_at"] for c in told["cases"])
    nothing = worked("sla", "simulate", "acme", "--set", "sla_plan=", "--json").json
    assert nothing["after"] == {"with_a_clock": 0, "breached": 0}
    assert worked("sla", "simulate", "acme", "--set", "thresholds_pct=50,75,90", "--json").json["cases"] == []
    assert worked("sla", "board", "--json").json["cases"][0]["plan"] == "gold"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("sla_plan=tin", "there is no SLA plan 'tin'; there are silver, gold, platinum"),
        ("colour=red", "there is no policy key 'colour'"),
        ("tolerance_pct=10", "no clock reads 'tolerance_pct'"),
        ("breach_basis=never", "breach_basis: "),
    ],
)
def test_a_rule_that_cannot_be_is_named(desk: Desk, change: str, sentence: str) -> None:
    answer = desk("sla", "simulate", "acme", "--set", change)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"sfsync: {sentence}")


def test_a_week_is_shown_as_it_was_issued(worked: Desk) -> None:
    listed = worked("summary", "list", "acme", "--json").json["summaries"]
    assert [one["iso_week"] for one in listed] == sorted((one["iso_week"] for one in listed), reverse=True)
    used = next(one for one in listed if one["used_minutes"])
    shown = worked("summary", "show", "acme", used["iso_week"], "--json").json
    assert shown["summary"]["used_minutes"] == sum(x["minutes"] for x in shown["lines"] if x["kind"] == "Work") == 90
    assert "1.50 h" in worked("summary", "show", "acme", used["iso_week"]).out
    assert worked("summary", "show", "acme", "--json").json["summary"]["iso_week"] == listed[0]["iso_week"]


def test_a_week_that_is_not_there_is_one_sentence(desk: Desk) -> None:
    assert desk("summary", "list", "--json").json["summaries"] == []
    answer = desk("summary", "show", "acme", "2026-W47")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "sfsync: client acme has no summary of 2026-W47; the newest: none yet\n"


def test_quarantine_shows_the_orgs_words_and_lets_go_only_when_told(worked: Desk) -> None:
    refuse(worked, "pk:1", "Maintenance_Pack__c")
    (row,) = worked("quarantine", "list", "--json").json["quarantine"]
    assert (row["key"], row["code"], row["advice"]) == (
        "pk:1", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "ask the client's admin",
    )  # fmt: skip
    assert worked("status", "--json").json["orgs"][0]["quarantined"] == 1
    assert "Region is required" in worked("quarantine", "show", "acme", "pk:1").out
    assert worked("quarantine", "retry", "acme", "pk:1", "--json").json["retried"] == ["pk:1"]
    assert worked("quarantine", "list", "--json").json["quarantine"] == []
    answer = worked("quarantine", "retry", "acme", "pk:1")
    assert (answer.code, "nothing waits under 'pk:1'" in answer.err) == (2, True)


def test_what_is_given_up_is_on_record_with_its_reason_and_not_written_again(worked: Desk) -> None:
    refuse(worked, "pk:1", "Maintenance_Pack__c")
    asked = worked("quarantine", "discard", "acme", "pk:1", "--reason", "duplicate")
    assert asked.code == 2  # nobody can be asked in a pipe
    assert len(worked("quarantine", "list").rows) == 1
    assert worked("quarantine", "discard", "acme", "pk:1", "--reason", "duplicate", "--yes").code == 0
    assert worked("quarantine", "list").rows == []
    said = [f["message"] for f in worked.opened.store.findings("acme") if f["code"] == "Discarded"]
    assert len(said) == 1
    assert said[0].endswith("duplicate")
    room = worked.opened.store.room("acme", "acme", worked.opened.client("acme").mappings)
    later = worked.now + timedelta(days=1)
    assert "pk:1" not in {link.key for link, _ in room.unsettled(later)}


@pytest.mark.parametrize("how", ["UPDATE posting SET reason = 'x' WHERE leg = 0 AND source = 'te:1'",
                                 "UPDATE posting SET minutes = -30 WHERE source = 'te:1'",
                                 "DELETE FROM posting WHERE source = 'pk:2'"])  # fmt: skip
def test_ledger_verify_names_a_posting_that_is_not_what_was_booked(worked: Desk, how: str) -> None:
    assert worked("ledger", "verify", "acme").code == 0
    with worked.opened.store._database.owner() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(how)
    answer = worked("ledger", "verify", "acme", "--json")
    assert answer.code == 5
    [named] = [problem for problem in answer.json["clients"][0]["problems"] if "is not what was booked" in problem]
    assert named.startswith("posting te:1#1.0 (")


def test_ledger_verify_folds_again_and_knows_its_own_past(worked: Desk) -> None:
    first = worked("ledger", "verify", "acme", "--json").json
    assert first["ok"] is True
    (row,) = first["clients"]
    assert (row["postings"], row["balance_minutes"]) == (3, 20 * 480 - 90)
    assert worked("ledger", "verify", "acme", "--expect", row["hash"]).code == 0
    assert worked("ledger", "verify", "acme", "--expect", "f" * 64).code == 5


def test_runs_are_found_by_the_beginning_of_their_name(worked: Desk) -> None:
    run = worked.opened.store.begin_run("acme", "acme", worked.now)
    worked.opened.store.end_run("acme", run, worked.now, counts={"read": 7, "calls": 1})
    (row,) = worked("runs", "list", "--json").json["runs"]
    assert (row["run"], row["state"], row["counts"]["read"]) == (run, "done", 7)
    assert worked("runs", "show", run[:6], "--json").json["run"] == row
    answer = worked("runs", "show", "nothing")
    assert (answer.code, answer.err) == (2, "sfsync: there is no run 'nothing'; list them with: sfsync runs list\n")


def test_runs_are_told_as_they_end_each_once_and_oldest_first(worked: Desk) -> None:
    store, at = worked.opened.store, worked.now
    store.add_org("beta", "beta")

    def end(org: str, error: str = "") -> str:
        store.end_run(org, run := store.begin_run(org, org, at), at, error=error)
        return run

    past = [end("acme") for _ in range(3)]
    told = endings(worked.opened, ["acme", "beta"], 2)
    assert [run.run for run in next(told)] == past[1:]
    assert next(told) == []
    going = store.begin_run("acme", "acme", at)
    assert next(told) == [], "a run that goes on is not told"
    other = end("beta", "the org answered 503")
    store.end_run("acme", going, at)
    assert [run.run for run in next(told)] == [going, other]
    assert next(told) == []
    typed = worked("runs", "tail", "acme", "--limit", "2", "--for", "0")
    assert [row[0] for row in typed.rows] == [past[2], going]
    assert worked("runs", "tail", "acme", "--limit", "1", "--for", "0", "--json").json["run"]["run"] == going
    assert worked("runs", "tail", "acme", "--limit", "0", "--for", "0").rows == []


def test_conflicts_of_a_quiet_client_are_none(worked: Desk) -> None:
    assert worked("conflicts", "list", "--json").json["conflicts"] == []


def test_db_tells_where_the_schema_is(desk: Desk) -> None:
    told = desk("db", "current", "--json").json
    assert told["schema"] == told["needed"]
    assert desk("db", "check").code == 0
    assert desk("db", "upgrade", "--json").json["changed"] is False


def test_a_store_that_cannot_be_reached_is_one_sentence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFSYNC_STORE__URL", "postgresql://nobody@localhost:9/none")
    answer = desk("status")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("sfsync: the store cannot be reached: ")
    monkeypatch.setenv("SFSYNC_STORE__URL", "mysql://x")
    assert desk("status").code == 2
