"""What ``--json`` prints is a contract: these keys stay while the schema version is 1; new ones are added here."""

from __future__ import annotations

from typing import Any

from tests.contract.cli.conftest import Desk, refuse

ORG = "org client role organization_id state reason since last_success_at holder"
PACK = (
    "key name plan packs_bought bought_minutes used_minutes reserved_minutes available_minutes total_price_amount "
    "currency activated_on last_valid_on days_left extension status"
)
STATUS = (
    "org client sla_plan state reason holder last_success_at next_at error audited_at audit_differences "
    "balance_minutes reserved_minutes open_cases at_risk breached waiting_estimates quarantined unsettled "
    "low_balance calls"
)
TOTALS = (
    "balance_minutes reserved_minutes available_minutes uncovered_minutes at_risk_minutes burn_week_minutes "
    "forecast_empty_on"
)
CASE = (
    "client key number priority category status scope created_at sla_status due_at met_at breached estimate_status "
    "approved_minutes logged_minutes message subject"
)
ANSWERS = (
    "client priority answered in_time breached waived waiting used_seconds target_seconds mean_minutes "
    "mean_within_target compliance_pct"
)
ORDER = "plan packs minutes unit_price_amount net_amount hour_amount currency last_valid_on"
RUN = "run client org state stage started_at ended_at seconds counts error"
WAITING = "client org object key direction field code message advice tries since last_at"
FIELD = "field api type owner on_conflict on_the_way kept_in required history formula label help"

ESTIMATE = (
    "client key name case version category estimated_minutes status sent_at valid_until_on decided_at used_minutes "
    "over_estimate balance_after_minutes why"
)

# words typed: keys of the object; keys of each row of its one list of rows, if it has one
CONTRACT: dict[str, tuple[str, str]] = {
    "status": (
        "at orgs",
        STATUS,
    ),
    "org list": ("orgs", ORG),
    "packs show acme": (
        f"client at packs {TOTALS}",
        f"{PACK} balance_minutes",
    ),
    "packs ledger acme": (
        "client pack postings",
        "effective_on booked_at kind minutes left_minutes pack source source_version case category reason",
    ),
    "packs quote --packs 12": ("order vat_amount gross_amount advice", ""),
    "packs quote --hours 90": ("minutes mixes", "net_amount gross_amount minutes spare_minutes orders"),
    "packs forecast acme": (
        "client burn_week_minutes weeks available_minutes empty_on why packs",
        "pack last_valid_on at_risk_minutes after_extension_minutes",
    ),
    "estimates list --all": (
        "estimates",
        ESTIMATE,
    ),
    "time list": (
        "entries",
        "client key name case worked_on worked_minutes category billable state pack message",
    ),
    "cases list": (
        "cases",
        CASE,
    ),
    "sla board": (
        "at cases",
        "client case number priority plan cover target_minutes due_at due_local left_minutes status subject",
    ),
    "sla explain 00001231": ("client case number derivations", ""),
    "sla report": (
        "since figures",
        ANSWERS,
    ),
    "sla simulate acme --set sla_plan=platinum": (
        "client set before after cases",
        "case number priority due_at new_due_at breached new_breached",
    ),
    "summary show acme": ("client summary lines", ""),
    "quarantine list": ("quarantine", WAITING),
    "quarantine show acme pk:1": ("quarantine", f"{WAITING} sf_id local remote"),
    "conflicts list": ("conflicts", ""),
    "runs list": ("runs", RUN),
    "ledger verify": ("ok clients", "client postings balance_minutes hash problems"),
    "mapping list": ("client objects", "mapping object record fields org service shared"),
    "mapping show pack": ("client mapping object fields", FIELD),
    "mapping explain pack.plan": ("client fields", f"{FIELD} declared mapping object"),
    "mapping check": ("ok clients problems", ""),
    "metadata check": ("ok files problems", ""),
    "config show": ("settings", "key value from"),
    "db current": ("schema needed server", ""),
    "db check": ("ok problems", ""),
    "db upgrade": ("before schema changed", ""),
    "doctor --offline": ("ok checks", "name level said mend"),
    "exit-codes": ("exit_codes", "code name meaning"),
}


def test_json_has_the_keys_that_were_promised(worked: Desk) -> None:
    run = worked.opened.store.begin_run("acme", "acme", worked.now)
    worked.opened.store.end_run("acme", run, worked.now)
    refuse(worked, "pk:1", "Maintenance_Pack__c")
    for typed, (keys, row_keys) in CONTRACT.items():
        told: dict[str, Any] = worked(*typed.split(), "--json").json
        assert set(told) - {"schema_version"} == set(keys.split()), typed
        rows = [row for value in told.values() if isinstance(value, list) for row in value if isinstance(row, dict)]
        if row_keys:
            assert {frozenset(row) for row in rows} == {frozenset(row_keys.split())}, typed


def test_the_order_of_a_quote_has_the_keys_that_were_promised(worked: Desk) -> None:
    told = worked("packs", "quote", "--packs", "12", "--client", "acme", "--json").json
    assert set(told["order"]) == set(ORDER.split())
    assert set(told["advice"]) == set(ORDER.split()) | {"saves_amount", "extra_minutes"}
    assert told["gross_amount"] == "5808.00"  # with the client's 21 %
