"""The way to an org: logging in, whose org it is, tokens that end in the middle, and what the library leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from sfsync.clock import ManualClock
from sfsync.errors import AccessDenied, OrgBusy, OrgUnavailable, SessionExpired, SettingsError, WrongOrg
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.world import World
from sfsync.org.inprocess import InProcess
from sfsync.org.session import OrgSession
from sfsync.org.tokens import FileTokens, MemoryTokens, Token
from sfsync.settings import OrgSettings
from tests.contract.org.reached import HOST, START, Reached


class Bare:
    """Orgs without any metadata, and sessions to them."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = ManualClock(START)
        self.org = LocalOrg("acme", clock=self.clock, seed=1)
        self.other = LocalOrg("other", clock=self.clock, seed=2)
        self.world = World([self.org, self.other])
        self.app = self.org.logins.add_app("client", "secret")
        self.other.logins.add_app("client2", "secret2")
        self.key = tmp_path / "key.pem"
        self.key.write_text(self.app.private_key_pem())
        self.key.chmod(0o600)
        self.tokens: Any = MemoryTokens()
        self.heard: list[requests.PreparedRequest] = []

    def session(self, **settings: Any) -> OrgSession:
        given: dict[str, Any] = {"login_url": HOST, "client_id": "client"} | settings
        adapter = InProcess(self.world, self.clock)
        send = adapter.send

        def listening(request: requests.PreparedRequest, **more: Any) -> requests.Response:
            self.heard.append(request.copy())
            return send(request, **more)

        adapter.send = listening  # type: ignore[method-assign]
        return OrgSession("acme", OrgSettings(**given), clock=self.clock, tokens=self.tokens, adapter=adapter)

    def by_secret(self, **more: Any) -> OrgSession:
        return self.session(client_secret=SecretStr("secret"), **more)

    def by_key(self, **more: Any) -> OrgSession:
        return self.session(private_key_file=self.key, username="integration@acme.example", **more)

    def by_refresh(self, **more: Any) -> OrgSession:
        given = self.org.logins.issue_refresh_token(self.org.integration_id, "client")
        return self.session(refresh_token=SecretStr(given), client_secret=SecretStr("secret"), **more)


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path)


# --- grants -----------------------------------------------------------------------------------------


def test_client_credentials_jwt_and_refresh_token_reach_the_same_org(bare: Bare) -> None:
    for session in (bare.by_secret(), bare.by_key(), bare.by_refresh()):
        bare.tokens = MemoryTokens()
        assert session.organization_id == bare.org.org_id
        assert session.user_id == bare.org.integration_id
        assert session.read("limits").status == 200


def test_a_login_costs_no_api_call(bare: Bare) -> None:
    session = bare.by_secret()
    session.login()
    assert (session.calls.api, session.calls.logins) == (0, 1)


def test_an_org_without_any_way_to_log_in_says_which_there_are(bare: Bare) -> None:
    with pytest.raises(SettingsError, match="private_key_file, refresh_token, client_secret"):
        bare.session().login()


def test_the_audience_that_is_accepted_is_found_and_remembered(bare: Bare) -> None:
    session = bare.by_key(login_url="https://acme.example-proxy.my.salesforce.com")
    token = session.login()
    assert token.audience
    bare.tokens.save("acme", replace(token, access_token=""))
    bare.heard.clear()
    bare.by_key(login_url="https://acme.example-proxy.my.salesforce.com").login()
    assert len(bare.heard) == 1


def test_a_configured_audience_is_the_only_one_tried(bare: Bare) -> None:
    with pytest.raises(AccessDenied, match="Audience"):
        bare.by_key(audience="https://nowhere.example").login()
    assert len(bare.heard) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"client_id": "unknown", "client_secret": SecretStr("secret")}, "client_id names no app"),
        ({"client_secret": SecretStr("wrong")}, "client_secret is wrong"),
    ],
)
def test_a_refused_login_says_what_to_correct(bare: Bare, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(AccessDenied) as refused:
        bare.session(**settings).login()
    assert words in refused.value.advice


def test_a_refused_login_is_not_tried_again(bare: Bare) -> None:
    with pytest.raises(AccessDenied):
        bare.session(client_secret=SecretStr("wrong")).login()
    assert len(bare.heard) == 1


# --- rotation ---------------------------------------------------------------------------------------


def test_a_rotated_refresh_token_is_kept_before_it_is_used(bare: Bare, tmp_path: Path) -> None:
    bare.app.rotate_refresh_tokens = True
    bare.tokens = FileTokens(tmp_path / "tokens")
    session = bare.by_refresh()
    for _ in range(4):
        session.read("limits")
        bare.org.logins.expire_all()
    kept = FileTokens(tmp_path / "tokens").load("acme")
    assert kept is not None
    assert kept.refresh_token in bare.org.logins.refresh_tokens
    assert len(bare.org.logins.refresh_tokens) == 1


def test_two_workers_redeem_a_rotating_token_once(bare: Bare, tmp_path: Path) -> None:
    bare.app.rotate_refresh_tokens = True
    bare.tokens = FileTokens(tmp_path / "tokens")
    first = bare.by_refresh()
    second = OrgSession(
        "acme", first.settings, clock=bare.clock, tokens=bare.tokens, adapter=InProcess(bare.world, bare.clock)
    )
    first.read("limits")
    second.read("limits")
    bare.org.logins.expire_all()
    first.read("limits")
    second.read("limits")
    assert first.calls.logins + second.calls.logins == 2


def test_a_token_file_is_readable_by_its_owner_alone(bare: Bare, tmp_path: Path) -> None:
    bare.tokens = FileTokens(tmp_path / "tokens")
    bare.by_secret().login()
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "tokens" / "acme.json").stat().st_mode & 0o777 == 0o600


def test_a_newly_configured_refresh_token_replaces_the_kept_one(bare: Bare) -> None:
    bare.by_refresh().login()
    before = bare.tokens.load("acme")
    bare.by_refresh().login()
    assert bare.tokens.load("acme").refresh_token != before.refresh_token


def test_no_secret_is_shown(bare: Bare) -> None:
    session = bare.by_secret()
    token = session.login()
    assert token.access_token not in repr(token) + repr(session) + repr(session.settings)


# --- whose org --------------------------------------------------------------------------------------


def test_credentials_of_another_org_are_refused_before_anything_is_read(bare: Bare) -> None:
    session = bare.by_secret(organization_id=bare.other.org_id)
    with pytest.raises(WrongOrg) as wrong:
        session.read("limits")
    assert bare.other.org_id in str(wrong.value)
    assert session.calls.api == 0


def test_the_pinned_organisation_may_be_written_with_fifteen_characters(bare: Bare) -> None:
    assert bare.by_secret(organization_id=bare.org.org_id[:15]).read("limits").status == 200


def test_a_kept_token_of_another_org_is_refused(bare: Bare) -> None:
    token = bare.by_secret().login()
    bare.tokens.save("acme", replace(token, organization_id=bare.other.org_id))
    with pytest.raises(WrongOrg):
        bare.by_secret(organization_id=bare.org.org_id).login()


def test_an_org_that_changes_while_the_session_lasts_is_refused(bare: Bare) -> None:
    session = bare.by_secret()
    token = session.login()
    bare.org.logins.expire_all()
    bare.tokens.save("acme", replace(token, access_token="00D!other", organization_id=bare.other.org_id))
    with pytest.raises(WrongOrg):
        session.read("limits")


@pytest.mark.parametrize(
    "instance", ["https://evil.example", "http://acme.my.salesforce.com", "https://acme.my.salesforce.com.evil.example"]
)
def test_a_login_that_points_elsewhere_is_refused(bare: Bare, instance: str) -> None:
    token = bare.by_secret().login()
    bare.tokens.save("acme", replace(token, instance_url=instance))
    with pytest.raises(WrongOrg):
        bare.by_secret().read("limits")


# --- a token that ends in the middle ----------------------------------------------------------------


def test_an_ended_session_is_renewed_once_with_the_same_headers(bare: Bare) -> None:
    session = bare.by_secret()
    session.read("limits")
    bare.org.logins.expire_all()
    bare.heard.clear()
    session.request("GET", "query?q=SELECT+Id+FROM+User", headers={"Sforce-Query-Options": "batchSize=200"})
    first, login, again = bare.heard
    assert "oauth2/token" in str(login.url)
    assert first.headers["Sforce-Query-Options"] == again.headers["Sforce-Query-Options"] == "batchSize=200"
    assert first.headers["Authorization"] != again.headers["Authorization"]


def test_a_second_refusal_ends_the_session_without_a_loop(bare: Bare) -> None:
    session = bare.by_secret()
    session.read("limits")
    bare.org.faults = _always(bare, "session")
    bare.heard.clear()
    with pytest.raises(SessionExpired):
        session.read("limits")
    assert len(bare.heard) == 3


def _always(bare: Bare, kind: str) -> Any:
    from sfsync.localorg.faults import Faults

    return Faults.of([{"kind": kind, "path": "/services/data/"}])


# --- simple-salesforce on the same wire -------------------------------------------------------------


def test_the_library_keeps_its_headers_and_renews_its_session(bare: Bare) -> None:
    client = bare.by_secret().client
    bare.org.logins.expire_all()
    bare.heard.clear()
    assert client.query("SELECT Id FROM User")["totalSize"] > 0
    assert client.User.describe()["name"] == "User"
    client.User.describe(headers={"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"})
    assert bare.heard[-1].headers["If-Modified-Since"] == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_the_librarys_bulk_calls_survive_an_ended_session(bare: Bare) -> None:
    client = bare.by_secret().client
    job = client.bulk2.Case
    bare.org.logins.expire_all()
    done = job.insert(records=[{"Subject": "by bulk"}], wait=0)
    assert done[0]["numberRecordsFailed"] == 0


def test_the_library_cannot_send_the_token_to_another_host(bare: Bare) -> None:
    client = bare.by_secret().client
    with pytest.raises(WrongOrg):
        client.Case.update("https://evil.example/x", {"Subject": "x"})


def test_a_permanent_refusal_does_not_recurse_in_the_library(bare: Bare) -> None:
    client = bare.by_secret().client
    bare.org.faults = _always(bare, "session")
    with pytest.raises(SessionExpired):
        client.Case.describe()


# --- what every request carries ---------------------------------------------------------------------


def test_every_write_says_who_we_are_and_switches_assignment_off(bare: Bare) -> None:
    session = bare.by_secret()
    session.request("POST", "sobjects/Case", json_body={"Subject": "x"})
    sent = bare.heard[-1].headers
    assert sent["Sforce-Auto-Assign"] == "FALSE"
    assert sent["Sforce-Call-Options"].startswith("client=sfsync/")


def test_the_orgs_clock_and_usage_are_heard(bare: Bare) -> None:
    session = bare.by_secret()
    bare.clock.advance(3600)
    session.read("limits")
    assert session.org_now() == bare.org.now()
    bare.clock.advance(60)
    assert session.org_now() == bare.org.now()
    assert session.budget.usage is not None
    assert session.budget.usage.allowed == 15_000
    assert session.budget.ours(session.org_now()) == session.calls.api == 1


# --- outages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unavailable", "maintenance", "not_acceptable", "timeout_before", "reset_before"])
def test_a_short_outage_is_waited_out(bare: Bare, kind: str) -> None:
    session = bare.by_secret()
    bare.org.faults = _some(kind, 2)
    before = bare.clock.now()
    assert session.read("limits").status == 200
    assert bare.clock.now() > before


@pytest.mark.parametrize("kind", ["unavailable", "maintenance", "not_acceptable", "cut_body", "reset_after"])
def test_a_long_outage_is_unavailable_and_never_an_empty_answer(bare: Bare, kind: str) -> None:
    session = bare.by_secret()
    bare.org.faults = _some(kind, 99)
    with pytest.raises(OrgUnavailable):
        session.read("limits")


def test_a_used_up_day_is_not_tried_again_at_once(bare: Bare) -> None:
    session = bare.by_secret()
    bare.org.faults = _some("daily_limit", 99)
    session.login()
    bare.heard.clear()
    with pytest.raises(OrgBusy):
        session.read("limits")
    assert len(bare.heard) == 1


def test_too_many_at_once_is_tried_again(bare: Bare) -> None:
    session = bare.by_secret()
    bare.org.faults = _some("concurrent_limit", 2)
    assert session.read("limits").status == 200


def _some(kind: str, times: int) -> Any:
    from sfsync.localorg.faults import Faults

    return Faults.of([{"kind": kind, "path": "/services/data/", "times": times}])


def test_a_token_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    store = FileTokens(tmp_path)
    (tmp_path / "acme.json").write_text('{"access_token": ')
    assert store.load("acme") is None
    store.save("acme", Token("t", HOST, "00D", "005"))
    assert store.load("acme") is not None


def test_the_service_reaches_a_deployed_org(reached: Reached) -> None:
    assert reached.session.read("sobjects/Time_Entry__c/describe").body["name"] == "Time_Entry__c"
