"""The frame: exit codes from one table, data on stdout, talk on stderr, nothing loaded before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from sfsync.cli import COMMANDS, root
from sfsync.cli.output import clock, fitting, hours, plain
from sfsync.errors import EXIT_CODES, SettingsError


def test_every_listed_command_exists() -> None:
    context = click.Context(root)
    for name in COMMANDS:
        found = root.get_command(context, name)
        assert isinstance(found, click.Command)
        assert (found.name or "").replace("_", "-") == name


def test_help_names_every_command_and_loads_none_of_their_rooms() -> None:
    script = (
        "import sys\n"
        "from sfsync.cli import main\n"
        "sys.argv = ['sfsync', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'sqlalchemy', 'rich', 'requests', 'yaml', 'celery', 'uvicorn', 'jinja2'}\n"
        "heavy &= set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_an_error_of_ours_is_one_sentence_on_stderr_and_its_exit_code(sfsync) -> None:
    answer = sfsync("--config", "absent.toml", "mapping", "list")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "sfsync: absent.toml: there is no such file\n"


def test_a_command_that_does_not_exist_is_answered_with_the_nearest_one(sfsync) -> None:
    answer = sfsync("mappings", "list")
    assert answer.code == 2
    assert "Did you mean mapping?" in answer.err
    assert sfsync("xyzzy").err.strip().endswith("There is no command 'xyzzy'.")


def test_the_exit_codes_are_those_of_the_table(sfsync) -> None:
    listed = {row["code"]: row["meaning"] for row in sfsync("exit-codes", "--json").json["exit_codes"]}
    assert listed == dict(EXIT_CODES.values())
    assert [int(row[0]) for row in sfsync("exit-codes").rows] == sorted(listed)


def test_an_unexpected_error_is_one_sentence_and_no_traceback(sfsync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfsync.cli.meta.show", None)
    answer = sfsync("exit-codes")
    assert answer.code == 1
    assert answer.err.startswith("sfsync: unexpected TypeError:")
    assert "Traceback" not in answer.err


def test_ctrl_c_ends_with_130(sfsync, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sfsync.cli.meta.show", interrupted)
    assert sfsync("exit-codes").code == 130


def test_help_and_version_end_well(sfsync) -> None:
    assert sfsync("--help").code == 0
    assert sfsync("mapping", "--help").code == 0
    assert sfsync("--version").out.startswith("sfsync, version ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(sfsync, shell: str) -> None:
    assert "_SFSYNC_COMPLETE" in sfsync("completion", shell).out


def test_a_worker_does_not_start_with_wrong_settings(sfsync, home) -> None:
    (home / "sfsync.toml").write_text("[broker]\nurl = 7\n")
    for command in ("worker", "beat"):
        answer = sfsync(command)
        assert answer.code == 2
        assert answer.err.startswith("sfsync: sfsync.toml: broker.url: ")


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_this_process_becomes_celery_with_the_settings_that_were_named(
    sfsync, home: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (home / "here.toml").write_text('data_dir = "data/of/ours"\nlog_level = "WARNING"\n')
    became: list[list[str]] = []
    told: dict[str, str] = {}
    monkeypatch.setattr("os.execv", lambda program, words: became.append(words))
    monkeypatch.setattr("os.putenv", told.__setitem__)
    assert sfsync("--config", "here.toml", command).code == 0
    (words,) = became
    assert words[:6] == [sys.executable, "-m", "celery", "--app", "tasks.app", command]
    assert words[-2:] == ["--loglevel", "warning"]
    assert told == {"SFSYNC_CONFIG": str(home / "here.toml")}
    assert (home / "data/of/ours").is_dir()


def test_minutes_are_shown_as_hours_without_rounding_away_a_minute() -> None:
    assert (hours(90), hours(1), hours(None)) == ("1.50", "0.02", "")
    assert (clock(90), clock(-32), clock(0)) == ("1:30", "-0:32", "0:00")


def test_json_holds_money_as_text_and_instants_in_utc() -> None:
    from datetime import UTC, date, datetime
    from decimal import Decimal

    found = plain({"a": Decimal("400.00"), "b": datetime(2026, 11, 20, 12, tzinfo=UTC), "c": (date(2026, 1, 2),)})
    assert found == {"a": "400.00", "b": "2026-11-20T12:00:00Z", "c": ["2026-01-02"]}


def test_an_error_of_ours_names_its_exit_code() -> None:
    assert EXIT_CODES[SettingsError("x").exit][0] == 2


def test_a_narrow_terminal_drops_columns_and_never_cuts_one() -> None:
    columns, rows = ("Key", "Empty", "Note", "Said"), [["pk:0123456789", "", "a note", "ok"]]
    assert fitting(columns, rows, ("Note", "Said"), 80) == [0, 2, 3]
    assert fitting(columns, rows, ("Note", "Said"), 20) == [0, 3]
    assert fitting(columns, rows, ("Note", "Said"), 5) == [0]
    assert fitting(columns, [], (), 80) == [0, 1, 2, 3]
