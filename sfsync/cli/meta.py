"""Commands about the command line itself.

May not know any room. It keeps one law: what it prints is made from the same tables the commands use.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sfsync.cli.output import as_json, show
from sfsync.errors import EXIT_CODES


@click.command("exit-codes")
@as_json
def exit_codes(as_json: bool) -> None:
    """Say what each exit code means."""
    codes = [{"code": number, "name": name.value, "meaning": text} for name, (number, text) in EXIT_CODES.items()]
    show(as_json, {"exit_codes": codes}, ("Code", "Meaning"), [(c["code"], c["meaning"]) for c in codes])


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; put it where the shell looks for one."""
    from sfsync.cli import root

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(root, {}, "sfsync", "_SFSYNC_COMPLETE").source())
