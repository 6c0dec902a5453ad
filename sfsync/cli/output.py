"""How results are shown: a table for a person, tab-separated text for a pipe, JSON for a program.

May not know what is shown. It keeps one law: off a terminal nothing is cut and nothing is coloured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import click

from sfsync.errors import EXIT_CODES, Exit

SCHEMA_VERSION = 1

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
yes = click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can answer.")


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it; minutes stay integers, money is text, instants end in Z."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value


def emit(data: Mapping[str, Any]) -> None:
    """Print ``data`` as one JSON object with its schema version."""
    click.echo(encode(data))


def encode(data: Mapping[str, Any]) -> str:
    """Return ``data`` as one JSON object with its schema version."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **plain(data)}, ensure_ascii=False)


def show(
    as_json: bool,
    data: Mapping[str, Any],
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    drop: Sequence[str] = (),
) -> None:
    """Print ``data`` as JSON if asked, else ``rows`` as a table."""
    if as_json:
        emit(data)
    else:
        table(columns, rows, drop)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], drop: Sequence[str] = (), *, heading: bool = True
) -> None:
    """Print a table on a terminal and tab-separated lines elsewhere; without ``heading`` it goes on with one.

    On a terminal empty columns are left out, and those named in ``drop``, first to last, until the rest fits: an id
    that is cut cannot be given back as an argument.
    """
    if not sys.stdout.isatty():
        for line in [list(columns)] * heading + [[cell_text(cell) for cell in row] for row in rows]:
            click.echo("\t".join(" ".join(cell.split()) if "\n" in cell or "\t" in cell else cell for cell in line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = [[short_text(cell) for cell in row] for row in rows]
    kept = fitting(columns, shown, drop, console.width)
    grid = Table(box=None, header_style="bold", pad_edge=False, show_header=heading)
    for place in kept:
        grid.add_column(columns[place], overflow="fold")
    for row in shown:
        grid.add_row(*(Text(row[place]) for place in kept))  # as text: a subject in [brackets] is no markup
    console.print(grid)


def fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str], width: int) -> list[int]:
    """Return the places of the columns that are shown in ``width`` characters, in order."""
    widths = [max([len(name), *(len(row[place]) for row in rows)]) for place, name in enumerate(columns)]
    kept = [place for place in range(len(columns)) if not rows or any(row[place] for row in rows)]
    for name in drop:
        if sum(widths[place] + 1 for place in kept) - 1 <= width:
            break
        kept = [place for place in kept if columns[place] != name]
    return kept


def short_text(value: Any) -> str:
    """Return one cell for a person: an instant without its seconds."""
    return value.strftime("%Y-%m-%d %H:%MZ") if isinstance(value, datetime) else cell_text(value)


def pairs(values: Mapping[str, Any], width: int = 18) -> None:
    """Print names and values, one a line; what is empty is left out."""
    for name, value in values.items():
        text = cell_text(value)
        if text:
            click.echo(f"{name:<{width}}{text}")


def cell_text(value: Any) -> str:
    """Return one cell; a list is joined by commas, nothing is an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(cell_text(part) for part in value)
    return str(plain(value))


def talk(line: str) -> None:
    """Say something to the person; never part of the data, and nothing under ``--quiet``."""
    context = click.get_current_context(silent=True)
    if context is None or not context.meta.get("sfsync.quiet"):
        click.echo(line, err=True)


def agree(question: str, yes: bool) -> None:
    """Return if the person agrees; raise click.UsageError where nobody can be asked, click.Abort on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: say --yes.")
    click.confirm(question, abort=True, err=True)


def hours(minutes: int | None) -> str:
    """Return minutes as hours with two places, for people; empty for None."""
    if minutes is None:
        return ""
    return str((Decimal(minutes) / 60).quantize(Decimal("0.01")))


def clock(minutes: int | None) -> str:
    """Return minutes as ``h:mm`` with its sign, for people; empty for None."""
    if minutes is None:
        return ""
    return f"{'-' if minutes < 0 else ''}{abs(minutes) // 60}:{abs(minutes) % 60:02d}"


def finish(code: Exit) -> None:
    """End the process with the code of ``code`` if it is not OK."""
    number = EXIT_CODES[code][0]
    if number:
        sys.exit(number)
