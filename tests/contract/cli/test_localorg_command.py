"""``sfsync localorg up``: a server that announces itself in one line, or says in one sentence why it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path


def test_a_local_org_that_cannot_be_made_is_one_sentence(sfsync, home: Path) -> None:
    answer = sfsync("localorg", "up", "--org", "Not A Host")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("sfsync: 'Not A Host' cannot be an org's name")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = sfsync("localorg", "up", "--port", str(taken.getsockname()[1]), "--data-dir", "lo")
    assert (busy.code, "cannot be used" in busy.err) == (2, True)


def test_a_local_org_prints_one_line_that_a_client_can_log_in_with(home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sfsync.cli",
        "localorg",
        "up",
        "--port",
        "0",
        "--http",
        "--json",
        "--data-dir",
        "lo",
    ]
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as served:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        assert told["schema_version"] == 1
        assert {
            "url", "login_url", "ca_file", "org_id", "client_id", "client_secret", "private_key_file", "username",
            "password", "access_token", "refresh_token",
        } <= told.keys()  # fmt: skip
        request = urllib.request.Request(
            f"{told['url']}/services/oauth2/userinfo", headers={"Authorization": f"Bearer {told['access_token']}"}
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["organization_id"] == told["org_id"]
        served.send_signal(signal.SIGINT)
        rest, said = served.communicate(timeout=60)
        assert rest == ""
        assert served.returncode in (0, 130), said
