"""What an org holds, added up by the org itself: the cheap half of an audit.

May not know what the store holds. It keeps one law: figures come from SOQL aggregates over what the org
shows now, and records are read one by one only for the days that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.compare import Figures, numbers
from sfsync.mirror.translate import Ids, Seen, parse_instant
from sfsync.org.composite import Sub, read_all
from sfsync.org.preflight import Preflight
from sfsync.org.rows import RowReader
from sfsync.org.session import OrgSession
from sfsync.org.soql import Select, among, chunked, compare, name, query_path
from sfsync.org.whose import only_ours

BY_ID = 200


def figures(session: OrgSession, mappings: Mappings) -> dict[str, dict[date, Figures]]:
    """Return each object's figures by day, five objects an API call."""
    found: dict[str, dict[date, Figures]] = {}
    subs = [Sub("GET", query_path(_by_day(mapping), all_rows=False), kind="query") for mapping in mappings]
    for mapping, answer in zip(mappings, read_all(session, subs), strict=True):
        found[mapping.object] = dict(_days(mapping, answer.checked().body["records"]))
    return found


def count(session: OrgSession, sobjects: Iterable[str]) -> dict[str, int]:
    """Return exactly how many live records of each object we can see, five objects an API call."""
    names = list(sobjects)
    subs = [Sub("GET", query_path(f"SELECT COUNT() FROM {name(one)}", all_rows=False), kind="query") for one in names]
    answers = read_all(session, subs)
    return {one: int(answer.checked().body["totalSize"]) for one, answer in zip(names, answers, strict=True)}


def _by_day(mapping: ObjectMapping) -> str:
    ours = only_ours(mapping)
    sums = "".join(f", SUM({name(line.api)}) s{n}" for n, line in enumerate(numbers(mapping)))
    return (
        f"SELECT DAY_ONLY(SystemModstamp) d, COUNT(Id) n, MAX(SystemModstamp) m{sums} "
        f"FROM {name(mapping.object)}{f' WHERE {ours}' if ours else ''} GROUP BY DAY_ONLY(SystemModstamp)"
    )


def _days(mapping: ObjectMapping, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[date, Figures]]:
    lines = numbers(mapping)
    for row in rows:
        sums = {}
        for n, line in enumerate(lines):
            if row.get(f"s{n}") is not None:
                sums[line.name] = Decimal(str(row[f"s{n}"])).quantize(Decimal(1).scaleb(-line.type.scale))
        yield date.fromisoformat(str(row["d"])), Figures(int(row["n"]), parse_instant(str(row["m"])), sums)


class Examiner:
    """Reads whole records of an org for a comparison."""

    def __init__(self, session: OrgSession, mappings: Mappings, checked: Preflight, ids: Ids) -> None:
        self._session = session
        self._readers = {m.object: RowReader(m, checked.seen[m.object], ids, session.user_id) for m in mappings}

    def of_days(self, sobject: str, days: Iterable[date]) -> dict[str, Seen]:
        """Return the live records whose stamp lies on one of ``days``, by id."""
        reader = self._readers[sobject]
        found: dict[str, Seen] = {}
        for day in days:
            start = datetime.combine(day, time(), UTC)
            when = (compare("SystemModstamp", ">=", start), compare("SystemModstamp", "<", start + timedelta(days=1)))
            found |= self._read(reader, reader.select(*when, events=False), all_rows=False)
        return found

    def by_id(self, sobject: str, sf_ids: Iterable[str]) -> dict[str, Seen]:
        """Return the records with these ids, those in the recycle bin too, by id; one that is gone is absent."""
        reader = self._readers[sobject]
        found: dict[str, Seen] = {}
        for part in chunked(sorted(sf_ids), BY_ID):
            found |= self._read(reader, reader.select(among("Id", part), events=False), all_rows=True)
        return found

    def _read(self, reader: RowReader, statement: Select, *, all_rows: bool) -> dict[str, Seen]:
        path = query_path(statement, all_rows=all_rows)
        found: dict[str, Seen] = {}
        while path:
            page = self._session.read(path).body
            for row in page["records"]:
                seen = reader.from_json(row, lambda relationship, value: ())
                found[seen.sf_id] = seen
            path = page.get("nextRecordsUrl", "")
        return found
