"""The words of the house: identifiers and docs say what docs/glossary.md says.

Only names that we bring into the world are judged; what Salesforce and SQL call their own things is theirs.
An exception is a line in ALLOWED with its reason.
"""

from __future__ import annotations

import re

from tests.house.tree import definitions, files, modules, modules_of_tests, text, words

FORBIDDEN = {
    "tenant": "client",
    "tenants": "clients",
    "connector": "org",
    "entity": "record",
    "entities": "records",
    "watermark": "bookmark",
    "cursor": "bookmark",
    "mock": "the local org",
    "mocks": "the local org",
    "mocked": "the local org",
    "sandbox": "local org",
    "timesheet": "time entry",
    "violation": "breach",
    "violations": "breaches",
    "utils": "what it holds",
    "util": "what it does",
    "helper": "what it does",
    "helpers": "what they do",
    "manager": "what it does",
    "handler": "what it does",
    "handlers": "what they do",
}
# Words that are wrong in a sentence too, whatever it is about.
FORBIDDEN_IN_PROSE = (
    "tenant",
    "tenants",
    "connector",
    "watermark",
    "dead letter",
    "dead letters",
    "timesheet",
    "timesheets",
)

# (start of path, word): why the word is right there
ALLOWED: dict[tuple[str, str], str] = {
    ("sfsync/store/", "cursor"): "psycopg and the DB-API call it so",
    ("tests/contract/store/", "cursor"): "psycopg and the DB-API call it so",
    ("sfsync/localorg/", "entity"): "Salesforce's own metadata object is EntityDefinition",
    ("sfsync/localorg/", "entities"): "Salesforce's own metadata object is EntityDefinition",
    ("sfsync/localorg/", "sandbox"): "the real kind of org: Organization.IsSandbox",
    ("sfsync/org/", "sandbox"): "the real kind of org: Organization.IsSandbox",
    ("sfsync/localorg/", "cursor"): "Salesforce calls a query's place in its results a cursor",
    ("tests/contract/localorg", "cursor"): "Salesforce calls a query's place in its results a cursor",
    ("tests/contract/localorg", "sandbox"): "the real kind of org: Organization.IsSandbox",
    ("sfsync/localorg/", "manager"): "User.ManagerId is a standard field",
}
PROSE_MAY_NAME_THEM = ("docs/glossary.md", "tests/house/")


def allowed(path: str, word: str) -> bool:
    """Return whether a word is excused in a file."""
    return any(path.startswith(start) and word == excused for start, excused in ALLOWED)


def test_names_in_code_use_the_words_of_the_glossary() -> None:
    wrong = []
    for module in (*modules(), *modules_of_tests()):
        if module.path.parts[:2] == ("tests", "house"):
            continue
        for name, line in definitions(module):
            found = [word for word in words(name) if word in FORBIDDEN and not allowed(str(module), word)]
            wrong += [f"{module}:{line}: {name} (say: {FORBIDDEN[word]})" for word in found]
    assert sorted(set(wrong)) == []


def modules_of_tests_and_files_are_named_for_what_they_hold() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handlers"}
    wrong = [str(path) for path in files() if set(words(path.stem)) & empty]
    assert wrong == []


def test_no_class_is_a_service() -> None:
    wrong = [
        f"{module}:{line}: {name}"
        for module in (*modules(), *modules_of_tests())
        for name, line in definitions(module)
        if name != "Service" and name.endswith("Service")
    ]
    assert wrong == []


def test_prose_uses_the_words_of_the_glossary() -> None:
    pattern = re.compile(r"\b(" + "|".join(FORBIDDEN_IN_PROSE) + r")\b", re.IGNORECASE)
    wrong = []
    for path in files():
        if path.suffix not in {".md", ".py", ".yaml", ".toml"} or str(path).startswith(PROSE_MAY_NAME_THEM):
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            wrong += [f"{path}:{number}: {hit}" for hit in pattern.findall(line) if not allowed(str(path), hit.lower())]
    assert wrong == []
