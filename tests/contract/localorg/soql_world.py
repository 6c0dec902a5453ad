"""A small world of rows for the SOQL tests: accounts, people, cases and a custom object with one field of every type.

It stands on the storage convention alone (no users, no HTTP), so that a fault in the record layer cannot hide one here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sfsync.localorg import formula, ids, soql, standard
from sfsync.localorg.schema import PicklistValue, Schema, custom_field
from sfsync.localorg.storage import Storage

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)  # a Saturday; still the 21st in Los Angeles, already the 22nd in Tokyo
DAY = 86_400


def custom_schema() -> Schema:
    """The standard schema and a custom object Pack__c with a field of every type."""
    schema = standard.standard_schema()
    pack = standard.custom_object("Pack__c", "Pack", "Packs", "a01")
    tags = tuple(PicklistValue(value) for value in ("Red", "Green", "Blue"))
    levels = (PicklistValue("g", "Gold"), PicklistValue("s", "Silver"))
    for each in (
        custom_field("Hours__c", "double", precision=8, scale=2),
        custom_field("Price__c", "currency", precision=18, scale=2),
        custom_field("Seats__c", "double", precision=8, scale=0),
        custom_field("Tags__c", "multipicklist", length=255, picklist=tags),
        custom_field("Level__c", "picklist", length=40, picklist=levels),
        custom_field("Account__c", "reference", reference_to=("Account",), child_relationship_name="Packs__r"),
        custom_field("Parent__c", "reference", reference_to=("Pack__c",), child_relationship_name="Parts__r"),
        custom_field("Key__c", "string", length=40, unique=True, external_id=True),
        custom_field("Code__c", "string", length=40, case_sensitive=True),
        custom_field("Starts__c", "date"),
        custom_field("Opens__c", "time"),
        custom_field("Active__c", "boolean"),
        custom_field("Notes__c", "textarea", length=32_000),
        custom_field("Double__c", "double", precision=8, scale=2, formula="Hours__c * 2"),
    ):
        pack.put(each)
    schema.put(pack)
    return schema


@dataclass
class World:
    """Storage, schema and the view of one user; ``ask`` answers a statement."""

    schema: Schema = field(default_factory=custom_schema)
    storage: Storage = field(default_factory=Storage)
    ids: ids.IdSource = field(default_factory=lambda: ids.IdSource("AA0"))
    view: soql.View = field(init=False)

    def __post_init__(self) -> None:
        self.storage.make_all(self.schema)
        self.storage.functions(**formula.sql_functions())
        self.view = soql.View(self.schema, NOW, ZoneInfo("America/Los_Angeles"), everything=self.schema)

    def add(self, object_name: str, **values: Any) -> str:
        """Store a row and return its id; instants are unix seconds."""
        prefix = self.schema[object_name].key_prefix or "000"
        row: dict[str, Any] = {"Id": self.ids.one(prefix)} | values
        self.storage.insert(object_name, list(row), [tuple(row.values())], 0)
        return str(row["Id"])

    def run(self, text: str, page_size: int = soql.PAGE, **view: Any) -> soql.Result:
        """Return the result of a statement for the view, changed as given."""
        return soql.run(self.storage.db, text, replace(self.view, **view), page_size=page_size)

    def ask(self, text: str, **view: Any) -> list[dict[str, Any]]:
        """Return the records of a statement."""
        return self.run(text, **view).page(self.storage.db)

    def names(self, where: str, source: str = "Pack__c", **view: Any) -> list[str]:
        """Return the names of the rows of ``source`` that a condition keeps, in order of name."""
        found = self.ask(f"SELECT Name FROM {source} WHERE {where} ORDER BY Name", **view)
        return [record["Name"] for record in found]


def stamp(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """Return a UTC instant in unix seconds."""
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp())
