"""Every command helps the person who types it, and every command stands in the docs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from tests.house.tree import files, text


def commands() -> Iterator[tuple[str, Any]]:
    """Yield (path of words, click command) of the whole tree, groups included, lazily loaded ones too."""
    if importlib.util.find_spec("sfsync.cli") is None:
        return
    import click

    from sfsync.cli import main

    def walk(name: str, command: Any, context: click.Context) -> Iterator[tuple[str, Any]]:
        yield name, command
        if isinstance(command, click.Group):
            inner = click.Context(command, info_name=name, parent=context)
            for sub in command.list_commands(inner):
                found = command.get_command(inner, sub)
                assert found is not None, f"{name} lists {sub} and does not have it"
                if not found.hidden:
                    yield from walk(f"{name} {sub}", found, inner)

    root: Any = main
    if not isinstance(root, click.Command):
        from sfsync.cli import root  # type: ignore[no-redef]
    yield from walk("sfsync", root, click.Context(root))


def test_every_command_has_a_help_text() -> None:
    assert [name for name, command in commands() if not (command.help or "").strip()] == []


def test_every_option_has_a_help_text() -> None:
    import click

    silent = [
        f"{name} {option.opts[-1]}"
        for name, command in commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden and not (option.help or "").strip()
    ]
    assert silent == []


def test_every_command_is_documented() -> None:
    docs = " ".join(
        " ".join(text(path).split())
        for path in files()
        if path.suffix == ".md" and (path.parts[0] == "docs" or path.name == "README.md")
    )
    import click

    leaves = [name for name, command in commands() if not isinstance(command, click.Group)]
    assert [name for name in leaves if name not in docs] == [], "name it in README.md or docs/operating.md"
