"""A command line to type on: an empty home, and the exit code, stdout and stderr of one command.

May not know any command. It keeps one law: nothing of the machine's own settings reaches a test.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sfsync.cli import main


@dataclass(frozen=True)
class Answer:
    """What one command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        found = json.loads(self.out)
        assert found["schema_version"] == 1
        return found

    @property
    def rows(self) -> list[list[str]]:
        """The tab-separated lines on stdout, without the header."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory that is home and the current directory."""
    for name in list(os.environ):
        if name.startswith("SFSYNC_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sfsync(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that types ``sfsync WORDS`` and returns the answer."""

    def type_(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["sfsync", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return type_
