"""Where things are: ``sfsync.toml``, the environment, and the defaults.

The only reader of the environment. This module may not know what the settings are used for. It
keeps one law: a secret is named by the file that holds it or comes from the environment, and is
never printed.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from sfsync.errors import Place, SettingsError

PREFIX = "SFSYNC_"
NESTED = "__"
FILE = "sfsync.toml"


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
    bulk_above_rows: Annotated[int, Field(ge=1)] = 20_000
    max_changes: Annotated[int, Field(ge=1)] = 50_000
    """More writes than this in one run stop the org until an operator confirms."""
    max_vanished_percent: Annotated[int, Field(ge=1, le=100)] = 20
    nightly: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "23:10"
    every_minutes: Annotated[int, Field(ge=1)] = 15
    audit: Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):[0-5]\d$")] = "sun 03:30"
    """Local day and time of the weekly proof that org and store are equal; orgs are spread over the two hours after."""


class Settings(_Strict):
    """Everything an operator sets."""

    store: StoreSettings = StoreSettings()
    broker: BrokerSettings = BrokerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    orgs: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], OrgSettings] = Field(default_factory=dict)
    data_dir: Path
    mappings_dir: Path | None = None
    """A directory that replaces the standard ``mappings/``."""
    clients_dir: Path | None = None
    """A directory of client overlays; ``clients/`` beside ``sfsync.toml`` if it exists."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("data_dir", "mappings_dir", "clients_dir")
    @classmethod
    def _from_home(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path is not None else None


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
        key = ".".join(str(part) for part in first["loc"])
        message = "there is no such key" if first["type"] == "extra_forbidden" else str(first["msg"])
        variable = from_environment.get(key)
        raise SettingsError(message, Place(variable) if variable else Place(str(path), None, key)) from None


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
