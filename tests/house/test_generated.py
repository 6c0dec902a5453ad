"""Generated files are current: what is committed is what the generator would write today.

A generator is named here with the file it writes. One that is not built yet is no excuse once its file
exists: a committed file without its generator fails.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.house.tree import ROOT, files


def editor_schema() -> dict[str, str]:
    schema = call("sfsync.mapping", "editor_schema")
    return {"mappings/mapping.schema.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"}


def field_docs() -> dict[str, str]:
    return {"docs/fields.md": call("sfsync.metadata", "field_docs")}


def salesforce_source() -> dict[str, str]:
    """Return every file below mappings/salesforce, by its path from the root."""
    tree: Mapping[str, str] = call("sfsync.metadata", "source_files")
    return {f"mappings/salesforce/{name}": content for name, content in tree.items()}


def coverage() -> dict[str, str]:
    return {"docs/localorg.md": call("sfsync.localorg.coverage", "page")}


GENERATORS: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "mappings/mapping.schema.json": (editor_schema, "sfsync metadata generate"),
    "docs/fields.md": (field_docs, "sfsync metadata generate"),
    "mappings/salesforce/": (salesforce_source, "sfsync metadata generate"),
    "docs/localorg.md": (coverage, "sfsync localorg coverage"),
}


def call(module: str, function: str) -> Any:
    """Return what a generator returns; LookupError when it is not built."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    made = getattr(importlib.import_module(module), function, None) if found else None
    if made is None:
        raise LookupError(f"{module}.{function}")
    return made()


@pytest.mark.parametrize("target", sorted(GENERATORS))
def test_a_generated_file_is_what_its_generator_writes_today(target: str) -> None:
    generate, command = GENERATORS[target]
    committed = {str(p): (ROOT / p).read_text("utf-8") for p in files() if str(p).startswith(target)}
    try:
        written = generate()
    except LookupError:
        written = {}
    stale = sorted(n for n in committed.keys() | written.keys() if committed.get(n) != written.get(n))
    assert stale == [], f"run: {command}"


def test_a_generator_writes_the_same_bytes_twice() -> None:
    for generate, _ in GENERATORS.values():
        try:
            first, second = generate(), generate()
        except LookupError:
            continue
        assert first == second


def test_the_root_is_the_project() -> None:
    assert (Path(ROOT) / "pyproject.toml").is_file()
