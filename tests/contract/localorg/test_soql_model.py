"""SOQL conditions against a model that is too simple to be wrong: every row is asked, one by one, in Python.

The model knows what facts 5.2 says and no SQL: text ignores case, a null is unequal to everything, orders before
nothing, and NOT turns false into true. The seed stands in the message of a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from sfsync.clock import seeded
from tests.contract.localorg.soql_world import World, stamp

COUNT = int(os.environ.get("SFSYNC_FUZZ", "2000")) // 2
Row = dict[str, Any]
Predicate = Callable[[Row], bool]
TEXTS = ["Red", "RED", "redder", "Blue", "b_ue", "50%", "É", "é", "ß", "x'y", "back\\slash", "", "Zoë"]
NUMBERS = [0.0, 1.0, 1.5, 2.0, -3.25, 100.0]
DAYS = ["2026-11-20", "2026-11-21", "2026-11-22", "1999-12-31"]
INSTANTS = [stamp(2026, 11, 20, 8), stamp(2026, 11, 21, 20), stamp(2026, 11, 21, 20, 1), stamp(1969, 12, 31)]
TAGS = ["Red", "Green", "Blue"]
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True)
class Kind:
    """A field of the model: its values, and how they are written in a statement and compared."""

    name: str
    values: list[Any]
    written: Callable[[Any], str]
    folded: Callable[[Any], Any] = field(default=lambda value: value)
    ordered: bool = True


def quoted(text: str) -> str:
    """Return a text as a SOQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def folded_text(text: str | None) -> str | None:
    """Return a text as comparisons see it; the empty text is null."""
    return text.lower() if text else None


def written_instant(seconds: int) -> str:
    """Return unix seconds as a SOQL literal."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


KINDS = [
    Kind("Key__c", TEXTS, quoted, folded_text, ordered=False),
    Kind("Account__r.Name", TEXTS, quoted, folded_text, ordered=False),
    Kind("Code__c", TEXTS, quoted, lambda text: text or None, ordered=False),
    Kind("Hours__c", NUMBERS, str),
    Kind("Double__c", [number * 2 for number in NUMBERS], str),
    Kind("Starts__c", DAYS, str),
    Kind("CreatedDate", INSTANTS, written_instant),
    Kind("Active__c", [0, 1], lambda value: "true" if value else "false", lambda value: value or 0, ordered=False),
]


class Author:
    """Writes conditions together with what they mean."""

    def __init__(self, rnd: Random) -> None:
        self.rnd = rnd

    def condition(self, depth: int = 0) -> tuple[str, Predicate]:
        """Return a condition and its meaning."""
        chance = self.rnd.random()
        if depth < 4 and chance < 0.35:
            word = self.rnd.choice(["AND", "OR"])
            parts = [self.condition(depth + 1) for _ in range(self.rnd.randint(2, 3))]
            meanings = [meaning for _, meaning in parts]
            joined = all if word == "AND" else any
            text = "(" + f" {word} ".join(f"({part})" for part, _ in parts) + ")"
            return text, lambda row: joined(meaning(row) for meaning in meanings)
        if depth < 4 and chance < 0.45:
            text, meaning = self.condition(depth + 1)
            return f"(NOT ({text}))", lambda row: not meaning(row)
        return self.rnd.choice([self.compared, self.compared, self.listed, self.alike, self.included])()

    def value(self, kind: Kind) -> Any:
        """Return a value of a field, or now and then null."""
        return None if self.rnd.random() < 0.15 else self.rnd.choice(kind.values)

    def compared(self) -> tuple[str, Predicate]:
        """Return a comparison."""
        kind = self.rnd.choice(KINDS)
        signs = ["=", "!=", *(ORDERED if kind.ordered else ())]
        sign, value = self.rnd.choice(signs), self.value(kind)
        text = f"{kind.name} {sign} {'null' if value is None else kind.written(value)}"
        wanted = kind.folded(value)

        def meaning(row: Row) -> bool:
            found = kind.folded(row[kind.name])
            if sign in ("=", "!="):
                return bool(found == wanted) == (sign == "=")
            return found is not None and wanted is not None and ORDERED[sign](found, wanted)

        return text, meaning

    def listed(self) -> tuple[str, Predicate]:
        """Return a comparison with a list."""
        kind = self.rnd.choice(KINDS)
        values = [self.value(kind) for _ in range(self.rnd.randint(1, 4))]
        negated = self.rnd.random() < 0.5
        shown = ", ".join("null" if value is None else kind.written(value) for value in values)
        wanted = [kind.folded(value) for value in values]
        text = f"{kind.name} {'NOT IN' if negated else 'IN'} ({shown})"
        return text, lambda row: (kind.folded(row[kind.name]) in wanted) != negated

    def alike(self) -> tuple[str, Predicate]:
        """Return a comparison with a pattern."""
        kind = self.rnd.choice(KINDS[:3])
        parts = [self.rnd.choice(["%", "_", "red", "R", "é", "É", "ß", "\\%", "\\_", "'", "\\\\"]) for _ in range(3)]
        shown = "".join("\\'" if part == "'" else part for part in parts)
        plain = [part[-1] if len(part) == 2 and part[0] == "\\" else part for part in parts]
        wild = [part in ("%", "_") for part in parts]
        exact = kind.name == "Code__c"
        pieces = [(p if exact or w else p.lower(), w) for p, w in zip(plain, wild, strict=True)]

        def meaning(row: Row) -> bool:
            found = kind.folded(row[kind.name])
            return found is not None and matches(found, pieces)

        return f"{kind.name} LIKE '{shown}'", meaning

    def included(self) -> tuple[str, Predicate]:
        """Return a comparison with chosen values of a multi-select picklist."""
        choices = [self.rnd.sample(TAGS, self.rnd.randint(1, 2)) for _ in range(self.rnd.randint(1, 2))]
        negated = self.rnd.random() < 0.5
        shown = ", ".join(f"'{';'.join(choice)}'" for choice in choices)

        def meaning(row: Row) -> bool:
            has = set((row["Tags__c"] or "").split(";"))
            return any(has.issuperset(choice) for choice in choices) != negated

        return f"Tags__c {'EXCLUDES' if negated else 'INCLUDES'} ({shown})", meaning


def matches(text: str, pieces: list[tuple[str, bool]]) -> bool:
    """Return whether a text matches a pattern of literal and wild pieces."""
    if not pieces:
        return not text
    piece, wild = pieces[0]
    if wild and piece == "%":
        return any(matches(text[start:], pieces[1:]) for start in range(len(text) + 1))
    if wild:
        return bool(text) and matches(text[1:], pieces[1:])
    return text.startswith(piece) and matches(text[len(piece) :], pieces[1:])


@pytest.fixture(scope="module")
def world_and_rows() -> tuple[World, list[Row]]:
    """Packs with every mixture of values and nulls, and the same rows as the model sees them."""
    world, rnd = World(), seeded(26)
    accounts = {text: world.add("Account", Name=text or None) for text in TEXTS}
    rows = []
    for number in range(120):
        row: Row = {kind.name: None if rnd.random() < 0.25 else rnd.choice(kind.values) for kind in KINDS}
        row["Active__c"] = row["Active__c"] or 0
        row["Double__c"] = None if row["Hours__c"] is None else row["Hours__c"] * 2
        row["Tags__c"] = None if rnd.random() < 0.3 else ";".join(tag for tag in TAGS if rnd.random() < 0.6) or None
        row["Name"] = f"{number:03}"
        rows.append(row)
        account = row["Account__r.Name"]
        stored = {name: value or None for name, value in row.items() if name in ("Key__c", "Code__c")}
        plain = {name: row[name] for name in ("Name", "Hours__c", "Starts__c", "CreatedDate", "Active__c", "Tags__c")}
        world.add("Pack__c", **stored, **plain, Account__c=None if account is None else accounts[account])
    return world, rows


def test_conditions_keep_the_rows_that_a_simple_model_keeps(world_and_rows: tuple[World, list[Row]]) -> None:
    world, rows = world_and_rows
    for seed in range(COUNT):
        text, meaning = Author(seeded(seed)).condition()
        expected = [row["Name"] for row in rows if meaning(row)]
        assert world.names(text) == expected, f"seed {seed}: {text}"


def test_order_and_cut_are_those_of_a_simple_model(world_and_rows: tuple[World, list[Row]]) -> None:
    world, rows = world_and_rows
    for seed in range(COUNT // 10):
        rnd = seeded(seed)
        kind = rnd.choice([each for each in KINDS if each.ordered])
        descending, nulls_last = rnd.random() < 0.5, rnd.random() < 0.5
        limit, offset = rnd.randint(1, 50), rnd.randint(0, 50)
        some = sorted((row for row in rows if row[kind.name] is not None), key=lambda row: row["Name"])
        some.sort(key=lambda row: row[kind.name], reverse=descending)
        none = [row for row in rows if row[kind.name] is None]
        ordered = [*some, *none] if nulls_last else [*none, *some]
        order = f"{kind.name} {'DESC' if descending else 'ASC'} NULLS {'LAST' if nulls_last else 'FIRST'}, Name"
        found = world.ask(f"SELECT Name FROM Pack__c ORDER BY {order} LIMIT {limit} OFFSET {offset}")
        expected = [row["Name"] for row in ordered[offset : offset + limit]]
        assert [record["Name"] for record in found] == expected, f"seed {seed}: {order}"
