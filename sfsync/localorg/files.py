"""Files that arrive as multipart bodies: one JSON part for the fields, one part with the bytes.

It may not know what a file is attached to. It keeps one law: the parts may come in either order and under any name.
"""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import orjson

from sfsync.localorg.errors import ApiError
from sfsync.localorg.face import Call
from sfsync.localorg.schema import SObject


def parts_of(content_type: str, body: bytes) -> list[tuple[str, str, bytes]]:
    """Return the parts of a multipart body as (name, content type, bytes); ApiError when it is not one."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    )
    if not message.is_multipart():
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "the body is not multipart/form-data")
    found = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition") or ""
        data = part.get_payload(decode=True)
        found.append((str(name), part.get_content_type(), data if isinstance(data, bytes) else b""))
    return found


def multipart_record(call: Call, sobject: SObject) -> dict[str, Any]:
    """Return the record of a multipart create: the JSON part's fields and the file under the blob field's name."""
    record: dict[str, Any] | None = None
    blob = next((f.name for f in sobject.fields.values() if f.type == "base64"), None)
    data: bytes | None = None
    for name, kind, payload in parts_of(call.header("content-type") or "", call.request.body):
        if kind == "application/json" and record is None:
            try:
                record = orjson.loads(payload)
            except orjson.JSONDecodeError as problem:
                raise ApiError(400, "JSON_PARSER_ERROR", f"{name}: {problem}") from None
        else:
            data = payload
    if not isinstance(record, dict):
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "a part with Content-Type application/json is required")
    if data is not None and blob is not None:
        record[blob] = data
    return record
