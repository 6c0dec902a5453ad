"""Leases: one run an org at a time, proven at every commit.

May not know what a run does. It keeps one law: no clock but the database's decides who holds an org, and a run that was
frozen past its lease cannot commit, whatever it believes (P13).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from sfsync.errors import LeaseLost


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one org until it expires or somebody takes it over; ``token`` only grows."""

    client: str
    org: str
    token: int


WRITE_SECONDS = 30.0
"""Longest wait for the answer to a request that writes; the lease outlives it by ``MARGIN_SECONDS``."""
MARGIN_SECONDS = 10.0


class Hold:
    """A lease in the hands of a run, which knows by its own monotonic clock how long it lasts for certain.

    It is dated from before the question to the database, so it never seems to last longer than it does.
    """

    def __init__(
        self,
        lease: Lease,
        seconds: int,
        *,
        renew: Callable[[Lease], None],
        monotonic: Callable[[], float],
        asked_at: float,
    ) -> None:
        """``asked_at`` is the monotonic instant before the lease was asked for."""
        self.lease = lease
        self._seconds = float(seconds)
        self._renew = renew
        self._monotonic = monotonic
        self._asked_at = asked_at

    @property
    def remaining(self) -> float:
        """Seconds for which nobody else can have the org; below zero once somebody may."""
        return self._asked_at + self._seconds - self._monotonic()

    @property
    def write_seconds(self) -> float:
        """How long a request that writes may take."""
        return min(WRITE_SECONDS, self._seconds / 2)

    def renew(self, by: Callable[[Lease], None] | None = None) -> None:
        """Let the lease last in full from now; LeaseLost if somebody took the org over.

        ``by`` does that together with something else, in one transaction.
        """
        asked_at = self._monotonic()
        (by or self._renew)(self.lease)
        self._asked_at = asked_at

    def stay(self) -> None:
        """Renew the lease once a third of it has passed."""
        if self.remaining < self._seconds * 2 / 3:
            self.renew()

    def for_writing(self) -> float:
        """Return how many seconds the request that is about to write may take; the lease lasts longer by a margin.

        Renews it where that is needed. LeaseLost if somebody took the org over, or if renewing took so long that
        the lease might end before the answer comes. What is left is the pause between this check and the send: there
        the revision rule in the org refuses what is late.
        """
        margin = min(MARGIN_SECONDS, self._seconds / 6)
        if self.remaining <= self.write_seconds + margin:
            self.renew()
            if self.remaining <= self.write_seconds + margin:
                raise LeaseLost(f"org {self.lease.org}: renewing the lease took too long; nothing more is written")
        return self.write_seconds


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
