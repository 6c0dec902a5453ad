"""Every route of the table with bodies, types and headers that belong elsewhere: never an accident of ours.

``SFSYNC_FUZZ`` sets how many requests are made (2,000 unless set), ``SFSYNC_FUZZ_FROM`` moves the seed, which stands
in a failure's message.
"""

from __future__ import annotations

import os
import re

from sfsync.clock import seeded
from sfsync.localorg.face import Request
from sfsync.localorg.world import gathered_routes
from tests.contract.localorg.core_world import Client

SEED = 20261122 + int(os.environ.get("SFSYNC_FUZZ_FROM", "0"))
COUNT = int(os.environ.get("SFSYNC_FUZZ", "2000"))
BODIES = (
    *(b"", b"null", b"[]", b"{}", b'""', b"0", b"true", b"\xff\xfe", b"\x00", b"{" * 5_000, b"[" * 100_000),
    *(b"[" * 1_500 + b"]" * 1_500, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"records":' + b"[" * 500 + b"]" * 500 + b"}"),
    *(b"1e400", b'{"Name":1e400}', b'{"Name":' + b"9" * 5_000 + b"}", b'{"AnnualRevenue":-1e308}'),
    *(b'{"Name":"\\ud800"}', b'{"Name":"\\u0000"}', b'{"Name":"' + "\U0001f600".encode() * 400 + b'"}'),
    *(b'{"state":5}', b'{"query":[],"operation":"query"}', b'{"object":{},"operation":null}', b'{"records":{}}'),
    *(
        b'{"compositeRequest":[null]}',
        b'{"graphs":[[]]}',
        b'{"batchRequests":[{"url":7}]}',
        b'{"ids":[[]],"fields":{}}',
    ),
    *(
        b"Name\nx\n",
        b'"Name\nx\n',
        b"Name,Name\nx,y\n",
        b"Name\r\nx\ry\r\n",
        b"\xef\xbb\xbfName\nx\n",
        b'Name\n"a""b"c"\n',
    ),
    *(
        b"Id\n\n\n",
        b",,,\n,,,\n",
        b"Name\n" + b'"x\n' * 50,
        b"<xml/>",
        b"<a>" * 3_000,
        b"<?xml version='1.0'?><jobInfo/>",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"a=b&c=%ZZ", b"grant_type=password&username=%00&password="),
    *(b"--x\r\n\r\n--x--", b'--x\r\nContent-Disposition: form-data; name="entity"\r\n\r\n{}\r\n--x--'),
)
TYPES = (
    *(
        "application/json",
        "application/json",
        "application/json; charset=utf-16",
        "text/csv",
        "application/xml",
        "text/xml",
    ),
    *(
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "",
        "nonsense",
        ";;",
    ),
)
HEADERS = {
    "sforce-query-options": ("batchSize=-1", "batchSize=99999999999999999999", "x"),
    "sforce-auto-assign": ("01Q", "\x00", ""),
    "sforce-enable-pkchunking": ("chunksize=0", "chunkSize=1;parent=Account", "²"),
    "if-modified-since": ("Sat, 99 Foo 2026", "Thu, 01 Jan 99999 00:00:00 GMT", "x"),
    "if-unmodified-since": ("Thu, 01 Jan 1970 00:00:00 GMT", "é"),
    "if-match": ('"', 'W/"x"'),
    "if-none-match": ("*", '"'),
    "accept": ("application/xml", "\x00", "é"),
    "content-encoding": ("gzip", "gzip, br", "deflate"),
    "authorization": ("", "Bearer", "Basic x", "Bearer \x00", "OAuth x!y"),
}
PARTS = {
    "object": ("Account", "Case", "Pack__c", "Nope", "User", "%00", "é"),
    "key": ("Id", "Name", "Key__c", "Nope", "Username", "{id}"),
    "version": ("v61.0", "v61.0", "v31.0", "v99.0", "v0", "61.0"),
    "locator": ("01gx-0", "x", "01g000000000000AAA-99999999999", "²-²"),
    "api": ("u", "c", "m", "T"),
    "name": ("CustomField", "ValidationRule", "Nope"),
}
OTHERS = ("x", "{id}", "750000000000000AAA", "%2F", "a%2Fb", "Contacts")
PARAMETERS = tuple(
    "q fields ids start end locator maxRecords columns explain _HttpMethod includeDetails jobType".split()
)
VALUES = ("SELECT Id FROM Case", "SELECT", "", "-1", "x", "\x00", "true", "2026-01-01T00:00:00Z", "9" * 30, "é", "%")


def test_requests_that_fit_no_route_are_answered_in_its_shape() -> None:
    chance = seeded(SEED)
    client = Client(control=False)
    record = client.org.insert("Account", {"Name": "x"})[0]
    routes = gathered_routes()
    for number in range(COUNT):
        route = chance.choice(routes)
        path = re.sub(r"\{(\w+)(?::rest)?\}", lambda m: chance.choice(PARTS.get(m[1], OTHERS)), route.template)
        headers = {"authorization": f"Bearer {client.token}", "content-type": chance.choice(TYPES)}
        if chance.random() < 0.4:
            name = chance.choice(sorted(HEADERS))
            headers[name] = chance.choice(HEADERS[name])
        request = Request(
            chance.choice(sorted(route.methods | {"BREW"})),
            path.replace("{id}", record),
            {name: chance.choice(VALUES) for name in chance.sample(PARAMETERS, chance.randrange(3))},
            headers,
            chance.choice(BODIES),
            host="acme.my.salesforce.com",
        )
        asked = f"{request.method} {request.path} {request.query} {headers} {request.body[:99]!r}"
        answer = client.world.handle(request)
        is_fault = b"<soapenv:Fault>" in answer.body and b"UNKNOWN_EXCEPTION" not in answer.body
        assert answer.status != 500 or is_fault, f"seed {SEED}, number {number}: {asked}"
