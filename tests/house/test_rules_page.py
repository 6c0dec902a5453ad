"""The pages of rules point at tests that exist: a rule without a test is a wish."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from tests.house.tree import definitions, files, modules_of_tests, text

NAMED = re.compile(r"\btest_[a-z0-9_]+(?:\.py|\*)?")


def pages() -> list[str]:
    return [text(path) for path in files() if str(path).startswith("docs/rules") and path.suffix == ".md"]


def test_every_test_named_on_a_page_of_rules_exists() -> None:
    known = {name for module in modules_of_tests() for name, _ in definitions(module)}
    known |= {f"{module.path.name}" for module in modules_of_tests()}
    named = {name for page in pages() for name in NAMED.findall(page)}
    assert sorted(name for name in named if not any(fnmatchcase(one, name) for one in known)) == []
    assert named
