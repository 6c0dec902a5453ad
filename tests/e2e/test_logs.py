"""Everything that a worker, a beat and a server say in a life with trouble, searched for what must not be there."""

from __future__ import annotations

import logging
import re
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from sfsync import logs
from sfsync.localorg.faults import Faults
from tests.e2e.planted import leaked, secrets, texts
from tests.e2e.real import CLOCK, Real, broker

STORE_PASSWORD, BROKER_PASSWORD = "PLANTED-of-the-store", "PLANTED-of-the-broker"
TROUBLE = [
    {"kind": "session", "path": "/composite", "calls": [2]},
    {"kind": "row_lock", "object": "Maintenance_Account__c", "times": 1},
    {"kind": "timeout_after", "method": "POST", "path": "/composite$", "calls": [4], "seconds": 30},
]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "login"), [("INFO", "private key"), ("DEBUG", "refresh token")])
def test_no_log_of_a_life_with_trouble_holds_a_secret_or_what_a_person_wrote(
    tmp_path: Path, own_database_url: str, level: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        plain = stack.enter_context(broker(tmp_path / "broker"))
        redis.Redis.from_url(plain).config_set("requirepass", BROKER_PASSWORD)
        nudges = plain.replace("redis://", f"redis://:{BROKER_PASSWORD}@")
        store = own_database_url.replace("postgres@", f"postgres:{STORE_PASSWORD}@")
        assert STORE_PASSWORD in store
        real = Real(tmp_path, store, nudges, stack, log_level=level)
        if login == "refresh token":
            given = real.org.logins.issue_refresh_token(real.org.integration_id, real.line["client_id"])
            monkeypatch.setenv("SFSYNC_ORGS__ACME__REFRESH_TOKEN", given)
            monkeypatch.setenv("SFSYNC_ORGS__ACME__CLIENT_SECRET", str(real.line["client_secret"]))
        real.org.faults = Faults.of(TROUBLE)
        log = real.folder / "worker.log"
        stack.enter_context(real.running("serve", "--port", "0"))
        stack.enter_context(real.beat())
        with real.worker():
            real.wait(lambda: real.runs("done") >= 1, "a run")
            real.runtime.store.write_tick("audit:acme", CLOCK.now())
            real.wait(lambda: bool(real.runtime.store.certificates("acme", "acme")), "the audit")
            real.wait(lambda: "serving on" in log.read_text(), "the server")
            [port] = re.findall(r"serving on http://127\.0\.0\.1:(\d+)", log.read_text())
            shown = "".join(
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=30).read().decode()
                for page in ("metrics", "status.json")
            )
        said = log.read_text()
        assert sum(rule.struck > 0 for rule in real.org.faults.rules) >= 2, "there was trouble"
        assert '"event": "run ended"' in said
        assert ('"level": "debug"' in said) == (level == "DEBUG")
        forbidden = [*texts(real), *secrets(real), STORE_PASSWORD, BROKER_PASSWORD]
        assert len(forbidden) > 40
        assert leaked(said + shown, forbidden) == []
        assert leaked(planted_in(log, forbidden), forbidden) == forbidden, "what is there is found"


def planted_in(log: Path, forbidden: list[str]) -> str:
    """Return a log after somebody has written every forbidden text into it, as a careless line would."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with log.open("a", encoding="utf-8") as stream:
        logs.configure("INFO", stream)
        for text in forbidden:
            logs.logger("careless").info(f"read {text}")
    root.handlers[:], root.level = before
    return log.read_text(encoding="utf-8")
