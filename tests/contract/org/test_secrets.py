"""What a login that fails may say: who, where and why, and nothing that opens a door."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from sfsync import logs
from sfsync.clock import ManualClock
from sfsync.errors import SfsyncError
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.org.inprocess import InProcess
from sfsync.org.session import OrgSession
from sfsync.org.tokens import MemoryTokens
from sfsync.settings import OrgSettings
from tests.contract.org.reached import HOST, START

PLANTED = "PLANTED-a-secret+of/the=client"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a worker would log, at its most talkative."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("DEBUG", stream)
    yield stream
    root.handlers[:], root.level = before


class Echo(InProcess):
    """Something between us and the org that answers with what it was sent."""

    def __init__(self, status: int, shape: Callable[[str], bytes], kind: str) -> None:
        clock = ManualClock(START)
        super().__init__(World([LocalOrg("acme", clock=clock)]), clock)
        self._status, self._shape, self._kind = status, shape, kind
        self.sent = ""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.sent = f"{request.body!s} {dict(request.headers)}"
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = self._status, request, str(request.url)
        answer._content = self._shape(self.sent)
        answer.headers["Content-Type"] = self._kind
        answer.raw = None
        return answer


def refused(session: OrgSession, log: io.StringIO) -> str:
    """Return everything that anybody is told of a login that failed: error, traceback, log."""
    try:
        session.login()
    except SfsyncError as bad:
        logs.logger("tasks").exception("task failed", org="acme")
        logging.getLogger("celery.app.trace").exception("task raised %s %r", bad, bad)
        trace = "".join(traceback.format_exception(bad))
        return f"{bad} {bad!r} {getattr(bad, 'advice', '')} {session!r} {trace} {log.getvalue()}"
    raise AssertionError("the login was not refused")


def session(adapter: Any, **settings: Any) -> OrgSession:
    given = OrgSettings(login_url=HOST, client_id="client", username="integration@acme.example", **settings)
    return OrgSession("acme", given, clock=ManualClock(START), tokens=MemoryTokens(), adapter=adapter)


def as_json(sent: str) -> bytes:
    return json.dumps({"error": "invalid_grant", "error_description": f"you sent {sent}"}).encode()


def as_page(sent: str) -> bytes:
    return f"<html>{sent}</html>".encode()


@pytest.mark.parametrize(("shape", "kind"), [(as_json, "application/json"), (as_page, "text/html")])
@pytest.mark.parametrize("way", ["client_secret", "refresh_token"])
def test_an_answer_that_repeats_what_was_sent_puts_no_secret_into_error_traceback_or_log(
    log: io.StringIO, shape: Callable[[str], bytes], kind: str, way: str
) -> None:
    echo = Echo(400, shape, kind)
    told = refused(session(echo, **{way: SecretStr(PLANTED)}), log)
    assert any(word in echo.sent for word in ("PLANTED", "Basic "))
    for secret in (PLANTED, "PLANTED", *(word for word in echo.sent.split("'") if word.startswith("Basic "))):
        assert secret not in told


def test_an_assertion_that_comes_back_is_hidden_and_the_key_is_nowhere(log: io.StringIO, tmp_path: Path) -> None:
    org = LocalOrg("acme", clock=ManualClock(START))
    key = tmp_path / "acme.key"
    key.write_text(org.logins.add_app("client", "secret").private_key_pem())
    key.chmod(0o600)
    echo = Echo(400, as_json, "application/json")
    told = refused(session(echo, private_key_file=key), log)
    assertion = echo.sent.split("assertion=")[1].split("&")[0].split(" ")[0]
    assert len(assertion) > 200
    assert assertion not in told
    assert all(line not in told for line in key.read_text().splitlines())


def test_a_key_that_is_none_is_named_by_its_file_and_not_by_its_words(log: io.StringIO, tmp_path: Path) -> None:
    key = tmp_path / "acme.key"
    key.write_text(f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----\n")
    key.chmod(0o600)
    told = refused(session(None, private_key_file=key), log)
    assert "acme.key" in told
    assert "PLANTED" not in told


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_not_used(log: io.StringIO, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "acme.key"
    key.write_text(PLANTED)
    key.chmod(mode)
    told = refused(session(None, private_key_file=key), log)
    assert "chmod 600" in told
    assert "PLANTED" not in told
