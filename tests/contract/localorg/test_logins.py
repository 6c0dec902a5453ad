"""Every way in, and every way in that is refused: the OAuth grants, sessions, identity."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sfsync.clock import ManualClock
from sfsync.localorg.auth import JWT_GRANT
from sfsync.localorg.face import Request, Response
from sfsync.localorg.world import World
from tests.contract.localorg.core_world import Client, furnished

LOGIN = "https://login.salesforce.com"
OWN = "https://acme.my.salesforce.com"


@pytest.fixture
def client() -> Client:
    """A client whose org knows the app ``app`` and the password of its administrator."""
    client = Client()
    client.org.logins.passwords["admin@acme.example"] = "pass"
    return client


def granted(client: Client, host: str = LOGIN, headers: dict[str, str] | None = None, **form: str) -> Response:
    """Return the answer of the token endpoint."""
    sent = {"content-type": "application/x-www-form-urlencoded"} | (headers or {})
    return client.world.handle(Request.of("POST", f"{host}/services/oauth2/token", sent, urlencode(form).encode()))


def assertion(client: Client, key: Any = None, **claims: Any) -> str:
    """Return a signed assertion for the administrator, with any claim replaced."""
    whole = {"iss": "app", "sub": "admin@acme.example", "aud": LOGIN, "exp": client.org.now_seconds() + 180} | claims
    return jwt.encode(
        whole, key or client.org.logins.apps["app"].private_key_pem(), algorithm="RS256", headers={"alg": "RS256"}
    )


def by_jwt(client: Client, key: Any = None, **claims: Any) -> Response:
    """Return the answer to an assertion; ``exp`` may be text, which the library would not sign as it stands."""
    return granted(client, grant_type=JWT_GRANT, assertion=assertion(client, key, **claims))


def refused(response: Response) -> tuple[int, str, str]:
    """Return (status, error, description) of a refusal, which is an object and not an array."""
    body = response.json()
    return response.status, body["error"], body["error_description"]


def test_an_assertion_opens_a_session_at_the_org_s_own_url(client: Client) -> None:
    answer = by_jwt(client).json()
    assert answer["instance_url"] == "https://acme.my.salesforce.com"
    assert answer["id"] == f"{LOGIN}/id/{client.org.org_id}/{client.org.admin_id}"
    assert answer["access_token"].startswith(client.org.org_id[:15] + "!")
    assert "refresh_token" not in answer
    assert answer["issued_at"] == str(client.org.now_seconds() * 1000)
    signed = hmac.new(b"secret", (answer["id"] + answer["issued_at"]).encode(), hashlib.sha256).digest()
    assert answer["signature"] == base64.b64encode(signed).decode()
    client.token = answer["access_token"]
    assert client.ask("GET", "limits").status == 200


@pytest.mark.parametrize(
    "audience", [LOGIN, LOGIN + "/", "https://test.salesforce.com", "https://acme.my.salesforce.com"]
)
def test_the_login_hosts_and_the_org_s_own_are_audiences(client: Client, audience: str) -> None:
    assert by_jwt(client, aud=audience).status == 200


@pytest.mark.parametrize("seconds", [-170, 0, 180, 10**7])
def test_an_expiry_may_be_a_little_past_or_far_ahead(client: Client, seconds: int) -> None:
    now = client.org.now_seconds()
    assert by_jwt(client, exp=now + seconds).status == 200
    assert by_jwt(client, exp=(now + seconds) * 1000).status == 200


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": "https://example.com"}, (400, "invalid_grant", "Audience validation failed")),
        ({"iss": "other"}, (400, "invalid_client_id", "client identifier invalid")),
        ({"sub": "nobody@acme.example"}, (400, "invalid_grant", "user hasn't approved this consumer")),
        ({"exp": 1_000_000_000}, (400, "invalid_grant", "expired authorization code")),
    ],
)
def test_a_wrong_claim_is_refused(client: Client, claims: dict[str, Any], expected: tuple[int, str, str]) -> None:
    assert refused(by_jwt(client, **claims)) == expected


def test_a_foreign_signature_is_refused(client: Client) -> None:
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(by_jwt(client, foreign)) == (400, "invalid_grant", "invalid assertion")
    unsigned = jwt.encode({"iss": "app", "sub": "admin@acme.example", "aud": LOGIN, "exp": 2**31}, "", algorithm="none")
    assert refused(granted(client, grant_type=JWT_GRANT, assertion=unsigned))[2] == "invalid assertion"
    assert refused(granted(client, grant_type=JWT_GRANT, assertion="rubbish"))[2] == "invalid assertion"


def test_client_credentials_act_for_the_run_as_user(client: Client) -> None:
    basic = "Basic " + base64.b64encode(b"app:secret").decode()
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "secret"}
    by_header = granted(client, OWN, headers={"authorization": basic}, grant_type="client_credentials").json()
    by_body = granted(client, OWN, **form).json()
    assert by_header["id"] == by_body["id"] == f"{OWN}/id/{client.org.org_id}/{client.org.integration_id}"
    wrong = granted(client, OWN, **form | {"client_secret": "no"})
    assert refused(wrong) == (400, "invalid_client", "invalid client credentials")
    # A shared login host does not know whose credentials these are.
    assert refused(granted(client, **form)) == (400, "invalid_grant", "request not supported on this domain")


def test_a_password_may_be_followed_by_a_security_token(client: Client) -> None:
    form = {"grant_type": "password", "client_id": "app", "client_secret": "secret", "username": "Admin@Acme.example"}
    assert granted(client, **form, password="pass").status == 200
    assert granted(client, **form, password="passTOKEN").status == 200
    assert refused(granted(client, **form, password="pas")) == (400, "invalid_grant", "authentication failure")


def test_a_refresh_token_lasts_until_it_is_rotated(client: Client) -> None:
    logins = client.org.logins
    kept = logins.issue_refresh_token(client.org.admin_id, "app")
    form = {"grant_type": "refresh_token", "client_id": "app", "client_secret": "secret"}
    for _ in range(2):
        assert "refresh_token" not in granted(client, **form, refresh_token=kept).json()
    logins.apps["app"].rotate_refresh_tokens = True
    new = granted(client, **form, refresh_token=kept).json()["refresh_token"]
    assert new != kept
    assert refused(granted(client, **form, refresh_token=kept)) == (
        400,
        "invalid_grant",
        "expired access/refresh token",
    )
    assert granted(client, **form, refresh_token=new).status == 200


def test_an_unknown_grant_is_refused(client: Client) -> None:
    assert refused(granted(client, grant_type="magic"))[1] == "unsupported_grant_type"
    assert refused(granted(client))[1] == "invalid_request"


def test_a_session_ends_when_it_is_left_alone_or_revoked(client: Client) -> None:
    clock: Any = client.org.clock
    clock.advance(7000)
    assert client.ask("GET", "limits").status == 200
    clock.advance(7000)
    assert client.ask("GET", "limits").status == 200
    clock.advance(7201)
    assert client.ask("GET", "limits").json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]
    fresh = Client(client.org)
    revoked = client.world.handle(
        Request.of("POST", f"{LOGIN}/services/oauth2/revoke", {}, f"token={fresh.token}".encode())
    )
    assert revoked.status == 200
    assert fresh.ask("GET", "limits").status == 401


def test_an_inactive_user_and_a_revoked_app_are_kept_out(client: Client) -> None:
    org = client.org
    user = Client(org, "consultant1@acme.example")
    org.update("User", org.actor("consultant1@acme.example").user_id, {"IsActive": False})
    assert user.ask("GET", "limits").status == 401
    assert refused(by_jwt(client, sub="consultant1@acme.example"))[1:] == ("invalid_grant", "inactive user")
    org.logins.apps["app"].approved = {org.integration_id}
    assert refused(by_jwt(client))[2] == "user hasn't approved this consumer"
    org.logins.apps["app"].revoked = True
    assert client.ask("GET", "limits").status == 401


def test_versions_need_no_session_and_everything_else_does(client: Client) -> None:
    client.token = "rubbish"
    versions = client.ask("GET", "/services/data/").json()
    assert versions[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}
    assert client.ask("GET", "sobjects").status == 401
    assert client.ask("GET", "/services/oauth2/userinfo").status == 401


def test_the_old_oauth_scheme_is_taken_too(client: Client) -> None:
    assert client.ask("GET", "limits", Authorization=f"OAuth {client.token}").status == 200


def test_userinfo_and_identity_say_who_the_token_is(client: Client) -> None:
    info = client.ask("GET", "/services/oauth2/userinfo").json()
    assert (info["user_id"], info["organization_id"]) == (client.org.admin_id, client.org.org_id)
    path = client.ask("GET", "").json()["identity"].partition(".com")[2]
    asked = Request.of("GET", f"{LOGIN}{path}?format=json&oauth_token={client.token}")
    found = client.world.handle(asked).json()
    assert found["username"] == info["preferred_username"] == "admin@acme.example"
    assert "{version}" in found["urls"]["rest"]
    assert client.world.handle(Request.of("GET", f"{LOGIN}{path}")).body == b"Missing_OAuth_Token"


def test_userinfo_and_identity_say_when_the_user_was_changed_and_how_far_its_clock_is_from_utc() -> None:
    client = Client(furnished(ManualClock(datetime(2026, 7, 1, 12, 30, tzinfo=UTC))))  # in summer
    client.org.update("User", client.org.admin_id, {"TimeZoneSidKey": "Europe/Paris"})
    info = client.ask("GET", "/services/oauth2/userinfo").json()
    found = client.ask("GET", info["sub"].partition(".com")[2]).json()
    assert info["updated_at"] == found["last_modified_date"] == "2026-07-01T12:30:00Z"
    assert info["utcOffset"] == found["utcOffset"] == 3_600_000
    assert info["photos"] == found["photos"]
    assert info["picture"] == info["photos"]["picture"]


def test_several_orgs_are_told_apart_by_host_token_and_login() -> None:
    acme, hub = furnished(), furnished(name="hub", seed=2)
    hub.logins.apps.clear()
    hub.logins.add_app("hub-app", "secret")
    world = World([acme, hub])
    hub.logins.passwords["admin@hub.example"] = "pass"
    given = {"client_id": "hub-app", "client_secret": "secret", "username": "admin@hub.example", "password": "pass"}
    form = urlencode({"grant_type": "password"} | given).encode()
    answer = world.handle(Request.of("POST", f"{LOGIN}/services/oauth2/token", {}, form)).json()
    assert answer["instance_url"] == "https://hub.my.salesforce.com"
    bearer = {"authorization": f"Bearer {answer['access_token']}"}
    for host in ("hub.my.salesforce.com", "localhost:8443", "hub.localhost:8443"):
        found = world.handle(
            Request.of("GET", f"https://{host}/services/data/v61.0/query?q=SELECT+Name+FROM+Organization", bearer)
        )
        assert found.json()["records"][0]["Name"] == "Hub"
    assert (
        world.handle(Request.of("GET", "https://acme.my.salesforce.com/services/data/v61.0/limits", bearer)).status
        == 401
    )
