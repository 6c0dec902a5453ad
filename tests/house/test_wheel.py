"""The wheel holds what an installation needs, and nothing of the house."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without reaching for anything."""
    into = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; hatchling.build.build_wheel({str(into)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    [built] = into.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_mapping_and_generated_source(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path) for path in files() if path.parts[0] in ("sfsync", "tasks", "mappings")} | {"celeryconfig.py"}
    assert wanted - inside == set()


def test_the_wheel_holds_no_tests_docs_or_tools(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sfsync", "tasks", "mappings", "celeryconfig.py"}


def test_the_wheel_brings_the_command_and_the_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = {name.split("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
    assert b"sfsync = sfsync.cli:main" in archive.read(names["entry_points.txt"])
    assert "licenses/LICENSE" in names


def test_the_wheel_is_the_same_bytes_when_built_again(wheel: Path, tmp_path: Path) -> None:
    build = f"import hatchling.build; hatchling.build.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    [again] = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()
