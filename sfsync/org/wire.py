"""The HTTP session under everything: one host, a deadline, no redirects, no proxies, a token that is renewed once.

simple-salesforce and our own calls both travel through it, so that what the library leaves out (timeouts, headers kept
on replay, a bounded re-login, a renewed token for its bulk calls) is mended in one place. This module may not know what
is said. It keeps one law: the bearer token is sent to the pinned host of its own org and to no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from email.errors import MissingHeaderBodySeparatorDefect
from pathlib import Path
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.adapters import BaseAdapter

from sfsync.clock import Clock
from sfsync.errors import OrgError, OrgUnavailable, WrongOrg
from sfsync.org import faults
from sfsync.org.deadline import BoundedAdapter
from sfsync.org.faults import OutcomeUnknown

CONNECT_SECONDS = 10
"""Longest wait for a connection; nothing has been sent before it stands."""
TOTAL_SECONDS = 120
"""Longest wait for a whole answer, however slowly it drips; Salesforce itself calls 20 s a long request."""
STREAM_SECONDS = 3600
"""Longest download of Bulk results; a silence of a minute inside it ends it sooner."""
MAX_ANSWER = 128 * 1024 * 1024
"""Bytes of one JSON answer: five pages of 2,000 rows in a composite stay far below."""


class Authority(Protocol):
    """Gives the bearer token, and a new one when it was refused."""

    def bearer(self) -> str:
        """Return the token to send."""
        ...

    def renew(self, refused: str) -> str:
        """Return a token that is not ``refused``; the organisation has been checked again."""
        ...


class Wire(requests.Session):
    """A requests session pinned to one host, with an end to every wait."""

    def __init__(self, clock: Clock, *, ca_file: Path | None = None, adapter: BaseAdapter | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = str(ca_file) if ca_file else True
        self._clock = clock
        self._host = ""
        self.authority: Authority | None = None
        self.heard: Callable[[requests.Response], None] = lambda _answer: None
        """Called with each answer's status and headers, before its body is read."""
        transport = adapter or BoundedAdapter(clock)
        self.mount("https://", transport)
        self.mount("http://", transport)

    def pin(self, url: str) -> None:
        """Allow ``url``'s host and no other from now on; WrongOrg unless it is https, or loopback."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise WrongOrg(f"{url} is not https", advice="an org is reached over https only")
        self._host = _origin(url)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: an org that has moved is connected again, never followed (H16)."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send ``request`` within its deadline, with the current token; renew the token once if it is refused.

        The deadline is one for both tries.

        Raises OutcomeUnknown if the request may have reached the org and no whole answer came back,
        OrgUnavailable if it certainly did not reach it, WrongOrg before anything is sent to another host.
        """
        if _origin(request.url or "") != self._host:
            raise WrongOrg(f"this session belongs to {self._host}, not to {_origin(request.url or '')}")
        token = self.authority.bearer() if self.authority else ""
        total = kwargs.pop("timeout", None)
        streamed = bool(kwargs.get("stream"))
        total = float(total) if isinstance(total, int | float) else (STREAM_SECONDS if streamed else TOTAL_SECONDS)
        until = self._clock.monotonic() + total
        answer = self._send(request, token, until, **kwargs)
        if answer.status_code == 401 and self.authority is not None and _session_expired(answer):
            answer = self._send(request, self.authority.renew(token), until, **kwargs)
            if answer.status_code == 401:
                raise faults.error_of(401, json_or_none(answer.content), answer.text[:200])
        return answer

    def _send(self, request: requests.PreparedRequest, token: str, until: float, **kwargs: Any) -> requests.Response:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
            if "X-SFDC-Session" in request.headers:
                request.headers["X-SFDC-Session"] = token
        left = until - self._clock.monotonic()
        if left <= 0:
            raise OrgUnavailable("logging in again took all the time the request had; it was not sent")
        streamed = bool(kwargs.get("stream"))
        connect = min(CONNECT_SECONDS, left)
        kwargs |= {"timeout": (connect, left), "allow_redirects": False, "proxies": {}, "stream": True}
        try:
            answer = super().send(request, **kwargs)
        except OrgError:
            raise
        except requests.RequestException as bad:
            _raise_for(bad)
        _check_head(answer)
        self.heard(answer)
        if not streamed:
            _take_content(answer, b"".join(self.drip(answer, until)))
        return answer

    def drip(self, answer: requests.Response, until: float | None = None) -> Iterator[bytes]:
        """Yield the body as it comes; OutcomeUnknown if it breaks off, drips past ``until`` or is huge."""
        size = 0
        raw = answer.raw
        if not isinstance(raw, urllib3.HTTPResponse):
            yield answer.content
            return
        try:
            while piece := raw.read1(65536, decode_content=True):
                size += len(piece)
                if until is not None and self._clock.monotonic() > until:
                    raise OutcomeUnknown("the answer took too long and was given up")
                if until is not None and size > MAX_ANSWER:
                    raise OutcomeUnknown(f"the answer is larger than {MAX_ANSWER} bytes and was given up")
                yield piece
            _check_length(answer)
        except (urllib3.exceptions.HTTPError, OSError) as bad:
            raise OutcomeUnknown(f"the answer broke off: {_short(bad)}") from None
        finally:
            answer.close()


def _take_content(answer: requests.Response, content: bytes) -> None:
    answer._content = content
    answer._content_consumed = True  # type: ignore[attr-defined]


def _check_head(answer: requests.Response) -> None:
    """Raise OutcomeUnknown if the answer broke off before the empty line that ends its headers."""
    original = getattr(answer.raw, "_original_response", None)
    defects = getattr(getattr(original, "msg", None), "defects", ())
    if any(isinstance(d, MissingHeaderBodySeparatorDefect) for d in defects):
        answer.close()
        raise OutcomeUnknown("the answer broke off inside its headers")


def _check_length(answer: requests.Response) -> None:
    """Raise OutcomeUnknown if fewer bytes came than the answer announced."""
    left = getattr(answer.raw, "length_remaining", None)
    if left and answer.request.method != "HEAD" and answer.status_code not in (204, 304):
        raise OutcomeUnknown(f"the answer broke off {left} bytes before its end")


def _raise_for(bad: requests.RequestException) -> NoReturn:
    """Raise what ``bad`` means: certain not to have reached the org, or unknown."""
    if isinstance(bad, requests.exceptions.SSLError):
        raise OrgUnavailable(
            f"the org's certificate was not accepted: {_short(bad)}", advice="set ca_file, or check the host"
        ) from None
    if isinstance(bad, requests.exceptions.ConnectTimeout) or _never_connected(bad):
        raise OrgUnavailable(f"the org cannot be reached: {_short(bad)}", advice="check the network") from None
    if isinstance(bad, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        raise WrongOrg(f"this is no address of an org: {_short(bad)}") from None
    raise OutcomeUnknown(f"no answer came: {_short(bad)}") from None


def _never_connected(bad: requests.RequestException) -> bool:
    cause: object = bad.args[0] if bad.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _short(bad: BaseException) -> str:
    return " ".join(str(bad).split())[:200] or type(bad).__name__


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port or (80 if parts.scheme == 'http' else 443)}"


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine."""
    return host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")


def _session_expired(answer: requests.Response) -> bool:
    fault = faults.fault_of(json_or_none(answer.content))
    return (
        fault is not None
        and fault.code in faults.TOKEN_REFUSED
        and not any(words in fault.message.lower() for words in faults.NOT_EXPIRY)
    )


# --- JSON -------------------------------------------------------------------------------------------


class Unreadable(ValueError):
    """A body that is no JSON we accept; the text says why."""


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is no JSON number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Unreadable("a key stands twice in one object")
    return made


def read_json(content: bytes) -> Any:
    """Return the value of a JSON body, numbers with a point as Decimal; Unreadable if it is no clean JSON."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_no_twins)
    except RecursionError:
        raise Unreadable("the JSON is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as bad:
        raise Unreadable(_short(bad)) from None


def json_or_none(content: bytes) -> Any:
    """Return the value of a JSON body, or None if it is none."""
    try:
        return read_json(content)
    except Unreadable:
        return None
