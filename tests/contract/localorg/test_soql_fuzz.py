"""Generated statements: whatever is asked, the answer is an answer or a refusal, never a fault of ours.

``SFSYNC_FUZZ`` sets how many statements are made (2,000 unless set), ``SFSYNC_FUZZ_FROM`` the first of their seeds (0
unless set); the seed stands in the message of a failure.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from random import Random

import pytest

from sfsync.clock import seeded
from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Schema
from tests.contract.localorg.soql_world import DAY, NOW, World

COUNT = int(os.environ.get("SFSYNC_FUZZ", "2000"))
FIRST = int(os.environ.get("SFSYNC_FUZZ_FROM", "0"))
OBJECTS = ["Case", "Account", "Contact", "Pack__c", "User", "ContentVersion", "Task", "Pack__c", "Case"]
STRANGE = ["Nope", "Nope.Name", "Nope__r.Nope__c", "Owner.Nope", "c.Id", "Case.Id", "LinkedEntity.Name", "Type.Type"]
FUNCTIONS = (
    "COUNT SUM AVG MIN MAX COUNT_DISTINCT toLabel FORMAT convertCurrency CALENDAR_YEAR DAY_ONLY HOUR_IN_DAY NOPE "
    "GROUPING FIELDS"
).split()
VALUES = {
    "boolean": ["true", "FALSE", "null"],
    "date": ["TODAY", "yesterday", "LAST_N_DAYS:3", "2026-11-21", "2026-02-30", "N_YEARS_AGO:1", "LAST_N_DAYS:999999"],
    "datetime": ["2026-11-21T20:00:00Z", "2026-11-21T20:00:00.000+0000", "THIS_FISCAL_YEAR", "2026-11-21T20:00:00"],
    "time": ["08:00:00.000Z", "99:99:99Z"],
    "number": ["0", "5", "-3", "1.5", "1e3", "99999999999999999999", "USD5", "USD5.5", "1e999"],
    "id": ["'001AA0000000001YAA'", "'500AA0000000001'", "'500'", "''", "null"],
    "text": [
        "'x'",
        "'p1'",
        "'P%'",
        "'it\\'s'",
        "'é'",
        "''",
        "'\\\\'",
        "'\\q'",
        "'Red;Blue'",
        "'\\ud800'",
        "':'",
        "null",
        ":bind",
    ],
}
KINDS = {"reference": "id", "int": "number", "double": "number", "currency": "number", "percent": "number"}
OPERATORS = ["=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "like", "==", "INCLUDES", "EXCLUDES", "IN", "NOT IN"]
DAMAGE = ["", "'", "(", ")", ",", "\\", "\x00", "é", " ", "%", "--", ";", '"', "\ud800"]


class Author:
    """Writes statements that are mostly right."""

    def __init__(self, rnd: Random, schema: Schema) -> None:
        self.rnd = rnd
        self.schema = schema
        self.base = schema["Case"]

    def statement(self, depth: int = 0) -> str:
        """Return a whole statement, over children of the statement around it when ``depth`` is not 0."""
        rnd, outer = self.rnd, self.base
        source = rnd.choice(OBJECTS)
        self.base = self.schema[source]
        if depth:
            kids = [each for each in self.schema.children(outer.name) if each.name]
            if not kids:
                self.base = outer
                return "SELECT Id FROM Nopes__r"
            kid = rnd.choice(kids)
            source, self.base = str(kid.name), self.schema[kid.child]
        text = self.clauses(source, depth)
        self.base = outer
        return text

    def clauses(self, source: str, depth: int) -> str:
        """Return SELECT with some of its clauses."""
        rnd = self.rnd
        items = ", ".join(dict.fromkeys(self.item(depth) for _ in range(rnd.randint(1, 4))))
        text = f"SELECT {items} FROM {source}"
        if rnd.random() < 0.1:
            text += " c"
        if rnd.random() < 0.6:
            text += f" WHERE {self.condition(depth)}"
        if rnd.random() < 0.05:
            text += " WITH SECURITY_ENFORCED"
        if rnd.random() < 0.07:
            group = rnd.choice([self.field(), self.field(), self.function()])
            every = group
            if rnd.random() < 0.3:
                every = (
                    f"{rnd.choice(['ROLLUP', 'CUBE'])}({', '.join([group, self.field(), 'Name'][: rnd.randint(1, 4)])})"
                )
            text = (
                f"SELECT {group}, COUNT(Id) n{rnd.choice(['', f', GROUPING({group})'])} FROM {source} GROUP BY {every}"
            )
            if rnd.random() < 0.5:
                text += f" HAVING {rnd.choice(['COUNT(Id)', f'GROUPING({group})'])} > 0 ORDER BY {group}"
        elif rnd.random() < 0.3:
            text += f" ORDER BY {self.operand()} {rnd.choice(['', 'ASC', 'DESC NULLS LAST', 'NULLS FIRST'])}"
        if rnd.random() < 0.3:
            text += f" LIMIT {rnd.choice(['1', '200', '0', '5', '-1', '99999999999'])}"
        if rnd.random() < 0.1:
            text += f" OFFSET {rnd.choice(['1', '2000', '2001'])}"
        if rnd.random() < 0.05:
            text += rnd.choice([" FOR VIEW", " ALL ROWS", " FOR UPDATE", " FOR FUN"])
        return text

    def item(self, depth: int) -> str:
        """Return something to select."""
        chance = self.rnd.random()
        if chance < 0.85:
            return self.field()
        if chance < 0.9:
            return self.function() + self.rnd.choice(["", " n", " total"])
        if chance < 0.92:
            return self.rnd.choice(
                ["DISTANCE(Address, GEOLOCATION(1, 2), 'km')", "FIELDS(ALL)", "FIELDS(CUSTOM)", "COUNT()", "count(Id)"]
            )
        if chance < 0.94:
            return "TYPEOF Owner WHEN User THEN Username, Email WHEN Group THEN Name ELSE Id END"
        return f"({self.statement(depth + 1)})" if depth < 2 else "Id"

    def field(self) -> str:
        """Return a path that the object at hand has, or now and then one that it has not."""
        rnd = self.rnd
        if rnd.random() < 0.02:
            return rnd.choice(STRANGE)
        path, here = [], self.base
        while rnd.random() < 0.2:
            lookups = [each for each in here.fields.values() if each.relationship_name and each.reference_to]
            if not lookups:
                break
            lookup = rnd.choice(lookups)
            path.append(str(lookup.relationship_name))
            here = self.schema[lookup.reference_to[0]]
            if len(lookup.reference_to) > 1:
                return ".".join([*path, rnd.choice(["Name", "Type", "Id"])])
        return ".".join([*path, rnd.choice(list(here.fields))])

    def value(self, operand: str) -> str:
        """Return a literal that mostly fits what stands on the left."""
        one = self.base.field(operand)
        kind = KINDS.get(one.type, one.type) if one else "text"
        if self.rnd.random() < 0.1:
            kind = self.rnd.choice(list(VALUES))
        return self.rnd.choice(VALUES.get(kind, VALUES["text"]))

    def function(self) -> str:
        """Return a function over a field."""
        inner = self.field() if self.rnd.random() < 0.9 else f"convertTimezone({self.field()})"
        return f"{self.rnd.choice(FUNCTIONS)}({inner})"

    def operand(self) -> str:
        """Return the left side of a comparison."""
        return self.field() if self.rnd.random() < 0.95 else self.function()

    def condition(self, depth: int) -> str:
        """Return a condition."""
        rnd = self.rnd
        chance = rnd.random()
        if chance < 0.2:
            return f"({self.condition(depth)} {rnd.choice(['AND', 'OR'])} {self.condition(depth)})"
        if chance < 0.25:
            return f"{self.condition(depth)} AND {self.condition(depth)}"
        if chance < 0.3:
            return f"NOT ({self.condition(depth)})"
        if chance < 0.33 and depth < 2:
            return f"{self.field()} {rnd.choice(['IN', 'NOT IN'])} (SELECT Id FROM {rnd.choice(OBJECTS)})"
        operand = self.operand()
        operator = rnd.choice(OPERATORS)
        if operator in ("IN", "NOT IN", "INCLUDES", "EXCLUDES"):
            values = ", ".join(self.value(operand) for _ in range(rnd.randint(1, 3)))
            return f"{operand} {operator} ({values})"
        return f"{operand} {operator} {self.value(operand)}"

    def damaged(self, text: str) -> str:
        """Return ``text`` with some characters lost, doubled or foreign."""
        for _ in range(self.rnd.randint(1, 4)):
            at = self.rnd.randrange(len(text) + 1)
            text = text[:at] + self.rnd.choice(DAMAGE) + text[at + self.rnd.randint(0, 3) :]
        return text


def test_no_statement_makes_the_org_fail() -> None:
    world = World()
    owner = world.add("User", Username="a@b.example", Name="A B")
    account = world.add("Account", Name="Acme", OwnerId=owner, BillingCity="x")
    world.add("Case", Subject="x", AccountId=account, OwnerId=owner, CreatedDate=int(NOW.timestamp()) - DAY)
    world.add("Pack__c", Name="P1", Hours__c=1.0, Tags__c="Red", Account__c=account, Starts__c="2026-11-21")
    edna = world.add("Contact", LastName="Frank", Name="Edna Frank", AccountId=account, OwnerId=owner)
    world.add("Task", Subject="call", WhatId=account, WhoId=edna, OwnerId=owner, ActivityDate="2026-11-21")
    world.add("ContentVersion", Title="t", VersionData=b"\xff\x00", OwnerId=owner)
    codes: Counter[str] = Counter()
    for number in range(FIRST, FIRST + COUNT):
        author = Author(seeded(number), world.schema)
        statement = author.statement()
        if author.rnd.random() < 0.2:
            statement = author.damaged(statement)
        codes[outcome(world, number, statement)] += 1
    assert codes["answered"] > COUNT / 5, f"too few statements are right to prove anything: {codes}"
    assert codes["QUERY_TOO_COMPLICATED"] < COUNT / 100, f"the compiler makes SQL that the database refuses: {codes}"


def outcome(world: World, number: int, statement: str) -> str:
    """Return ``answered`` or the code of the refusal; fail for anything else."""
    try:
        result = world.run(statement, include_deleted=number % 2 == 0)
        json.dumps(result.page(world.storage.db))
    except ApiError as refused:
        json.dumps(refused.as_rest(), ensure_ascii=False).encode()
        return refused.code if refused.status == 400 else pytest.fail(f"seed {number}: {refused} for {statement!r}")
    except Exception as fault:
        raise AssertionError(f"seed {number}: {fault!r} for {statement!r}") from fault
    return "answered"
