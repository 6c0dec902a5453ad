"""Rows on disk or in memory: tables made from the schema, units of work, and transactions held open.

It may not know users, permissions or HTTP. It keeps one law: the tables hold committed rows only; what a held
transaction wrote lives beside them as row images until it commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Field, Schema, SObject

Image = dict[str, Any]
MAX_VARIABLES = 30_000
_AFFINITY = {
    "boolean": "INTEGER NOT NULL DEFAULT 0",
    "int": "INTEGER",
    "datetime": "INTEGER",
    "double": "REAL",
    "currency": "REAL",
    "percent": "REAL",
    "base64": "BLOB",
    "id": "TEXT",
    "reference": "TEXT",
    "date": "TEXT",
    "time": "TEXT",
}
_UNINDEXED = frozenset({"CreatedById", "LastModifiedById", "OwnerId", "BusinessHoursId", "RecordTypeId"})


def quoted(name: str) -> str:
    """Return a table or column name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def column_definition(field: Field) -> str:
    """Return the column of a stored field, as the storage convention says."""
    if field.name == "Id":
        return '"Id" TEXT PRIMARY KEY NOT NULL'
    kind = _AFFINITY.get(field.type) or ("TEXT" if field.case_sensitive else "TEXT COLLATE NOCASE")
    return f"{quoted(field.name)} {kind}"


@dataclass(slots=True)
class Held:
    """A transaction that is held open: when it began, what it wrote, and which rows it keeps locked."""

    number: int
    began_at: int
    user_id: str
    images: dict[tuple[str, str], Image | None] = field(default_factory=dict)
    commit_at: int | None = None


class Storage:
    """One SQLite database with the tables of one org; used by one thread at a time."""

    def __init__(self, path: str = ":memory:") -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        self.db.execute("PRAGMA page_size=16384")
        for pragma in (
            "journal_mode=MEMORY",
            "synchronous=OFF",
            "cache_size=-65536",
            "temp_store=MEMORY",
            "foreign_keys=OFF",
        ):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.execute(
            'CREATE TABLE IF NOT EXISTS "_deleted" (object TEXT, id TEXT, deleted_at INTEGER, hard INTEGER)'
        )
        self.db.execute('CREATE INDEX IF NOT EXISTS "_deleted_at" ON "_deleted" (object, deleted_at)')
        self._depth = 0
        self._touched: set[tuple[str, str]] | None = None
        self._next_held = 1
        self._entered: Held | None = None
        self.held: dict[int, Held] = {}
        self._locks: dict[str, int] = {}

    def functions(self, **named: Callable[..., Any]) -> None:
        """Register SQL functions by name; the number of parameters is taken from the function."""
        for name, function in named.items():
            self.db.create_function(name, function.__code__.co_argcount, function)

    # Tables

    def create(self, sobject: SObject) -> None:
        """Make the table and indexes of an object that has none."""
        columns = [column_definition(f) for f in sobject.stored_fields()]
        if "IsDeleted" not in sobject.fields:
            columns.append('"IsDeleted" INTEGER NOT NULL DEFAULT 0')
        self.db.execute(f"CREATE TABLE {quoted(sobject.name)} ({', '.join(columns)})")
        for each in sobject.stored_fields():
            self._index(sobject.name, each)
        if "SystemModstamp" in sobject.fields:
            table = quoted(sobject.name)
            self.db.execute(f'CREATE INDEX {quoted(sobject.name + " stamp")} ON {table} ("SystemModstamp", "Id")')

    def drop(self, name: str) -> None:
        """Remove the table of an object with its rows."""
        self.db.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def put_column(self, object_name: str, new: Field, old: Field | None) -> None:
        """Make, keep or remake the column of ``new``; a changed type keeps the values that can be kept."""
        if not new.stored:
            if old is not None and old.stored:
                self.drop_column(object_name, old)
            return
        table, column = quoted(object_name), quoted(new.name)
        if old is None or not old.stored:
            self.db.execute(f"ALTER TABLE {table} ADD COLUMN {column_definition(new)}")
        elif column_definition(old) != column_definition(new):
            kind = _AFFINITY.get(new.type, "TEXT").split()[0]
            spare = quoted(new.name + " new")
            self._unindex(object_name, old)
            definition = column_definition(new).replace(column, spare, 1)
            self.db.execute(f"ALTER TABLE {table} ADD COLUMN {definition}")
            default = 0 if new.type == "boolean" else None
            self.db.execute(f"UPDATE {table} SET {spare} = coalesce(CAST({quoted(old.name)} AS {kind}), ?)", (default,))
            self.db.execute(f"ALTER TABLE {table} DROP COLUMN {quoted(old.name)}")
            self.db.execute(f"ALTER TABLE {table} RENAME COLUMN {spare} TO {column}")
        self._unindex(object_name, new)
        self._index(object_name, new)

    def drop_column(self, object_name: str, old: Field) -> None:
        """Remove the column of a stored field."""
        if old.stored:
            self._unindex(object_name, old)
            self.db.execute(f"ALTER TABLE {quoted(object_name)} DROP COLUMN {quoted(old.name)}")

    def _index(self, object_name: str, new: Field) -> None:
        is_lookup = new.type == "reference" and bool(new.child_relationship_name) and new.name not in _UNINDEXED
        if new.unique or new.external_id or is_lookup or new.name in ("Username",):
            name = quoted(f"{object_name} {new.name}")
            # Partial: rows without a value cost nothing, and a comparison with a value can still use it.
            table, column = quoted(object_name), quoted(new.name)
            self.db.execute(f"CREATE INDEX {name} ON {table} ({column}) WHERE {column} IS NOT NULL")

    def _unindex(self, object_name: str, old: Field) -> None:
        self.db.execute(f"DROP INDEX IF EXISTS {quoted(f'{object_name} {old.name}')}")

    # Reading

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a statement."""
        return self.db.execute(sql, parameters).fetchall()

    def by_ids(self, object_name: str, wanted: Iterable[str], columns: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """Return the rows with these ids, deleted ones too, keyed by id; columns in the order asked."""
        found: dict[str, tuple[Any, ...]] = {}
        names = ", ".join(quoted(c) for c in ("Id", *columns))
        for some in chunks(list(wanted), MAX_VARIABLES):
            marks = ",".join("?" * len(some))
            for row in self.db.execute(f'SELECT {names} FROM {quoted(object_name)} WHERE "Id" IN ({marks})', some):
                found[row[0]] = row[1:]
        return found

    def image(self, object_name: str, record_id: str) -> Image | None:
        """Return a whole row as column -> stored value, or None."""
        cursor = self.db.execute(f'SELECT * FROM {quoted(object_name)} WHERE "Id" = ?', (record_id,))
        row = cursor.fetchone()
        return None if row is None else {d[0]: v for d, v in zip(cursor.description, row, strict=True)}

    # Writing

    def insert(self, object_name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], id_at: int) -> None:
        """Insert rows; ``id_at`` is the place of the id in each row."""
        names = ", ".join(quoted(c) for c in columns)
        marks = ",".join("?" * len(columns))
        self.db.executemany(f"INSERT INTO {quoted(object_name)} ({names}) VALUES ({marks})", rows)
        if self._touched is not None:
            self._touched.update((object_name, row[id_at]) for row in rows)

    def update(self, object_name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Set ``columns`` of rows; each row is the values followed by the id."""
        if not rows:
            return
        sets = ", ".join(f"{quoted(c)} = ?" for c in columns)
        self.db.executemany(f'UPDATE {quoted(object_name)} SET {sets} WHERE "Id" = ?', rows)
        if self._touched is not None:
            self._touched.update((object_name, row[-1]) for row in rows)

    def remove(self, object_name: str, wanted: Sequence[str]) -> None:
        """Remove rows for good."""
        self.db.executemany(f'DELETE FROM {quoted(object_name)} WHERE "Id" = ?', [(i,) for i in wanted])
        if self._touched is not None:
            self._touched.update((object_name, i) for i in wanted)

    def log_deletion(self, object_name: str, wanted: Sequence[str], at: int, *, hard: bool = False) -> None:
        """Remember deletions for getDeleted; a soft one is forgotten by ``forget_deletion`` when undeleted."""
        rows = [(object_name, i, at, int(hard)) for i in wanted]
        self.db.executemany('INSERT INTO "_deleted" (object, id, deleted_at, hard) VALUES (?,?,?,?)', rows)

    def forget_deletion(self, object_name: str, wanted: Sequence[str]) -> None:
        """Remove what ``log_deletion`` remembered of rows that came back."""
        self.db.executemany('DELETE FROM "_deleted" WHERE object = ? AND id = ?', [(object_name, i) for i in wanted])

    # Units of work

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Run a block all or nothing; blocks may be nested."""
        name = f"unit{self._depth}"
        self.db.execute("BEGIN" if self._depth == 0 else f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.db.execute("ROLLBACK")
            else:
                self.db.execute(f"ROLLBACK TO {name}")
                self.db.execute(f"RELEASE {name}")
            raise
        self._depth -= 1
        self.db.execute("COMMIT" if self._depth == 0 else f"RELEASE {name}")

    # Transactions held open

    def hold(self, began_at: int, user_id: str) -> Held:
        """Open a transaction that stays invisible, with its rows locked, until ``commit`` or ``abandon``."""
        held = Held(self._next_held, began_at, user_id)
        self._next_held += 1
        self.held[held.number] = held
        return held

    @contextmanager
    def inside(self, held: Held) -> Iterator[None]:
        """Run a block in a held transaction: it sees its own earlier writes, and nobody else sees any of them."""
        if self._depth:
            raise RuntimeError("a held transaction is entered from outside of any other")
        self.db.execute("BEGIN")
        self._depth = 1
        self._touched = set()
        self._entered = held
        released = {i: n for i, n in self._locks.items() if n == held.number}
        for record_id in released:
            del self._locks[record_id]
        try:
            self._write_images(held.images)
            yield
            for object_name, record_id in sorted(self._touched):
                held.images[object_name, record_id] = self.image(object_name, record_id)
        finally:
            self._touched = self._entered = None
            self._depth = 0
            self.db.execute("ROLLBACK")
            self._locks |= {record_id: held.number for _, record_id in held.images}

    def commit(self, held: Held) -> list[tuple[str, str]]:
        """Make what a held transaction wrote visible, with the stamps it had; return the rows it touched."""
        self._release(held)
        with self.unit():
            self._write_images(held.images)
            for (object_name, record_id), image in held.images.items():
                if image is None:
                    self.log_deletion(object_name, [record_id], held.began_at, hard=True)
                    continue
                self.forget_deletion(object_name, [record_id])
                if image["IsDeleted"]:
                    self.log_deletion(object_name, [record_id], image.get("SystemModstamp") or held.began_at)
        return list(held.images)

    def abandon(self, held: Held) -> None:
        """Forget a held transaction; nothing of it was or will be visible."""
        self._release(held)

    def _release(self, held: Held) -> None:
        self.held.pop(held.number, None)
        self._locks = {i: n for i, n in self._locks.items() if n != held.number}

    def _write_images(self, images: dict[tuple[str, str], Image | None]) -> None:
        for (object_name, record_id), image in images.items():
            table = quoted(object_name)
            self.db.execute(f'DELETE FROM {table} WHERE "Id" = ?', (record_id,))
            if image is not None:
                names = ", ".join(quoted(c) for c in image)
                marks = ",".join("?" * len(image))
                self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(image.values()))

    def locked(self, record_id: str) -> bool:
        """Return whether a held transaction keeps this row locked against the one that asks."""
        return record_id in self._locks

    def held_value(self, object_name: str, column: str, value: Any) -> str | None:
        """Return the id of an uncommitted row of another transaction that holds this value, in any case, or None."""
        wanted = value.lower() if isinstance(value, str) else value
        for held in self.held.values():
            if held is self._entered:
                continue
            for (name, record_id), image in held.images.items():
                if name == object_name and image is not None and not image["IsDeleted"]:
                    found = image.get(column)
                    if (found.lower() if isinstance(found, str) else found) == wanted:
                        return record_id
        return None

    def lock_error(self, record_id: str) -> ApiError:
        """Return the refusal of a write to a locked row."""
        message = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
        return ApiError(400, "UNABLE_TO_LOCK_ROW", message, [])

    @property
    def oldest_open(self) -> int | None:
        """The start of the oldest transaction that is still open, or None."""
        return min((h.began_at for h in self.held.values()), default=None)

    def make_all(self, schema: Schema) -> None:
        """Make the tables of every object of ``schema``."""
        with self.unit():
            for each in schema:
                self.create(each)


def chunks(items: list[str], size: int) -> Iterator[list[str]]:
    """Yield ``items`` in runs of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
