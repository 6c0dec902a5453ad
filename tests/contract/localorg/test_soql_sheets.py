"""Pages that the database writes, against the same rows made cell by cell; the seed stands in a failure's message."""

from __future__ import annotations

import csv
import io
from random import Random

import orjson
import pytest

from sfsync.clock import seeded
from sfsync.localorg import soql
from tests.contract.localorg.soql_world import World, stamp

PIECES = [
    '"',
    '","',
    '",null,"',
    "null",
    "\\",
    "\\u001f",
    "\x00",
    "\x1e",
    "\x1f",
    "\x7f",
    "\b",
    "\n",
    "\r\n",
    "\t",
    ",",
    "]",
    "é",
    "😀",
    "\u2028",
    "%s",
    "x",
]
SEEDS = range(4)
EVERY_KIND = (
    "Id, Name, Hours__c, Price__c, Double__c, Tags__c, Level__c, Account__c, Starts__c, Opens__c, Active__c, Notes__c, "
    "CreatedDate, IsDeleted, Account__r.Name, Account__r.CreatedDate, Parent__r.Account__r.Name, Owner.Name, Code__c"
)


def text(rnd: Random) -> str | None:
    """Return a text that JSON or CSV has to escape, an empty one, or none."""
    return "".join(rnd.choices(PIECES, k=rnd.randrange(6))) if rnd.random() < 0.8 else None


def real(rnd: Random) -> float | None:
    """Return a number that needs all of its digits, or none."""
    return rnd.choice([None, 0.1 + 0.2, 1 / 3, -1e-7, 123456789012345.67, 1e17, 5.0, -0.0, rnd.uniform(-1e9, 1e9)])


def filled(rnd: Random) -> World:
    """Return a world with accounts and packs of every kind of value."""
    world = World()
    accounts = [world.add("Account", Name=text(rnd), CreatedDate=stamp(1969, 12, n + 1)) for n in range(3)]
    packs: list[str] = []
    for n in range(40):
        pack = world.add(
            "Pack__c",
            Name=text(rnd),
            Hours__c=real(rnd),
            Price__c=real(rnd),
            Level__c=text(rnd),
            Account__c=rnd.choice([*accounts, None]),
            Parent__c=rnd.choice([*packs, None]),
            Starts__c=rnd.choice(["1700-01-01", None]),
            Opens__c=rnd.choice(["08:00:00.000Z", None]),
            Active__c=n % 2,
            Notes__c=text(rnd),
            Code__c=text(rnd),
            CreatedDate=rnd.choice([None, stamp(1700, 1, 1), stamp(3999, 12, 31), stamp(2026, 11, 21, 20, n)]),
            IsDeleted=0,
        )
        packs.append(pack)
    return world


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "columns",
    [
        EVERY_KIND,
        "Hours__c, CreatedDate",
        "Owner.Name",
        "Account__r.Owner.Name, Id",
        "FIELDS(ALL)",
        "Parent__r.Hours__c",
        "Name, (SELECT Name FROM Parts__r)",
        "FORMAT(Price__c), toLabel(Level__c)",
    ],
)
def test_a_page_written_by_the_database_is_what_its_cells_make(seed: int, columns: str) -> None:
    world = filled(seeded(f"sheets/{seed}"))
    result = world.run(f"SELECT {columns} FROM Pack__c LIMIT 200")
    written = orjson.dumps(result.page_json(world.storage.db))
    assert written == orjson.dumps(result.page(world.storage.db)), f"seed {seed}"
    assert len(result) == 40


@pytest.mark.parametrize("value", [None, "", *PIECES])
def test_a_page_of_one_record_or_of_one_value_is_what_its_cells_make(value: str | None) -> None:
    world = World()
    for count in (1, 2):
        account = world.add("Account", Name=value, CreatedDate=stamp(2026, 1, 1))
        world.add("Pack__c", Name=value, Account__c=account if count == 2 else None, Notes__c=value)
        result = world.run("SELECT Name, Account__r.Name, Notes__c, Owner.Name FROM Pack__c")
        assert len(result) == count
        written = orjson.dumps(result.page_json(world.storage.db))
        assert written == orjson.dumps(result.page(world.storage.db))


def test_a_page_of_no_records_is_empty() -> None:
    world = World()
    result = world.run("SELECT Name, Account__r.Name, Hours__c, CreatedDate FROM Pack__c")
    assert orjson.dumps(result.page_json(world.storage.db)) == b"[]"
    plan = soql.compile_soql("SELECT Name, Active__c FROM Pack__c", world.view, bulk=True)
    assert soql.Extract(world.storage.db, plan).lines(world.storage.db, 0, 10) == []


@pytest.mark.parametrize("columns", ["Active__c", "Name, CreatedDate", "Hours__c, Starts__c, Active__c"])
def test_a_column_that_is_the_same_in_every_row_is_in_every_row(columns: str) -> None:
    world = World()
    for _ in range(3):
        world.add("Pack__c", Name='a,"', Active__c=1, CreatedDate=stamp(2026, 1, 1), Hours__c=0.1)
    statement = f"SELECT {columns} FROM Pack__c"
    result = world.run(statement)
    assert orjson.dumps(result.page_json(world.storage.db)) == orjson.dumps(result.page(world.storage.db))
    plan = soql.compile_soql(statement, world.view, bulk=True)
    first, *more = soql.Extract(world.storage.db, plan).lines(world.storage.db, 0, 10)
    assert more == [first, first]
    assert next(csv.reader([first])) == [cell(result.page(world.storage.db)[0], name) for name, _ in plan.leaves]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("delimiter", "line_ending"), [(",", "\n"), (",", "\r\n"), ("|", "\n"), ("\t", "\r\n")])
def test_lines_of_a_bulk_query_read_back_as_the_values(seed: int, delimiter: str, line_ending: str) -> None:
    world = filled(seeded(f"sheets/{seed}"))
    statement = f"SELECT {EVERY_KIND} FROM Pack__c"
    plan = soql.compile_soql(statement, world.view, bulk=True)
    extract = soql.Extract(world.storage.db, plan, delimiter=delimiter, line_ending=line_ending)
    lines = extract.lines(world.storage.db, 0, 100)
    assert all(line.endswith(line_ending) for line in lines)
    read = list(csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, strict=True))
    records = world.run(statement).page(world.storage.db)
    assert read == [[cell(record, name) for name, _ in plan.leaves] for record in records], f"seed {seed}"


def cell(record: dict[str, object], name: str) -> str:
    """Return a value of a REST record as Bulk shows it."""
    value: object = record
    for key in name.split("."):
        value = value[key] if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("+0000", "Z") if "Date" in name.rsplit(".", maxsplit=1)[-1] else str(value)


def test_a_record_may_have_more_than_a_hundred_columns() -> None:
    world = World()
    world.add("Account", Name="Wide", CreatedDate=stamp(2026, 1, 1))
    names = [f.name for f in world.schema["Account"].stored_fields()]
    columns = [*names, *(f"Owner.{f.name}" for f in world.schema["User"].stored_fields())]
    columns += [f"Parent.{name}" for name in names]
    assert len(columns) > 130
    statement = f"SELECT {', '.join(columns)} FROM Account"
    result = world.run(statement)
    assert orjson.dumps(result.page_json(world.storage.db)) == orjson.dumps(result.page(world.storage.db))
    plan = soql.compile_soql(statement, world.view, bulk=True)
    (line,) = soql.Extract(world.storage.db, plan).lines(world.storage.db, 0, 10)
    assert len(next(csv.reader([line]))) == len(columns)
