"""What every file of the tree owes: a docstring, a bearable length, no trace of one machine, a true lock file."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from tests.house.tree import ROOT, Module, files, modules, modules_of_tests, text

LONGEST_MODULE = 700  # lines; architecture.md section 7: what to leave of sqlite-utils

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp|opt)/")
# Written in two pieces, so that this file does not name what it forbids.
INDEX_HOST = re.compile("py" + r"pi\.org|python" + r"hosted\.org|test\.py" + r"pi|registry\.np" + "mjs")


def project() -> dict[str, object]:
    return dict(tomllib.loads(text(ROOT / "pyproject.toml"))["project"])


def direct_dependencies() -> set[str]:
    """Return the normalised name of everything pyproject.toml asks for, extras included."""
    asked = list(project()["dependencies"])  # type: ignore[call-overload]
    for extra in project()["optional-dependencies"].values():  # type: ignore[attr-defined]
        asked += extra
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in asked}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    """Return name: whole requirement, of the lock file."""
    joined = text(ROOT / "requirements.lock").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return {normal(line.split("==")[0].strip()): line for line in lines}


@pytest.mark.parametrize("module", [*modules(), *modules_of_tests()], ids=str)
def test_a_module_opens_with_what_it_is_for(module: Module) -> None:
    if not module.tree.body:
        return  # an empty __init__.py marks a package and holds nothing
    docstring = ast.get_docstring(module.tree)
    assert docstring, f"{module} has no opening docstring"


def test_no_module_is_longer_than_one_can_read() -> None:
    written = (m for m in (*modules(), *modules_of_tests()) if "migrations/versions" not in str(m))  # those are made
    lengths = {str(m): len(text(m.path).splitlines()) for m in written}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    wrong = []
    for path in files():
        if path.name in {"test_files.py", "LICENSE"}:
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            if MACHINE_PATH.search(line):
                wrong.append(f"{path}:{number}: {line.strip()[:80]}")
    assert wrong == []


def test_no_tracked_file_names_a_package_index() -> None:
    wrong = [f"{path}" for path in files() if INDEX_HOST.search(text(path))]
    assert wrong == []


def test_the_lock_pins_every_package_with_hashes_and_names_no_host() -> None:
    assert "://" not in text(ROOT / "requirements.lock")
    for name, line in locked().items():
        assert re.match(r"^[A-Za-z0-9_.-]+(\[[a-z,]+\])?==\S+", line), f"{name} is not pinned"
        assert "--hash=sha256:" in line, f"{name} has no hash"
        assert re.findall(r"--(?!hash)[a-z-]+", line) == [], f"{name} carries an option"


def test_the_lock_holds_everything_the_project_asks_for() -> None:
    assert direct_dependencies() - locked().keys() == set(), "run: make lock"


def test_every_direct_dependency_has_a_decision() -> None:
    decided = normal(" ".join(text(path) for path in files() if path.parts[:2] == ("docs", "decisions")))
    named = set(re.findall(r"[a-z0-9][a-z0-9-]*[a-z0-9]", decided))
    assert sorted(direct_dependencies() - named) == [], "say in docs/decisions why each of these and not another"


def test_continuous_integration_runs_what_a_person_types() -> None:
    assert "make --no-print-directory test" in text(ROOT / ".ci/run")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_every_make_target_says_what_it_does() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", text(ROOT / "Makefile"), re.MULTILINE)
    assert targets
    assert [name for name, rest in targets if "##" not in rest] == []
