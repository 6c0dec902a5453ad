"""The project's own tree, as the house rules see it: files, modules, imports, definitions.

May not know any rule. It keeps one law: what git would track counts, so a new file is judged before it is added.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("sfsync", "tasks", "mappings")


@cache
def files() -> tuple[Path, ...]:
    """Return every file that is tracked or would be, relative to the root, sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:  # an unpacked source archive has no git
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not _ignored(path.relative_to(ROOT))]
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def _ignored(path: Path) -> bool:
    return any(
        (part.startswith(".") and part != ".ci") or part in {"__pycache__", "build", "dist"} for part in path.parts
    )


def text(path: Path) -> str:
    """Return the text of a file of the tree; bytes that are no UTF-8 are replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Module:
    """One Python file: where it is, what it is called when imported, and its syntax tree."""

    path: Path
    name: str
    tree: ast.Module

    def __str__(self) -> str:
        return str(self.path)


@cache
def modules() -> tuple[Module, ...]:
    """Return the modules of the product: sfsync, tasks, mappings and celeryconfig."""
    return tuple(m for m in _parsed() if m.path.parts[0] in CODE or m.path.name == "celeryconfig.py")


@cache
def modules_of_tests() -> tuple[Module, ...]:
    """Return every Python file under tests."""
    return tuple(m for m in _parsed() if m.path.parts[0] == "tests")


@cache
def _parsed() -> tuple[Module, ...]:
    return tuple(
        Module(path, _dotted(path), ast.parse(text(path), str(path))) for path in files() if path.suffix == ".py"
    )


def _dotted(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Yield (dotted name, line) of everything a module imports, wherever in the file it does so.

    ``from a import b`` yields ``a.b``: whether b is a module or a name in one does not matter to a rule about rooms.
    """
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def definitions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield (name, line) of every name that a module itself brings into the world."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if dotted(node.value) in ("self", "cls"):  # what is set on somebody else's object has their name
                yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def words(name: str) -> list[str]:
    """Split an identifier into its lower-case words, by underscores and by capitals."""
    return [w.lower() for part in name.split("_") for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", part)]


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of attributes on a name, and an empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""
