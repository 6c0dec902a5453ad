"""The pages a person looks at: what they show, to whom, and that a record's text stays text."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from sfsync.localorg.face import Request, Response
from sfsync.localorg.faults import Faults
from sfsync.localorg.org import LocalOrg
from sfsync.localorg.server import prepare, running
from sfsync.localorg.world import World
from tests.contract.localorg.core_world import Client, furnished
from tests.contract.localorg.metadata_world import Asking, box, box_package, manifest, text_field, xml, zipped

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


@pytest.fixture
def org() -> LocalOrg:
    """An org with packs and entries."""
    return furnished()


def look(org: LocalOrg, path: str, **more: object) -> Response:
    """Return the page at a path, asked for without a token and without control."""
    return World([org]).handle(Request.of("GET", f"https://localhost{path}", **more))  # type: ignore[arg-type]


def page(org: LocalOrg, path: str) -> str:
    """Return a page's text, its tags taken off."""
    answer = look(org, path)
    assert answer.status == 200, answer.body
    assert answer.header("Content-Type") == "text/html;charset=UTF-8"
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", answer.body.decode(), flags=re.S)).split())


def pack_of(org: LocalOrg, **values: object) -> tuple[str, str]:
    """Return the ids of an account and of its pack."""
    [account] = org.insert("Account", {"Name": "Umbrella"})
    [pack] = org.insert(
        "Pack__c", {"Name": "Forty hours", "Hours__c": 40, "Kind__c": "Pro", "Account__c": account} | values
    )
    return account, pack


def test_the_first_page_lists_every_object_with_its_number_of_records(org: LocalOrg) -> None:
    pack_of(org)
    text = page(org, "/")
    assert "Packs Pack__c 1" in text
    assert "Time Entries Time_Entry__c 0" in text
    assert "Accounts Account 1" in text


def test_a_list_shows_rows_by_label_and_leads_to_the_record(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    assert "Forty hours" in page(org, "/lightning/o/Pack__c/list")
    body = look(org, "/lightning/o/pack__c/list").body.decode()
    assert f'href="/lightning/r/Pack__c/{pack}/view"' in body


def test_a_list_has_fifty_rows_a_page_and_leads_to_the_next(org: LocalOrg) -> None:
    org.seed_rows("Pack__c", [{"Name": f"Pack {n:03}", "Hours__c": n} for n in range(120)])
    seen: list[str] = []
    path = "/lightning/o/Pack__c/list?sort=Name"
    pages = 0
    while path:
        body = look(org, path).body.decode()
        seen += re.findall(r">(Pack \d{3})</a>", body)
        after = re.search(r'<a href="([^"]+)">after', body)
        path, pages = (unescape(after[1]) if after else ""), pages + 1
    assert seen == [f"Pack {n:03}" for n in range(120)]
    assert pages == 3


def test_a_record_shows_labels_values_and_names_of_what_it_points_to(org: LocalOrg) -> None:
    account, pack = pack_of(org, Used__c=1.5)
    text = page(org, f"/lightning/r/Pack__c/{pack}/view")
    for shown in ("Hours Hours__c 40.00", "Left Left__c 38.50", "Kind Kind__c Pro", "Account Account__c Umbrella"):
        assert shown in text
    assert f'href="/lightning/r/Account/{account}/view"' in look(org, f"/lightning/r/Pack__c/{pack}/view").body.decode()
    assert "21 Nov 2026, 12:00" in text  # in the time zone of who looks


def test_a_record_is_found_by_its_id_alone_and_by_its_short_id(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    assert "Forty hours" in page(org, f"/lightning/r/{pack}/view")
    assert "Forty hours" in page(org, f"/lightning/r/Pack__c/{pack[:15]}/view")


def test_a_record_shows_its_history(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    org.update("Pack__c", pack, {"Hours__c": 60})
    history = page(org, f"/lightning/r/Pack__c/{pack}/view").partition(" History ")[2]
    assert "Hours 40" in history
    assert "60" in history


def test_a_record_shows_its_related_lists_and_each_leads_to_all_of_its_rows(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    org.insert("Time_Entry__c", [{"Pack__c": pack, "Minutes__c": n} for n in range(12)])
    _, other = pack_of(org)
    org.insert("Time_Entry__c", {"Pack__c": other, "Minutes__c": 777})
    body = look(org, f"/lightning/r/Pack__c/{pack}/view").body.decode()
    found = re.search(r'<h2><a href="([^"]+)">Time Entries \(Pack\)</a> <small>12</small>', body)
    assert found is not None
    whole = page(org, unescape(found[1]))
    assert "12 records" in whole
    assert "777" not in whole


def test_a_deleted_record_says_so_and_is_in_no_list(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    org.delete("Pack__c", pack)
    assert "in the recycle bin" in page(org, f"/lightning/r/Pack__c/{pack}/view")
    assert "Forty hours" not in page(org, "/lightning/o/Pack__c/list")


def test_text_of_a_record_stays_text(org: LocalOrg) -> None:
    [account] = org.insert("Account", {"Name": HOSTILE, "Description": HOSTILE})
    [case] = org.insert("Case", {"Subject": HOSTILE, "Description": HOSTILE, "AccountId": account})
    org.update("Case", case, {"Status": "Closed"})
    for path in ("o/Account/list", f"r/Account/{account}/view", "o/Case/list", f"r/Case/{case}/view"):
        body = look(org, f"/lightning/{path}").body.decode()
        assert "&lt;script&gt;" in body
        assert "<script" not in body
        assert "<img" not in body


def test_what_an_address_says_stays_text(org: LocalOrg) -> None:
    hostile = quote(HOSTILE)
    for path in (
        f"o/{hostile.replace('/', '')}/list",
        f"o/Case/list?filterName={hostile}",
        f"o/Case/list?as={hostile}",
    ):
        answer = look(org, f"/lightning/{path}")
        assert answer.status == 404
        assert b"<script" not in answer.body
        assert b"<img" not in answer.body


def test_a_condition_in_an_address_cannot_be_widened(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    for of in (f"Name:{pack}' OR Name != '", "Name = '' OR Name:x", "Account__c:"):
        assert look(org, f"/lightning/o/Pack__c/list?of={quote(of)}").status == 404
    for odd in ("sort=Name;DROP", "from=-1", "from=99999999999999999999", "from=x"):
        assert look(org, f"/lightning/o/Pack__c/list?{odd}").status == 200


def test_no_script_is_needed_and_none_would_run(org: LocalOrg) -> None:
    answer = look(org, "/")
    assert "default-src 'none'" in str(answer.header("Content-Security-Policy"))
    assert b"<script" not in answer.body


@pytest.mark.parametrize(
    ("host", "peer", "control", "status"),
    [
        ("localhost:8443", "127.0.0.1", False, 200),
        ("acme.localhost", "::1", False, 200),
        ("acme.my.salesforce.com", "127.0.0.1", False, 200),
        ("evil.example", "127.0.0.1", False, 404),
        ("localhost", "192.0.2.7", False, 404),
        ("localhost", "", False, 404),
        ("box.example", "192.0.2.7", True, 200),
    ],
)
def test_without_a_token_only_this_machine_may_look(
    org: LocalOrg, host: str, peer: str, control: bool, status: int
) -> None:
    request = Request("GET", "/", host=host, peer=peer, wire=True)
    assert World([org], control=control).handle(request).status == status


def test_the_pages_only_read(org: LocalOrg) -> None:
    _, pack = pack_of(org)
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        for path in ("/", "/lightning/o/Pack__c/list", f"/lightning/r/Pack__c/{pack}/view"):
            assert World([org]).handle(Request.of(method, f"https://localhost{path}")).status == 405


def test_looking_is_no_api_call_leaves_no_trace_and_is_never_struck(org: LocalOrg) -> None:
    spent = org.spent()
    org.faults = Faults.of({"rules": [{"kind": "unavailable", "times": 1}]})
    page(org, "/")
    assert org.spent() == spent
    assert list(org.journal.entries) == []
    assert Client(org).ask("GET", "limits").status == 503


def test_other_eyes_see_what_their_permission_sets_grant(org: LocalOrg) -> None:
    _, pack = pack_of(org, Secret__c="hush")
    username = org.actor(org.integration_id).username
    assert look(org, f"/lightning/o/Pack__c/list?as={username}").status == 404
    org.assign("Service", username)
    text = page(org, f"/lightning/r/Pack__c/{pack}/view?as={username}")
    assert "Hours__c" in text
    assert "hush" not in text
    assert "hush" in page(org, f"/lightning/r/Pack__c/{pack}/view")


def test_a_browser_gets_the_page_over_https_without_a_token(org: LocalOrg, tmp_path: Path) -> None:
    with running(prepare(tmp_path, orgs=(org,))) as line, requests.Session() as browser:
        browser.trust_env = False
        answer = browser.get(f"{line['url']}/", verify=line["ca_file"], timeout=10)
    assert answer.status_code == 200
    assert "Packs" in answer.text
    # A browser would keep this for every other server on this machine.
    assert "Strict-Transport-Security" not in answer.headers


def view(name: str, inner: str) -> str:
    """Return the element of a list view."""
    return f"<listViews><fullName>{name}</fullName>{inner}<label>{name} boxes</label></listViews>"


def kept(field_name: str, operation: str, value: str) -> str:
    """Return the filter of a list view."""
    return f"<filters><field>{field_name}</field><operation>{operation}</operation><value>{value}</value></filters>"


def test_deployed_list_views_choose_columns_and_rows() -> None:
    columns = "<columns>NAME</columns><columns>Word__c</columns><filterScope>Everything</filterScope>"
    asking = Asking()
    package = box_package(
        text_field("Word__c"),
        text_field("Other__c"),
        view("Green", columns + kept("Word__c", "equals", "green,olive")),
        view("Not_O", columns + kept("Word__c", "notContain", "o")),
        view("Quoted", columns + kept("Word__c", "equals", "x' OR Name != '")),
        view("Odd", columns + kept("Word__c", "within", "x")),
    )
    asking.simple().deploy(io.BytesIO(package), sandbox=False)
    for word in ("green", "olive", "red"):
        asking.org.insert("Box__c", {"Word__c": word, "Other__c": "unseen"})

    def words(name: str) -> set[str]:
        text = page(asking.org, f"/lightning/o/Box__c/list?filterName={name}")
        assert "unseen" not in text
        return {w for w in ("green", "olive", "red") if f" {w} " in text}

    assert words("Green") == {"green", "olive"}
    assert words("Not_O") == {"green", "red"}
    assert words("Quoted") == set()
    assert words("Odd") == {"green", "olive", "red"}
    odd = page(asking.org, "/lightning/o/Box__c/list?filterName=Odd")
    assert "Not taken from the list view: filter Word__c within x" in odd


def test_fields_stand_in_the_sections_of_the_deployed_page_layout() -> None:
    items = "".join(f"<layoutItems><field>{n}</field></layoutItems>" for n in ("Name", "Word__c"))
    layout = xml(
        "Layout",
        f"<layoutSections><label>First things</label><layoutColumns>{items}</layoutColumns>"
        "<style>OneColumn</style></layoutSections>",
    )
    files = {
        "package.xml": manifest(CustomObject=["Box__c"], Layout=["Box__c-Box Layout"]),
        "objects/Box__c.object": box(text_field("Word__c"), text_field("Other__c")),
        "layouts/Box__c-Box Layout.layout": layout,
    }
    asking = Asking()
    asking.simple().deploy(io.BytesIO(zipped(files)), sandbox=False)
    [made] = asking.org.insert("Box__c", {"Word__c": "green", "Other__c": "last"})
    text = page(asking.org, f"/lightning/r/Box__c/{made}/view")
    first, _, rest = text.partition("Fields not on the page layout")
    assert "First things" in first
    assert "Word Word__c green" in first
    assert "Other Other__c last" in rest
