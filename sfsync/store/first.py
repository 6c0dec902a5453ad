"""A page of records that nobody remembers, put in force as a whole: its columns in one piece, and two statements.

May not know in which order pages come. It keeps one law: it leaves what ``pages.put_records`` would, and changes
nothing that is there: a record whose key or id is there breaks a unique index, and nothing of its page is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from sfsync.mapping import ObjectMapping
from sfsync.mirror.translate import Page
from sfsync.records import field_names
from sfsync.store import local
from sfsync.store.forms import lines, sql_types, stage, to_json, wire_json
from sfsync.store.outcomes import Scope
from sfsync.store.pages import LINK, News, touch_elsewhere
from sfsync.store.tables import RECORD_TABLES

_LINK = ("sf_id", "remote", "stamp", "deleted", "revision", "merged_into")
"""What is staged of a link beside its record. All of what the org shows is agreed."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Records of one object with a value for the same fields, as COPY reads them."""

    fields: Sequence[str]
    """Those with a column of their own."""
    rows: str


def is_first(page: Page, mapping: ObjectMapping, news: News) -> bool:
    """Return whether a page of which nothing is remembered holds nothing but new records of the org's own."""
    return bool(page.bookmark.checkpoint and news) and not (
        page.hard_deleted or mapping.copy or any(not one.new for _, one in news)
    )


def sheets(mapping: ObjectMapping, news: News) -> list[Sheet]:
    """Return the new records of a page, by the fields they have a value for; it needs no store."""
    alike: dict[tuple[str, ...], News] = defaultdict(list)
    for seen, one in news:  # most records of a page give the same fields in the same order
        alike[tuple(one.local)].append((seen, one))
    return [_sheet(mapping, given, group) for given, group in alike.items()]


def _sheet(mapping: ObjectMapping, given: Sequence[str], news: News) -> Sheet:
    typed = frozenset(field_names(mapping.record))
    seen, links = [one for one, _ in news], [one.link for _, one in news]
    values = dict(zip(given, zip(*(one.local.values() for _, one in news), strict=True), strict=True))
    fields = [name for name in given if name in typed]
    others = [name for name in given if name not in typed and name != "deleted"]
    extra = [
        to_json(dict(zip(others, row, strict=True))) for row in zip(*(values[name] for name in others), strict=True)
    ]
    columns: list[Sequence[Any]] = [
        [one.key for one in links],
        [one.created_at for one in seen],
        [one.deleted for one in seen],
        extra or ["{}"] * len(news),
        *(values[name] for name in fields),
        [one.sf_id for one in links],
        [wire_json(one.remote) for one in links],
        [one.stamp for one in links],
        [one.deleted for one in links],
        [one.revision for one in links],
        [one.merged_into for one in links],
    ]
    return Sheet(fields, lines(columns))


def lay_out(connection: Connection, mapping: ObjectMapping, written: Iterable[Sheet]) -> list[str]:
    """Copy every sheet into a temporary table and return their names in that order; nothing is in force by that."""
    table = RECORD_TABLES[mapping.record]
    of_link = {f"link_{name}": LINK[name] for name in _LINK}
    return [stage(connection, local.STAGED | sql_types(table, sheet.fields) | of_link, sheet.rows) for sheet in written]


def put_first(
    connection: Connection, scope: Scope, mapping: ObjectMapping, sheet: Sheet, laid_out: str, version: int
) -> None:
    """Put a sheet's records in force; StoreRefused if one of their keys or ids is there, or comes twice."""
    table = RECORD_TABLES[mapping.record]
    connection.execute(
        text(local.insert_sql(table.name, sheet.fields, laid_out)),
        {"client": scope["client"], "version": version, "unset": local.unset(mapping.record, sheet.fields)},
    )
    connection.execute(
        text(
            f"INSERT INTO link (client, org, object, key, {', '.join(_LINK)}) "
            f"SELECT :client, :org, :object, key, {', '.join(f'link_{name}' for name in _LINK)} FROM {laid_out}"
        ),
        {**scope, "object": mapping.object},
    )
    touch_elsewhere(connection, scope, mapping.object, f"{laid_out} AS s")
