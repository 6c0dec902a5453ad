"""Logging in: JWT bearer, refresh token with rotation, client credentials; and whose org answered.

Our own token exchange, because simple-salesforce knows neither refresh tokens nor another host, and sends no audience
but its own. This module may not know what the token is used for. It keeps one law: no token is handed out before the
organisation that gave it was compared with the pinned one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import jwt
import requests
from requests.adapters import BaseAdapter

from sfsync.clock import Clock
from sfsync.errors import AccessDenied, OrgError, SettingsError, WrongOrg
from sfsync.mirror.translate import Untranslatable, long_id
from sfsync.org import faults
from sfsync.org.tokens import Token, TokenStore
from sfsync.org.wire import Wire, is_loopback, json_or_none
from sfsync.settings import OrgSettings

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=3)
_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})$")
_OFFICIAL = (".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn", ".cloudforce.com")
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class Login:
    """Gets tokens for one org and checks whose they are."""

    def __init__(
        self,
        name: str,
        settings: OrgSettings,
        *,
        clock: Clock,
        tokens: TokenStore,
        adapter: BaseAdapter | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._tokens = tokens
        self._wire = Wire(clock, ca_file=settings.ca_file, adapter=adapter)
        self._wire.pin(settings.login_url)
        self.heard_date: str | None = None
        """``Date`` header of the last answer: the org's own clock."""
        self.grants = 0
        """How often the login service was asked."""

    def close(self) -> None:
        """Hang up."""
        self._wire.close()

    def token(self, refused: str = "") -> Token:
        """Return a token whose access token is not ``refused``, from the store or by a grant.

        One worker at a time asks the login service; the others find its answer in the store. Raises WrongOrg if
        another organisation answered, AccessDenied or OrgBusy as the login service says.
        """
        kept = self._tokens.load(self._name)
        if kept is not None and kept.access_token and kept.access_token != refused and self._still_ours(kept):
            return self._checked(kept)
        with self._tokens.alone(self._name):
            kept = self._tokens.load(self._name)
            if kept is not None and kept.access_token and kept.access_token != refused and self._still_ours(kept):
                return self._checked(kept)
            token = self._checked(self._grant(kept))
            self._tokens.save(self._name, token)
            return token

    def _still_ours(self, kept: Token) -> bool:
        """True unless the operator configured another refresh token since, or another login host."""
        return kept.origin == self._origin()

    def _origin(self) -> str:
        given = self._settings
        parts = [given.login_url, given.client_id or "", given.username or ""]
        if given.refresh_token is not None:
            parts.append(given.refresh_token.get_secret_value())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _checked(self, token: Token) -> Token:
        pinned = self._settings.organization_id
        if pinned is not None and long_id(pinned) != token.organization_id:
            raise WrongOrg(
                f"org {self._name} is pinned to {long_id(pinned)}, but the credentials reach {token.organization_id}",
                advice="connect the org again, or correct organization_id",
            )
        login = urlsplit(self._settings.login_url)
        instance = urlsplit(token.instance_url)
        host = (instance.hostname or "").lower()
        here = is_loopback(host) and is_loopback(login.hostname or "")
        if host != (login.hostname or "").lower() and not here and not host.endswith(_OFFICIAL):
            raise WrongOrg(f"the login of org {self._name} points to {host or 'no host'}, which is no Salesforce host")
        return token

    # --- grants -------------------------------------------------------------------------------------

    def _grant(self, kept: Token | None) -> Token:
        given = self._settings
        if given.refresh_token is not None:
            return self._refresh(kept)
        if given.private_key_file is not None:
            return self._assert(kept)
        if given.client_id and given.client_secret is not None:
            return self._credentials()
        raise SettingsError(
            f"org {self._name} says how to log in by none of: private_key_file, refresh_token, client_secret"
        )

    def _refresh(self, kept: Token | None) -> Token:
        given = self._settings
        assert given.refresh_token is not None
        rotated = kept.refresh_token if kept is not None and self._still_ours(kept) else None
        form = {
            "grant_type": "refresh_token",
            "client_id": self._needed("client_id"),
            "refresh_token": rotated or given.refresh_token.get_secret_value(),
        }
        if given.client_secret is not None:
            form["client_secret"] = given.client_secret.get_secret_value()
        return self._ask(form, refresh_token=form["refresh_token"])

    def _credentials(self) -> Token:
        assert self._settings.client_secret is not None
        secret = self._settings.client_secret.get_secret_value()
        basic = base64.b64encode(f"{self._needed('client_id')}:{secret}".encode()).decode()
        return self._ask({"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"})

    def _assert(self, kept: Token | None) -> Token:
        """Sign an assertion for each audience until one is accepted; remember which."""
        path = self._settings.private_key_file
        assert path is not None
        try:
            if path.stat().st_mode & 0o077:
                raise SettingsError(f"org {self._name}: {path} can be read by others; run: chmod 600 {path}")
            key = path.read_bytes()
        except OSError as bad:
            raise SettingsError(f"org {self._name}: the private key cannot be read: {bad.strerror}") from None
        first: OrgError | None = None
        for audience in self._audiences(kept):
            claims = {
                "iss": self._needed("client_id"),
                "sub": self._needed("username"),
                "aud": audience,
                "exp": int((self._clock.now() + ASSERTION_LIFE).timestamp()),
            }
            try:
                assertion = jwt.encode(claims, key, algorithm="RS256")
            except (ValueError, TypeError, jwt.PyJWTError) as bad:  # its words may hold the key's
                raise SettingsError(f"org {self._name}: {path} cannot sign: {type(bad).__name__}") from None
            try:
                return self._ask({"grant_type": JWT_GRANT, "assertion": assertion}, audience=audience)
            except AccessDenied as bad:
                if bad.code != "invalid_grant" or "audience" not in bad.message.lower():
                    raise
                first = first or bad
        assert first is not None
        raise first

    def _audiences(self, kept: Token | None) -> Iterator[str]:
        """Yield each audience worth trying once: remembered, configured, login host, My Domain, the official two."""
        seen: set[str] = set()
        given = self._settings
        if given.audience is not None:
            yield given.audience
            return
        remembered = kept.audience if kept is not None else ""
        instance = kept.instance_url if kept is not None else ""
        for url in (remembered, given.login_url, instance, *_AUDIENCES):
            audience = url.rstrip("/")
            if audience and audience not in seen:
                seen.add(audience)
                yield audience

    def _needed(self, key: str) -> str:
        value = getattr(self._settings, key)
        if not value:
            raise SettingsError(f"org {self._name} needs {key} to log in")
        return str(value)

    def _ask(
        self,
        form: dict[str, str],
        *,
        headers: dict[str, str] | None = None,
        refresh_token: str | None = None,
        audience: str = "",
    ) -> Token:
        url = self._settings.login_url.rstrip("/") + "/services/oauth2/token"
        self.grants += 1
        answer = self._wire.request("POST", url, data=form, headers=headers)
        self.heard_date = answer.headers.get("Date")
        body = json_or_none(answer.content)
        if answer.status_code != requests.codes.ok or not isinstance(body, dict) or "access_token" not in body:
            # Whoever stands between may send back what we said, and an error is kept and shown.
            secrets = [form.get(name, "") for name in ("assertion", "refresh_token", "client_secret")]
            text = _without(answer.text, [*secrets, *(headers or {}).values(), self._client_secret()])
            raise faults.login_error(answer.status_code, json_or_none(text.encode()), text[:400])
        return self._token(body, refresh_token, audience)

    def _client_secret(self) -> str:
        return self._settings.client_secret.get_secret_value() if self._settings.client_secret is not None else ""

    def _token(self, body: dict[str, Any], refresh_token: str | None, audience: str) -> Token:
        identity = _IDENTITY.search(str(body.get("id") or ""))
        instance = str(body.get("instance_url") or "")
        if identity is None or not instance:
            raise AccessDenied("the login answer does not say which org it is for", advice="check login_url")
        try:
            organization_id, user_id = long_id(identity[1]), long_id(identity[2])
        except Untranslatable as bad:
            raise AccessDenied(f"the login answer names no org: {bad}", advice="check login_url") from None
        parts = urlsplit(instance)
        return Token(
            access_token=str(body["access_token"]),
            instance_url=f"{parts.scheme}://{parts.netloc}",
            organization_id=organization_id,
            user_id=user_id,
            refresh_token=str(body.get("refresh_token") or refresh_token or "") or None,
            origin=self._origin(),
            audience=audience,
        )


def _without(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with each of ``secrets`` hidden, however it is quoted."""
    for value in filter(None, secrets):
        for one in {value, quote_plus(value), quote(value), value.removeprefix("Basic ")}:
            text = text.replace(one, "(hidden)")
    return text
