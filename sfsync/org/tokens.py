"""Tokens, and where they are kept between runs and shared between workers.

This module may not know how a token is got. It keeps one law: a rotated refresh token is on disk before it is used,
and one worker at a time talks to the login service for an org.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave. The secrets are left out of ``repr``."""

    access_token: str = field(repr=False)
    instance_url: str
    organization_id: str
    """18 characters, from the token answer's identity URL."""
    user_id: str
    refresh_token: str | None = field(default=None, repr=False)
    origin: str = ""
    """Digest of the configured refresh token that this chain of rotations began with."""
    audience: str = ""
    """The audience that the login service accepted."""


class TokenStore(Protocol):
    """Keeps one token an org; shared by all workers."""

    def load(self, org: str) -> Token | None:
        """Return the newest token of ``org``, or None."""
        ...

    def save(self, org: str, token: Token) -> None:
        """Keep ``token``: when this returns it survives a crash, and every worker loads it."""
        ...

    def alone(self, org: str) -> AbstractContextManager[None]:
        """Hold off other workers that want a new token for ``org``."""
        ...


class MemoryTokens:
    """Tokens of one process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def load(self, org: str) -> Token | None:
        """Return the token of ``org``, or None."""
        return self._tokens.get(org)

    def save(self, org: str, token: Token) -> None:
        """Keep ``token`` while the process lives."""
        self._tokens[org] = token

    @contextmanager
    def alone(self, org: str) -> Iterator[None]:
        """Hold off other threads."""
        with self._guard:
            lock = self._locks.setdefault(org, threading.RLock())
        with lock:
            yield


class FileTokens:
    """Tokens in a directory that only its owner may read: one file an org, replaced whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, org: str, ending: str) -> Path:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not org.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{org!r} is no name of an org")
        return self._directory / f"{org}.{ending}"

    def load(self, org: str) -> Token | None:
        """Return the token of ``org``; None if there is none, or the file cannot be understood."""
        try:
            return Token(**json.loads(self._path(org, "json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, org: str, token: Token) -> None:
        """Write ``token`` beside the old one, flush it to the disk, and put it in the old one's place."""
        path = self._path(org, "json")
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(token), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextmanager
    def alone(self, org: str) -> Iterator[None]:
        """Hold off other processes on this machine by a lock on a file."""
        descriptor = os.open(self._path(org, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
