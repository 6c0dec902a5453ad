"""The command line: one module a noun, loaded only when it is used.

May know every room. It keeps one law: data on stdout, talk on stderr, and an exit code from one table.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

import click

from sfsync import __version__
from sfsync.errors import EXIT_CODES, Exit, SfsyncError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("sfsync.cli.demo:demo", "Watch sfsync do its job with real parts."),
    "init": ("sfsync.cli.init:init", "Write a settings file and bring a store to the newest schema."),
    "doctor": ("sfsync.cli.doctor:doctor", "Every precondition, each with the command that mends it."),
    "status": ("sfsync.cli.status:status", "One line an org: balance, last and next sync, what is at risk."),
    "plan": ("sfsync.cli.sync:plan", "Show what a sync would do, and stop."),
    "sync": ("sfsync.cli.sync:sync", "Bring orgs and store to agree."),
    "org": ("sfsync.cli.orgs:org", "Connect orgs, test, pause and resume them."),
    "packs": ("sfsync.cli.packs:packs", "Prepaid packs: buy, extend, quote, ledger."),
    "cases": ("sfsync.cli.cases:cases", "Cases and what the rules say of them."),
    "estimates": ("sfsync.cli.estimates:estimates", "Estimates between author and client."),
    "time": ("sfsync.cli.worked:time", "Work that was logged, and what became of it."),
    "sla": ("sfsync.cli.sla:sla", "Due times, why they are due, and what came in time."),
    "calendar": ("sfsync.cli.calendar:calendar", "Holidays as published, and what a newer list would change."),
    "summary": ("sfsync.cli.summary:summary", "Weekly summaries as issued."),
    "audit": ("sfsync.cli.audit:audit", "Proof that an org and the store are equal."),
    "quarantine": ("sfsync.cli.quarantine:quarantine", "Records that an org refused."),
    "conflicts": ("sfsync.cli.quarantine:conflicts", "Values that lost against another edit."),
    "runs": ("sfsync.cli.runs:runs", "What past runs did."),
    "ledger": ("sfsync.cli.ledger:ledger", "The append-only ledger and its proof."),
    "metadata": ("sfsync.cli.metadata:metadata", "Objects and fields that an org needs: generate, check, deploy."),
    "mapping": ("sfsync.cli.mapping:mapping", "Who owns a field, under which names."),
    "config": ("sfsync.cli.config:config", "The settings in force and where they come from."),
    "db": ("sfsync.cli.db:db", "The store's schema."),
    "worker": ("sfsync.cli.work:worker", "Run a Celery worker."),
    "beat": ("sfsync.cli.work:beat", "Run the heartbeat that asks what is due."),
    "serve": ("sfsync.cli.serve:serve", "Health, readiness, status and metrics over HTTP."),
    "localorg": ("sfsync.cli.localorg:localorg", "A Salesforce org in a box."),
    "completion": ("sfsync.cli.meta:completion", "Print the completion script of a shell."),
    "exit-codes": ("sfsync.cli.meta:exit_codes", "What each exit code means."),
}
"""Command to where it lives and what it is for. A command stands here once it works, never before."""


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; one that does not exist is answered with the nearest that does."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sfsync")
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file; default: sfsync.toml here.")
@click.option("-q", "--quiet", is_flag=True, help="Data and errors only, no talk.")
@click.option("-v", "--verbose", is_flag=True, help="Log what is going on to stderr.")
@click.option("--traceback", is_flag=True, help="Show where in the code an unexpected error came from.")
@click.pass_context
def root(ctx: click.Context, config: str | None, quiet: bool, verbose: bool, traceback: bool) -> None:
    """Mirror prepaid maintenance work between Salesforce orgs and a local store."""
    ctx.obj = config
    ctx.meta["sfsync.quiet"] = quiet
    if verbose:
        from sfsync.logs import configure

        configure("INFO")


def main() -> None:
    """Run the command line; an error of ours is one sentence on stderr and an exit code from the table."""
    try:
        ended = root.main(prog_name="sfsync", standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except click.ClickException as bad:
        bad.show()
        sys.exit(bad.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(EXIT_CODES[Exit.INTERRUPTED][0])
    except SfsyncError as bad:
        say(bad)
        sys.exit(EXIT_CODES[bad.exit][0])
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; the interpreter would complain while closing
        sys.exit(0)
    except Exception as bug:
        if "--traceback" in sys.argv[1:]:
            raise
        # A traceback shows values of a client's records, so it is shown on request only.
        click.echo(f"sfsync: unexpected {type(bug).__name__}: {bug}", err=True)
        click.echo("  -> this is a bug of sfsync; sfsync --traceback ... shows where", err=True)
        sys.exit(EXIT_CODES[Exit.UNEXPECTED][0])


def say(bad: SfsyncError) -> None:
    """Write one error for a person: its sentence and, where there is one, what to do."""
    click.echo(f"sfsync: {bad}", err=True)
    advice = getattr(bad, "advice", "")
    if advice:
        click.echo(f"  -> {advice}", err=True)
