"""What docs show can be typed: every example on the command line's pages is a command with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from sfsync.cli import root

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = [page for page in (DOCS / "commands.md", DOCS / "operating.md") if page.exists()]


def examples() -> list[str]:
    """Return the words of each ``$ sfsync ...`` line of the pages, without what the shell does with them."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    typed = [line[2:].split(" > ")[0].split(" | ")[0] for line in lines if line.startswith("$ sfsync ")]
    assert typed
    return sorted(set(typed))


def leaves() -> list[str]:
    """Return every command that is no group, as it is typed."""

    def walk(words: str, command: click.Command, context: click.Context) -> list[str]:
        if not isinstance(command, click.Group):
            return [words]
        inner = click.Context(command, info_name=words, parent=context)
        found = [(name, command.get_command(inner, name)) for name in command.list_commands(inner)]
        return [leaf for name, sub in found if sub for leaf in walk(f"{words} {name}", sub, inner)]

    return walk("sfsync", root, click.Context(root))


@pytest.mark.parametrize("typed", examples())
def test_an_example_of_the_docs_can_be_typed(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    for name in ("acme", "hub"):
        (tmp_path / f"keys/{name}.key").touch()  # what `sfsync org key` leaves
    words = shlex.split(typed, comments=True)[1:]
    command: click.Command = root
    context = click.Context(root, info_name="sfsync")
    while isinstance(command, click.Group):
        name, *words = command.make_parser(context).parse_args(words)[1]
        found = command.get_command(context, name)
        assert found is not None, f"{name} is no command"
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.parse_args(context, words)


def test_every_command_has_a_section_of_its_own() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### `(sfsync [^`]+)`$", text, re.MULTILINE)
    assert sorted(sections) == sorted(leaves())


def test_every_command_that_an_advice_names_exists() -> None:
    root_dir = DOCS.parent
    known = {tuple(leaf.split()[1:]) for leaf in leaves()}
    groups = {words[0] for words in known if len(words) == 2}
    named = {
        (file.relative_to(root_dir), match[1], match[2])
        for file in (*(root_dir / "sfsync").rglob("*.py"), *DOCS.rglob("*.md"), root_dir / "Makefile")
        for match in re.finditer(r"(?:[:`,>]\s?|/)sfsync ([a-z-]+) ([a-z-]+)", file.read_text(encoding="utf-8"))
        if match[1] in groups
    }
    assert named
    assert [(str(file), group, word) for file, group, word in sorted(named) if (group, word) not in known] == []
