"""The HTTP session under everything, against what no healthy server gives."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
import requests
import responses

from sfsync.clock import SystemClock
from sfsync.errors import OrgUnavailable, WrongOrg
from sfsync.org import wire
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.wire import Unreadable, Wire, read_json

HOST = "https://acme.my.salesforce.com"


def open_wire(host: str = HOST) -> Wire:
    made = Wire(SystemClock())
    made.pin(host)
    return made


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection on loopback with ``talk`` and yield its URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                talk(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


# --- where to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://acme.my.salesforce.com/x",
        "https://acme.my.salesforce.com:8443/x",
        "https://acme.my.salesforce.com.evil.example/x",
        "https://acme.my.salesforce.com@evil.example/x",
    ],
)
def test_nothing_is_sent_to_another_host(url: str) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as answering:
        answering.get(url, json={})
        with pytest.raises(WrongOrg):
            open_wire().get(url)
        assert len(answering.calls) == 0


@pytest.mark.parametrize("url", ["http://acme.my.salesforce.com", "ftp://x", "acme.my.salesforce.com", ""])
def test_an_org_is_reached_over_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(WrongOrg):
        Wire(SystemClock()).pin(url)
    Wire(SystemClock()).pin("http://localhost:8000")


@responses.activate
def test_a_redirect_is_not_followed() -> None:
    responses.get(f"{HOST}/a", status=302, headers={"Location": "https://evil.example/"})
    assert open_wire().get(f"{HOST}/a").status_code == 302


def test_proxies_and_passwords_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with server(lambda c: c.sendall(answer)) as url:
        assert open_wire(url).get(url).content == b"{}"


# --- broken answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.ConnectionError("reset"),
        requests.exceptions.ChunkedEncodingError("cut"),
        requests.exceptions.ContentDecodingError("gzip"),
    ],
)
@responses.activate
def test_no_answer_after_sending_is_an_unknown_outcome(bad: Exception) -> None:
    responses.patch(f"{HOST}/a", body=bad)
    with pytest.raises(OutcomeUnknown):
        open_wire().patch(f"{HOST}/a", data=b"x")


@responses.activate
def test_a_connection_that_never_stood_is_certainly_not_applied() -> None:
    responses.patch(f"{HOST}/a", body=requests.exceptions.ConnectTimeout("no"))
    with pytest.raises(OrgUnavailable) as bad:
        open_wire().patch(f"{HOST}/a", data=b"x")
    assert not isinstance(bad.value, OutcomeUnknown)


def test_a_refused_connection_is_certainly_not_applied() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(OrgUnavailable) as bad:
        open_wire(url).patch(url, data=b"x")
    assert not isinstance(bad.value, OutcomeUnknown)


@pytest.mark.parametrize("cut", [1, 20, 60, 75])
def test_an_answer_that_breaks_off_is_no_answer(cut: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"a": "bc"}'
    with server(lambda c: c.sendall(whole[:cut])) as url, pytest.raises(OutcomeUnknown):
        open_wire(url).get(url)


def test_a_compressed_answer_that_breaks_off_is_no_answer() -> None:
    body = gzip.compress(b'{"a": 1}' * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2])
    with server(lambda c: c.sendall(head + chunk)) as url, pytest.raises(OutcomeUnknown):
        open_wire(url).get(url)


def test_an_answer_that_drips_is_given_up_at_its_deadline() -> None:
    """Each byte comes in time; all of them would take a day."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with server(drip) as url:
        try:
            with pytest.raises(OutcomeUnknown):
                open_wire(url).get(url, timeout=0.3)
        finally:
            stop.set()


def test_headers_that_drip_are_given_up_at_their_deadline() -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stop.wait(0.02):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with server(drip) as url:
        try:
            with pytest.raises(OutcomeUnknown):
                open_wire(url).get(url, timeout=0.3)
        finally:
            stop.set()


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER", 1000)
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    with server(lambda c: c.sendall(whole)) as url, pytest.raises(OutcomeUnknown, match="larger"):
        open_wire(url).get(url)


# --- JSON -------------------------------------------------------------------------------------------


def test_numbers_with_a_point_are_exact() -> None:
    assert read_json(b'{"a": 1234567.89, "b": 2}') == {"a": Decimal("1234567.89"), "b": 2}


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b'{"a": 1', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_no_clean_json_is_unreadable(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(text)
