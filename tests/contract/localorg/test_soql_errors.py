"""What SOQL refuses: the code, the caret and the words of a real org."""

# ruff: noqa: E501  -- the refusals are a table, one a line

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfsync.localorg.errors import ApiError
from tests.contract.localorg.soql_world import World

RECORDED = Path(__file__).parents[4] / "shared" / "recordings" / "exchanges"


@pytest.fixture(scope="module")
def world() -> World:
    """An org without rows: refusals come before any row is read."""
    return World()


def refusal(world: World, statement: str) -> ApiError:
    """Return the refusal of a statement."""
    with pytest.raises(ApiError) as caught:
        world.ask(statement)
    return caught.value


@pytest.mark.parametrize("name", ["query-malformed-soql", "query-unknown-column"])
def test_refusals_are_worded_as_recorded(world: World, name: str) -> None:
    path = RECORDED / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the recordings of real orgs are not beside this checkout: {path.name}")
    exchange = json.loads(path.read_text())
    statement = exchange["request"]["queryParameters"]["q"]["equalTo"]
    found = refusal(world, statement)
    assert found.status == exchange["response"]["status"]
    assert [found.as_rest()] == json.loads(exchange["response"]["body"])


@pytest.mark.parametrize("name", ["query", "query-with-associated-data", "query-with-subquery", "query-binary-data"])
def test_statements_of_recorded_clients_are_understood(world: World, name: str) -> None:
    path = RECORDED / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the recordings of real orgs are not beside this checkout: {path.name}")
    assert world.ask(json.loads(path.read_text())["request"]["queryParameters"]["q"]["equalTo"]) == []


@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        ("", "MALFORMED_QUERY", "A query string has to be specified"),
        ("  ", "MALFORMED_QUERY", "A query string has to be specified"),
        ("DELETE FROM Case", "MALFORMED_QUERY", "unexpected token: DELETE"),
        ("SELECT Id FROM Case WHER Id = 'x'", "MALFORMED_QUERY", "unexpected token: 'WHER'"),
        ("SELECT Id, FROM Case", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT Id FROM Case WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Case WHERE Subject = 'a' AND Status = 'b' OR Id = null", "MALFORMED_QUERY", "unexpected token: OR"),
        ("SELECT Id FROM Case WHERE Subject = 'a' OR Status = 'b' AND Id = null", "MALFORMED_QUERY", "unexpected token: AND"),
        ("SELECT Id FROM Case WHERE (Subject = 'a'", "MALFORMED_QUERY", "expecting a right parentheses, found '<EOF>'"),
        ("SELECT Id FROM Case WHERE Subject = :name", "MALFORMED_QUERY", "Bind variables only allowed in Apex code"),
        ("SELECT Id FROM Case WHERE Subject = 'O\\'", "MALFORMED_QUERY", "mismatched character '<EOF>' expecting '''"),
        (r"SELECT Id FROM Case WHERE Subject = 'a\qb'", "MALFORMED_QUERY", "Illegal character sequence '\\q'"),
        (r"SELECT Id FROM Case WHERE Subject = 'a\%b'", "MALFORMED_QUERY", "Illegal character sequence"),
        ("SELECT Id FROM Case WHERE CreatedDate > 2026-11-21T20:00:00 01:00", "MALFORMED_QUERY", "line 1:59 no viable alternative at character ' '"),
        ("SELECT Id FROM Case WHERE CreatedDate > 2026-11-21T20:00:00", "MALFORMED_QUERY", "no viable alternative at character '<EOF>'"),
        ("SELECT Id FROM Case WHERE CreatedDate > 2026-13-21T20:00:00Z", "MALFORMED_QUERY", "Invalid dateTime"),
        ("SELECT Id FROM Case WHERE CreatedDate > 1500-01-01T00:00:00Z", "MALFORMED_QUERY", "out of range"),
        ("SELECT Id FROM Case WHERE CreatedDate = LAST_N_DAYS", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Case WHERE CreatedDate = LAST_N_DAYS:9999999", "MALFORMED_QUERY", "Invalid date literal"),
        ("SELECT Id FROM Case WHERE Subject # 'x'", "MALFORMED_QUERY", "no viable alternative at character '#'"),
        ("SELECT Id FROM Case LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT Id FROM Case OFFSET 5 LIMIT 5", "MALFORMED_QUERY", "unexpected token: 'LIMIT'"),
        ("SELECT Id FROM Case OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        ("SELECT Id FROM Case ALL ROWS", "MALFORMED_QUERY", "ALL ROWS not allowed in this context"),
        ("SELECT FIELDS(ALL) FROM Case", "MALFORMED_QUERY", "must have a LIMIT of at most 200"),
        ("SELECT FIELDS(CUSTOM) FROM Case LIMIT 201", "MALFORMED_QUERY", "must have a LIMIT of at most 200"),
        ("SELECT FIELDS(SOME) FROM Case LIMIT 1", "MALFORMED_QUERY", "unexpected token: 'SOME'"),
        ("SELECT Id, Id FROM Case", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Subject s FROM Case", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"),
        ("SELECT Nope FROM Case", "INVALID_FIELD", "No such column 'Nope' on entity 'Case'"),
        ("SELECT Account.Nope FROM Case", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'"),
        ("SELECT Owner.Nope FROM Case", "INVALID_FIELD", "No such column 'Nope' on entity 'Name'"),
        ("SELECT Nope__r.Name FROM Case", "INVALID_FIELD", "Didn't understand relationship 'Nope__r' in field path"),
        ("SELECT Parent.Parent.Parent.Parent.Parent.Parent.Id FROM Case", "INVALID_FIELD", "more than 5 levels"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE", "sObject type 'Nope__c' is not supported"),
        ("SELECT Id, (SELECT Id FROM Nopes__r) FROM Case", "INVALID_TYPE", "Didn't understand relationship 'Nopes__r' in FROM"),
        ("SELECT Id FROM Case WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
        ("SELECT Id FROM Case WHERE Id = '500AA0000000001AAA'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field"),
        ("SELECT Id FROM Case WHERE AccountId LIKE '001%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field"),
        ("SELECT Id FROM Case WHERE IsClosed > true", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean field"),
        ("SELECT Id FROM Case WHERE Subject INCLUDES ('x')", "INVALID_QUERY_FILTER_OPERATOR", "multipicklist"),
        ("SELECT Id FROM Case WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("SELECT Id FROM Case ORDER BY Description", "INVALID_FIELD", "field 'Description' can not be sorted in a query call"),
        ("SELECT COUNT(Id) FROM Case GROUP BY CreatedDate", "INVALID_FIELD", "field 'CreatedDate' can not be grouped"),
        ("SELECT Id FROM Case WHERE Subject = 5", "INVALID_FIELD", "'Subject' must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Case WHERE CreatedDate = '2026-11-21'", "INVALID_FIELD", "must be of type dateTime and should not be enclosed in quotes"),
        ("SELECT Id FROM Case WHERE CreatedDate = 2026-11-21", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Pack__c WHERE Starts__c = 2026-11-21T00:00:00Z", "INVALID_FIELD", "must be of type date and"),
        ("SELECT Id FROM Pack__c WHERE Hours__c = '5'", "INVALID_FIELD", "must be of type double and should not"),
        ("SELECT Id FROM Case WHERE IsClosed = 'true'", "INVALID_FIELD", "must be of type boolean and should not"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Status, Subject FROM Case GROUP BY Status", "MALFORMED_QUERY", "Field must be grouped or aggregated: Subject"),
        ("SELECT Status FROM Case GROUP BY Status ORDER BY Subject", "MALFORMED_QUERY", "must be grouped or aggregated: Subject"),
        ("SELECT Status FROM Case GROUP BY Status HAVING Subject = 'x'", "MALFORMED_QUERY", "must be grouped or aggregated: Subject"),
        ("SELECT COUNT(Id) FROM Case LIMIT 1", "MALFORMED_QUERY", "Non-grouped query that uses overall aggregate functions"),
        ("SELECT Id FROM Case WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "Aggregate"),
        ("SELECT SUM(Subject) FROM Case", "MALFORMED_QUERY", "field Subject does not support aggregate operator SUM"),
        ("SELECT COUNT(), Id FROM Case", "MALFORMED_QUERY", "COUNT()"),
        ("SELECT COUNT(Id) n, MAX(Subject) N FROM Case", "MALFORMED_QUERY", "duplicate alias: N"),
        ("SELECT NONSENSE(Id) FROM Case", "MALFORMED_QUERY", "unexpected token: 'NONSENSE'"),
        ("SELECT Id FROM Case WHERE Id IN (SELECT ParentId FROM Case)", "MALFORMED_QUERY", "same object type"),
        ("SELECT Id FROM Case WHERE Subject IN (SELECT Id FROM Account)", "MALFORMED_QUERY", "must be an ID or reference field"),
        ("SELECT Id FROM Case WHERE AccountId IN (SELECT Name FROM Account)", "MALFORMED_QUERY", "must be an ID or reference field"),
        ("SELECT Id FROM Case WHERE AccountId IN (SELECT Id, OwnerId FROM Account)", "MALFORMED_QUERY", "single ID or reference"),
        ("SELECT Id FROM Case WHERE Status = 'x' OR AccountId IN (SELECT Id FROM Account)", "MALFORMED_QUERY", "not allowed with the 'OR' operator"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY", "Implementation restriction: ContentDocumentLink"),
        ("SELECT Id FROM ContentDocumentLink WHERE ShareType = 'V'", "MALFORMED_QUERY", "Implementation restriction"),
        ("SELECT Id FROM Case USING SCOPE nobody", "MALFORMED_QUERY", "unexpected token: 'nobody'"),
        ("SELECT Id FROM Case c1 c2", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT TYPEOF Account WHEN User THEN Id END FROM Case", "MALFORMED_QUERY", "polymorphic"),
        ("SELECT TYPEOF Owner WHEN Case THEN Id END FROM Case", "INVALID_TYPE", "sObject type 'Case' is not supported"),
    ],
)  # fmt: skip
def test_a_statement_is_refused(world: World, statement: str, code: str, message: str) -> None:
    found = refusal(world, statement)
    assert (found.status, found.code) == (400, code)
    assert message in found.message


def test_the_caret_stands_below_the_fault_in_a_window_of_the_statement(world: World) -> None:
    columns = ", ".join(["Id", "Name", "Hours__c", "Price__c", "Tags__c", "Level__c", "Account__c"])
    statement = f"SELECT {columns}, Bacon__c, Active__c, Starts__c, CreatedDate, LastModifiedDate FROM Pack__c"
    found = refusal(world, statement)
    blank, shown, caret, place, sentence = found.message.split("\n")
    assert blank == ""
    assert shown in statement
    assert shown[caret.index("^") :].startswith("Bacon__c")
    assert len(shown) < 90
    assert place == f"ERROR at Row:1:Column:{statement.index('Bacon__c') + 1}"
    assert sentence.startswith("No such column 'Bacon__c' on entity 'Pack__c'.")


def test_a_plus_that_a_url_lost_is_pointed_at_as_an_org_does(world: World) -> None:
    statement = "SELECT id, name, description FROM Account WHERE LastModifiedDate >= 2013-12-01T12:00:00 00:00"
    assert refusal(world, statement).message.endswith(
        "LastModifiedDate >= 2013-12-01T12:00:00 00:00\n"
        "                                      ^\n"
        "ERROR at Row:1:Column:87\nline 1:87 no viable alternative at character ' '"
    )


def test_rows_and_columns_count_the_lines_of_the_statement(world: World) -> None:
    found = refusal(world, "SELECT Id,\n  Bacon__c\nFROM Account")
    assert found.message.startswith("\n  Bacon__c\n  ^\nERROR at Row:2:Column:3\n")


def test_bounds_of_statement_and_string_are_those_of_an_org(world: World) -> None:
    assert refusal(world, "SELECT Id FROM Case WHERE Subject = '" + "x" * 4001 + "'").code == "MALFORMED_QUERY"
    assert world.ask("SELECT Id FROM Case WHERE Subject = '" + "x" * 4000 + "'") == []
    assert "100000" in refusal(world, "SELECT Id FROM Case WHERE " + "x" * 100_000).message


def test_a_long_list_and_a_long_chain_of_conditions_are_answered(world: World) -> None:
    ids = ", ".join(f"'{world.ids.one('500')}'" for _ in range(4000))
    assert world.ask(f"SELECT Id FROM Case WHERE Id IN ({ids})") == []
    chain = " OR ".join(f"Subject = '{n}'" for n in range(4000))
    assert world.ask(f"SELECT Id FROM Case WHERE {chain}") == []


def test_nesting_beyond_bounds_is_refused_and_not_a_fault(world: World) -> None:
    assert (
        refusal(world, f"SELECT Id FROM Case WHERE {'(' * 5000}Id = null{')' * 5000}").code == "QUERY_TOO_COMPLICATED"
    )
    assert refusal(world, f"SELECT Id FROM Case WHERE {'NOT ' * 5000}Id = null").code == "QUERY_TOO_COMPLICATED"
    assert refusal(world, f"SELECT {'FORMAT(' * 5000}Id FROM Case").code == "QUERY_TOO_COMPLICATED"


def test_a_grouped_answer_can_not_be_paged() -> None:
    made = World()
    for index in range(3):
        made.add("Account", Name=f"{index}", Site=f"{index}")
    with pytest.raises(ApiError) as caught:
        made.run("SELECT Site FROM Account GROUP BY Site", page_size=2)
    assert caught.value.code == "EXCEEDED_ID_LIMIT"
    assert made.run("SELECT Site FROM Account GROUP BY Site LIMIT 2", page_size=2).total_size == 2
