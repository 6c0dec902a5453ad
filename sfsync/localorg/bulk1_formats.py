"""What Bulk API 1.0 looks like: job and batch infos, records and results, in XML, JSON and CSV.

It may not know routes or how batches run. It keeps one law: the same values come out in every format, under the names
and in the forms that old clients expect of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sfsync.localorg import xmltree
from sfsync.localorg.bulk_rows import BatchRefused, columns_of, error_text, open_upload
from sfsync.localorg.records import SaveResult
from sfsync.localorg.schema import SObject
from sfsync.localorg.values import parse_datetime

NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
XML, JSON, CSV = "application/xml", "application/json", "text/csv"  # bare: old clients compare them as a whole
CONTENT_TYPES = {"CSV": CSV, "XML": XML, "JSON": JSON}
QUERY_CONTENT_TYPES = CONTENT_TYPES | {"CSV": "text/csv;charset=UTF-8"}  # others decode rows by it
NO_RECORDS = b"Records not found for this query"
MOST_RECORDS = 10_000
Record = dict[str, Any]


# Infos


def info(name: str, values: Mapping[str, Any], *, json: bool) -> bytes:
    """Return a jobInfo, batchInfo or error as a document; instants are given as REST text."""
    if json:
        return orjson.dumps({key: value for key, value in values.items() if value is not None})
    return _document(_element(name, values, f' xmlns="{NAMESPACE}"'))


def infos(name: str, values: Sequence[Mapping[str, Any]], *, json: bool) -> bytes:
    """Return a list of infos as a document."""
    if json:
        shown = [{key: value for key, value in each.items() if value is not None} for each in values]
        return orjson.dumps({name: shown})
    inside = "".join(_element(name, each) for each in values)
    return _document(f'<{name}List xmlns="{NAMESPACE}">{inside}</{name}List>')


def result_list(ids: Sequence[str], *, json: bool) -> bytes:
    """Return the ids of a query batch's results."""
    if json:
        return orjson.dumps(list(ids))
    inside = "".join(xmltree.leaf("result", each) for each in ids)
    return _document(f'<result-list xmlns="{NAMESPACE}">{inside}</result-list>')


def _element(name: str, values: Mapping[str, Any], attributes: str = "") -> str:
    parts = []
    for key, value in values.items():
        if value is not None:
            text = value.replace(".000+0000", ".000Z") if isinstance(value, str) and key in _INSTANTS else value
            parts.append(xmltree.leaf(key, text))
    return f"<{name}{attributes}>{''.join(parts)}</{name}>"


_INSTANTS = frozenset({"createdDate", "systemModstamp"})


def _document(inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{inside}'.encode()


def read_job(body: bytes, *, json: bool) -> dict[str, Any]:
    """Return the values of a jobInfo; BatchRefused when it is not one."""
    if json:
        found = _json(body)
        if not isinstance(found, dict):
            raise BatchRefused("InvalidJob : a job is a JSON object")
        return found
    return {child.name: child.text.strip() for child in _xml(body).children}


# Records of a batch


def read_records(body: bytes, content_type: str, sobject: SObject, operation: str) -> list[Record]:
    """Return the records of a DML batch; BatchRefused when the batch can not be processed."""
    if content_type == "CSV":
        upload = open_upload(body, ",", None)
        columns = columns_of(upload.header, sobject, operation)
        found = [columns.record(row) for row in upload.take(MOST_RECORDS + 1)]
    elif content_type == "JSON":
        raw = _json(body)
        if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
            raise BatchRefused("InvalidBatch : Records not processed: a batch is a JSON array of objects")
        found = raw
    else:
        found = [_record(each) for each in _xml(body).all("sObject")]
    if len(found) > MOST_RECORDS:
        raise BatchRefused(f"InvalidBatch : Records exceed the maximum of {MOST_RECORDS} in a batch")
    return found


def _record(element: xmltree.Element, *, nested: bool = False) -> Record:
    """The values of an sObject element; a nested one names a parent by one of its fields."""
    record: Record = {}
    for child in element.children:
        parent = child.find("sObject")
        if nested and child.name == "type":
            record["attributes"] = {"type": child.text.strip()}
        elif parent is not None:
            record[child.name] = _record(parent, nested=True)
        elif child.attributes.get("nil") == "true":
            record[child.name] = None
        elif child.text:
            record[child.name] = child.text
    return record


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise BatchRefused(f"InvalidBatch : Failed to parse JSON: {problem}") from None


def _xml(body: bytes) -> xmltree.Element:
    try:
        return xmltree.parse(body)
    except xmltree.XmlError as problem:
        raise BatchRefused(f"InvalidBatch : Failed to parse XML: {problem}") from None


# Results


def outcomes(results: Sequence[SaveResult], content_type: str) -> bytes:
    """Return what became of the records of a batch, in the order they were sent."""
    if content_type == "CSV":
        lines = ['"Id","Success","Created","Error"']
        for each in results:
            told = error_text(each).replace('"', '""')
            good, made = str(each.success).lower(), str(each.created).lower()
            lines.append(f'"{each.id or ""}","{good}","{made}","{told}"')
        return ("\n".join(lines) + "\n").encode()
    if content_type == "JSON":
        return orjson.dumps([_outcome(each) for each in results])
    inside = "".join(_outcome_xml(each) for each in results)
    return _document(f'<results xmlns="{NAMESPACE}">{inside}</results>')


def _outcome(result: SaveResult) -> Record:
    errors = [error.as_save_error() | {"extendedErrorDetails": None} for error in result.errors]
    return {"success": result.success, "created": result.created, "id": result.id, "errors": errors}


def _outcome_xml(result: SaveResult) -> str:
    errors = "".join(
        xmltree.node(
            "errors",
            *(xmltree.leaf("fields", name) for name in error.fields or ()),
            xmltree.leaf("message", error.message),
            xmltree.leaf("statusCode", error.code),
        )
        for error in result.errors
    )
    known = xmltree.leaf("id", result.id) if result.id else ""
    return xmltree.node(
        "result", errors, known, xmltree.leaf("success", result.success), xmltree.leaf("created", result.created)
    )


def query_json(records: Sequence[Record], instants: frozenset[str]) -> bytes:
    """Return query rows as JSON, where an instant is a number of milliseconds.

    ``instants`` are the dotted names of the datetime fields. Old clients see numbers here, unlike everywhere else.
    """
    if instants:
        for record in records:
            _in_milliseconds(record, "", instants)
    return orjson.dumps(list(records))


def _in_milliseconds(record: Record, path: str, instants: frozenset[str]) -> None:
    for key, value in record.items():
        if isinstance(value, dict) and key != "attributes":
            _in_milliseconds(value, f"{path}{key}.", instants)
        elif path + key in instants and isinstance(value, str):
            record[key] = (parse_datetime(value) or 0) * 1000


def query_xml(records: Sequence[Record]) -> bytes:
    """Return query rows as XML."""
    inside = "".join(f'<records xsi:type="sObject">{_fields_xml(each)}</records>' for each in records)
    return _document(f'<queryResult xmlns="{NAMESPACE}" xmlns:xsi="{INSTANCE}">{inside}</queryResult>')


def _fields_xml(record: Record) -> str:
    parts = [xmltree.leaf("type", record["attributes"]["type"])]
    for key, value in record.items():
        if key == "attributes":
            continue
        if value is None:
            parts.append(f'<{key} xsi:nil="true"/>')
        elif isinstance(value, dict):
            parts.append(f'<{key} xsi:type="sObject">{_fields_xml(value)}</{key}>')
        else:
            text = value.replace(".000+0000", ".000Z") if isinstance(value, str) else value
            parts.append(xmltree.leaf(key, text))
    return "".join(parts)
