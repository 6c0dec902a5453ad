"""Commands about the command line itself."""

from __future__ import annotations

import click

from sfsync.cli.output import table
from sfsync.errors import EXIT_CODES


@click.command()
def exit_codes() -> None:
    """Say what each exit code means."""
    table(("Code", "Meaning"), EXIT_CODES.values())
