"""One org, reached: requests in, classified answers out.

Everything sfsync says to an org goes through here. This module may not know what the records mean. It keeps one law:
an outcome is *applied* only when a whole answer that can be read says so; otherwise it is *not applied* for certain, or
unknown.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter

from sfsync import __version__
from sfsync.clock import Clock, seeded
from sfsync.errors import (
    BudgetSpent,
    OrgError,
    OrgUnavailable,
    RecordMoved,
    RecordRejected,
    SessionExpired,
    SfsyncError,
    WrongOrg,
)
from sfsync.org import faults
from sfsync.org.auth import Login
from sfsync.org.budget import Budget, read_usage
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.schema import ObjectSeen
from sfsync.org.tokens import Token, TokenStore
from sfsync.org.wire import Unreadable, Wire, read_json
from sfsync.settings import OrgSettings

if TYPE_CHECKING:
    from simple_salesforce import Salesforce  # type: ignore[attr-defined]

log = logging.getLogger("sfsync.org")

READ_ATTEMPTS = 4
"""Tries of one read; with the waits below about 15 s, after which the run is tried again as a whole."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
ALIVE_SECONDS = 10.0
TELL_CALLS, TELL_SECONDS = 20, 30.0
"""Other workers hear of our calls after so many of them, or so long: a killed worker leaves at most these uncounted."""
COMPRESS_ABOVE = 16_384
"""Bytes of a body from which compressing it costs less than sending it."""
UNPACKED = "compressed request"
TURN_HEADER = "X-Sfsync-Lease"
WRITING = frozenset({"POST", "PATCH", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that could be read: status below 400."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """Parsed JSON; None for an empty body; text for CSV."""
    at: datetime
    """The org's own clock when it answered (``Date``)."""
    began: datetime
    """No later than the org's clock when it began to work on the request: ``at`` less what the call took."""


@dataclass(slots=True)
class Calls:
    """How many requests counted against the org's daily API calls, and how many logins went beside them."""

    api: int = 0
    logins: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


class OrgSession:
    """The way to one org; logs in when first needed and again, once, when a token is refused."""

    def __init__(
        self,
        name: str,
        settings: OrgSettings,
        *,
        clock: Clock,
        tokens: TokenStore,
        adapter: BaseAdapter | None = None,
        budget: Budget | None = None,
        share: Callable[[int, Budget, datetime], Budget] | None = None,
        seed: int | str = 0,
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.budget = budget or Budget()
        self.nightly = False
        """Work of the night may use the calls that are kept for it."""
        self.bounded = False
        """No request is made beyond our share: BudgetSpent instead. Off while a write-back counts for itself."""
        self._share = share
        self._untold = 0
        self._told_at = clock.monotonic()
        self.calls = Calls()
        self.refused: set[str] = set()
        """What this org was found not to do (``composite describe``, ``updated Case``); the caller may keep it."""
        self.alive: Callable[[], None] = lambda: None
        """Called before every request and at least every ten seconds of a wait: renews a lease, or raises."""
        self.before_write: Callable[[], float | None] = lambda: None
        """Called before every request that writes: returns how long it may take, or raises if nothing may be written
        any more."""
        self.turn = ""
        """Names the run to the org and to whatever stands between; sent with every request."""
        self.page_rows: int | None = None
        """Rows of a query's page asked for; the org gives 2,000 unless told, and fewer of wide rows."""
        self.schema: dict[str, ObjectSeen] = {}
        """What preflight found of each mapped object in this run."""
        self.dice = seeded(f"{seed}/{name}")
        self._login = Login(settings.hub or name, settings, clock=clock, tokens=tokens, adapter=adapter)
        self._wire = Wire(clock, ca_file=settings.ca_file, adapter=adapter)
        self._wire.heard = self._hear
        self._wire.authority = self
        self._token: Token | None = None
        self._heard_at: datetime | None = None
        self._heard_reading = 0.0

    def __repr__(self) -> str:
        """Return the name; never a secret."""
        return f"OrgSession({self.name!r})"

    # --- who and where ------------------------------------------------------------------------------

    @property
    def organization_id(self) -> str:
        """The organisation's id, 18 characters; logs in if nobody did."""
        return self._current().organization_id

    @property
    def user_id(self) -> str:
        """The id of the user we are in the org."""
        return self._current().user_id

    @property
    def username(self) -> str:
        """The name of that user as configured; empty if the login does not need one."""
        return self.settings.username or ""

    @property
    def instance_url(self) -> str:
        """Scheme and host of the org's API."""
        return self._current().instance_url

    def login(self) -> Token:
        """Make sure there is a token for the pinned organisation and return it; costs no API call.

        Raises WrongOrg, AccessDenied, OrgBusy or OrgUnavailable.
        """
        return self._current()

    def org_now(self) -> datetime:
        """Return the org's clock: its last ``Date`` plus what our monotonic clock measured since.

        Before the org has said anything, our own clock.
        """
        if self._heard_at is None:
            return self.clock.now()
        passed = self.clock.monotonic() - self._heard_reading
        return datetime.fromtimestamp(self._heard_at.timestamp() + passed, UTC).replace(microsecond=0)

    def bearer(self) -> str:
        """Return the access token to send."""
        return self._current().access_token

    def renew(self, refused: str) -> str:
        """Return another access token than ``refused``; the pinned organisation was checked again."""
        before = self._token
        token = self._login_again(refused)
        if before is not None and token.organization_id != before.organization_id:
            raise WrongOrg(f"org {self.name}: the new token is for {token.organization_id}, not the same organisation")
        if token.access_token == refused:
            raise SessionExpired(f"org {self.name}: the login gave the refused token again")
        return token.access_token

    def _current(self) -> Token:
        return self._token or self._login_again("")

    def _login_again(self, refused: str) -> Token:
        token = self._login.token(refused)
        self.calls.logins = self._login.grants
        self._token = token
        self._wire.pin(token.instance_url)
        self._set_clock(self._login.heard_date)
        return token

    def calls_left(self) -> int | None:
        """Return how many API calls we may still make; None while the org has not said what it allows."""
        return self.budget.left(self.settings.api_share, self.org_now(), nightly=self.nightly)

    def tell_calls(self) -> None:
        """Let the other workers of this org know what was spent, and know what they spent.

        Never raises for the store: what cannot be told now is told next time, and the org counts for itself.
        """
        if self._share is None or not self._untold:
            return
        self._told_at = self.clock.monotonic()
        try:
            self.budget = self._share(self._untold, self.budget, self.org_now())
        except SfsyncError as bad:
            log.warning("%s: API calls not kept: %s", self.name, bad)
        else:
            self._untold = 0

    def close(self) -> None:
        """Hang up, the calls told; the session may be used again."""
        self.tell_calls()
        self._wire.close()
        self._login.close()

    # --- requests -----------------------------------------------------------------------------------

    def path(self, below: str) -> str:
        """Return the absolute path of a resource below the API version, e.g. ``query?q=..``."""
        return below if below.startswith("/services/") else f"/services/data/v{self.settings.api_version}/{below}"

    def request(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
        timeout: float | None = None,
        refusals: bool = False,
        writes: bool = False,
    ) -> Answer:
        """Send one request and return its answer; an error answer is raised as the OrgError its code means.

        ``path`` is below the API version, or begins with ``/services/``. With ``attempts`` above 1 the same request
        is repeated after OrgUnavailable and short-lived OrgBusy, with growing waits: only for requests that may be
        repeated. With ``refusals`` an error about the record or resource itself is an answer and not raised. A request
        that ``writes`` records is sent only while ``before_write`` lets it, and takes no longer than that allows.
        """
        body = data if json_body is None else dump_json(json_body)
        for attempt in range(1, attempts + 1):
            try:
                return self._once(method, path, body, content_type, headers or {}, timeout, refusals, writes)
            except OrgError as bad:
                if attempt == attempts or not repeatable(bad):
                    raise
                self.wait(attempt)
        raise AssertionError("unreachable")

    def read(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET ``path``, repeating it while that can help."""
        return self.request("GET", path, headers=headers, attempts=READ_ATTEMPTS)

    def wait(self, attempt: int) -> None:
        """Sleep before the next try: 1, 2, 4 .. 60 s, each drawn between half and the whole."""
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
        self.pause(longest * (0.5 + self.dice.random() / 2))

    def pause(self, seconds: float) -> None:
        """Sleep ``seconds``, saying in between that we are alive."""
        while seconds > 0:
            self.alive()
            self.clock.sleep(min(seconds, ALIVE_SECONDS))
            seconds -= ALIVE_SECONDS

    def stream(self, path: str, *, headers: Mapping[str, str] | None = None) -> requests.Response:
        """GET ``path`` and return the open answer (status 200); read its body with :meth:`pieces`."""
        answer = self._call("GET", path, None, {"Accept-Encoding": "gzip", **(headers or {})}, stream=True)
        if answer.status_code != requests.codes.ok:
            content = b"".join(self._wire.drip(answer, self.clock.monotonic() + 60))
            raise faults.error_of(answer.status_code, _json(content), content[:400].decode("utf-8", "replace"))
        return answer

    def pieces(self, answer: requests.Response) -> Any:
        """Yield the body of an answer of :meth:`stream` as it comes."""
        return self._wire.drip(answer)

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
        headers: Mapping[str, str],
        timeout: float | None,
        refusals: bool,
        writes: bool,
    ) -> Answer:
        sent = dict(headers)
        packed = body
        if body is not None:
            sent["Content-Type"] = content_type
            worth = len(body) > COMPRESS_ABOVE and content_type == "application/json"
            if worth and UNPACKED not in self.refused:
                sent["Content-Encoding"] = "gzip"
                packed = gzip.compress(body, 1, mtime=0)
        started = self.clock.monotonic()
        answer = self._call(method, path, packed, sent, timeout=timeout, writes=writes)
        if answer.status_code == requests.codes.unsupported_media_type and "Content-Encoding" in sent:
            self.refused.add(UNPACKED)
            return self._once(method, path, body, content_type, headers, timeout, refusals, writes)
        return self._understood(answer, refusals, self.clock.monotonic() - started)

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        stream: bool = False,
        timeout: float | None = None,
        writes: bool = False,
    ) -> requests.Response:
        sent = {"Sforce-Call-Options": f"client=sfsync/{__version__}", "Accept-Encoding": "gzip", **headers}
        if method in WRITING:
            sent.setdefault("Sforce-Auto-Assign", "FALSE")
        if self.turn:
            sent[TURN_HEADER] = self.turn
        self.alive()
        if self.bounded and self.calls_left() == 0:
            raise BudgetSpent(
                f"org {self.name}: our share of its API calls is used up for now; what was read is kept, and the rest "
                "follows when calls come back. To go on at once raise api_share"
            )
        url = self._current().instance_url + self.path(path)
        if writes and (allowed := self.before_write()) is not None:  # last of all: a login may take its time
            timeout = allowed if timeout is None else min(timeout, allowed)
        return self._wire.request(method, url, data=body, headers=sent, stream=stream, timeout=timeout)

    def _understood(self, answer: requests.Response, refusals: bool, took: float) -> Answer:
        kind = (answer.headers.get("Content-Type") or "").split(";")[0].strip().lower()
        content = answer.content or b""
        at = self.org_now()
        began = (at - timedelta(seconds=took)).replace(microsecond=0)
        if kind == "text/csv" and answer.status_code < 300:
            return Answer(answer.status_code, answer.headers, content.decode("utf-8"), at, began)
        if answer.status_code == requests.codes.precondition_failed and refusals:
            return Answer(answer.status_code, answer.headers, None, at, began)
        silent = (201, 204, 304) if answer.request.method == "PUT" else (204, 304)
        if not content and answer.status_code in silent:
            return Answer(answer.status_code, answer.headers, None, at, began)
        shown = content[:400].decode("utf-8", "replace")
        try:
            body = read_json(content)
        except Unreadable as bad:
            if answer.status_code < 300:
                raise OutcomeUnknown(
                    f"HTTP {answer.status_code}, but the answer is no JSON ({bad}): {' '.join(shown.split())[:120]}"
                ) from None
            raise faults.error_of(answer.status_code, None, shown) from None
        if answer.status_code >= 400 or (300 <= answer.status_code < 400 and answer.status_code not in (300, 304)):
            meant = faults.error_of(answer.status_code, body, shown)
            if not refusals or not _about_the_request(meant):
                raise meant
        return Answer(answer.status_code, answer.headers, body, at, began)

    def _hear(self, answer: requests.Response) -> None:
        """Count the call, and take the org's clock and usage from the headers, whatever the status."""
        path = answer.request.path_url
        self.calls.api += 1
        kind = _kind_of(path)
        self.calls.by_kind[kind] = self.calls.by_kind.get(kind, 0) + 1
        self._set_clock(answer.headers.get("Date"))
        now = self.org_now()
        self.budget = self.budget.spend(1, now).observe(read_usage(answer.headers.get("Sforce-Limit-Info")), now)
        self._untold += 1
        if self._untold >= TELL_CALLS or self.clock.monotonic() - self._told_at >= TELL_SECONDS:
            self.tell_calls()

    def _set_clock(self, date: str | None) -> None:
        if not date:
            return
        try:
            heard = parsedate_to_datetime(date)
        except ValueError:
            return
        self._heard_at = heard.astimezone(UTC) if heard.tzinfo else heard.replace(tzinfo=UTC)
        self._heard_reading = self.clock.monotonic()

    # --- the library --------------------------------------------------------------------------------

    @property
    def client(self) -> Salesforce:
        """A simple-salesforce client on this session: pinned host, deadlines, one re-login, headers kept.

        A new one each time, because its headers are changed for good by ``deploy``.
        """
        from simple_salesforce import Salesforce  # type: ignore[attr-defined]

        return Salesforce(
            session_id=self.bearer(),
            instance_url=self.instance_url,
            session=self._wire,
            version=self.settings.api_version,
        )


def _about_the_request(bad: OrgError) -> bool:
    """Return whether an error says something about the one record or resource asked for, and not about the org."""
    smaller = bad.code in faults.RULES and faults.RULES[bad.code].repeat is faults.Repeat.SMALLER
    return smaller or isinstance(bad, RecordRejected | RecordMoved)


def repeatable(bad: OrgError) -> bool:
    """Return whether sending the same idempotent request again soon may help."""
    if isinstance(bad, OrgUnavailable):
        return True
    return bad.code in faults.RULES and faults.understand(bad.code, bad.message).rule.repeat is faults.Repeat.SOON


def dump_json(value: Any) -> bytes:
    """Return ``value`` as compact UTF-8 JSON; ValueError for NaN and infinities, which are no JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _json(content: bytes) -> Any:
    try:
        return read_json(content)
    except Unreadable:
        return None


def _kind_of(path: str) -> str:
    """Return a short name of the resource for the count of calls: ``composite``, ``query``, ``jobs/ingest``."""
    parts = [p for p in path.split("?", maxsplit=1)[0].split("/") if p]
    below = parts[3:] if parts[:2] == ["services", "data"] else parts[1:]
    return "/".join(below[:2]) if below[:1] == ["jobs"] else (below[0] if below else "versions")
