"""The pages of rules point at tests that exist: a rule without a test is a wish."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

from sfsync.policy import Policy
from tests.house.tree import definitions, files, modules_of_tests, text

NAMED = re.compile(r"\btest_[a-z0-9_]+(?:\.py|\*)?")


def pages() -> list[str]:
    return [text(path) for path in files() if str(path).startswith("docs/rules") and path.suffix == ".md"]


def ids_of(words: str) -> set[str]:
    """Return the rule ids in a text; ``SLA-T1..T6`` and ``PK-2..PK-5`` name all in between."""
    found = set()
    for name, first, last in re.findall(r"\b([A-Z]{1,3}-T?)(\d+[a-d]?)(?:\.\.(?:[A-Z]{2,3}-)?T?(\d+))?", words):
        found |= {f"{name}{n}" for n in range(int(first), int(last) + 1)} if last else {f"{name}{first}"}
    return found


def test_every_rule_that_a_worked_case_names_is_on_a_page() -> None:
    told = set().union(*(ids_of(page) for page in pages()))
    named = {
        rule
        for path in files()
        if path.match("tests/vectors/*.json")
        for case in json.loads(text(path))["vectors"]
        for rule in ids_of(" ".join(case["rules"]))
    }
    assert named > {"CAL-1", "WK-7"}
    # EXT-1 is what the cases call the one extension of PK-8 and PK-9.
    assert sorted(named - told - {"EXT-1"}) == []


def test_every_key_of_the_policy_is_read_by_the_code_and_named_on_a_page() -> None:
    code = "\n".join(text(path) for path in files() if path.match("sfsync/**/*.py") and path.name != "policy.py")
    told = "\n".join(pages())
    keys = Policy.model_fields
    assert [key for key in keys if not re.search(rf"\.{key}\b", code)] == []
    assert [key for key in keys if f"`{key}" not in told] == []


def test_every_test_named_on_a_page_of_rules_exists() -> None:
    known = {name for module in modules_of_tests() for name, _ in definitions(module)}
    known |= {f"{module.path.name}" for module in modules_of_tests()}
    named = {name for page in pages() for name in NAMED.findall(page)}
    assert sorted(name for name in named if not any(fnmatchcase(one, name) for one in known)) == []
    assert named
