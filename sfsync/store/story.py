"""Marks of a client's ledger: kept, and taken up with the part of the facts that a change can reach from there.

Functions inside a transaction that somebody else opened. May not know what a mark means. It keeps one law: what is left
out is out of reach, or the rules ask for it; and marks are in force together with the postings they were cut from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select, text

from sfsync.records import Adjustment, Case, ClientAccount, Estimate, Pack, PackStatus, Posting, TimeEntry
from sfsync.rules.evaluate import Ask, Evaluation, Facts, Part
from sfsync.rules.intake import Event, Rank
from sfsync.rules.marks import CaseMark, Mark, case_data, case_of, kept, mark_data, mark_of
from sfsync.store import local
from sfsync.store.forms import any_of, staged
from sfsync.store.tables import UNDECIDED, posting

OF_THE_LEDGER = frozenset({"ClientAccount", "Pack", "Adjustment", "Case", "Estimate", "TimeEntry"})
"""Records of which a changed one reaches no further than its case and its packs; a changed week needs all."""


def read_part(
    connection: Connection,
    ask: Ask,
    touched: Mapping[str, frozenset[str]],
    now: datetime,
    *,
    weeks_due_at: datetime | None,
    news_at: datetime | None,
) -> Facts | None:
    """Return what a change of ``touched`` can reach from the last mark that ``ask`` allows; None if there is none."""
    if ask.whole or not touched.keys() <= OF_THE_LEDGER:
        return None
    mark, first_on = _mark(connection, ask, now)
    if mark is None or first_on is None:
        return None
    beyond = _beyond(connection, mark.number)
    shown = _shown(connection, mark, touched, {*mark.cases, *ask.cases, *beyond, *touched.get("Case", ())})
    told = _told(connection, mark.number, shown)
    packs = local.read_records(connection, Pack)
    estimates = local.read_records_of(connection, Estimate, shown)
    entries = local.read_records_of(connection, TimeEntry, shown)
    sources = {*entries, *packs, *(f"fixed:{case}" for case in shown)}
    sources.update(key for each in told.values() for key in each.works)
    cases = touched.get("Case", frozenset())
    accounts = local.read_records(connection, ClientAccount)
    return Facts(
        account=next((account for account in accounts.values() if not account.deleted), None),
        packs=packs,
        adjustments=local.read_records(connection, Adjustment),
        cases=local.read_records(connection, Case, shown),
        events=local.read_events(connection, [*cases, *estimates]),
        estimates=estimates,
        entries=entries,
        postings=_postings(connection, sources),
        milestones=local.read_milestones(connection, cases),
        touched=touched,
        part=Part(
            ask=ask,
            mark=mark,
            told=told,
            shown=frozenset(shown),
            beyond=frozenset(beyond),
            drawn=_drawn(connection, packs.values()),
            used_by_week=_used_by_week(connection, ask),
            first_on=first_on,
            weeks_due_at=weeks_due_at,
            news_at=news_at,
        ),
    )


def _mark(connection: Connection, ask: Ask, now: datetime) -> tuple[Mark | None, date | None]:
    """Return the last mark of this telling that lies before what is asked, and not ahead of the clock.

    With it the earliest effective day of all postings.
    """
    row = connection.execute(
        text(
            "SELECT number, at, rank, key, state, (SELECT min(effective_on) FROM posting) AS first_on "
            "FROM ledger_mark WHERE telling = :telling AND at <= :now "
            "AND (CAST(:before AS timestamptz) IS NULL OR at < :before) ORDER BY number DESC LIMIT 1"
        ),
        {"telling": ask.telling, "now": now, "before": ask.before},
    ).first()
    if row is None:
        return None, None
    return mark_of(row.number, Event(row.at, Rank(row.rank), row.key), row.state), row.first_on


def _beyond(connection: Connection, number: int) -> set[str]:
    found = connection.scalars(
        text(
            'SELECT "case" FROM ledger_case WHERE mark > :number UNION '
            "SELECT unnest(tail) FROM ledger_mark WHERE tail IS NOT NULL"
        ),
        {"number": number},
    )
    return set(found)


def _shown(connection: Connection, mark: Mark, touched: Mapping[str, frozenset[str]], cases: set[str]) -> set[str]:
    """Return the cases to show: those touched, those with an event after the mark, and what corrects across them."""
    entries, estimates = list(touched.get("TimeEntry", ())), list(touched.get("Estimate", ()))
    found = connection.scalars(
        text(
            'SELECT "case" FROM told_record WHERE key = ANY(CAST(:records AS text[])) '
            "UNION SELECT coalesce(\"case\", '') FROM time_entry WHERE key = ANY(CAST(:entries AS text[])) "
            "UNION SELECT coalesce(\"case\", '') FROM estimate WHERE key = ANY(CAST(:estimates AS text[])) "
            # the others of a changed entry's person and day: together they may be more than a day holds (RND-1)
            "UNION SELECT coalesce(o.\"case\", '') FROM time_entry t JOIN time_entry o ON o.client = t.client "
            "AND o.worked_on = t.worked_on AND o.consultant = t.consultant WHERE t.key = ANY(CAST(:entries AS text[])) "
            "UNION SELECT coalesce(\"case\", '') FROM time_entry WHERE created_at >= :at OR created_at IS NULL "
            'UNION SELECT key FROM "case" WHERE closed_at >= :at '
            "UNION SELECT coalesce(\"case\", '') FROM estimate WHERE greatest(created_at, sent_at, decided_at) >= :at "
            f"UNION SELECT coalesce(\"case\", '') FROM estimate WHERE {UNDECIDED}"
        ),
        {"records": [*entries, *estimates], "entries": entries, "estimates": estimates, "at": mark.last.at},
    )
    cases |= set(found)
    while True:  # what corrects across cases belongs together
        more = connection.scalars(
            text(
                'WITH inside AS (SELECT key, correction_of FROM time_entry WHERE "case" = ANY(CAST(:cases AS text[])) '
                'UNION ALL SELECT key, correction_of FROM time_entry WHERE "case" IS NULL '
                "AND '' = ANY(CAST(:cases AS text[]))), "
                "targets AS (SELECT correction_of AS key FROM inside WHERE correction_of IS NOT NULL) "
                "SELECT coalesce(t.\"case\", '') FROM time_entry t JOIN targets USING (key) UNION "
                "SELECT coalesce(t.\"case\", '') FROM time_entry t "
                "JOIN (SELECT key FROM inside UNION SELECT key FROM targets) n ON t.correction_of = n.key"
            ),
            {"cases": list(cases)},
        )
        news = set(more) - cases
        if not news:
            return cases
        cases |= news


def _told(connection: Connection, number: int, cases: Iterable[str]) -> dict[str, CaseMark]:
    rows = connection.execute(
        text(
            'SELECT DISTINCT ON ("case") "case", state FROM ledger_case '
            'WHERE "case" = ANY(CAST(:cases AS text[])) AND mark <= :number ORDER BY "case", mark DESC'
        ),
        {"cases": list(cases), "number": number},
    )
    return {row.case: case_of(row.case, row.state) for row in rows}


def _postings(connection: Connection, sources: Iterable[str]) -> tuple[Posting, ...]:
    """Return the postings of these sources, and all that are on no case: purchases, expiry, acts of persons."""
    named = local.booked(connection, select(posting).where(posting.c.source == any_of(sources)))
    loose = local.booked(connection, select(posting).where(posting.c.case.is_(None)))
    both = {(p.source, p.source_version, p.leg): p for p in (*named, *loose)}
    return tuple(both.values())


def _drawn(connection: Connection, packs: Iterable[Pack]) -> frozenset[str]:
    gone = [pack.key for pack in packs if pack.deleted or pack.status == PackStatus.CANCELLED]
    if not gone:
        return frozenset()
    found = connection.scalars(
        text(
            "SELECT DISTINCT pack FROM posting WHERE pack = ANY(CAST(:packs AS text[])) "
            "AND (left(source, 4) = 'act:' OR (minutes < 0 AND kind IN ('consume', 'adjustment')))"
        ),
        {"packs": gone},
    )
    return frozenset(found)


def _used_by_week(connection: Connection, ask: Ask) -> dict[date, int]:
    """Return the minutes used in each week as it states them; booked after its lock they count elsewhere (WK-5)."""
    rows = connection.execute(
        text(
            "SELECT monday, -sum(minutes) AS used FROM (SELECT minutes, effective_on, booked_at, "
            "effective_on + 1 - CAST(extract(isodow FROM effective_on) AS int) AS monday FROM posting "
            "WHERE effective_on >= :since AND (kind = 'consume' OR (kind = 'reversal' AND minutes > 0) "
            "OR (kind = 'adjustment' AND \"case\" IS NOT NULL))) p "
            # what was booked soon is within the lock in every zone; of the rest the client's day decides
            "WHERE booked_at < effective_on + CAST(:lock AS int) - 1 "
            "OR CAST(booked_at AT TIME ZONE :zone AS date) <= monday + 6 + CAST(:lock AS int) GROUP BY 1"
        ),
        {"since": ask.burn_from, "zone": ask.zone, "lock": ask.lock_after_days},
    )
    return {row.monday: int(row.used) for row in rows}


# --- keeping ----------------------------------------------------------------------------------------------------


def keep_marks(connection: Connection, client: str, said: Evaluation, telling: str) -> None:
    """Leave the marks that were cut in force; those after the one taken up no longer hold, and old ones thin out."""
    scope = {"client": client, "base": said.taken_up_at}
    connection.execute(text("DELETE FROM ledger_mark WHERE client = :client AND number > :base"), scope)
    connection.execute(text("DELETE FROM ledger_case WHERE client = :client AND mark > :base"), scope)
    marked = [(mark, cases) for mark, cases in said.marked if kept(mark.number, said.story_length)]
    if said.marked:
        _put_marks(connection, client, said, telling, marked)
        if said.taken_up_at:
            _thin(connection, client, said.story_length)
    connection.execute(
        text(
            "UPDATE ledger_mark SET tail = CASE WHEN number = (SELECT max(number) FROM ledger_mark "
            "WHERE client = :client) THEN CAST(:tail AS text[]) END WHERE client = :client "
            "AND (tail IS NOT NULL OR number = (SELECT max(number) FROM ledger_mark WHERE client = :client))"
        ),
        {"client": client, "tail": sorted(said.tail)},
    )


def _put_marks(
    connection: Connection,
    client: str,
    said: Evaluation,
    telling: str,
    marked: list[tuple[Mark, dict[str, CaseMark]]],
) -> None:
    rows: list[list[Any]] = [
        [m.number, telling, m.last.at, int(m.last.rank), m.last.key, json.dumps(mark_data(m))] for m, _ in marked
    ]
    columns = {
        "number": "BIGINT",
        "telling": "TEXT",
        "at": "TIMESTAMPTZ",
        "rank": "INT",
        "key": "TEXT",
        "state": "JSONB",
    }
    with staged(connection, columns, rows) as stage:
        connection.execute(
            text(
                f"INSERT INTO ledger_mark (client, {', '.join(columns)}) "
                f"SELECT :client, {', '.join(columns)} FROM {stage}"
            ),
            {"client": client},
        )
    told: list[list[Any]] = [
        [case, m.number, json.dumps(case_data(each))] for m, cases in said.marked for case, each in cases.items()
    ]
    with staged(connection, {"case": "TEXT", "mark": "BIGINT", "state": "JSONB"}, told) as stage:
        connection.execute(
            text(
                f'INSERT INTO ledger_case (client, "case", mark, state) '
                f'SELECT :client, "case", mark, state FROM {stage}'
            ),
            {"client": client},
        )
    records = {
        (key, case)
        for _, cases in said.marked
        for case, each in cases.items()
        for key in (*each.works, *each.decisions)
    }
    with staged(connection, {"key": "TEXT", "case": "TEXT"}, sorted(records)) as stage:
        connection.execute(
            text(
                f'INSERT INTO told_record (client, key, "case") SELECT :client, key, "case" FROM {stage} '
                "ON CONFLICT DO NOTHING"
            ),
            {"client": client},
        )


def _thin(connection: Connection, client: str, length: int) -> None:
    """Leave the marks that stay in a story of that length, and of each case what those need."""
    numbers = connection.scalars(text("SELECT number FROM ledger_mark WHERE client = :client"), {"client": client})
    stay: list[int] = []
    gone: list[int] = []
    for number in sorted(numbers):
        (stay if kept(number, length) else gone).append(number)
    if not gone:
        return
    scope = {
        "client": client,
        "gone": gone,
        "last": gone[-1],
        "first": max((n for n in stay if n < gone[0]), default=0),
    }
    connection.execute(text("DELETE FROM ledger_mark WHERE client = :client AND number = ANY(:gone)"), scope)
    # What a case showed at a mark that went is needed only if it showed the same at the next one that stays.
    connection.execute(
        text(
            "DELETE FROM ledger_case c WHERE c.client = :client AND c.mark > :first AND c.mark <= :last "
            'AND (SELECT min(d.mark) FROM ledger_case d WHERE d.client = :client AND d."case" = c."case" '
            "AND d.mark > c.mark) "
            "<= (SELECT min(m.number) FROM ledger_mark m WHERE m.client = :client AND m.number >= c.mark)"
        ),
        scope,
    )
