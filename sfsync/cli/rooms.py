"""What commands ask for: settings, mappings, clients; each opened when it is asked for.

May not know what is done with them. It keeps one law: nothing is opened before it is needed, so a command that needs no
store runs without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sfsync.mapping import Client, Mappings
    from sfsync.policy import Plans
    from sfsync.settings import OrgSettings, Settings

client_option = click.option("--client", help="Look through this client's overlay.")


def settings() -> Settings:
    """Return the settings in force; SettingsError names file and key, or the environment variable."""
    from sfsync.settings import load

    return load(config_file())


def config_file() -> Path | None:
    """Return the settings file that was named with ``--config``, if one was."""
    named = click.get_current_context().find_root().obj
    return Path(named) if named else None


@dataclass(frozen=True)
class Files:
    """What stands in the files: the standard shape, the promises, and each client."""

    mappings: Mappings
    plans: Plans
    clients: dict[str, Client]

    def of(self, client: str | None) -> Mappings:
        """Return the mappings of ``client``, or the standard ones; click.UsageError if there is no such client."""
        return self.mappings if client is None else self.client(client).mappings

    def client(self, name: str) -> Client:
        """Return the client called ``name``; click.UsageError if there is none."""
        if name not in self.clients:
            known = ", ".join(self.clients) or "none"
            raise click.UsageError(f"There is no client {name!r}; known clients: {known}.")
        return self.clients[name]


def files() -> Files:
    """Return mappings, plans and clients; MappingError or PolicyError names file, line and key."""
    from sfsync.mapping import load_clients, load_mappings, load_plans

    found = settings()
    mappings = load_mappings(found.mappings_dir)
    plans = load_plans(found.mappings_dir)
    clients = load_clients(found.clients_dir, mappings, plans) if found.clients_dir else {}
    return Files(mappings, plans, clients)


def org_settings(found: Settings, name: str) -> OrgSettings:
    """Return the settings of the org called ``name``; click.UsageError if there is none."""
    if name not in found.orgs:
        known = ", ".join(found.orgs) or "none"
        raise click.UsageError(f"There is no org {name!r}; known orgs: {known}.")
    return found.orgs[name]
