"""Setting up and being checked: init, doctor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commandline import Answer
from tests.contract.cli.conftest import Desk, refuse


def levels(answer: Answer) -> dict[str, str]:
    """Return check name to level."""
    return {one["name"]: one["level"] for one in answer.json["checks"]}


def test_init_writes_settings_that_work_and_never_twice(
    sfsync: Callable[..., Answer], home: Path, own_database_url: str
) -> None:
    made = sfsync("init", "--store", own_database_url, "--data-dir", "data", "--json")
    assert made.code == 0, made.err
    assert made.json["schema"]
    assert sfsync("config", "validate").code == 0
    assert sfsync("org", "list", "--json").json["orgs"] == []
    before = (home / "sfsync.toml").read_text()
    again = sfsync("init", "--store", own_database_url)
    assert (again.code, "is there already; nothing was changed" in again.err) == (2, True)
    assert (home / "sfsync.toml").read_text() == before


@pytest.mark.parametrize(("url", "code"), [("postgresql://nobody@localhost:9/none", 1), ("mysql://x/y", 2)])
def test_init_with_a_store_that_does_not_answer_writes_nothing(
    sfsync: Callable[..., Answer], home: Path, url: str, code: int
) -> None:
    answer = sfsync("init", "--store", url)
    assert (answer.code, answer.out) == (code, "")
    assert list(home.iterdir()) == []


def test_the_doctor_names_everything_that_is_wrong_with_its_mending(desk: Desk, home: Path) -> None:
    with (home / "sfsync.toml").open("a") as file:
        file.write('[broker]\nurl = "redis://:hush@localhost:9/0"\n')
    answer = desk("doctor", "--offline", "--json")
    assert answer.code == 5  # the org has no way to log in
    found = levels(answer)
    assert (found["settings"], found["store"], found["broker"]) == ("error", "ok", "warning")
    assert "hush" not in answer.out + answer.err
    assert all(one["mend"] for one in answer.json["checks"] if one["level"] == "error")


def test_the_doctor_sees_paused_orgs_and_quarantine(worked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_ID", "app")
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", "hush")
    refuse(worked, "pk:1", "Maintenance_Pack__c")
    found = levels(worked("doctor", "--offline", "--json"))
    assert (found["settings"], found["acme quarantine"]) == ("ok", "warning")
    worked("org", "pause", "acme", "--reason", "frozen")
    paused = worked("doctor", "--offline", "--json")
    assert (paused.code, levels(paused)["acme state"]) == (5, "error")
    assert "sfsync org resume acme" in paused.out


def test_the_doctor_of_an_org_that_cannot_be_reached_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_ID", "app")
    monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", "hush")
    answer = desk("doctor", "--org", "acme", "--json")
    assert (answer.code, levels(answer)["acme login"]) == (5, "error")
    assert "hush" not in answer.out + answer.err


def test_the_doctor_with_unreadable_settings_says_so_and_stops(sfsync: Callable[..., Answer], home: Path) -> None:
    (home / "sfsync.toml").write_text("[broken")
    answer = sfsync("doctor", "--json")
    assert (answer.code, levels(answer)) == (5, {"settings": "error"})
