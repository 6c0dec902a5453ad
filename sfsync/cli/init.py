"""``sfsync init``: a settings file and a store, so that a first org can be connected.

May not overwrite anything. It keeps one law: the file is written after the store has answered.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from sfsync.cli.output import as_json, emit, talk
from sfsync.cli.rooms import Mistyped, settings, settings_path

HEAD = "# Where things are. Secrets are not written here: SFSYNC_ORGS__NAME__CLIENT_SECRET and its like.\n"


@click.command()
@click.option("--store", help="URL of a PostgreSQL database; default: an embedded server, for a first look.")
@click.option("--broker", help="URL of a Redis or Valkey; default: redis://localhost:6379/0.")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where tokens and an embedded store are kept.")
@as_json
def init(store: str | None, broker: str | None, data_dir: str | None, as_json: bool) -> None:
    """Bring a store to the newest schema and write sfsync.toml beside a directory for clients."""
    from sfsync.store.embedded import EmbeddedPostgres
    from sfsync.store.store import Store

    path = settings_path()
    if path.exists():
        raise Mistyped(f"{path} is there already; nothing was changed")
    home = Path(data_dir).expanduser().resolve() if data_dir else settings().data_dir
    server = EmbeddedPostgres(home).open() if store is None else None
    try:
        opened = Store(server.url if server else store or "")
        try:
            schema, version = opened.upgrade(), opened.server()
        finally:
            opened.close()
    finally:
        if server is not None:
            server.close()
    lines = [HEAD]
    lines += [f"data_dir = {json.dumps(str(home))}\n"] if data_dir else []
    lines += [f"\n[store]\nurl = {json.dumps(store)}\n"] if store else []
    lines += [f"\n[broker]\nurl = {json.dumps(broker)}\n"] if broker else []
    clients = path.resolve().parent / "clients"
    clients.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write("".join(lines))
    if as_json:
        emit({"settings": str(path), "clients": str(clients), "schema": schema, "server": version})
        return
    talk(f"PostgreSQL {version}{'' if store else ', embedded'}, schema {schema}")
    talk(f"wrote {path}; clients go into {clients}")
    talk("next: sfsync org key NAME, sfsync org connect NAME --help; or sfsync demo, to look around without an org")
