"""Doors to an org for the tests that hold of any org: in process, over HTTPS, or to a real one named by ``--org``.

A test may ask, and may not know which door it has. What it makes it takes away again, for the org may be somebody's.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from sfsync.localorg.face import Request
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World

VERSION = "v61.0"
Ask = Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


@dataclass
class Answer:
    """What came back: headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and error code of an answer that refuses."""
        assert self.status >= 400, self.body
        (error,) = self.json()
        return self.status, error["errorCode"]


@dataclass
class Door:
    """One session with an org, and what the test made there."""

    send: Ask
    token: str
    made: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Return the answer to a request; a path without a slash in front is below the API version."""
        url = path if path.startswith("/") else f"/services/data/{VERSION}/{path}"
        sent = {"Authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        data = b"" if body is None else json.dumps(body).encode()
        if data:
            sent["Content-Type"] = "application/json"
        return Answer(*self.send(method, url, sent, data))

    def query(self, soql: str, *, everything: bool = False) -> Answer:
        """Return the answer to a statement."""
        return self.ask("GET", f"{'queryAll' if everything else 'query'}?{urlencode({'q': soql})}")

    def create(self, object_name: str, **values: Any) -> str:
        """Make a record that is taken away after the test, and return its id."""
        answer = self.ask("POST", f"sobjects/{object_name}", values)
        assert answer.status == 201, answer.body
        record_id: str = answer.json()["id"]
        self.made.append((object_name, record_id))
        return record_id

    def tidy(self) -> None:
        """Take away what was made, the last first; what is gone already is gone."""
        for object_name, record_id in reversed(self.made):
            self.ask("DELETE", f"sobjects/{object_name}/{record_id}")


def in_process(org: LocalOrg) -> Ask:
    """Return the door that needs no socket."""
    world = World([org])

    def send(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        answer = world.handle(Request.of(method, f"https://{org.name}.my.salesforce.com{url}", headers, body))
        return answer.status, {k.lower(): v for k, v in answer.headers}, answer.body

    return send


def over_https(url: str, ca_file: str | None = None) -> Ask:
    """Return the door to the org at a URL; a real one is trusted as the machine trusts (SSL_CERT_FILE)."""
    parts = urlsplit(url)
    trusted = ssl.create_default_context(cafile=ca_file)

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPSConnection(parts.hostname or "", parts.port or 443, context=trusted, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    return send
