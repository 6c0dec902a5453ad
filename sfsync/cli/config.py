"""``sfsync config``: the settings in force, where each came from, and whether they can work.

May not know what settings are used for. It keeps one law: a secret is shown as set or not set, never as itself.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from pydantic import BaseModel, SecretStr

from sfsync.cli.output import as_json, emit, finish, show, talk
from sfsync.cli.rooms import overlay_files, settings, settings_path
from sfsync.errors import ConfigError, Exit
from sfsync.settings import NESTED, PREFIX, Settings

MASK = "(set)"


@click.group()
def config() -> None:
    """Look at the settings in force and check them."""


@config.command("show")
@click.option("--set-only", is_flag=True, help="Leave out what is at its default.")
@as_json
def show_settings(set_only: bool, as_json: bool) -> None:
    """Show each setting, masked where it is secret, and where it comes from."""
    found = [(key, _masked(key, value), origin) for key, value, origin in _origins(settings())]
    if set_only:
        found = [row for row in found if row[2] != "default"]
    rows = [{"key": key, "value": value, "from": origin} for key, value, origin in found]
    show(as_json, {"settings": rows}, ("Setting", "Value", "From"), found)


@config.command()
@as_json
def validate(as_json: bool) -> None:
    """Check settings, mappings, plans, client overlays and key files; say everything that is wrong."""
    found = list(problems())
    if as_json:
        emit({"ok": not found, "problems": found})
    else:
        for problem in found:
            click.echo(problem)
        talk(f"{len(found)} wrong" if found else "nothing wrong")
    finish(Exit.CHECK_FAILED if found else Exit.OK)


def problems() -> Iterator[str]:
    """Yield everything that is wrong in settings, mappings, plans, overlays and key files, one sentence each."""
    from sfsync.mapping import load_client, load_mappings, load_plans

    try:
        found = settings()
    except ConfigError as bad:
        yield str(bad)
        return
    clients = None
    try:
        mappings, plans = load_mappings(found.mappings_dir), load_plans(found.mappings_dir)
        clients = {path.stem: load_client(path, mappings, plans) for path in overlay_files(found)}
    except ConfigError as bad:
        yield str(bad)
    for name, org in found.orgs.items():
        key = f"orgs.{name}"
        if clients is not None and (org.client or name) not in clients:
            yield f"{key}: there is no client overlay {org.client or name}.yaml"
        if org.private_key_file is not None:
            yield from (f"{key}.private_key_file: {why}" for why in _unfit_key(org.private_key_file))
        if org.ca_file is not None and not org.ca_file.is_file():
            yield f"{key}.ca_file: there is no file {org.ca_file}"
        if not (org.client_id and (org.private_key_file or org.client_secret or org.refresh_token)):
            yield f"{key}: no way to log in; give client_id and a private_key_file, a client_secret or a refresh_token"
        if org.private_key_file and not org.username:
            yield f"{key}.username: a login with a private key needs the user's name"


def _unfit_key(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"there is no file {path}"
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield f"{path} can be read by others; run: chmod 600 {path}"


def _origins(found: Settings) -> Iterator[tuple[str, Any, str]]:
    """Yield each setting with its value and where it comes from: a variable, the file, or the default."""
    path = settings_path()
    written = _flat_keys(tomllib.loads(path.read_text(encoding="utf-8"))) if path.exists() else set()
    calm = _flat(_without_environment(path if path.exists() else None))
    for key, value in _flat(found).items():
        said = re.sub(r"^orgs\.[^.@]+@", "orgs.", key)  # a hub is said once for all its parts
        if key not in calm or calm[key] != value:
            yield key, value, PREFIX + said.upper().replace(".", NESTED)
        elif said in written:
            yield key, value, str(path)
        else:
            yield key, value, "default"


def _without_environment(path: Path | None) -> Settings | None:
    from sfsync.settings import load

    try:
        return load(path, environ={})
    except ConfigError:
        return None  # a variable completes the file


def _flat(model: BaseModel | None, prefix: str = "") -> dict[str, Any]:
    """Return dotted key to value of each setting, the orgs one by one."""
    flat: dict[str, Any] = {}
    for name, value in model or ():
        if isinstance(value, BaseModel):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, dict):
            for key, one in value.items():
                flat.update(_flat(one, f"{prefix}{name}.{key}."))
        else:
            flat[prefix + name] = value
    return flat


def _flat_keys(data: dict[str, Any], prefix: str = "") -> set[str]:
    keys = set()
    for key, value in data.items():
        keys |= _flat_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return keys


def _masked(key: str, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if key.endswith("url") and isinstance(value, str):
        return without_password(value)
    return value


def without_password(url: str) -> str:
    """Return ``url`` with its password masked, whatever else it holds."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    query = "&".join(MASK if "password" in p.lower() else p for p in parts.query.split("&"))
    place = parts.netloc
    if parts.password is not None:
        place = f"{parts.username or ''}:{MASK}@{place.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=place, query=query))
