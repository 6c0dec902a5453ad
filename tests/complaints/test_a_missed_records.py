"""Complaints 1 to 14: records that were missed, and losses that nobody noticed."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import requests

from sfsync.clock import seeded
from sfsync.errors import OrgError, SchemaDrift
from sfsync.localorg.faults import Faults
from sfsync.localorg.schema import Field, SchemaChange
from sfsync.mirror.translate import Bookmark
from sfsync.org.extract import extract
from sfsync.org.preflight import preflight
from tests.complaints.scene import CASE, HOUR, MINUTE, PACK, alive, between, equal, links, quiet
from tests.contract.org.reached import Reached, seen_of
from tests.e2e.stage import Stage


def known(reached: Reached, sobject: str = CASE) -> set[str]:
    """Return the ids that a mirror would hold alive."""
    return {seen.sf_id for (o, _), seen in reached.records.items() if o == sobject and not seen.deleted}


def begin(reached: Reached) -> Any:
    ids = reached.ids()
    checked = preflight(reached.session, reached.mappings, reached.bookmarks, ids)
    return extract(reached.session, reached.mappings, reached.bookmarks, ids, checked)


@pytest.mark.parametrize("age", [1, 5, 10, 10 * MINUTE, 2 * HOUR])
def test_complaint_01_a_row_that_appears_with_an_older_stamp_is_not_passed_over(reached: Reached, age: int) -> None:
    reached.sync()
    reached.later()
    held = reached.org.hold()
    with reached.org.within(held):
        late = set(reached.cases(1))
    reached.clock.advance(age)
    newer = set(reached.cases(2))
    reached.sync()
    assert known(reached) == newer, "the newest stamp that was read lies behind the late row's"
    reached.org.commit_held(held)
    reached.later()
    reached.sync()
    assert known(reached) == newer | late


def test_complaint_02_many_rows_of_one_stamp_are_read_though_a_page_ends_among_them(reached: Reached) -> None:
    reached.sync()
    reached.later()
    made = set(reached.cases(1_000))
    stamps = reached.org.storage.rows('SELECT count(DISTINCT "SystemModstamp") FROM "Case"')
    assert stamps == [(1,)]
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later()
    pages = [page for page in reached.sync() if page.object == CASE]
    assert len(pages) == 5, "no page ended inside the tie"
    assert known(reached) == made


def test_complaint_03_every_update_of_a_record_arrives_without_a_full_read(stage: Stage) -> None:
    case = stage.case(Subject="first")
    quiet(stage)
    for text in ("second", "third", "second", ""):
        stage.org.update(CASE, case, {"Subject": text})
        report = stage.sync()
        assert report.absorbed == 1
        assert report.read <= 2, "the whole object was read again"
        assert links(stage, CASE)[case].remote["subject"] == (text or None)
    quiet(stage)
    equal(stage)


def test_complaint_04_a_schema_change_and_a_reset_in_mid_load_leave_no_hole(reached: Reached) -> None:
    made = set(reached.cases(500))
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later()
    for page in islice(begin(reached), 3):
        reached.absorb(page)
    before = len(known(reached))
    reached.org.schema_change(SchemaChange(fields=[(CASE, Field("Added__c", "string", "Added", length=20))]))
    reached.later(2 * MINUTE)
    for page in islice(begin(reached), 3):
        reached.absorb(page)
    reached.bookmarks[CASE] = Bookmark(CASE)  # an operator resets the object while it is half read
    reached.later()
    reached.sync()
    assert before < len(made)
    assert known(reached) == made


def test_complaint_05_rows_of_2009_are_read_without_a_start_date(reached: Reached) -> None:
    old = {"CreatedDate": "2009-03-01T08:00:00Z", "LastModifiedDate": "2009-03-01T08:00:00Z"}
    rows = [{"Subject": str(n), **old, "SystemModstamp": "2009-03-01T08:00:00Z"} for n in range(20)]
    made = set(reached.org.seed_rows(CASE, rows))
    reached.sync()
    assert known(reached) == made
    assert {seen.stamp.year for (o, _), seen in reached.records.items() if o == CASE} == {2009}


def test_complaint_06_what_was_read_bit_by_bit_is_what_a_full_read_finds(reached: Reached) -> None:
    dice = seeded("complaint 6")
    alive_: list[str] = []
    for step in range(25):
        reached.clock.advance(dice.choice([0, 1, 30, 1_200]))
        alive_ += reached.cases(dice.randrange(3))
        if alive_:
            reached.org.update(CASE, dice.choice(alive_), {"Subject": f"{step}"})
        if len(alive_) > 4 and step % 4 == 0:
            reached.org.delete(CASE, alive_.pop(dice.randrange(len(alive_))), hard=step % 8 == 0)
        reached.sync()
    reached.later()
    reached.sync()
    bit_by_bit = {k: (s.wire, s.stamp) for k, s in reached.records.items() if not s.deleted}
    reached.bookmarks.clear()
    reached.records.clear()
    reached.sync()
    assert {k: (s.wire, s.stamp) for k, s in reached.records.items() if not s.deleted} == bit_by_bit
    assert len(known(reached)) == len(alive_)


def test_complaint_07_a_column_that_is_added_takes_no_row_away(stage: Stage) -> None:
    cases = {stage.case(Subject=str(n)) for n in range(5)}
    quiet(stage)
    before = links(stage, CASE)
    stage.org.schema_change(SchemaChange(fields=[(CASE, Field("Added__c", "string", "Added", length=20))]))
    stage.later(minutes=5)
    stage.sync()
    assert alive(stage, CASE) == cases
    assert links(stage, CASE) == before
    category = stage.org.schema[CASE].fields["Maint_Category__c"]
    stage.org.schema_change(SchemaChange(removed_fields=[(CASE, "Maint_Category__c")]))
    stage.later(minutes=5)
    with pytest.raises(SchemaDrift):
        stage.sync()
    assert links(stage, CASE) == before, "drift deleted something"
    stage.org.schema_change(SchemaChange(fields=[(CASE, category)]))
    stage.later(minutes=5)
    stage.runtime.sync("acme", confirmed=True)
    quiet(stage)
    equal(stage)


def test_complaint_08_rows_with_one_stamp_are_all_read_across_a_page_cut(reached: Reached) -> None:
    """The load is killed after each page in turn: it goes on behind (stamp, id), not behind the stamp."""
    made = set(reached.cases(900))
    reached.page_rows = 200
    reached.session = reached.connect()
    reached.later()
    kills = 0
    while len(known(reached)) < 900 and kills < 10:
        pages = begin(reached)
        page = next(page for page in pages if page.object == CASE)
        reached.absorb(page)
        pages.close()
        kills += 1
    assert kills == 5, "900 rows of one second are five pages of 200"
    assert known(reached) == made


def test_complaint_09_a_bulk_load_does_not_stop_at_the_end_of_its_first_result_page(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.bulkread.RESULT_ROWS", 100)
    made = set(reached.cases(350))
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=50)
    reached.sync()
    assert sum("/results" in url for _, url, _ in adapter.sent) >= 4
    assert known(reached) == made


def test_complaint_09_a_result_with_fewer_rows_than_announced_is_not_believed(reached: Reached) -> None:
    made = set(reached.cases(60))
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=50)
    shortened: list[str] = []

    def shorten(request: requests.PreparedRequest, answer: requests.Response) -> None:
        if "/results" in str(request.url) and not shortened:
            lines = answer.raw.read(decode_content=True).splitlines(keepends=True)
            shortened.append(str(request.url))
            replay(answer, b"".join(lines[:-10]))

    adapter.after = shorten
    reached.sync()
    assert shortened
    assert known(reached) == made


def test_complaint_09_a_result_page_whose_locator_was_lost_is_not_the_end(
    reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfsync.org.bulkread.RESULT_ROWS", 100)
    made = set(reached.cases(350))
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=50)
    lost: list[str] = []

    def lose(request: requests.PreparedRequest, answer: requests.Response) -> None:
        if "/results" in str(request.url) and "locator" in str(request.url) and not lost:
            lost.append(answer.headers.pop("Sforce-Locator"))

    adapter.after = lose
    reached.sync()
    assert lost
    assert known(reached) == made


def replay(answer: requests.Response, content: bytes) -> None:
    """Give an answer another body of the same kind."""
    import io

    import urllib3

    for gone in ("Content-Encoding", "Content-Length"):
        answer.headers.pop(gone, None)
    answer.raw = urllib3.HTTPResponse(body=io.BytesIO(content), status=answer.status_code, preload_content=False)


def test_complaint_10_a_query_that_fails_is_a_failed_run_and_not_an_empty_one(stage: Stage) -> None:
    case = stage.case()
    quiet(stage)
    stage.later(hours=1)
    late = stage.case()
    before = stage.runtime.store.room("acme", "acme", stage.runtime.mappings).bookmarks()
    stage.org.faults = Faults.of([{"kind": "query_timeout", "path": "composite|query"}])
    with pytest.raises(OrgError):
        stage.runtime.sync("acme")
    [run] = stage.runtime.store.runs("acme", "acme", limit=1)
    assert run.state == "failed"
    assert stage.runtime.store.room("acme", "acme", stage.runtime.mappings).bookmarks() == before
    assert alive(stage, CASE) == {case}
    stage.org.faults = Faults()
    quiet(stage)
    assert alive(stage, CASE) == {case, late}


def test_complaint_11_a_bulk_query_that_failed_in_part_counts_as_failed(reached: Reached) -> None:
    made = set(reached.cases(120))
    reached.later(HOUR)
    reached.session = reached.connect(bulk_above_rows=50)
    reached.faults({"kind": "job_failed", "object": CASE})
    reached.sync()
    assert reached.org.faults.rules[0].struck
    assert known(reached) == made
    assert reached.bookmarks[CASE].checkpoint == ""


def test_complaint_12_what_we_wrote_need_not_be_visible_yet(stage: Stage) -> None:
    """The org carries our writes out in a transaction that commits three seconds later, and never answers."""
    stage.buy("flexi", 5)
    case = stage.case()
    quiet(stage)
    stage.log(case, 30)
    stage.buy("flexi", 1, key="pk:2")
    stage.org.faults = Faults.of(
        [{"kind": "late_commit", "method": "POST", "path": "composite", "calls": [2], "seconds": 3}]
    )
    stage.sync()
    assert stage.org.faults.rules[0].struck == 1
    stage.org.faults = Faults()
    quiet(stage)
    assert sorted(row["Sfsync_Key__c"] for row in stage.rows(PACK)) == ["pk:1", "pk:2"]
    equal(stage)


def test_complaint_13_a_changed_schema_is_noticed_by_the_very_next_poll(reached: Reached) -> None:
    made = set(reached.cases(2))
    reached.sync()
    reached.later(15 * MINUTE)
    category = reached.org.schema[CASE].fields["Maint_Category__c"]
    reached.org.schema_change(SchemaChange(removed_fields=[(CASE, "Maint_Category__c")]))
    reached.later(2 * MINUTE)
    with pytest.raises(SchemaDrift, match="Maint_Category__c"):
        reached.sync()
    reached.org.schema_change(SchemaChange(fields=[(CASE, category)]))
    for case in made:
        reached.org.update(CASE, case, {"Maint_Category__c": "Corrective"})
    reached.later(2 * MINUTE)
    before = reached.calls()
    pages = reached.sync()
    assert {seen.sf_id: seen.wire["category"] for seen in seen_of(pages, CASE)} == dict.fromkeys(made, "Corrective")
    assert reached.calls() - before <= 2


def test_complaint_14_a_lost_look_at_a_job_that_has_finished_starts_no_second_job(reached: Reached) -> None:
    made = set(reached.cases(60))
    reached.later(HOUR)
    adapter = between(reached, bulk_above_rows=50)
    reached.faults({"kind": "timeout_after", "method": "GET", "path": "jobs/query/[^/]+$", "calls": [1, 2]})
    reached.sync()
    assert reached.org.faults.rules[0].struck == 2
    started = [b["query"] for m, url, b in adapter.sent if m == "POST" and url.endswith("jobs/query")]
    assert len(started) == len(set(started)), "a job was started twice"
    assert known(reached) == made
