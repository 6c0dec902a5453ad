"""``sfsync doctor``: every precondition, each with the command that mends it.

May not mend anything itself. It keeps one law: one failed check hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from sfsync.cli.output import as_json, emit, finish, table, talk
from sfsync.cli.rooms import Opened, now, runtime, settings
from sfsync.errors import Exit, SfsyncError

if TYPE_CHECKING:
    from sfsync.org.session import OrgSession
    from sfsync.settings import Settings

OK, WARNING, ERROR = "ok", "warning", "error"
SIGNS = {OK: "✓", WARNING: "!", ERROR: "✗"}

MOST_DRIFT_SECONDS = 120
"""A login assertion is good for three minutes."""
CERTIFICATE_WARNING = timedelta(days=30)
BROKER_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition and how it stands."""

    name: str
    level: str
    said: str
    mend: str = ""


@click.command()
@click.option("--org", "only", help="Look at this org alone.")
@click.option("--offline", is_flag=True, help="Ask no org.")
@as_json
def doctor(only: str | None, offline: bool, as_json: bool) -> None:
    """Check settings, files, store, broker and every org, and say how to mend what is wrong."""
    checks = list(_checks(only, offline))
    wrong = [one for one in checks if one.level == ERROR]
    if as_json:
        emit({"ok": not wrong, "checks": [asdict(one) for one in checks]})
    else:
        table(("", "Check", "Says", "Mend it with"), [(SIGNS[c.level], c.name, c.said, c.mend) for c in checks])
        warnings = sum(one.level == WARNING for one in checks)
        talk(f"{len(wrong)} error(s), {warnings} warning(s), {len(checks) - len(wrong) - warnings} ok")
    finish(Exit.CHECK_FAILED if wrong else Exit.OK)


def _checks(only: str | None, offline: bool) -> Iterator[Check]:
    from sfsync.cli.config import problems

    found = list(problems())
    yield from (Check("settings", ERROR, problem, "sfsync config validate") for problem in found)
    try:
        read = settings()
    except SfsyncError:
        return  # said above
    if not found:
        yield Check("settings", OK, f"{len(read.orgs)} org(s), no unknown key")
    yield _broker(read)
    yield from _certificates(read)
    try:
        with runtime() as opened:
            server = opened.store.server()
            kind = "embedded, for a first look" if read.store.url is None else "schema at head"
            yield Check("store", OK, f"PostgreSQL {server}, {kind}")
            for name in opened.orgs((only,) if only else ()):
                yield from _org(opened, name, offline)
    except SfsyncError as bad:
        yield Check("store", ERROR, str(bad), "sfsync db upgrade" if "db upgrade" in str(bad) else "")


def _broker(read: Settings) -> Check:
    import redis

    from sfsync.cli.config import without_password

    shown = without_password(read.broker.url)
    try:
        with redis.Redis.from_url(read.broker.url, socket_connect_timeout=BROKER_SECONDS) as broker:
            told = broker.info("server")
    except (redis.RedisError, ValueError, OSError) as bad:
        why = str(bad).splitlines()[0] if str(bad) else type(bad).__name__
        return Check("broker", WARNING, f"{shown} does not answer: {why}", "start it; `sfsync sync` works without one")
    version = told.get("valkey_version") or told.get("redis_version") if isinstance(told, dict) else ""
    return Check("broker", OK, f"{shown} answers, version {version}")


def _certificates(read: Settings) -> Iterator[Check]:
    """Look at the certificate that ``sfsync org key`` leaves beside each key."""
    from cryptography import x509

    for name, org in read.orgs.items():
        file = org.private_key_file.with_suffix(".crt") if org.private_key_file else None
        if file is None or not file.is_file():
            continue
        try:
            until = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        except ValueError:
            yield Check(f"{name} certificate", WARNING, f"{file} cannot be read")
            continue
        yield _until(name, until, now())


def _until(name: str, until: datetime, current: datetime) -> Check:
    said = f"good until {until:%Y-%m-%d}, {(until - current).days} day(s)"
    mend = f"sfsync org key {name} --into keys/new, then put it into the connected app"
    if until <= current:
        return Check(f"{name} certificate", ERROR, f"ended on {until:%Y-%m-%d}", mend)
    if until - current < CERTIFICATE_WARNING:
        return Check(f"{name} certificate", WARNING, said, mend)
    return Check(f"{name} certificate", OK, said)


def _org(opened: Opened, name: str, offline: bool) -> Iterator[Check]:
    row = opened.org(name)
    if row.state == "paused":
        yield Check(f"{name} state", ERROR, f"paused: {row.reason}", f"sfsync org resume {name}")
    waiting = [one for one in opened.store.quarantined(row.client) if one["org"] == name]
    if waiting:
        said = f"{len(waiting)} record(s) wait, the oldest since {waiting[0]['since']:%Y-%m-%d}"
        yield Check(f"{name} quarantine", WARNING, said, f"sfsync quarantine list {name}")
    if not offline:
        with closing(opened.runtime.session(name)) as session:
            yield from _reached(opened, session, name, row.client)


def _reached(opened: Opened, session: OrgSession, name: str, client: str) -> Iterator[Check]:
    from sfsync.mirror.translate import Ids
    from sfsync.org.preflight import preflight

    try:
        organization = session.organization_id
        yield Check(f"{name} login", OK, f"reaches {organization}")
    except SfsyncError as bad:
        yield Check(f"{name} login", ERROR, str(bad), getattr(bad, "advice", ""))
        return
    try:
        preflight(session, opened.runtime.mappings_of(name), {}, Ids(organization))
        yield Check(f"{name} schema", OK, "every mapped field is there")
    except SfsyncError as bad:
        yield Check(f"{name} schema", ERROR, str(bad), f"sfsync metadata deploy {name}")
    drift = abs((session.org_now() - opened.now).total_seconds())
    level = ERROR if drift > MOST_DRIFT_SECONDS else OK
    yield Check(
        f"{name} clock", level, f"{drift:.0f} s away from ours", "" if level == OK else "set this machine's clock"
    )
    usage = session.budget.usage
    if usage is not None and usage.allowed:
        share = 100 * usage.used // usage.allowed
        session.tell_calls()
        ours = opened.runtime.calls(name)
        level = WARNING if share >= 80 or ours.waits_until is not None else OK
        said = f"{usage.used} of {usage.allowed} used in 24 h ({share} %); {ours.ours} by us of our {ours.share}"
        if ours.waits_until is not None:
            said += f"; a poll every {ours.every_minutes} min, so that they last"
        yield Check(f"{name} API calls", level, said, "" if level == OK else "raise api_share, or wait")
