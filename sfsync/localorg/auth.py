"""Logging in: the OAuth grants with real checks, sessions that expire, userinfo and identity.

It may not know records beyond users. It keeps one law: a token is accepted only while its session lives, its user is
active and its app is not revoked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sfsync.clock import token as unguessable
from sfsync.localorg.errors import ApiError, OAuthError, bad_session
from sfsync.localorg.face import JSON, Call, Response, Routes, json_response

if TYPE_CHECKING:
    from sfsync.localorg.org import LocalOrg

routes = Routes()
SESSION_SECONDS = 7_200
SKEW_SECONDS = 180
MILLISECONDS_FROM = 100_000_000_000
AUDIENCES = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})
SHARED_LOGIN_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com"})
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_shared_key: rsa.RSAPrivateKey | None = None


def shared_key() -> rsa.RSAPrivateKey:
    """Return a key made once per process: making one for every org of a test run would take most of its time."""
    global _shared_key  # noqa: PLW0603 - a cache of something expensive and without identity
    if _shared_key is None:
        _shared_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return _shared_key


@dataclass(slots=True)
class App:
    """A connected app: its consumer key and secret, the key its assertions are signed with, and who may use it.

    ``approved`` None means that every user is pre-authorised; ``run_as`` is who client credentials act for.
    """

    client_id: str
    client_secret: str
    name: str = "sfsync"
    private_key: rsa.RSAPrivateKey | None = None
    run_as: str | None = None
    approved: set[str] | None = None
    rotate_refresh_tokens: bool = False
    revoked: bool = False

    def private_key_pem(self) -> str:
        """Return the private key that signs assertions for this app, as PEM."""
        key = self.private_key or shared_key()
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


@dataclass(slots=True)
class Session:
    """An access token's session; it ends ``SESSION_SECONDS`` after it was last used."""

    user_id: str
    client_id: str
    expires_at: int
    seconds: int


@dataclass(slots=True)
class Logins:
    """The apps, passwords, sessions and refresh tokens of one org."""

    org: LocalOrg
    apps: dict[str, App] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    refresh_tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    session_seconds: int = SESSION_SECONDS

    def add_app(self, client_id: str | None = None, client_secret: str | None = None, **more: Any) -> App:
        """Register a connected app and return it; its run-as user is the integration user unless given."""
        app = App(client_id or "3MVG9" + unguessable(24), client_secret or unguessable(32).upper(), **more)
        app.run_as = app.run_as or self.org.integration_id
        self.apps[app.client_id] = app
        return app

    def open_session(self, user_id: str, client_id: str = "") -> str:
        """Return a new access token for a user."""
        opaque = base64.urlsafe_b64encode(hashlib.sha384(unguessable(32).encode()).digest()).decode().replace("-", ".")
        token = f"{self.org.org_id[:15]}!AQ{opaque}{unguessable(14)}".replace("=", "")
        now = self.org.now_seconds()
        self.sessions[token] = Session(user_id, client_id, now + self.session_seconds, self.session_seconds)
        return token

    def issue_refresh_token(self, user_id: str, client_id: str) -> str:
        """Return a new refresh token for a user and an app."""
        token = "5Aep861" + unguessable(36)
        self.refresh_tokens[token] = (user_id, client_id)
        return token

    def user_of(self, token: str | None) -> str:
        """Return the user id of a live session and prolong it; INVALID_SESSION_ID when there is none."""
        session = None if token is None else self.sessions.get(token)
        now = self.org.now_seconds()
        if session is None or session.expires_at <= now:
            raise bad_session()
        app = self.apps.get(session.client_id)
        user = self.org.actor(session.user_id)
        if (app is not None and app.revoked) or not user.attributes.get("user.isactive"):
            raise bad_session()
        session.expires_at = now + session.seconds
        return session.user_id

    def holder_of(self, token: str | None) -> str | None:
        """Return the user id a session was opened for, whether or not it is still good; None when there is none."""
        session = self.sessions.get(token or "")
        return None if session is None else session.user_id

    def expire_all(self) -> int:
        """End every session, as an administrator can; return how many there were."""
        count = len(self.sessions)
        self.sessions.clear()
        return count

    # Grants

    def grant(self, form: dict[str, str], audience_hosts: frozenset[str]) -> tuple[str, str, str | None]:
        """Return (user id, client id, refresh token or None) for a token request; OAuthError when refused."""
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                return (*self._jwt(form.get("assertion", ""), audience_hosts), None)
            case "client_credentials":
                app = self._app(form, secret=True)
                if app.run_as is None:
                    raise OAuthError("invalid_grant", "no client credentials user enabled")
                return self._usable(app.run_as, app), app.client_id, None
            case "password":
                app = self._app(form, secret=True)
                user_id = self.check_password(form.get("username", ""), form.get("password", ""))
                return self._usable(user_id, app), app.client_id, None
            case "refresh_token":
                return self._refresh(form)
            case None:
                raise OAuthError("invalid_request", "grant type not supplied")
            case other:
                raise OAuthError("unsupported_grant_type", f"grant type not supported: {other}"[:200])

    def check_password(self, username: str, password: str) -> str:
        """Return the id of the user with this password (a security token may follow it); OAuthError otherwise."""
        known = self.passwords.get(username.lower())
        if known is None or not (password == known or password.startswith(known)):
            raise OAuthError("invalid_grant", "authentication failure")
        try:
            return self.org.user_id(username)
        except ApiError:
            raise OAuthError("invalid_grant", "authentication failure") from None

    def _app(self, form: dict[str, str], *, secret: bool) -> App:
        app = self.apps.get(form.get("client_id", ""))
        if app is None or app.revoked:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        given = form.get("client_secret")
        if (secret or given) and not hmac.compare_digest((given or "").encode(), app.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")
        return app

    def _usable(self, user_id: str, app: App) -> str:
        user = self.org.actor(user_id)
        if not user.attributes.get("user.isactive"):
            raise OAuthError("invalid_grant", "inactive user")
        if app.approved is not None and user_id not in app.approved:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return user_id

    def _refresh(self, form: dict[str, str]) -> tuple[str, str, str | None]:
        app = self._app(form, secret=False)
        given = form.get("refresh_token", "")
        known = self.refresh_tokens.get(given)
        if known is None or known[1] != app.client_id:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        user_id = self._usable(known[0], app)
        if not app.rotate_refresh_tokens:
            return user_id, app.client_id, None
        del self.refresh_tokens[given]
        return user_id, app.client_id, self.issue_refresh_token(user_id, app.client_id)

    def _jwt(self, assertion: str, audience_hosts: frozenset[str]) -> tuple[str, str]:
        try:
            claims = jwt.decode(
                assertion, options={"verify_signature": False, "verify_exp": False, "verify_aud": False}
            )
        except jwt.PyJWTError:
            raise OAuthError("invalid_grant", "invalid assertion") from None
        app = self.apps.get(str(claims.get("iss", "")))
        if app is None or app.revoked:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        key = (app.private_key or shared_key()).public_key()
        try:
            jwt.decode(
                assertion,
                key=key,
                algorithms=["RS256"],
                options={
                    "verify_exp": False,
                    "verify_aud": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_sub": False,
                },
            )
        except jwt.PyJWTError:
            raise OAuthError("invalid_grant", "invalid assertion") from None
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else list(audience or [])
        if not any(str(a).rstrip("/").lower() in AUDIENCES | audience_hosts for a in named):
            raise OAuthError("invalid_grant", "Audience validation failed")
        try:
            expires = float(claims.get("exp", "nan"))
        except (TypeError, ValueError):
            expires = float("nan")
        if expires > MILLISECONDS_FROM:
            expires /= 1_000
        # One real client says "now"; the skew is what a real org allows.
        if not expires >= self.org.now_seconds() - SKEW_SECONDS:
            raise OAuthError("invalid_grant", "expired authorization code")
        try:
            user_id = self.org.user_id(str(claims.get("sub", claims.get("prn", ""))))
        except ApiError:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer") from None
        return self._usable(user_id, app), app.client_id


def claimed(form: dict[str, str]) -> tuple[str, str, str]:
    """Return (client id, username, refresh token) that a token request names, unchecked: it only chooses the org."""
    client_id, username = form.get("client_id", ""), form.get("username", "")
    if form.get("assertion"):
        try:
            claims = jwt.decode(
                form["assertion"], options={"verify_signature": False, "verify_exp": False, "verify_aud": False}
            )
        except jwt.PyJWTError:
            return client_id, username, ""
        client_id, username = str(claims.get("iss", "")), str(claims.get("sub", ""))
    return client_id, username, form.get("refresh_token", "")


def _form(call: Call) -> dict[str, str]:
    form = dict(call.request.query)
    body = call.request.body.decode("utf-8", "replace")
    form |= dict(parse_qsl(body, keep_blank_values=True))
    basic = call.header("authorization") or ""
    if basic[:6].lower() == "basic ":
        try:
            client_id, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise OAuthError("invalid_client", "invalid client credentials") from None
        form |= {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}
    return form


@routes.on(
    "POST GET",
    "/services/oauth2/token",
    "OAuth token: JWT bearer, refresh, password, client credentials",
    session=False,
    cost=0,
)
def token(call: Call) -> Response:
    """Answer a token request; the instance URL is where the API of the user's org is."""
    form = _form(call)
    if form.get("grant_type") == "client_credentials" and call.request.hostname in SHARED_LOGIN_HOSTS:
        raise OAuthError("invalid_grant", "request not supported on this domain")
    org = call.world.org_of_login(call.request, form) or call.org
    own = call.world.instance_url(org, call.request)
    hosts = frozenset(
        {own, f"https://{org.name}.my.salesforce.com", f"{call.request.scheme}://{call.request.host}".lower()}
    )
    with org.lock:
        user_id, client_id, refresh = org.logins.grant(form, hosts)
        access = org.logins.open_session(user_id, client_id)
        org.storage.update("User", ["LastLoginDate"], [(org.now_seconds(), user_id)])
    identity = f"{call.world.login_url(call.request)}/id/{org.org_id}/{user_id}"
    issued = str(org.now_seconds() * 1_000)
    secret = org.logins.apps[client_id].client_secret
    signature = hmac.new(secret.encode(), (identity + issued).encode(), hashlib.sha256).digest()
    answer = {
        "access_token": access,
        "signature": base64.b64encode(signature).decode(),
        "scope": "api id refresh_token" if form.get("grant_type") == "refresh_token" else "api id",
        "instance_url": own,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued,
    }
    if refresh is not None:
        answer["refresh_token"] = refresh
    return json_response(answer, headers=[("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache")])


@routes.on("POST GET", "/services/oauth2/revoke", "OAuth revoke", session=False, cost=0)
def revoke(call: Call) -> Response:
    """End a session or forget a refresh token."""
    given = _form(call).get("token", "")
    for org in call.world.orgs.values():
        if org.logins.sessions.pop(given, None) or org.logins.refresh_tokens.pop(given, None):
            return Response(200, b"", [("Content-Type", JSON)])
    raise OAuthError("unsupported_token_type", "this token is not supported")


@routes.on("POST", "/services/oauth2/introspect", "OAuth introspection", session=False, cost=0)
def introspect(call: Call) -> Response:
    """Say whether a token lives."""
    given = _form(call).get("token", "")
    for org in call.world.orgs.values():
        session = org.logins.sessions.get(given)
        if session is not None and session.expires_at > org.now_seconds():
            user = org.actor(session.user_id)
            return json_response(
                {
                    "active": True,
                    "scope": "api id",
                    "client_id": session.client_id,
                    "username": user.username,
                    "sub": f"{call.world.login_url(call.request)}/id/{org.org_id}/{user.user_id}",
                    "token_type": "access_token",
                    "exp": session.expires_at,
                    "iat": session.expires_at - session.seconds,
                    "nbf": session.expires_at - session.seconds,
                }
            )
    return json_response({"active": False})


def _urls(call: Call, version: str | None) -> dict[str, str]:
    root = call.world.instance_url(call.org, call.request)
    v = version or "{version}"
    rest = f"{root}/services/data/v{v}/"
    return {
        "enterprise": f"{root}/services/Soap/c/{v}/{call.org.org_id[:15]}",
        "metadata": f"{root}/services/Soap/m/{v}/{call.org.org_id[:15]}",
        "partner": f"{root}/services/Soap/u/{v}/{call.org.org_id[:15]}",
        "rest": rest,
        "sobjects": f"{rest}sobjects/",
        "search": f"{rest}search/",
        "query": f"{rest}query/",
        "recent": f"{rest}recent/",
        "tooling_soap": f"{root}/services/Soap/T/{v}/{call.org.org_id[:15]}",
        "tooling_rest": f"{rest}tooling/",
        "profile": f"{root}/{call.actor.user_id}",
        "feeds": f"{rest}chatter/feeds",
        "groups": f"{rest}chatter/groups",
        "users": f"{rest}chatter/users",
        "feed_items": f"{rest}chatter/feed-items",
        "feed_elements": f"{rest}chatter/feed-elements",
        "custom_domain": root,
    }


def _photos(call: Call) -> dict[str, str]:
    front = f"{call.world.instance_url(call.org, call.request)}/profilephoto/005"
    return {"picture": f"{front}/F", "thumbnail": f"{front}/T"}


def _offset(call: Call) -> int:
    """Milliseconds that the user's clock is ahead of UTC; an org leaves daylight saving out all year."""
    here = call.org.now().astimezone(call.actor.zone)
    return int(((here.utcoffset() or timedelta()) - (here.dst() or timedelta())).total_seconds() * 1_000)


def _changed_at(call: Call) -> str:
    """When the user was last changed, without fractions of a second."""
    seconds = call.actor.attributes["user.lastmodifieddate"]
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@routes.on("GET POST", "/services/oauth2/userinfo", "Who the token's user is (OpenID Connect)", cost=0)
def userinfo(call: Call) -> Response:
    """Answer with the user's claims."""
    user = call.actor.attributes
    identity = f"{call.world.login_url(call.request)}/id/{call.org.org_id}/{call.actor.user_id}"
    photos = _photos(call)
    return json_response(
        {
            "sub": identity,
            "user_id": call.actor.user_id,
            "organization_id": call.org.org_id,
            "preferred_username": call.actor.username,
            "nickname": user.get("user.communitynickname"),
            "name": call.actor.name,
            "email": user.get("user.email"),
            "email_verified": True,
            "given_name": user.get("user.firstname"),
            "family_name": user.get("user.lastname"),
            "zoneinfo": user.get("user.timezonesidkey"),
            "photos": photos,
            "profile": f"{call.world.instance_url(call.org, call.request)}/{call.actor.user_id}",
            "picture": photos["picture"],
            "address": {},
            "is_salesforce_integration_user": False,
            "urls": _urls(call, None),
            "active": True,
            "user_type": "STANDARD",
            "language": user.get("user.languagelocalekey"),
            "locale": user.get("user.localesidkey"),
            "utcOffset": _offset(call),
            "updated_at": _changed_at(call),
            "is_app_installed": True,
        }
    )


@routes.on("GET POST", "/id/{org_id}/{user_id}", "The identity URL of the token answer", session=False, cost=0)
def identity(call: Call) -> Response:
    """Answer with who the token's user is; text bodies when the token is missing, bad or of another org."""
    given = call.token or call.request.query.get("oauth_token") or _form(call).get("oauth_token")
    if not given:
        return Response(403, b"Missing_OAuth_Token", [("Content-Type", "text/html;charset=UTF-8")])
    org = call.world.org_of_token(given)
    if org is None:
        return Response(403, b"Bad_OAuth_Token", [("Content-Type", "text/html;charset=UTF-8")])
    if org.org_id[:15] != call.args["org_id"][:15]:
        return Response(403, b"Wrong_Org", [("Content-Type", "text/html;charset=UTF-8")])
    try:
        call.org, call.user = org, org.actor(org.logins.user_of(given))
    except ApiError:
        return Response(403, b"Bad_OAuth_Token", [("Content-Type", "text/html;charset=UTF-8")])
    user = call.actor.attributes
    version = call.request.query.get("version")
    return json_response(
        {
            "id": f"{call.world.login_url(call.request)}/id/{org.org_id}/{call.actor.user_id}",
            "asserted_user": True,
            "user_id": call.actor.user_id,
            "organization_id": org.org_id,
            "username": call.actor.username,
            "nick_name": user.get("user.communitynickname"),
            "display_name": call.actor.name,
            "email": user.get("user.email"),
            "email_verified": True,
            "first_name": user.get("user.firstname"),
            "last_name": user.get("user.lastname"),
            "timezone": user.get("user.timezonesidkey"),
            "photos": _photos(call),
            "addr_street": None,
            "addr_city": None,
            "addr_state": None,
            "addr_country": None,
            "addr_zip": None,
            "mobile_phone": user.get("user.mobilephone"),
            "mobile_phone_verified": False,
            "is_lightning_login_user": False,
            "status": {"created_date": None, "body": None},
            "urls": _urls(call, "68.0" if version == "latest" else version),
            "active": True,
            "user_type": "STANDARD",
            "language": user.get("user.languagelocalekey"),
            "locale": user.get("user.localesidkey"),
            "utcOffset": _offset(call),
            "last_modified_date": _changed_at(call),
            "is_app_installed": True,
        }
    )
