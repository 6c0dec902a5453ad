"""What commands ask for: settings, mappings, clients, a store, a runtime; each opened when it is asked for.

May not know what is done with them. It keeps one law: nothing is opened before it is needed, so a command that needs no
store runs without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfsync.errors import Exit, SfsyncError

if TYPE_CHECKING:
    from sfsync.mapping import Client, Mappings
    from sfsync.policy import Plans
    from sfsync.rules.evaluate import Evaluation, Facts
    from sfsync.rules.figures import PackFigures
    from sfsync.runtime import Runtime
    from sfsync.settings import Settings
    from sfsync.store.reads import Reads
    from sfsync.store.store import OrgRow, Store

client_option = click.option("--client", help="Look through this client's overlay.")


class Mistyped(SfsyncError):
    """A name or number was typed that means nothing here; nothing was done."""

    exit = Exit.USAGE


def now() -> datetime:
    """Return the machine's time."""
    from sfsync.clock import SystemClock

    return SystemClock().now()


# --- files ---------------------------------------------------------------------------------------------


def settings() -> Settings:
    """Return the settings in force; SettingsError names file and key, or the environment variable."""
    from sfsync.settings import load

    return load(config_file())


def config_file() -> Path | None:
    """Return the settings file that was named with ``--config``, if one was."""
    named = click.get_current_context().find_root().obj
    return Path(named) if named else None


def settings_path() -> Path:
    """Return where the settings are read from; the file may be absent."""
    from sfsync.settings import settings_file

    return settings_file(config_file())


def overlay_files(found: Settings) -> list[Path]:
    """Return the file of each client overlay there is, by client."""
    from sfsync.mapping import standard_directory

    shapes = found.mappings_dir or standard_directory()
    paths: dict[str, Path] = {}
    for directory in (shapes / "clients", found.clients_dir):
        if directory is not None:
            paths |= {path.stem: path for path in directory.glob("*.yaml")}
    return [paths[name] for name in sorted(paths)]


@dataclass(frozen=True)
class Files:
    """What stands in the files: the standard shape, the promises, and each client."""

    mappings: Mappings
    plans: Plans
    clients: dict[str, Client]

    def of(self, client: str | None, *, hub: bool = False) -> Mappings:
        """Return the mappings of ``client``, or the standard ones; Mistyped if there is no such client.

        Where there is a ``hub``: those of the hub, or those of the client's own org beside it.
        """
        if client is not None:
            return self.client(client).mirrored if hub else self.client(client).mappings
        if hub:
            from sfsync.metadata import hub_of

            return hub_of(self.mappings)
        return self.mappings

    def client(self, name: str) -> Client:
        """Return the client called ``name``; Mistyped if there is none."""
        if name not in self.clients:
            known = ", ".join(self.clients) or "none"
            raise Mistyped(f"there is no client {name!r}; known clients: {known}")
        return self.clients[name]


def files() -> Files:
    """Return mappings, plans and clients; MappingError or PolicyError names file, line and key."""
    from sfsync.mapping import load_client, load_mappings, load_plans

    found = settings()
    mappings = load_mappings(found.mappings_dir)
    plans = load_plans(found.mappings_dir)
    clients = {path.stem: load_client(path, mappings, plans) for path in overlay_files(found)}
    return Files(mappings, plans, clients)


# --- store and runtime ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """An open runtime, and the questions that many commands ask of it."""

    runtime: Runtime

    @property
    def store(self) -> Store:
        """The runtime's store."""
        return self.runtime.store

    @property
    def reads(self) -> Reads:
        """What an operator looks at in the store."""
        from sfsync.store.reads import Reads

        return Reads(self.runtime.store)

    @property
    def now(self) -> datetime:
        """The runtime's time."""
        return self.runtime.clock.now()

    def clients(self, named: str | None = None) -> list[str]:
        """Return the client that ``named`` means, or every client that has an org."""
        if named is not None:
            return [self.client_called(named)]
        return sorted({self.runtime.client_name(org) for org in self.runtime.settings.orgs})

    def client_called(self, name: str) -> str:
        """Return the client called ``name``, or the client of the org called so; Mistyped if there is neither."""
        if name in self.runtime.settings.orgs:
            return self.runtime.client_name(name)
        known = self.clients()
        if name not in known:
            raise Mistyped(f"there is no client or org {name!r}; there are: {', '.join(known) or 'none yet'}")
        return name

    def client(self, name: str) -> Client:
        """Return the terms and mappings of a client."""
        return self.runtime.client(name)

    def org(self, name: str) -> OrgRow:
        """Return an org as the store knows it; SettingsError if the settings have none of this name."""
        client = self.runtime.client_name(name)
        return next(row for row in self.store.orgs() if (row.client, row.org) == (client, name))

    def orgs(self, names: tuple[str, ...], every: bool = False) -> list[str]:
        """Return the orgs that were named, or all of them; SettingsError if one does not exist.

        A hub's name means every client's part of it.
        """
        hubs = self.runtime.settings.hubs
        names = tuple(part for name in names for part in hubs.get(name, [name]))
        for name in names:
            self.runtime.org(name)
        if names and every:
            raise click.UsageError("Name orgs or say --all, not both.")
        return list(dict.fromkeys(names)) if names else sorted(self.runtime.settings.orgs)

    def today(self, client: str) -> date:
        """Return the day it is in the client's zone."""
        from sfsync.rules.weeks import local_day

        return local_day(self.now, self.client(client).terms.time_zone)

    def forecast(self, client: str, facts: Facts) -> tuple[list[int], int, Mapping[str, PackFigures]]:
        """Return the minutes used in each of the last closed weeks, oldest first, those of this, and each pack."""
        from sfsync.rules.evaluate import funding_of, used_by_week
        from sfsync.rules.ledger import LedgerFacts, settle
        from sfsync.rules.weeks import Week

        contract = self.runtime.contract(client)
        used = used_by_week(contract, facts.postings, self.now)
        book = LedgerFacts(facts.packs, facts.cases, facts.estimates, facts.entries, funding_of(facts.cases))
        shown = settle(book, facts.postings, contract.terms, contract.plans, self.now)
        this = Week.of(self.today(client))
        return [used[week] for week in sorted(used) if week < this], used.get(this, 0), shown.packs

    def amend(self, client: str, said: Evaluation) -> None:
        """Put in force what a person of the consultancy says; the rules look at it with the next sync."""
        self.store.amend(client, self.client(client).mappings, said, self.now)


@contextmanager
def runtime() -> Iterator[Opened]:
    """Open settings, mappings and the store for as long as a command needs them."""
    from sfsync.runtime import Runtime

    with Runtime.open(settings()) as opened:
        yield Opened(opened)


@contextmanager
def store(url: str | None = None) -> Iterator[Store]:
    """Open the store whatever its schema is; an embedded server is started where no URL is configured.

    ``url`` is another user's way to it.
    """
    from sfsync.store.embedded import EmbeddedPostgres
    from sfsync.store.store import Store

    found = settings()
    known = url or found.store.url
    server = EmbeddedPostgres(found.data_dir).open() if known is None else None
    opened = Store(server.url if server else known or "", service_role=found.store.service_role)
    try:
        yield opened
    finally:
        opened.close()
        if server is not None:
            server.close()
