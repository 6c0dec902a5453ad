"""Several orgs behind one address: which org a request is for, who asks, and the answer.

It may not know sockets. It keeps one law: a request touches exactly one org.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sfsync.localorg import bulk1, soap
from sfsync.localorg.access import Actor
from sfsync.localorg.auth import claimed
from sfsync.localorg.errors import ApiError, OAuthError, not_modelled
from sfsync.localorg.face import (
    DEPRECATED,
    Call,
    Request,
    Response,
    Route,
    Router,
    decoded_body,
    error_response,
    finish,
    json_response,
    oauth_error,
    too_long,
    version_of,
    without_format,
)
from sfsync.localorg.faults import Strike, strike
from sfsync.localorg.journal import Entry
from sfsync.localorg.org import LocalOrg

log = logging.getLogger("sfsync.localorg")
LOGIN_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com", "login.localhost", "test.localhost"})
_MODULES = (
    "auth",
    "about",
    "rest",
    "replication",
    "query",
    "sobject_collections",
    "composite",
    "control",
    "bulk",
    "bulk1",
    "metadata",
    "soap",
    "tooling",
    "browse",
)


def gathered_routes() -> list[Route]:
    """Return the routes of every module of the local org that has some."""
    from importlib import import_module
    from importlib.util import find_spec

    found: list[Route] = []
    for name in _MODULES:
        qualified = f"sfsync.localorg.{name}"
        if find_spec(qualified) is not None:
            routes = getattr(import_module(qualified), "routes", None)
            found += [] if routes is None else routes.all
    return found


class World:
    """The orgs that one server, or one in-process adapter, answers for.

    ``control`` opens the control face ``/_local/``. The first org answers for hosts that name none.
    """

    def __init__(self, orgs: Iterable[LocalOrg], *, control: bool = False) -> None:
        self.orgs: dict[str, LocalOrg] = {o.name: o for o in orgs}
        if not self.orgs:
            raise ValueError("a world has at least one org")
        self.control = control
        self.router = Router(gathered_routes())

    def add(self, org: LocalOrg) -> None:
        """Let one more org answer; one of the same name is replaced."""
        self.orgs[org.name] = org

    @property
    def first(self) -> LocalOrg:
        """The org that answers for hosts that name none."""
        return next(iter(self.orgs.values()))

    # Which org

    def org_named_by(self, hostname: str) -> LocalOrg | None:
        """Return the org whose My Domain name a host begins with, or None."""
        return self.orgs.get(hostname.split(".", 1)[0]) if "." in hostname else None

    def org_of_token(self, token: str | None) -> LocalOrg | None:
        """Return the org that an access token belongs to, by the org id in front of its ``!``, or None."""
        if token and "!" in token:
            short = token.split("!", 1)[0]
            return next((o for o in self.orgs.values() if o.org_id[:15] == short[:15]), None)
        return None

    def org_of_login(self, request: Request, form: dict[str, str]) -> LocalOrg | None:
        """Return the org a token request is for: the one its host names, else the one that knows the app and user."""
        named = self.org_named_by(request.hostname)
        if named is not None:
            return named
        client_id, username, refresh = claimed(form)
        for org in self.orgs.values():
            if refresh and refresh in org.logins.refresh_tokens:
                return org
            knows_app = client_id in org.logins.apps
            if knows_app and (
                not username or org.storage.rows('SELECT 1 FROM "User" WHERE "Username" = ?', (username,))
            ):
                return org
        return None

    def org_for(self, request: Request, token: str | None) -> LocalOrg:
        """Return the org that answers a request."""
        return self.org_named_by(request.hostname) or self.org_of_token(token) or self.first

    def instance_url(self, org: LocalOrg, request: Request) -> str:
        """Return the URL where the API of an org is, seen from the client that asks."""
        if request.hostname not in LOGIN_HOSTS:
            return f"{request.scheme}://{request.host}"
        port = request.host.rpartition(":")[2] if ":" in request.host else ""
        tail = f":{port}" if port else ""
        domain = "localhost" if request.hostname.endswith("localhost") else "my.salesforce.com"
        return f"{request.scheme}://{org.name}.{domain}{tail}"

    def login_url(self, request: Request) -> str:
        """Return the URL that identity URLs begin with, seen from the client that asks."""
        return f"{request.scheme}://{request.host}"

    # The answer

    def handle(self, request: Request) -> Response:
        """Answer a request; never raises."""
        # Salesforce's own command line writes two slashes behind the host.
        request.path = "/" + request.path.lstrip("/")
        token = bearer(request) or soap.session_in(request)
        org = self.org_for(request, token)
        with org.lock:
            org.settle_due()
            entry = Entry(
                org.now_seconds(),
                request.method,
                request.path,
                request.query,
                request.headers.get("sforce-call-options"),
            )
            path = request.path
            is_api = path.startswith("/services/") and not path.startswith("/services/oauth2")
            is_api = is_api and path.rstrip("/") != "/services/data"
            try:
                response = self._answer(org, request, token, entry)
            except ApiError as error:
                response = refused(request, error)
            except OAuthError as refusal:
                response = oauth_error(refusal)
            except Exception:
                log.exception("an answer failed: %s %s", request.method, path)
                message = "An unexpected error occurred. Please include this ErrorId if you contact support: 1"
                response = refused(request, ApiError(500, "UNKNOWN_EXCEPTION", message))
            entry.status = response.status
            finish(org, request, response, counted=is_api)
            if request.method == "HEAD":
                response.body = b""
            if request.is_api:
                org.journal.add(entry, response.broken)
        return response

    def _answer(self, org: LocalOrg, request: Request, token: str | None, entry: Entry) -> Response:
        refused = too_long(request)
        if refused is not None:
            return refused
        override = request.query.get("_HttpMethod")
        if override and request.method == "POST":
            request.method = override.upper()
        version = version_of(request.path)
        request.path, form = without_format(request.path)
        route, args = self.router.find(request.method, request.path)
        request.body = decoded_body(request)
        call = Call(self, org, request, args, version or "61.0", token=token, cost=route.cost)
        accepted = request.headers.get("accept", "")
        if form == "xml" or (
            not form and version and "/xml" in accepted and "json" not in accepted and "*/*" not in accepted
        ):
            raise not_modelled(f"answers in XML: {request.path}", status=406)
        if route.session:
            user_id = org.logins.user_of(token)
            call.user = org.actor(user_id)
            entry.user_id = user_id
        else:
            entry.user_id = org.logins.holder_of(token)
        fault = strike(org, request, entry.user_id, token, entry)
        if fault is not None and fault.answer is not None:
            return fault.answer
        if route.session and route.cost:
            if org.spent() >= org.daily_api_requests:
                raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            org.spend(route.cost)
            entry.cost = route.cost
        response = self._carried_out(route, call, fault)
        if version is not None and int(version.partition(".")[0]) <= DEPRECATED:
            response.headers.append(("Warning", f'299 - "This API is deprecated and will be removed. v{version}"'))
        if call.cost > route.cost:
            org.spend(call.cost - route.cost)
            entry.cost = call.cost
        if fault is not None:
            fault.afterwards(response)
        return response

    def _carried_out(self, route: Route, call: Call, fault: Strike | None) -> Response:
        kind = None if fault is None else fault.rule.kind
        if kind == "late_commit" and fault is not None:
            held = call.org.hold(call.user.user_id if call.user else None)
            held.commit_at = held.began_at + int(fault.rule.seconds)
            try:
                with call.org.within(held):
                    return self.run(route, call)
            except ApiError:
                call.org.storage.abandon(held)
                raise
        if kind == "duplicate":
            self.run(route, call)
        return self.run(route, call)

    def run(self, route: Route, call: Call) -> Response:
        """Run a route as its user."""
        if call.user is None:
            return route.function(call)
        with call.org.running_as(call.user):
            return route.function(call)

    def subrequest(self, outer: Call, method: str, url: str, body: bytes, headers: dict[str, str]) -> Response:
        """Run one request of a composite call inside the outer one: same user, no cost of its own."""
        inner = Request.of(method, f"{outer.request.scheme}://{outer.request.host}{url}", headers, body)
        try:
            version = version_of(inner.path)
            route, args = self.router.find(inner.method, inner.path)
            call = Call(self, outer.org, inner, args, version or outer.version, outer.user, outer.token, nested=True)
            return route.function(call)
        except ApiError as error:
            return error_response(error)


def refused(request: Request, error: ApiError) -> Response:
    """Return a refusal in the shape of the API that was asked."""
    path = request.path.lower()
    if path.startswith(soap.FRONT):
        return soap.refused(request, error)
    if path.startswith("/services/async/"):
        return bulk1.refused(request, error)
    return error_response(error)


def bearer(request: Request) -> str | None:
    """Return the access token of a request: Bearer or OAuth authorization, or X-SFDC-Session."""
    authorization = request.headers.get("authorization", "")
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() in ("bearer", "oauth"):
        return given.strip()
    return request.headers.get("x-sfdc-session")


def as_actor(org: LocalOrg, user: str | None) -> Actor:
    """Return the actor for a user named by id or username, the administrator when None."""
    return org.admin if user is None else org.actor(user)


__all__ = ["World", "as_actor", "bearer", "gathered_routes", "json_response"]
