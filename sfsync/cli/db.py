"""``sfsync db``: the store's schema. Nothing is migrated unless somebody says so.

May not know what is stored. It keeps one law: looking changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import click

from sfsync.cli.output import as_json, emit, finish, talk
from sfsync.cli.rooms import store
from sfsync.errors import Exit


@click.group()
def db() -> None:
    """Bring the store to the newest schema, or tell where it is."""


@db.command()
@as_json
def upgrade(as_json: bool) -> None:
    """Bring the store to the newest schema; safe at any time and by several at once."""
    from sfsync.store.reads import Reads

    with store() as opened:
        before, _ = Reads(opened).schema()
        after = opened.upgrade()
    if as_json:
        emit({"before": before, "schema": after, "changed": before != after})
    else:
        talk(f"the store is at schema {after}" + ("" if before == after else f", it was {before or 'empty'}"))


@db.command()
@as_json
def current(as_json: bool) -> None:
    """Tell which schema the store is at, and which this sfsync needs."""
    from sfsync.store.reads import Reads

    with store() as opened:
        at, head = Reads(opened).schema()
        server = opened.server()
    if as_json:
        emit({"schema": at, "needed": head, "server": server})
    else:
        click.echo(f"schema {at or 'empty'}, needed {head}, PostgreSQL {server}")


@db.command()
@as_json
def check(as_json: bool) -> None:
    """Check that the store's schema is the one this sfsync needs, table by table."""
    with store() as opened:
        problems = opened.check()
    if as_json:
        emit({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        talk(f"{len(problems)} problem(s)" if problems else "nothing wrong")
    finish(Exit.CHECK_FAILED if problems else Exit.OK)


as_user = click.option("--url", envvar="SFSYNC_BACKUP_URL", help="The store's URL for a user who sees every client.")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_user
@as_json
def backup(file: Path, url: str | None, as_json: bool) -> None:
    """Write the whole store into FILE; workers may go on."""
    from sfsync.store.backup import backup as write
    from sfsync.store.backup import url_of
    from sfsync.store.reads import Reads

    with store(url) as opened:
        schema, _ = Reads(opened).schema()
        size = write(url_of(opened), file)
    if as_json:
        emit({"file": str(file), "bytes": size, "schema": schema})
    else:
        talk(f"wrote {file}: {size} bytes, schema {schema}; it holds the client's texts, keep it as such")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what the store holds.")
@as_user
@as_json
def restore(file: Path, replace: bool, url: str | None, as_json: bool) -> None:
    """Bring the store to what FILE holds, whole or not at all; stop workers first."""
    from sfsync.store.backup import restore as read
    from sfsync.store.backup import url_of
    from sfsync.store.reads import Reads

    with store(url) as opened:
        read(opened, url_of(opened), file, replace=replace)
        problems = opened.check()
        schema, _ = Reads(opened).schema()
    if as_json:
        emit({"file": str(file), "schema": schema, "problems": problems})
    else:
        talk(f"the store is as {file} holds it, at schema {schema}")
        for problem in problems:
            click.echo(problem)
        talk("read what happened since: sfsync sync --all")
    finish(Exit.CHECK_FAILED if problems else Exit.OK)
