"""Calculated fields follow what they are calculated from, although no stamp moves; the cost is what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfsync.mapping import Mappings, load_mappings
from sfsync.org import refresh
from sfsync.sync import Report
from tests.complaints.scene import CASE, ENTRY, equal, links, quiet, wire
from tests.e2e.stage import Stage

LOOKS_UP = "LEN(Case__r.Subject)"


@pytest.fixture
def made(tmp_path: Path, database_url: str) -> Iterator[Stage]:
    """Entries whose formula looks at their case, on two cases; everything quiet."""
    stage = Stage(tmp_path, database_url, formula_hours=6)
    stage.deploy()
    redefine(stage, LOOKS_UP)
    client = stage.runtime.client("acme")
    entry = client.mappings["time_entry"]
    fields = {**entry.fields, "hours": replace(entry.fields["hours"], formula=LOOKS_UP)}
    mappings = Mappings({**client.mappings.objects, "time_entry": replace(entry, fields=fields)})
    stage.runtime._clients["acme"] = replace(client, mappings=mappings)
    stage.buy("pro", 5)
    for subject in ("four", "seventeen"):
        case = stage.case(Subject=subject)
        stage.approve(stage.estimate(case, 300))
        for _ in range(3):
            stage.log(case, 10)
    quiet(stage)
    stage.later(minutes=30)
    stage.sync()
    assert hours(stage) == ["4.00"] * 3 + ["9.00"] * 3
    yield stage
    stage.runtime.close()


def redefine(stage: Stage, formula: str) -> None:
    field = stage.org.schema[ENTRY].fields["Hours__c"]
    stage.org.schema.put_field(ENTRY, replace(field, formula=formula))
    stage.org.access_changed()


def hours(stage: Stage) -> list[str]:
    return sorted(str(value) for value in wire(links(stage, ENTRY), "hours").values())


def case_named(stage: Stage, subject: str) -> str:
    return next(str(row["Id"]) for row in stage.rows(CASE) if row["Subject"] == subject)


def test_a_formula_follows_the_record_it_looks_at_with_the_next_poll(made: Stage) -> None:
    made.org.update(CASE, case_named(made, "four"), {"Subject": "sixteen letters!"})
    made.later(minutes=1)
    assert made.sync().calls == 2, "the poll, and one look at the entries of the case that moved"
    assert hours(made) == ["16.00"] * 3 + ["9.00"] * 3
    assert made.sync().calls == 1, "a case that is read again in the overlap did not move again"
    made.later(minutes=20)
    quiet(made)
    equal(made)


def test_what_nothing_tells_of_is_read_again_on_its_cadence_and_not_before(made: Stage) -> None:
    made.later(days=3)  # every deadline has passed, so nothing is written any more; the cadence has come too
    for _ in range(3):
        made.sync()
    reports = behind_its_back(made, case_named(made, "four"), "a")
    assert {report.calls for report in reports[:-1]} == {1}, "quiet polls cost what they always cost"
    assert (reports[-1].calls, reports[-1].wrote) == (2, 0), "six entries are one page"
    assert 11 <= len(reports) <= 12, "six hours"


def behind_its_back(stage: Stage, case: str, subject: str) -> list[Report]:
    """Change a case without a stamp, as when it is not mapped; sync each half hour until the formula shows it."""
    with stage.org.storage.unit():
        stage.org.storage.update(CASE, ["Subject"], [(subject, case)])
    reports = []
    while hours(stage)[0] != f"{len(subject)}.00":
        assert len(reports) < 16
        stage.later(minutes=29)
        reports.append(stage.sync())
    return reports


def test_a_formula_that_somebody_rewrote_is_read_at_once(made: Stage) -> None:
    redefine(made, "LEN(Case__r.Subject) + 1")
    made.sync()
    assert hours(made) == ["10.00"] * 3 + ["5.00"] * 3
    made.later(minutes=30)
    assert made.sync().calls == 1


def test_a_rewrite_is_not_forgotten_by_a_run_that_dies(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    redefine(made, "LEN(Case__r.Subject) + 1")
    with monkeypatch.context() as patch:
        patch.setattr("sfsync.org.extract._calculated", dies)
        with pytest.raises(KeyboardInterrupt):
            made.runtime.sync("acme")
    made.sync()
    made.sync()
    assert hours(made) == ["10.00"] * 3 + ["5.00"] * 3


@pytest.mark.parametrize(
    ("formula", "elsewhere"),
    [
        ("Minutes__c / 60", False),
        ("Case__r.Subject", True),
        ("Account.Name & 'x'", True),
        ("TODAY() - Work_Date__c", True),
        ("IF(Name = 'Case__r.Subject', 1.5, 2)", False),
        ("Minutes__c * 0.5", False),
    ],
)
def test_only_a_formula_that_looks_elsewhere_needs_a_cadence(formula: str, elsewhere: bool) -> None:
    line = replace(load_mappings()["time_entry"].fields["hours"], formula=formula)
    assert refresh.looks_elsewhere(line) is elsewhere


def test_the_standard_mapping_has_no_formula_that_looks_elsewhere() -> None:
    lines = [line for mapping in load_mappings() for line in mapping.fields.values()]
    assert any(line.formula for line in lines)
    assert not any(refresh.looks_elsewhere(line) for line in lines)
