"""The command line: one module a noun, loaded only when it is used.

May know every room. It keeps one law: data on stdout, talk on stderr, and an exit code from one table.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from sfsync import __version__
from sfsync.errors import EXIT_CODES, Exit, SfsyncError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("sfsync.cli.demo:demo", "Watch sfsync do its job with real parts."),
    "status": ("sfsync.cli.status:status", "One line an org: balance, next run, what is at risk."),
    "plan": ("sfsync.cli.sync:plan", "Show what a sync would do, and stop."),
    "sync": ("sfsync.cli.sync:sync", "Bring orgs and store to agree."),
    "org": ("sfsync.cli.org:org", "Connect orgs, test, pause and resume them."),
    "metadata": ("sfsync.cli.metadata:metadata", "Objects and fields that an org needs: generate, check, deploy."),
    "mapping": ("sfsync.cli.mapping:mapping", "Who owns a field, under which names."),
    "packs": ("sfsync.cli.packs:packs", "Prepaid packs: buy, extend, quote, ledger."),
    "cases": ("sfsync.cli.cases:cases", "Cases and what the rules say of them."),
    "sla": ("sfsync.cli.sla:sla", "Due times, why they are due, and what other rules would have said."),
    "summary": ("sfsync.cli.summary:summary", "Weekly summaries as issued."),
    "quarantine": ("sfsync.cli.quarantine:quarantine", "Records that an org refused."),
    "conflicts": ("sfsync.cli.quarantine:conflicts", "Values that lost against another edit."),
    "runs": ("sfsync.cli.runs:runs", "What past runs did."),
    "ledger": ("sfsync.cli.ledger:ledger", "The append-only ledger and its proof."),
    "config": ("sfsync.cli.config:config", "The settings in force and where they come from."),
    "db": ("sfsync.cli.db:db", "The store's schema."),
    "worker": ("sfsync.cli.work:worker", "Run a Celery worker."),
    "beat": ("sfsync.cli.work:beat", "Run the heartbeat that asks what is due."),
    "localorg": ("sfsync.cli.localorg:localorg", "A Salesforce org in a box."),
    "exit-codes": ("sfsync.cli.meta:exit_codes", "What each exit code means."),
}


class Lazy(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that exist."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command called ``cmd_name``, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sfsync")
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file; default: sfsync.toml here.")
@click.pass_context
def root(ctx: click.Context, config: str | None) -> None:
    """Mirror prepaid maintenance work between Salesforce orgs and a local store."""
    ctx.obj = config


def main() -> None:
    """Run the command line; an error of ours is one sentence on stderr and an exit code from the table."""
    try:
        root.main(standalone_mode=False)
    except click.ClickException as bad:
        bad.show()
        sys.exit(bad.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(EXIT_CODES[Exit.INTERRUPTED][0])
    except SfsyncError as bad:
        click.echo(f"sfsync: {bad}", err=True)
        advice = getattr(bad, "advice", "")
        if advice:
            click.echo(f"  -> {advice}", err=True)
        sys.exit(EXIT_CODES[bad.exit][0])
    except BrokenPipeError:
        sys.exit(0)
