"""The HTTPS face: a world of orgs behind uvicorn, on loopback, with a certificate authority of its own.

It may not know what a request means. It keeps one law: it carries out what a response says about delay and breakage,
and adds nothing to it.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn

from sfsync.clock import Clock, SystemClock
from sfsync.clock import token as unguessable
from sfsync.localorg.certificates import Certificates, app_key, certificates
from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Request, Response, error_response
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LONGEST_SILENCE_SECONDS = 600.0
MOST_BODY = 200 * 1024 * 1024


class Application:
    """The ASGI application of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            await _send(send, error_response(ApiError(413, "REQUEST_LIMIT_EXCEEDED", "the request is too large")), None)
            return
        request = _request(scope, body)
        response = self.world.handle(request)
        if response.delay_seconds:
            await asyncio.sleep(response.delay_seconds)
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if response.broken == "timeout":
            await _silence(receive)
            _abort(transport)
        elif response.broken == "reset":
            _abort(transport)
        else:
            await _send(send, response, transport if response.broken == "cut" else None, head=request.method == "HEAD")


async def _body(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _silence(receive: Receive) -> None:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), LONGEST_SILENCE_SECONDS)
    except TimeoutError:
        return


def _abort(transport: Any) -> None:
    if transport is not None:
        transport.abort()


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    path = scope["raw_path"].decode("latin-1")
    host, peer = headers.get("host", "localhost"), (scope.get("client") or ("",))[0]
    return Request(scope["method"], path, query, headers, body, host, scope["scheme"], wire=True, peer=peer)


class _Name(bytes):
    """The name of a header that stays as it is written: a real org writes ``Content-Type``, uvicorn would lower it."""

    def lower(self) -> _Name:
        return self

    def __eq__(self, other: object) -> bool:
        return bytes.lower(self) == other

    __hash__ = bytes.__hash__


async def _send(send: Send, response: Response, cut: Any, *, head: bool = False) -> None:
    headers = [(_Name(k.encode("latin-1")), v.encode("latin-1")) for k, v in response.headers]
    if response.status not in (204, 304) and not head:
        headers.append((_Name(b"Content-Length"), str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if cut is not None:
        await send({"type": "http.response.body", "body": response.body[: len(response.body) // 2], "more_body": True})
        cut.close()
        return
    await send({"type": "http.response.body", "body": response.body})


# Starting


@dataclass(slots=True)
class Started:
    """A world that is ready to be served, and what a client needs to log in to its first org."""

    world: World
    certificates: Certificates
    lines: list[dict[str, Any]]

    def line(self, port: int, *, http: bool) -> dict[str, Any]:
        """Return the JSON line of the first org, with the URLs of all orgs under ``orgs``."""
        scheme = "http" if http else "https"
        url = f"{scheme}://localhost:{port}"
        first = self.lines[0] | {"url": url, "login_url": url, "ca_file": str(self.certificates.ca_file)}
        names = [o.name for o in self.world.orgs.values()]
        first["orgs"] = [
            line | {"name": name, "url": f"{scheme}://{name}.localhost:{port}"}
            for name, line in zip(names, self.lines, strict=True)
        ]
        return first


def prepare(
    folder: Path,
    *,
    orgs: Sequence[str | LocalOrg] = ("acme",),
    control: bool = False,
    seed: int = 1,
    clock: Clock | None = None,
    in_files: bool = False,
) -> Started:
    """Make a world with its certificates and logins in ``folder``; nothing listens yet.

    The printed user is the administrator; ``integration_username`` is the one that permission sets govern. With
    ``in_files`` the rows are kept in files of ``folder`` that are made anew at every start.
    """
    made = certificates(folder, SystemClock().now())
    key = app_key(made)
    worlds: list[LocalOrg] = []
    lines: list[dict[str, Any]] = []
    for number, each in enumerate(orgs):
        if isinstance(each, LocalOrg):
            org = each
        else:
            path = folder / f"{each}.db"
            if in_files:
                path.unlink(missing_ok=True)
            org = LocalOrg(each, clock=clock, seed=seed + number, path=str(path) if in_files else ":memory:")
        worlds.append(org)
        lines.append(login_line(org, str(made.app_key_file), key))
    return Started(World(worlds, control=control), made, lines)


def login_line(org: LocalOrg, key_file: str, key: Any) -> dict[str, Any]:
    """Give an org a connected app, passwords and a first session, and return them."""
    app = org.logins.add_app(private_key=key)
    people = (org.admin, org.actor(org.integration_id))
    for person in people:
        org.logins.passwords[person.username.lower()] = unguessable(8)
    admin, integration = people
    return {
        "org_id": org.org_id,
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "private_key_file": key_file,
        "username": admin.username,
        "password": org.logins.passwords[admin.username.lower()],
        "access_token": org.logins.open_session(admin.user_id, app.client_id),
        "refresh_token": org.logins.issue_refresh_token(admin.user_id, app.client_id),
        "integration_username": integration.username,
        "integration_password": org.logins.passwords[integration.username.lower()],
    }


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up on whoever is still connected: an idle client would be waited for at every stop."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets=sockets)


def _config(started: Started, *, http: bool) -> uvicorn.Config:
    files = started.certificates
    return uvicorn.Config(
        Application(started.world),
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,  # a client that keeps its connection open is not waited for
        http="httptools",
        ws="none",
        h11_max_incomplete_event_size=None,
        ssl_certfile=None if http else str(files.server_file),
        ssl_keyfile=None if http else str(files.server_key_file),
    )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket bound to loopback; port 0 takes a free one."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def serve(
    started: Started,
    *,
    port: int = 8443,
    http: bool = False,
    host: str = "127.0.0.1",
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until interrupted; ``announce`` gets one JSON line once connections are taken (port 0 takes a free one)."""
    # What exists by now lives as long as the process; a page of 2,000 records need not walk over it again.
    gc.collect()
    gc.freeze()
    with listening(host, port) as bound:
        taken = bound.getsockname()[1]
        line = orjson.dumps(started.line(taken, http=http)).decode()
        _Server(_config(started, http=http), lambda: announce(line)).run(sockets=[bound])


@contextmanager
def running(
    started: Started, *, port: int = 0, http: bool = False, host: str = "127.0.0.1"
) -> Iterator[dict[str, Any]]:
    """Serve from a thread of this process while the block runs; yields the JSON line as a dict."""
    ready = threading.Event()
    with listening(host, port) as bound:
        server = _Server(_config(started, http=http), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True, name="local org")
        thread.start()
        try:
            if not ready.wait(30):
                raise RuntimeError("the local org did not start")
            yield started.line(bound.getsockname()[1], http=http)
        finally:
            server.should_exit = True
            thread.join(30)
