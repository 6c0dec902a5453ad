"""What runs is what was looked at: the lock pins what is installed, and an audit that could not ask is no pass."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import distributions
from types import ModuleType
from typing import Any

import pytest

from tests.house.tree import ROOT, text


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


WANTED = {"celery": "5.7.0", "redis": "8.1.0"}
BAD = {"id": "PYSEC-2026-1", "fix_versions": ["8.1.1"], "aliases": [], "description": ""}


def said(**found: Any) -> dict[str, Any]:
    """Return what pip-audit prints: findings of a package, or why it was skipped."""
    kinds = {name: {"vulns": one} if isinstance(one, list) else {"skip_reason": one} for name, one in found.items()}
    return {"dependencies": [{"name": name, **one} for name, one in kinds.items()], "fixes": []}


def test_a_lock_of_which_everything_was_looked_up_and_nothing_found_passes(audit: ModuleType) -> None:
    assert audit.verdict(WANTED, said(celery=[], redis=[])) == (
        0, ["2 of 2 packages looked up, 0 with a known vulnerability"]
    )  # fmt: skip


def test_a_finding_fails_and_says_the_way_out(audit: ModuleType) -> None:
    code, lines = audit.verdict(WANTED, said(celery=[], redis=[BAD]))
    assert code == 1
    assert lines[0] == "redis 8.1.0: PYSEC-2026-1, mended in 8.1.1"
    assert audit.verdict(WANTED, said(celery="not found", redis=[BAD]))[0] == 1, "what is known comes first"


@pytest.mark.parametrize("answer", [None, said(), said(celery="Dependency not found", redis="Dependency not found")])
def test_where_nobody_could_be_asked_nothing_is_called_clean(audit: ModuleType, answer: dict[str, Any] | None) -> None:
    code, lines = audit.verdict(WANTED, answer)
    assert code == 3
    assert any(line.startswith("NOT LOOKED UP: 2 of 2") for line in lines)


def test_one_package_that_could_not_be_looked_up_is_enough_to_say_so(audit: ModuleType) -> None:
    code, lines = audit.verdict(WANTED, said(celery=[], redis="Dependency not found"))
    assert (code, lines[0]) == (3, "NOT LOOKED UP: 1 of 2 packages (redis, ...)")


def test_what_is_installed_is_what_the_lock_pins(audit: ModuleType) -> None:
    pins = audit.pinned(text(ROOT / "requirements.lock"))
    assert len(pins) > 40
    here = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in distributions()}
    assert {"celery", "psycopg", "pydantic"} <= here.keys()
    pinned = (here.keys() & pins.keys()) - {"pip", "setuptools", "wheel"}  # which make the environment
    assert {name: (here[name], pins[name]) for name in pinned if here[name] != pins[name]} == {}
