"""A service desk's event log is read whole or not at all, and a broken row is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sfsync.cli.demo_cases import NEEDED, Incident, Log, read_incidents
from sfsync.errors import InputError

ZONE = "America/Argentina/Buenos_Aires"
NOW = datetime(2016, 6, 1, tzinfo=UTC)
HEADER = ",".join((*NEEDED, "category"))
GOOD = (
    "INC1,New,0,29-02-2016 01:16,29-02-2016 01:23,Updated by 1,3 - Moderate,Category 5",
    "INC1,Awaiting User Info,1,29-02-2016 01:16,29-02-2016 02:00,Updated by 2,2 - High,Category 5",
    "INC1,Active,2,29-02-2016 01:16,29-02-2016 03:00,Updated by 2,2 - High,Category 5",
    "INC1,Closed,3,29-02-2016 01:16,05-03-2016 12:00,Updated by 1,2 - High,Category 5",
)


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "log.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def read(folder: Path, *rows: str) -> Log:
    return read_incidents(write(folder, *rows), ZONE, NOW)


def one(folder: Path, *rows: str) -> Incident:
    (case,) = read(folder, *rows).incidents
    return case


def test_the_rows_of_an_incident_become_a_case_with_its_history(tmp_path: Path) -> None:
    case = one(tmp_path, *reversed(GOOD))
    assert (case.number, case.status, case.priority) == ("INC1", "Closed", "P2")
    assert [(c.field, c.old, c.new) for c in case.changes] == [
        ("status", "New", "Awaiting User Info"),
        ("priority", "P3", "P2"),
        ("status", "Awaiting User Info", "Active"),
        ("status", "Active", "Closed"),
    ]
    assert case.closed_at == case.changes[-1].at


def test_nothing_happens_to_a_case_before_it_is_open(tmp_path: Path) -> None:
    early = "INC2,Active,1,29-02-2016 05:00,29-02-2016 04:00,Updated by 1,4 - Low,Category 5"
    case = one(tmp_path, early)
    assert case.changes[0].at == case.opened_at


def test_what_the_desk_did_not_know_is_tolerated_and_counted(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        "INC3,?,0,?,29-02-2016 01:00,?,?,?",
        "INC3,Active,1,29-02-2016 00:30,?,by,2 - High,?",
        "INC3,?,2,?,29-02-2016 03:00,by,?,x",
        "INC3,Closed,3,?,29-02-2016 04:00,by,?,x",
    )
    (case,) = log.incidents
    assert (log.rows, log.unknown) == (4, 12)
    assert (case.status, case.priority, case.opened_at.isoformat()) == ("Closed", "P2", "2016-02-29T00:30:00-03:00")
    assert [(c.new, c.at.hour) for c in case.changes] == [("Active", 1), ("Closed", 4)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("INC1,New,0,yesterday,29-02-2016 01:23,by,3 - Moderate,x", "log.csv:6: opened_at: 'yesterday' is no time"),
        (
            "INC1,New,0,29-02-2016 01:16,31-02-2016 01:23,by,3 - Moderate,x",
            "sys_updated_at: '31-02-2016 01:23' is no time",
        ),
        ("INC1,New,0,29-02-2016 01:16,29-02-2016 01:23,by,urgent,x", "'urgent' is no priority"),
        ("INC1,New,many,29-02-2016 01:16,29-02-2016 01:23,by,3 - Moderate,x", "'many' is no count"),
        ("INC1,New,0,29-02-2016 01:16", "log.csv:6: this row has more or fewer cells"),
        (",New,0,29-02-2016 01:16,29-02-2016 01:23,by,3 - Moderate,x", "may not be empty"),
        ("INC1,New,0,29-02-2016 01:16,29-02-2017 01:23,by,1,x", "no time"),
        ("INC1,New,0,29-02-2016 01:16,28-02-2017 01:23,by,1,x", "log.csv:6: sys_updated_at: '28-02-2017 01:23' is no"),
        ("INC1\0,New,0,29-02-2016 01:16,29-02-2016 01:23,by,1,x", "printable characters"),
        (f"{'INC' * 50},New,0,29-02-2016 01:16,29-02-2016 01:23,by,1,x", "log.csv:6: number: 'INCINC"),
        ("?,New,0,29-02-2016 01:16,29-02-2016 01:23,by,1,x", "may not be empty"),
        ("INC9,New,0,?,?,by,1,x", "log.csv:6: sys_updated_at: no row of this incident has a time"),
        ('INC1,"New,0,29-02-2016 01:16,29-02-2016 01:23,by,3 - Moderate,x', "is not CSV"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, *GOOD, row)
    assert says in str(caught.value)


def test_a_file_that_is_no_event_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log\.csv:1: the first line names no column .*priority"):
        read_incidents(write(tmp_path, header="number,incident_state"), ZONE, NOW)
    with pytest.raises(InputError, match=r"missing\.csv: cannot be read"):
        read_incidents(tmp_path / "missing.csv", ZONE, NOW)
    with pytest.raises(InputError, match=r"log\.csv:1: there is no row below the first line"):
        read(tmp_path)


def test_a_broken_log_ends_the_demo_before_anything_is_started(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from sfsync.cli.demo import demo

    workspace = tmp_path / "workspace"
    log = write(tmp_path, *GOOD, "INC2,New,0,never,never,by,3 - Moderate,x")
    ended = CliRunner().invoke(demo, ["--cases", str(log), "--dir", str(workspace)])
    assert isinstance(ended.exception, InputError)
    assert not workspace.exists()
