"""Lets the tests that hold of any org be run against a real one: ``--org https://acme.my.salesforce.com``.

The token of a session there is read from SFSYNC_CONTRACT_TOKEN, for a command line is seen by everybody on a machine.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from tests.contract.localorg.doors import Ask, Door, in_process, over_https

TOKEN = "SFSYNC_CONTRACT_TOKEN"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the URL of a real org."""
    parser.addoption(
        "--org", help=f"also run against this org, e.g. https://acme.my.salesforce.com ({TOKEN} is a token)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that asks for a door every door there is."""
    if "door" in metafunc.fixturenames:
        named = metafunc.config.getoption("--org", default=None)
        metafunc.parametrize("door", ["in process", "over HTTPS", *([named] if named else [])], indirect=True)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ask, str]]:
    """A local org behind HTTPS, and a token of its administrator."""
    with running(prepare(tmp_path_factory.mktemp("any"), orgs=(LocalOrg("any"),))) as line:
        yield over_https(line["url"], line["ca_file"]), line["access_token"]


@pytest.fixture
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """A session with an org in which nothing that the test makes is left behind."""
    if request.param == "in process":
        org = LocalOrg("any")
        made = Door(in_process(org), org.logins.open_session(org.admin_id))
    elif request.param == "over HTTPS":
        made = Door(*request.getfixturevalue("served"))
    else:
        _let_through(request.config, urlsplit(request.param).hostname or "")
        if TOKEN not in os.environ:
            pytest.fail(f"{request.param} asks for a session: put an access token into the environment as {TOKEN}")
        made = Door(over_https(request.param), os.environ[TOKEN])
    yield made
    made.tidy()


def _let_through(config: pytest.Config, host: str) -> None:
    """Let connections to one host pass the guard that keeps tests on this machine."""
    guard = next(p for p in config.pluginmanager.get_plugins() if hasattr(p, "LOOPBACK_NAMES"))
    if host not in guard.LOOPBACK_NAMES:
        guard.LOOPBACK_NAMES.add(host)
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        guard.LOOPBACK_NAMES.update(str(each[4][0]) for each in found)
