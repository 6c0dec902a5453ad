"""What a page of an org shows, put in force: local rows, links, conflicts and the bookmark.

Functions inside a transaction that somebody else opened. May not know how pages come or in which order. It keeps one
law: one key is one record in an org, and a record that is set aside holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, text

from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.merge import Link, Merged
from sfsync.mirror.translate import Bookmark, Page, Seen
from sfsync.records import CaseEvent
from sfsync.store import local
from sfsync.store.forms import staged, text_array, value_json, wire_json
from sfsync.store.local import LocalRow
from sfsync.store.outcomes import Scope, pairs, quarantine
from sfsync.store.tables import link

News = list[tuple[Seen, Merged]]
"""Records of a page with what each does to the store."""


def put_records(
    connection: Connection,
    scope: Scope,
    mappings: Mappings,
    page: Page,
    news: News,
    events: list[CaseEvent],
    version: int,
) -> bool:
    """Put the page's records in force; return whether the rules have anything to look at."""
    mapping = mappings.by_object[page.object]
    kind = mapping.record
    rows = [_row(mapping, s, one) for s, one in news if one.new or one.local or one.older]
    changed = [row.key for row in rows]
    if rows:
        local.merge_rows(connection, scope["client"], kind, rows, version, looked_at=False)
    # A record of which only the stamp moved, such as our own write coming back, is nothing to the rules.
    deleted = {seen.key: seen.deleted for seen, one in news if not (one.new or one.local or mapping.copy)}
    if deleted:
        changed += local.mark_deleted(connection, scope["client"], kind, deleted, version)
    if news:
        _put_links(connection, scope, [one.link for _, one in news])
    if page.hard_deleted:
        changed += _bury(connection, scope, page, mapping, version)
    if changed:
        keys = {"keys": text_array(changed)}
        touch_elsewhere(connection, scope, page.object, "unnest(CAST(:keys AS text[])) AS s(key)", keys)
    return local.add_events(connection, scope["client"], events, version) > 0 or bool(changed)


def without_doubles(connection: Connection, scope: Scope, object_name: str, news: News) -> News:
    """Set aside records whose key somebody edited: one key, one record in an org (I10)."""
    if not news:
        return news
    known = dict(pairs(connection, scope["org"], link.c.sf_id, [seen.sf_id for seen, _ in news]))
    kept: dict[str, tuple[Seen, Merged]] = {}
    for seen, one in news:
        before = kept.get(seen.key)
        if known.get(seen.sf_id, seen.key) != seen.key:
            why = f"its key was changed from {known[seen.sf_id]} to {seen.key}"
        elif before is not None and before[0].sf_id != seen.sf_id and seen.deleted:
            continue  # what lies in the bin is no second record
        elif before is not None and before[0].sf_id != seen.sf_id and not before[0].deleted:
            why = f"{before[0].sf_id} has the same key {seen.key}"
        else:
            kept[seen.key] = (seen, one)
            continue
        quarantine(
            connection, scope, object_name, seen.sf_id, "in", "", "KEY_NOT_UNIQUE", f"{seen.sf_id}: {why}",
            "put the key back in the org; a key is never edited", seen.stamp,
        )  # fmt: skip
    return list(kept.values())


LINK = {
    "object": "TEXT", "key": "TEXT", "sf_id": "TEXT", "remote": "JSONB", "agreed": "JSONB", "stamp": "TIMESTAMPTZ",
    "deleted": "BOOLEAN", "revision": "BIGINT", "merged_into": "TEXT",
}  # fmt: skip
"""What a page says of a link. Nothing it still has to hear is over then: a read has shown the record."""
assert [*LINK, "unheard"] == [f.name for f in fields(Link)]


def _put_links(connection: Connection, scope: Scope, links: Iterable[Link]) -> None:
    def rows() -> Iterator[list[Any]]:
        for one in links:
            same = one.agreed is one.remote or one.agreed == one.remote
            agreed = None if same else wire_json(one.agreed)
            rest = (one.stamp, one.deleted, one.revision, one.merged_into)
            yield [one.object, one.key, one.sf_id, wire_json(one.remote), agreed, *rest]

    written = ", ".join(LINK)
    updates = ", ".join(f"{name} = excluded.{name}" for name in LINK if name not in ("object", "key"))
    with staged(connection, LINK, rows(), joined=False) as stage:
        connection.execute(
            text(
                f"INSERT INTO link AS l (client, org, {written}) SELECT :client, :org, {written} FROM {stage} "
                f"ON CONFLICT (client, org, object, key) DO UPDATE SET {updates}, touched = l.touched + 1, "
                "unheard = '{}', state = 'ready', next_try_at = NULL"
            ),
            scope,
        )


def touch_elsewhere(
    connection: Connection, scope: Scope, object_name: str, source: str, given: Mapping[str, str] | None = None
) -> None:
    """What changed here may have to be written to the client's other orgs, or be brought there.

    ``source`` is what has the keys, for SQL, and ``given`` its parameters.
    """
    connection.execute(
        text(
            "INSERT INTO link AS l (client, org, object, key) "
            f"SELECT o.client, o.org, :object, s.key FROM org o CROSS JOIN {source} "
            "WHERE o.client = :client AND o.org <> :org "
            "ON CONFLICT (client, org, object, key) DO UPDATE SET touched = l.touched + 1, state = 'ready'"
        ),
        {**scope, "object": object_name, **(given or {})},
    )


def _bury(connection: Connection, scope: Scope, page: Page, mapping: ObjectMapping, version: int) -> list[str]:
    """Records gone for good: the link remembers when, the row stays as a tombstone; of a copy just the link."""
    with staged(connection, {"sf_id": "TEXT", "at": "TIMESTAMPTZ"}, page.hard_deleted) as stage:
        keys = connection.execute(
            text(
                f"UPDATE link l SET deleted = true, stamp = greatest(l.stamp, s.at) FROM {stage} s "
                "WHERE l.client = :client AND l.org = :org AND l.sf_id = s.sf_id AND NOT l.deleted RETURNING l.key"
            ),
            scope,
        ).scalars()
        gone = {} if mapping.copy else dict.fromkeys(keys, True)
    return local.mark_deleted(connection, scope["client"], mapping.record, gone, version) if gone else []


def log_conflicts(connection: Connection, scope: Scope, news: News) -> None:
    """Leave every conflict and hand edit of a page noted, each value once."""
    rows: list[list[Any]] = []
    for seen, one in news:
        for c in one.conflicts:
            said = ["conflict", value_json(c.kept), value_json(c.lost), c.winner, c.by]
            rows.append([c.object, c.key, c.field, seen.stamp, *said])
        for e in one.hand_edits:
            said = ["hand_edit", value_json(e.ours), value_json(e.found), "store", e.by]
            rows.append([e.object, e.key, e.field, seen.stamp, *said])
    if not rows:
        return
    columns = {
        "object": "TEXT", "key": "TEXT", "field": "TEXT", "seen_at": "TIMESTAMPTZ", "kind": "TEXT", "kept": "JSONB",
        "lost": "JSONB", "winner": "TEXT", "by": "TEXT",
    }  # fmt: skip
    written = ", ".join(f'"{name}"' for name in columns)
    rest = '"kind", "kept", "lost", "winner", "by"'
    # A long transaction can show a second value with the stamp of the first: both are kept, a microsecond apart.
    noted = (
        "FROM conflict c WHERE c.client = :client AND c.org = :org AND c.object = s.object AND c.key = s.key "
        "AND c.field = s.field AND c.kind = s.kind AND date_trunc('second', c.seen_at) = s.seen_at"
    )
    with staged(connection, columns, rows) as stage:
        connection.execute(
            text(
                f"INSERT INTO conflict (client, org, {written}) SELECT :client, :org, s.object, s.key, s.field, "
                f"s.seen_at + (SELECT count(*) {noted}) * interval '1 microsecond', {rest} FROM {stage} s "
                f"WHERE NOT EXISTS (SELECT 1 {noted} AND c.kept = s.kept AND c.lost = s.lost) "
                "ON CONFLICT DO NOTHING"
            ),
            scope,
        )


def hear_echoes(connection: Connection, scope: Scope, page: Page) -> None:
    """A write that a later read shows has come back; one that was looked up by its id is not asked for again.

    What was looked up comes with the page that moves the bookmark on, and with no other.
    """
    ids = text_array(seen.sf_id for seen in page.seen)
    connection.execute(
        text(
            "UPDATE link l SET echo_after = NULL WHERE l.client = :client AND l.org = :org AND l.object = :object "
            "AND l.echo_after IS NOT NULL AND (l.sf_id = ANY(CAST(:ids AS text[])) OR l.echo_after < "
            "(SELECT b.read_to FROM bookmark b WHERE b.client = :client AND b.org = :org AND b.object = :object "
            "AND b.read_to < CAST(:read_to AS timestamptz)))"
        ),
        {**scope, "object": page.object, "ids": ids, "read_to": page.bookmark.read_to},
    )


def move_bookmark(connection: Connection, scope: Scope, to: Bookmark) -> None:
    """A bookmark never goes back by itself (I11); only ``Store.rewind`` does that."""
    connection.execute(
        text(
            "INSERT INTO bookmark AS b (client, org, object, read_to, checkpoint, schema_seen, refreshed_at) "
            "VALUES (:client, :org, :object, :read_to, :checkpoint, :schema_seen, :refreshed_at) "
            "ON CONFLICT (client, org, object) DO UPDATE SET read_to = greatest(b.read_to, excluded.read_to), "
            "checkpoint = excluded.checkpoint, schema_seen = excluded.schema_seen, "
            "refreshed_at = excluded.refreshed_at"
        ),
        {
            "client": scope["client"], "org": scope["org"], "object": to.object, "read_to": to.read_to,
            "checkpoint": to.checkpoint, "schema_seen": to.schema_seen, "refreshed_at": to.refreshed_at,
        },
    )  # fmt: skip


def _row(mapping: ObjectMapping, seen: Seen, one: Merged) -> LocalRow:
    """Return what a page brings to a record; a copy says nothing of its deletion, unless it is all that is left.

    Nothing but a copy is left of a record that its own org does not show any more, and only after the store was lost:
    in a hub it is a deleted one, in the client's own org it says itself whether it is.
    """
    values = one.local
    if "deleted" in values:
        values = {name: value for name, value in values.items() if name != "deleted"}
    if not mapping.copy:
        return LocalRow(seen.key, values, seen.created_at, seen.deleted)
    alone = one.new and (bool(mapping.client) or bool(seen.wire.get("deleted")))
    return LocalRow(seen.key, values, seen.created_at, True if alone else None)
