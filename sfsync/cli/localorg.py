"""``sfsync localorg``: a Salesforce org in a box, for a first try, tests and benchmarks.

May not know what the org models. It keeps one law: once the line is printed, the org answers.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from sfsync.cli.output import as_json, emit, talk
from sfsync.cli.rooms import Mistyped, settings


@click.group()
def localorg() -> None:
    """A Salesforce org in a box, on loopback."""


@localorg.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 takes a free one.")
@click.option("--http", is_flag=True, help="Plain http, for clients that want it.")
@click.option("--org", "orgs", multiple=True, help="Name of an org; may be given several times.  [default: acme]")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where certificates and keys are kept."
)
@click.option("--control", is_flag=True, help="Open the control face /_local/: faults, clock, journal, reset.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same ids.")
@click.option("--in-files", is_flag=True, help="Keep rows in files of the data directory, for very large orgs.")
@as_json
def up(
    port: int,
    http: bool,
    orgs: tuple[str, ...],
    data_dir: Path | None,
    control: bool,
    seed: int,
    in_files: bool,
    as_json: bool,
) -> None:
    """Serve one or more fresh orgs until interrupted; prints one line with what a client needs to log in."""
    try:
        from sfsync.localorg.server import prepare, serve
    except ImportError as missing:
        raise Mistyped(
            f"the local org needs packages that are not installed ({missing.name}): sfsync[localorg]"
        ) from None
    names = orgs or ("acme",)
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise Mistyped(f"{name!r} cannot be an org's name: small letters, digits and hyphens, as in a host name")
    folder = data_dir or settings().data_dir / "localorg"
    folder.mkdir(parents=True, exist_ok=True)
    started = prepare(folder, orgs=list(dict.fromkeys(names)), control=control, seed=seed, in_files=in_files)

    def announce(line: str) -> None:
        told = json.loads(line)
        if as_json or not sys.stdout.isatty():
            emit(told)
        else:
            for key, value in told.items():
                if key != "orgs":
                    click.echo(f"{key:<22}{value}")
            talk("serving; stop with Ctrl-C")
        sys.stdout.flush()

    try:
        serve(started, port=port, http=http, announce=announce)
    except OSError as taken:
        raise Mistyped(f"port {port} cannot be used: {taken.strerror}") from None


@localorg.command()
@click.option(
    "--into", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file; default: print it."
)
def coverage(into: Path | None) -> None:
    """Print the page of what the local org models and what it refuses, made from its own tables."""
    from sfsync.localorg.coverage import page

    if into is None:
        click.echo(page(), nl=False)
    else:
        into.write_text(page(), encoding="utf-8")
        talk(f"wrote {into}")
