"""The framework-free face of a world of orgs: a request in, a response out, the same in process and over HTTPS.

It may not know sockets or any web framework. It keeps one law: whatever goes wrong inside becomes an answer in a shape
that a real org gives.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError, OAuthError, method_not_allowed, not_found

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg
    from sfsync.localorg.world import World

log = logging.getLogger("sfsync.localorg")
JSON = "application/json;charset=UTF-8"
LONGEST_URI = 16_384
NEWEST, OLDEST, DEPRECATED = 68, 31, 40
GZIP_FROM_BYTES = 1_000
MOST_INFLATED = 512 * 1024 * 1024


@dataclass(slots=True)
class Request:
    """What a client sent. ``path`` is undecoded and without the query; header names are in lower case.

    ``wire`` is False in process; ``peer`` is the address at the other end of the wire.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    host: str = "localhost"
    scheme: str = "https"
    wire: bool = True
    uri_bytes: int = 0
    peer: str = ""

    @classmethod
    def of(
        cls, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, wire: bool = False
    ) -> Request:
        """Make a request from a URL, as an in-process client has it; nothing is compressed unless ``wire``."""
        parts = urlsplit(url)
        return cls(
            method.upper(),
            parts.path or "/",
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {k.lower(): v for k, v in (headers or {}).items()},
            body,
            parts.netloc or "localhost",
            parts.scheme or "https",
            wire,
            len(parts.path) + len(parts.query),
        )

    @property
    def hostname(self) -> str:
        """The host without its port, in lower case."""
        name = self.host.lower()
        return name.rsplit(":", 1)[0] if re.search(r":\d+$", name) else name

    @property
    def for_people(self) -> bool:
        """Whether it asks for a page of the record browser."""
        return self.path == "/" or self.path.startswith("/lightning/")

    @property
    def is_api(self) -> bool:
        """Whether a real org would get it from a client: neither a page for people nor the control face."""
        return not self.for_people and not self.path.startswith("/_local/")


@dataclass(slots=True)
class Response:
    """What goes back. ``delay_seconds`` and ``broken`` (reset, timeout or cut) are carried out by the face in use."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    broken: str | None = None

    def header(self, name: str) -> str | None:
        """Return the value of a header, in any case, or None."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)


def json_response(value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return ``value`` as a JSON answer."""
    return Response(status, orjson.dumps(value), [("Content-Type", JSON), *headers])


def error_response(error: ApiError) -> Response:
    """Return the array that REST answers with when something is wrong (facts 2.1)."""
    if error.status == 300 and error.fields is not None:
        return json_response(error.fields, 300)
    return json_response([error.as_rest()], error.status)


@dataclass(slots=True)
class Call:
    """One request on its way through a route: the org, who asks, the API version and the path's parameters."""

    world: World
    org: LocalOrg
    request: Request
    args: dict[str, str]
    version: str = "61.0"
    user: Actor | None = None
    token: str | None = None
    nested: bool = False
    cost: int = 1

    @property
    def actor(self) -> Actor:
        """Who asks; only routes without authentication have nobody."""
        if self.user is None:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return self.user

    @property
    def base(self) -> str:
        """The path that every resource of this version begins with."""
        return f"/services/data/v{self.version}"

    def header(self, name: str) -> str | None:
        """Return a request header, or None."""
        return self.request.headers.get(name.lower())

    def json(self) -> Any:
        """Return the request's body as JSON; JSON_PARSER_ERROR when it is not."""
        try:
            return orjson.loads(self.request.body)
        except orjson.JSONDecodeError as problem:
            raise ApiError(
                400, "JSON_PARSER_ERROR", f"{problem} at [line:{problem.lineno}, column:{problem.colno}]"
            ) from None

    def json_object(self) -> dict[str, Any]:
        """Return the request's body as a JSON object."""
        found = self.json()
        if not isinstance(found, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")
        return found


Function = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the route table: verbs, path template, function, what it is for, and whether it needs a session."""

    methods: frozenset[str]
    template: str
    function: Function
    summary: str
    session: bool = True
    cost: int = 1


class Routes:
    """The routes of one module, gathered by decoration."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def on(
        self, methods: str, template: str, summary: str, *, session: bool = True, cost: int = 1
    ) -> Callable[[Function], Function]:
        """Register a function for verbs (separated by spaces) and a template such as ``/services/data/{version}``.

        ``{name}`` stands for one segment, ``{name:rest}`` for all that remain. Literal segments match in any case.
        """

        def register(function: Function) -> Function:
            self.all.append(Route(frozenset(methods.split()), template, function, summary, session, cost))
            return function

        return register


class Router:
    """Finds the route of a request; the most literal template wins."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._by_length: dict[int, list[tuple[re.Pattern[str], Route]]] = {}
        self._open: list[tuple[re.Pattern[str], Route]] = []
        for each in sorted(self.routes, key=lambda r: (r.template.count("{"), -len(r.template))):
            pattern = re.compile(_pattern(each.template), re.IGNORECASE)
            if ":rest}" in each.template:
                self._open.append((pattern, each))
            else:
                self._by_length.setdefault((each.template.rstrip("/") or "/").count("/"), []).append((pattern, each))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and its decoded parameters; NOT_FOUND or METHOD_NOT_ALLOWED as ApiError."""
        trimmed = path.rstrip("/") if len(path) > 1 else path
        allowed: set[str] = set()
        for pattern, route in (*self._by_length.get(trimmed.count("/"), ()), *self._open):
            found = pattern.fullmatch(trimmed)
            if found is None:
                continue
            if method in route.methods or (method == "HEAD" and "GET" in route.methods):
                return route, {k: unquote(v) for k, v in found.groupdict().items()}
            allowed |= route.methods
        if allowed:
            raise method_not_allowed(method, ",".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))))
        if path.startswith("/services/"):
            log.warning("not modelled: %s %s", method, path)
        raise not_found()


def _pattern(template: str) -> str:
    parts = re.split(r"(\{[^}]+\})", template)
    made = []
    for part in parts:
        if part.startswith("{"):
            name, _, kind = part[1:-1].partition(":")
            made.append(f"(?P<{name}>{'.+' if kind == 'rest' else '[^/]+'})")
        else:
            made.append(re.escape(part))
    return "".join(made)


_VERSION = re.compile(r"/services/data/v(\d+)(?:\.(\d))?(?:/|$)")


def version_of(path: str) -> str | None:
    """Return the API version in a REST path (``61.0``) or None; ApiError for one that is gone or unknown."""
    found = _VERSION.match(path)
    if found is None:
        return None
    number = int(found[1])
    if number < OLDEST and number >= 20:
        raise ApiError(410, "UNSUPPORTED_API_VERSION", f"API version v{number}.0 is no longer supported")
    if number > NEWEST or number < OLDEST or found[2] != "0":
        raise not_found()
    return f"{number}.0"


_SUFFIX = re.compile(r"/services/data/v\d+\.0/(?!sobjects/[^/]+/[^/]+/[^/]+$).*\.(json|xml)", re.IGNORECASE)


def without_format(path: str) -> tuple[str, str]:
    """Return a REST path without the ``.json`` or ``.xml`` behind it, and which of them it was; keys keep theirs."""
    found = _SUFFIX.fullmatch(path)
    return (path, "") if found is None else (path[: found.start(1) - 1], found[1].lower())


def decoded_body(request: Request) -> bytes:
    """Return the request's body with its gzip taken off; ApiError when it is not what it says."""
    if "gzip" not in request.headers.get("content-encoding", "").lower():
        return request.body
    try:
        inflate = zlib.decompressobj(31)
        body = inflate.decompress(request.body, MOST_INFLATED)
        if not inflate.eof:
            raise zlib.error("incomplete or too long")
    except zlib.error as problem:
        raise ApiError(400, "UNKNOWN_EXCEPTION", f"the body is not gzip: {problem}") from None
    return body


def finish(call_org: LocalOrg, request: Request, response: Response, *, counted: bool) -> None:
    """Add the headers that a real org sends, and compress the body when the client takes that."""
    headers = response.headers
    status = response.status
    headers += [
        ("Date", formatdate(call_org.now_seconds(), usegmt=True)),
        ("X-Content-Type-Options", "nosniff"),
        ("X-XSS-Protection", "1; mode=block"),
        ("X-Robots-Tag", "none"),
    ]
    if not request.for_people:  # a browser would keep it for everything else on this machine
        headers.append(("Strict-Transport-Security", "max-age=63072000; includeSubDomains"))
    if status == 204:
        headers.append(("Content-Security-Policy", "upgrade-insecure-requests"))
    if response.header("Cache-Control") is None:
        headers.append(("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private"))
    expires = formatdate(call_org.now_seconds() + 31_536_000, usegmt=True)
    headers.append(
        (
            "Set-Cookie",
            f"BrowserId={call_org.org_id}; domain=.salesforce.com; path=/; expires={expires}; Max-Age=31536000",
        )
    )
    if counted:
        headers.append(("Sforce-Limit-Info", f"api-usage={call_org.spent()}/{call_org.daily_api_requests}"))
    if status < 400 and response.body and "octet" not in (response.header("Content-Type") or ""):
        headers.append(("Vary", "Accept-Encoding"))
    if request.headers.get("x-prettyprint", "0") not in ("0", "false") and response.header("Content-Type") == JSON:
        response.body = orjson.dumps(orjson.loads(response.body), option=orjson.OPT_INDENT_2) if response.body else b""
    wanted = request.wire and "gzip" in request.headers.get("accept-encoding", "")
    if wanted and len(response.body) >= GZIP_FROM_BYTES and response.header("Content-Encoding") is None:
        response.body = gzip.compress(response.body, 1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))


def too_long(request: Request) -> Response | None:
    """Return the answer to a request line or headers beyond what an org's front takes (facts 2.1), else None."""
    headers = sum(len(name) + len(value) for name, value in request.headers.items())
    if request.uri_bytes <= LONGEST_URI and request.uri_bytes + headers <= LONGEST_URI:
        return None
    status, reason = (
        (414, b"URI Too Long") if request.uri_bytes > LONGEST_URI else (431, b"Request Header Fields Too Large")
    )
    page = b"<html><head><title>%d %s</title></head><body><h1>%s</h1></body></html>" % (status, reason, reason)
    return Response(status, page, [("Content-Type", "text/html;charset=UTF-8")])


def oauth_error(error: OAuthError) -> Response:
    """Return the object that the token endpoint refuses with."""
    return json_response({"error": error.error, "error_description": error.description}, error.status)
