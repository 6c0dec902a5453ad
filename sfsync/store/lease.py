"""Leases: one run an org at a time, proven at every commit.

May not know what a run does. It keeps one law: no clock but the database's decides who holds an org, and a run that was
frozen past its lease cannot commit, whatever it believes (P13).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from sfsync.errors import LeaseLost


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one org until it expires or somebody takes it over; ``token`` only grows."""

    client: str
    org: str
    token: int


def acquire(connection: Connection, client: str, org: str, holder: str, seconds: int) -> Lease | None:
    """Return the lease on an org, or None while somebody else holds it."""
    token = connection.execute(
        text(
            "INSERT INTO org_lease AS l (client, org, token, holder, expires_at) "
            "VALUES (:client, :org, 1, :holder, clock_timestamp() + make_interval(secs => :seconds)) "
            "ON CONFLICT (client, org) DO UPDATE "
            "SET token = l.token + 1, holder = excluded.holder, expires_at = excluded.expires_at "
            "WHERE l.expires_at < clock_timestamp() RETURNING token"
        ),
        {"client": client, "org": org, "holder": holder, "seconds": seconds},
    ).scalar()
    return None if token is None else Lease(client, org, int(token))


def renew(connection: Connection, lease: Lease, seconds: int) -> None:
    """Let the lease last ``seconds`` from now; LeaseLost if somebody took the org over meanwhile."""
    renewed = connection.execute(
        text(
            "UPDATE org_lease SET expires_at = clock_timestamp() + make_interval(secs => :seconds) "
            "WHERE client = :client AND org = :org AND token = :token"
        ),
        {"client": lease.client, "org": lease.org, "token": lease.token, "seconds": seconds},
    )
    if renewed.rowcount == 0:
        raise LeaseLost(f"org {lease.org}: another run has taken it over; this one stops")


def release(connection: Connection, lease: Lease) -> None:
    """Let anybody take the org at once; nothing happens if somebody already has. The token is never used again."""
    connection.execute(
        text("UPDATE org_lease SET expires_at = '-infinity' WHERE client = :client AND org = :org AND token = :token"),
        {"client": lease.client, "org": lease.org, "token": lease.token},
    )


def prove(connection: Connection, lease: Lease) -> None:
    """Raise LeaseLost unless ``lease`` is the newest; a takeover waits until this transaction has ended."""
    held = connection.execute(
        text("SELECT 1 FROM org_lease WHERE client = :client AND org = :org AND token = :token FOR SHARE"),
        {"client": lease.client, "org": lease.org, "token": lease.token},
    ).first()
    if held is None:
        raise LeaseLost(f"org {lease.org}: another run has taken it over; this one stops")
