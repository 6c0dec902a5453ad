"""``sfsync org connect`` and ``sfsync org key``: a new org, from its key to its first login.

May not keep a secret: it writes key files that only their owner can read, and nothing secret into the settings. It
keeps one law: the files are written after the org has answered, so an org that cannot be reached leaves nothing behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfsync.cli.output import as_json, emit, talk
from sfsync.cli.rooms import Mistyped, now, runtime, settings, settings_path

if TYPE_CHECKING:
    from sfsync.settings import OrgSettings, Settings

KEY_BITS = 2048
"""What Salesforce asks of a certificate for the JWT bearer flow."""


@click.command()
@click.argument("org")
@click.option("--login-url", required=True, help="https://NAME.my.salesforce.com, or a login host.")
@click.option("--username", help="The integration user; needed for a login with a key.")
@click.option("--client-id", help="Consumer key of the connected app.")
@click.option("--key", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="File of the private key.")
@click.option("--ca-file", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Authority to trust.")
@click.option("--client", help="Name of the client; default: that of the org.")
@click.option("--hub-of", "hub_of", multiple=True, help="A client whose records this hub holds; several times.")
@click.option("--name", help="The client's full name, for a client that has no overlay yet.")
@click.option("--time-zone", help="Its contract's time zone, such as America/Argentina/Buenos_Aires.")
@click.option("--sla-plan", help="Its SLA plan, such as gold; none: packs only.")
@click.option("--country", help="Whose holidays stop its clocks, such as AR.")
@as_json
def connect(
    org: str,
    login_url: str,
    username: str | None,
    client_id: str | None,
    key: Path | None,
    ca_file: Path | None,
    client: str | None,
    hub_of: tuple[str, ...],
    name: str | None,
    time_zone: str | None,
    sla_plan: str | None,
    country: str | None,
    as_json: bool,
) -> None:
    """Log in to a new ORG and, once it has answered, write it and its client into the settings.

    With --hub-of it is the consultancy's own org; each client named so has an org of its own already.

    A client secret or a refresh token is not typed here: it is read from SFSYNC_ORGS__ORG__CLIENT_SECRET or
    SFSYNC_ORGS__ORG__REFRESH_TOKEN, which every later command needs, too.
    """
    found = settings()
    path = settings_path()
    owner = client or org
    if hub_of and (client or name):
        raise Mistyped("a hub is no client's: give --hub-of, or --client and --name")
    said = {"client": client, "login_url": login_url, "username": username, "client_id": client_id}
    files = {"private_key_file": key, "ca_file": ca_file}
    given: dict[str, Any] = {n: v for n, v in said.items() if v is not None}
    given |= {n: str(f.resolve()) for n, f in files.items() if f}
    given |= {"role": "hub", "clients": list(hub_of)} if hub_of else {}
    wanted = _org_settings(found, path, org, given)
    overlay = None if hub_of else _overlay(found, path, owner, name, time_zone, sla_plan, country)
    organization = _reached(found, org, wanted)
    if overlay is not None:
        target, text = overlay
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    _write(path, org, {**given, "organization_id": organization})  # last: from here on the org takes part
    if as_json:
        emit(
            {
                "org": org,
                "client": None if hub_of else owner,
                "clients": list(hub_of),
                "organization_id": organization,
                "settings": str(path),
                "overlay": str(overlay[0]) if overlay else None,
            }
        )
        return
    click.echo(f"{org} is organisation {organization}")
    talk(f"wrote [orgs.{org}] into {path}" + (f" and {overlay[0]}" if overlay else ""))
    first = f"{hub_of[0]}@{org}" if hub_of else org
    talk(f"next: sfsync metadata deploy {first}, sfsync org test {first}, sfsync plan {first}")
    for one in hub_of:
        talk(f"and the fields that only clients with a hub have: sfsync metadata deploy {found_org(found, one)}")


def _org_settings(found: Settings, path: Path, org: str, given: Mapping[str, Any]) -> OrgSettings:
    """Return the settings the org would have; Mistyped or SettingsError if it cannot have them."""
    import tomllib

    from pydantic import ValidationError

    from sfsync.errors import Place, SettingsError
    from sfsync.settings import OrgSettings, Settings

    written = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if org in written.get("orgs", {}):
        raise Mistyped(f"{org} is connected already; edit [orgs.{org}] in {path}")
    known = found.orgs[org].model_dump(exclude_defaults=True) if org in found.orgs else {}
    try:
        made = OrgSettings.model_validate({**known, **given})
        Settings.model_validate({"data_dir": found.data_dir, "orgs": {**found.orgs, org: made}})
    except ValidationError as bad:
        first = bad.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            str(first["msg"]).removeprefix("Value error, "), Place(str(path), None, key or f"orgs.{org}")
        ) from None
    if not (made.client_id and (made.private_key_file or made.client_secret or made.refresh_token)):
        raise Mistyped("no way to log in: give --client-id, and --key with --username or a secret from the environment")
    return made


def _overlay(
    found: Settings,
    path: Path,
    client: str,
    name: str | None,
    time_zone: str | None,
    sla_plan: str | None,
    country: str | None,
) -> tuple[Path, str] | None:
    """Return the overlay to write for a client that has none, proven to be one; Mistyped if something is missing."""
    import tempfile

    from sfsync.cli.rooms import overlay_files
    from sfsync.mapping import load_client, load_mappings, load_plans

    if client in {file.stem for file in overlay_files(found)}:
        return None
    if not name or not time_zone:
        raise Mistyped(f"client {client} has no overlay yet: give --name and --time-zone, and --sla-plan if it has one")
    values: dict[str, Any] = {"client": client, "name": name, "time_zone": time_zone}
    if sla_plan:
        values["sla_plan"] = sla_plan
    if country:
        values["holidays"] = {"country": country}
    # A JSON value is a YAML value, whatever the name holds.
    text = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    with tempfile.TemporaryDirectory() as place:
        trial = Path(place) / f"{client}.yaml"
        trial.write_text(text, encoding="utf-8")
        load_client(trial, load_mappings(found.mappings_dir), load_plans(found.mappings_dir))
    return (found.clients_dir or path.resolve().parent / "clients") / f"{client}.yaml", text


def _reached(found: Settings, org: str, wanted: OrgSettings) -> str:
    """Return the organisation that the credentials reach; Mistyped if it is an org we have."""
    from sfsync.org.session import OrgSession
    from sfsync.org.tokens import FileTokens

    with runtime() as opened:
        session = OrgSession(
            org, wanted, clock=opened.runtime.clock, tokens=FileTokens(found.data_dir / "tokens"), seed=org
        )
        with closing(session):
            organization = session.organization_id
        for row in opened.store.orgs():
            if row.organization_id == organization and row.org != org:
                raise Mistyped(f"organisation {organization} is org {row.org} already; nothing was written")
    return organization


def found_org(found: Settings, client: str) -> str:
    """Return the name of a client's own org."""
    return next(name for name, one in found.orgs.items() if one.role == "client" and (one.client or name) == client)


def _write(path: Path, org: str, values: Mapping[str, Any]) -> None:
    """Leave one more table at the end of the settings file, everything else as it was."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    table = "\n".join([f"[orgs.{org}]", *lines])
    half = path.with_name(path.name + ".new")
    half.write_text(f"{before.rstrip()}\n\n{table}\n".lstrip(), encoding="utf-8")
    os.replace(half, path)


@click.command()
@click.argument("org")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is good for.")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Directory; default: keys/ beside the settings."
)
@as_json
def key(org: str, days: int, into: Path | None, as_json: bool) -> None:
    """Make a private key and a certificate for ORG's login; the certificate goes into the connected app."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    folder = into or settings_path().resolve().parent / "keys"
    private, public = folder / f"{org}.key", folder / f"{org}.crt"
    for file in (private, public):
        if file.exists():
            raise Mistyped(f"{file} is there already; move it away first, the org may still know it")
    made = rsa.generate_private_key(65537, KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sfsync {org}")])
    until = now() + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(made.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(until)
        .sign(made, hashes.SHA256())
    )
    pem, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as secret:
        secret.write(made.private_bytes(pem, shape, serialization.NoEncryption()))
    public.write_bytes(certificate.public_bytes(pem))
    if as_json:
        emit({"org": org, "key": str(private), "certificate": str(public), "valid_until": until})
    else:
        click.echo(f"{private}\n{public}")
        talk(f"put {public.name} into the connected app; good until {until:%Y-%m-%d}")
