"""The formula language: a formula means the same in a validation rule (Python) and in a formula field (SQL)."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.localorg import formula
from sfsync.localorg.errors import ApiError
from sfsync.localorg.formula import FormulaError
from sfsync.localorg.saving import Change, SaveResult
from sfsync.localorg.schema import SchemaChange, ValidationRule, custom_field
from tests.contract.localorg.core_world import Client

ROW = {"Key__c": "Pack 7", "Hours__c": 12.5, "Used__c": None, "Kind__c": "Pro", "Secret__c": "abc"}
FORMULAS: tuple[tuple[str, Any], ...] = (
    ("1 + 2 * 3", 7.0),
    ("(1 + 2) * 3", 9.0),
    ("2 ^ 3 - 10 / 4", 5.5),
    ("-Hours__c + 0.5", -12.0),
    ("Hours__c / 0", None),
    ("Hours__c + Used__c", None),
    ("Hours__c - BLANKVALUE(Used__c, 2)", 10.5),
    ("ROUND(Hours__c / 8, 2)", 1.56),
    ("ROUND(-2.5, 0)", -3.0),
    ("MOD(Hours__c, 8)", 4.5),
    ("MAX(1, Hours__c, 3)", 12.5),
    ("MIN(4, 2, 3)", 2.0),
    ("ABS(-3) + FLOOR(2.7) + CEILING(2.1) + SQRT(9)", 11.0),
    ("LEN(Key__c)", 6.0),
    ("VALUE(RIGHT(Key__c, 1))", 7.0),
    ("VALUE(Key__c)", None),
    ("YEAR(TODAY()) * 10000 + MONTH(TODAY()) * 100 + DAY(TODAY())", 20261121.0),
    ("DATE(2026, 12, 1) - TODAY()", 10.0),
    ("DATEVALUE(CreatedDate) - DATE(2026, 11, 1)", 20.0),
    ("NOW() - CreatedDate", 0.0),
    ("CASE(Kind__c, 'Starter', 1, 'Pro', 2, 3)", 2.0),
    ("IF(ISPICKVAL(Kind__c, 'Pro'), 1, 2)", 1.0),
    ("IF(AND(Hours__c > 12, NOT(ISBLANK(Key__c))), 1, 2)", 1.0),
    ("IF(Hours__c > 12 && Used__c > 0 || FALSE, 1, 2)", 2.0),
    ("IF(OR(Used__c < 1, ISBLANK(Used__c)), 1, 2)", 1.0),
    ("IF(Used__c = NULL, 1, 2)", 1.0),
    ("IF(Hours__c <> 12.5, 1, 2)", 2.0),
    ("IF(CONTAINS(Key__c, 'ack'), 1, 2)", 1.0),
    ("IF(BEGINS(Key__c, 'Pack'), 1, 2)", 1.0),
    ("IF(REGEX(Key__c, 'Pack \\\\d'), 1, 2)", 1.0),
    ("IF(ISNUMBER(Key__c), 1, 2)", 2.0),
    ("Key__c & ' / ' & Secret__c", "Pack 7 / abc"),
    ("UPPER(Secret__c) & LOWER('ABC') & TRIM('  x ')", "ABCabcx"),
    ("LEFT(Key__c, 2) & MID(Key__c, 3, 2)", "Pack"),
    ("SUBSTITUTE(Key__c, 'a', 'o')", "Pock 7"),
    ("TEXT(Hours__c)", "12.5"),
    ("TEXT(Hours__c * 2)", "25"),
    ("TEXT(Kind__c)", "Pro"),
    ("TEXT(Used__c)", None),
    ("Account__r.Name", "Acme"),
    ("Account__r.Owner.Name", "Ada Admin"),
    ("Account__r.Parent.Name", None),
    ("$User.Username", "admin@acme.example"),
    ("IF($Permission.Serves, 'yes', 'no')", "no"),
    ("/* why */ IF($Profile.Name = 'System Administrator', 'yes', 'no')", "yes"),
)


@pytest.fixture(scope="module")
def client() -> Client:
    """A client whose org has one pack."""
    client = Client()
    account = client.made("Account", Name="Acme")
    client.made("Pack__c", **ROW, Account__c=account)
    return client


@pytest.mark.parametrize(("text", "expected"), FORMULAS)
def test_a_formula_means_the_same_in_a_rule_and_in_a_field(client: Client, text: str, expected: Any) -> None:
    org = client.org
    pack = org.schema["Pack__c"]
    kind = formula.check(text, org.schema, pack)
    described = {"number": "double", "text": "string"}[kind]
    field = custom_field("F__c", described, formula=text, precision=18, scale=6, length=1300)
    org.schema_change(SchemaChange(fields=[("Pack__c", field)]))
    in_field = client.query("SELECT F__c FROM Pack__c")[0]["F__c"]
    plan = org.records.plan(org.admin, "Pack__c")
    row = org.get("Pack__c", org.storage.rows('SELECT "Id" FROM "Pack__c"')[0][0]) or {}
    situation = org.records.situation(plan, Change(row, None, SaveResult()), org.now_seconds())
    in_rule = formula.rule_function(text, org.schema, pack)(situation) or None
    assert in_field == (pytest.approx(expected) if isinstance(expected, float) else expected)
    # Zero and the empty text are not told apart from nothing where the rule's answer is only a value on the way.
    assert in_rule == ((pytest.approx(expected) if expected else None) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    "text",
    [
        "Nope__c + 1", "Hours__c + Key__c", "Kind__c = 'Pro'", "NOPE(1)", "IF(1)", "Hours__c +", "(1", "1)",
        "'open", "@", "1 = 'x'", "ISCHANGED(Hours__c)", "Account__r.Nope__c", "$Nope.X", "LEN(Kind__c)", "",
        "VLOOKUP(1, 2, 3)",
    ],
)  # fmt: skip
def test_what_the_subset_does_not_hold_is_refused_when_it_is_deployed(client: Client, text: str) -> None:
    with pytest.raises(FormulaError):
        formula.check(text, client.org.schema, client.org.schema["Pack__c"])
    with pytest.raises(ApiError):
        client.org.schema_change(
            SchemaChange(fields=[("Pack__c", custom_field("Bad__c", "double", formula=text, scale=2))])
        )
    assert client.org.schema["Pack__c"].field("Bad__c") is None


def test_a_rule_sees_what_changes() -> None:
    client = Client()
    rules = (
        ("Falls", "AND(NOT(ISNEW()), Hours__c < PRIORVALUE(Hours__c))", "Hours cannot fall."),
        ("Frozen", "AND(ISCHANGED(Key__c), NOT(ISBLANK(PRIORVALUE(Key__c))))", "Key is frozen."),
        ("Mine", "AND(ISPICKVAL(Kind__c, 'Pro'), OwnerId <> $User.Id)", "Not yours."),
        ("Parent", "BEGINS(Account__r.Name, 'X')", "Not with an X."),
    )
    found = [("Pack__c", ValidationRule(n, f, m)) for n, f, m in rules]
    client.org.schema_change(SchemaChange(rules=found))
    pack = client.made("Pack__c", Hours__c=5)

    def said(**values: Any) -> str | None:
        answer = client.ask("PATCH", f"sobjects/Pack__c/{pack}", values)
        return None if answer.status == 204 else answer.json()[0]["message"]

    assert said(Hours__c=6) is None
    assert said(Hours__c=5) == "Hours cannot fall."
    assert said(Key__c="a") is None
    assert said(Key__c="b") == "Key is frozen."
    assert said(OwnerId=client.org.integration_id) is None
    assert said(Kind__c="Pro") == "Not yours."
    other = client.made("Account", Name="Xavier")
    assert said(Account__c=other) == "Not with an X."
    client.org.schema_change(SchemaChange(removed_rules=[("Pack__c", "Parent")]))
    assert said(Account__c=other) is None


def test_a_formula_field_follows_its_parents_without_moving_a_stamp(client: Client) -> None:
    org = client.org
    field = custom_field("Owner_Name__c", "string", formula="Account__r.Owner.Name", length=1300)
    org.schema_change(SchemaChange(fields=[("Pack__c", field)]))
    [before] = client.query("SELECT SystemModstamp, Owner_Name__c FROM Pack__c WHERE Owner_Name__c = 'ADA ADMIN'")
    org.update("User", org.admin_id, {"FirstName": "Adele"})
    [after] = client.query("SELECT SystemModstamp, Owner_Name__c FROM Pack__c ORDER BY Owner_Name__c")
    assert (before["Owner_Name__c"], after["Owner_Name__c"]) == ("Ada Admin", "Adele Admin")
    assert before["SystemModstamp"] == after["SystemModstamp"]
    assert client.refusal(
        "PATCH", f"sobjects/Pack__c/{org.storage.rows('SELECT Id FROM Pack__c')[0][0]}", {"Owner_Name__c": "x"}
    )[1] == ("INVALID_FIELD_FOR_INSERT_UPDATE")
    org.update("User", org.admin_id, {"FirstName": "Ada"})
