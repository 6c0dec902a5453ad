"""Where things are: ``sfsync.toml``, the environment, and the defaults.

The only reader of the environment. This module may not know what the settings are used for. It
keeps one law: a secret is named by the file that holds it or comes from the environment, and is
never printed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from sfsync.errors import Place, SettingsError

PREFIX = "SFSYNC_"
NESTED = "__"
FILE = "sfsync.toml"
NAMES = r"^[a-z0-9][a-z0-9_-]{0,39}(@[a-z0-9][a-z0-9_-]{0,39})?$"
"""Of orgs; one with an ``@`` is a client's part of a hub."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(_Strict):
    """The PostgreSQL store; without a URL an embedded server is started in the data directory."""

    url: str | None = None
    service_role: str | None = None
    """Role that a transaction steps down to, so that row-level security applies to it."""
    lease_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    """How long an org stays taken after its worker died; renewed while the work goes on."""


class BrokerSettings(_Strict):
    """Where nudges travel; losing all of them costs time and nothing else."""

    url: str = "redis://localhost:6379/0"
    visibility_seconds: Annotated[int, Field(ge=1)] = 600


class ScheduleSettings(_Strict):
    """How often somebody asks what is due."""

    beat_seconds: Annotated[int, Field(ge=1, le=300)] = 20
    """An org whose worker died is taken over after ``lease_seconds`` and this, at the latest."""
    retry_seconds: Annotated[int, Field(ge=1, le=1800)] = 30
    """Wait after the first failure of an org; it doubles with each that follows, up to half an hour."""


class OrgSettings(_Strict):
    """One org and how to log in to it."""

    client: str | None = None
    """Name of the client overlay; the org's own name if absent."""
    role: Literal["client", "hub"] = "client"
    clients: tuple[str, ...] = ()
    """Of a hub: the clients whose records it holds; each has an org of its own, too."""
    hub: str | None = None
    """Of one client's part of a hub: the hub's own name. Made from ``clients``, never written in a file."""
    login_url: str = "https://login.salesforce.com"
    audience: str | None = None
    organization_id: Annotated[str | None, Field(pattern="^00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?$")] = None
    """The pinned organisation; the first login pins it when absent."""
    username: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    private_key_file: Path | None = None
    refresh_token: SecretStr | None = None
    ca_file: Path | None = None
    api_version: Annotated[str, Field(pattern=r"^\d{2,3}\.0$")] = "66.0"
    api_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    overlap_seconds: Annotated[int, Field(ge=60, le=86_400)] = 900
    """How far behind the bookmark each read starts: longer than the longest transaction (10 minutes)."""
    formula_hours: Annotated[int, Field(ge=1)] = 24
    """How old the value of a formula that looks at other records or at the clock may be, where nothing tells."""
    bulk_above_rows: Annotated[int, Field(ge=1)] = 20_000
    max_changes: Annotated[int, Field(ge=1)] = 50_000
    """More writes than this in one run stop the org until an operator confirms."""
    max_vanished_percent: Annotated[int, Field(ge=1, le=100)] = 20
    nightly: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "23:10"
    every_minutes: Annotated[int, Field(ge=1)] = 15
    audit: Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):[0-5]\d$")] = "sun 03:30"
    """Local day and time of the weekly proof that org and store are equal; orgs are spread over the two hours after."""


def part_of_hub(client: str, hub: str) -> str:
    """Return the name of a client's part of a hub: ``acme@hub``."""
    return f"{client}@{hub}"


class Settings(_Strict):
    """Everything an operator sets.

    A hub stands in the file once; in ``orgs`` there is one entry for each of its clients, called ``acme@hub``, because
    one run is about one client.
    """

    store: StoreSettings = StoreSettings()
    broker: BrokerSettings = BrokerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    orgs: dict[Annotated[str, Field(pattern=NAMES)], OrgSettings] = Field(default_factory=dict)
    data_dir: Path
    mappings_dir: Path | None = None
    """A directory that replaces the standard ``mappings/``."""
    clients_dir: Path | None = None
    """A directory of client overlays; ``clients/`` beside ``sfsync.toml`` if it exists."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _hubs_in_parts(cls, data: Any) -> Any:
        """Turn each hub into its clients' parts, and refuse what cannot be meant."""
        if not isinstance(data, dict) or not isinstance(data.get("orgs"), dict):
            return data
        hubs = {n: one for n, one in data["orgs"].items() if _said(one, "role") == "hub" and not _said(one, "hub")}
        orgs = {n: one for n, one in data["orgs"].items() if n not in hubs}
        _refuse_wrong_hubs(orgs, hubs)
        for name, hub in hubs.items():
            for client in _said(hub, "clients"):
                share = float(_said(hub, "api_share") or OrgSettings.model_fields["api_share"].default)
                part = {"client": client, "clients": (), "hub": name}
                part["api_share"] = share / len(_said(hub, "clients"))  # each part counts its own calls
                made = hub.model_copy(update=part) if isinstance(hub, OrgSettings) else {**hub, **part}
                orgs[part_of_hub(client, name)] = made
        return {**data, "orgs": orgs}

    @property
    def hubs(self) -> dict[str, list[str]]:
        """Return the parts of each hub by its name."""
        found: dict[str, list[str]] = {}
        for name, org in self.orgs.items():
            if org.hub is not None:
                found.setdefault(org.hub, []).append(name)
        return found

    @field_validator("data_dir", "mappings_dir", "clients_dir")
    @classmethod
    def _from_home(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path is not None else None


def _said(given: Any, key: str) -> Any:
    return given.get(key) if isinstance(given, dict) else getattr(given, key, None)


def _refuse_wrong_hubs(orgs: Mapping[str, Any], hubs: Mapping[str, Any]) -> None:
    """Raise ValueError for a hub, or an organisation, that means two things at once."""
    homes: dict[str, list[str]] = {}
    for name, given in orgs.items():
        if _said(given, "hub") and isinstance(given, OrgSettings):
            continue
        if _said(given, "hub") or "@" in name:
            raise ValueError(f'orgs.{name}: a hub is written once, as [orgs.NAME] with role = "hub" and its clients')
        if _said(given, "clients"):
            raise ValueError(f'orgs.{name}.clients: only a hub has clients; say role = "hub", or client = "..."')
        homes.setdefault(_said(given, "client") or name, []).append(name)
    taken: dict[str, str] = {}
    for name, hub in hubs.items():
        alone, clients = _said(hub, "client"), _said(hub, "clients")
        if alone:
            raise ValueError(f'orgs.{name}.client: a hub holds records of several clients; say clients = ["{alone}"]')
        if not clients or not isinstance(clients, (list, tuple)):
            raise ValueError(f'orgs.{name}: a hub needs clients = ["...", "..."], the clients whose records it holds')
        for client in clients:
            if client in taken:
                raise ValueError(f"client {client} is in two hubs, {taken[client]} and {name}; it can be in one")
            taken[client] = name
            if len(homes.get(client, ())) != 1:
                have = " and ".join(homes.get(client, ())) or "none"
                raise ValueError(f"client {client} of hub {name} needs one org of its own; it has {have}")
    pinned: dict[str, str] = {}
    whole = {name: given for name, given in orgs.items() if not _said(given, "hub")}
    for name, given in (*whole.items(), *hubs.items()):
        organization = str(_said(given, "organization_id") or "")[:15]
        if organization in pinned:
            raise ValueError(
                f"orgs.{name} and orgs.{pinned[organization]} are the same organisation {organization}; one "
                'organisation is one org, and only a hub (role = "hub") holds records of several clients'
            )
        if organization:
            pinned[organization] = name


def load(file: Path | None = None, environ: dict[str, str] | None = None) -> Settings:
    """Return the settings: environment over ``sfsync.toml`` over defaults.

    ``file`` defaults to ``SFSYNC_CONFIG`` or to ``sfsync.toml`` in the current directory, which may be
    absent. Raises SettingsError naming the file and key, or the environment variable.
    """
    environ = dict(os.environ) if environ is None else environ
    path = settings_file(file, environ)
    named = file is not None or bool(environ.get(PREFIX + "CONFIG"))
    data: dict[str, Any] = {}
    if path.exists():
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
            raise SettingsError(f"not valid TOML: {bad}", Place(str(path))) from None
        _resolve_paths(data, path.resolve().parent)
        clients = path.resolve().parent / "clients"
        if clients.is_dir():
            data.setdefault("clients_dir", str(clients))
    elif named:
        raise SettingsError("there is no such file", Place(str(path)))
    from_environment = _merge_environment(data, environ)
    data.setdefault("data_dir", str(default_data_dir(environ)))
    try:
        return Settings.model_validate(data)
    except ValidationError as bad:
        first = bad.errors()[0]
        key = re.sub(r"^orgs\.[^.@]+@", "orgs.", ".".join(str(part) for part in first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        message = "there is no such key" if first["type"] == "extra_forbidden" else message
        variable = from_environment.get(key)
        raise SettingsError(message, Place(variable) if variable else Place(str(path), None, key or None)) from None


def settings_file(file: Path | None = None, environ: dict[str, str] | None = None) -> Path:
    """Return where the settings are read from: ``file``, ``SFSYNC_CONFIG``, or ``sfsync.toml`` here."""
    environ = dict(os.environ) if environ is None else environ
    return file or Path(environ.get(PREFIX + "CONFIG") or FILE)


def environment_for(file: Path) -> dict[str, str]:
    """Return the environment in which another process of ours finds the settings in ``file``."""
    return {**os.environ, PREFIX + "CONFIG": str(file.resolve())}


def default_data_dir(environ: dict[str, str]) -> Path:
    """Return the user's data directory by the XDG rule."""
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path(environ.get("HOME", "~")).expanduser() / ".local" / "share") / "sfsync"


def _resolve_paths(data: dict[str, Any], base: Path) -> None:
    """Read relative paths of the file from where the file stands."""
    for key in ("data_dir", "mappings_dir", "clients_dir"):
        if isinstance(data.get(key), str):
            data[key] = str(base / Path(data[key]).expanduser())
    for org in data.get("orgs", {}).values() if isinstance(data.get("orgs"), dict) else ():
        for key in ("private_key_file", "ca_file"):
            if isinstance(org, dict) and isinstance(org.get(key), str):
                org[key] = str(base / Path(org[key]).expanduser())


def _merge_environment(data: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    """Set ``SFSYNC_ORGS__ACME__CLIENT_ID`` and its like in ``data``; return dotted key to variable name."""
    origin = {}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in (PREFIX + "CONFIG", PREFIX + "VECTORS"):
            continue
        path = variable[len(PREFIX) :].lower().split(NESTED)
        if path[0] not in Settings.model_fields:
            continue
        here = data
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise SettingsError("is a value and a table at once", Place(variable))
        here[path[-1]] = value
        origin[".".join(path)] = variable
    return origin
