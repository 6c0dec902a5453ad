"""Values on their way in and out: what a field accepts, how it is stored, how REST and CSV show it.

It may not know records, users or SQL. It keeps one law: a value that a real org would refuse is refused with the same
code, and the message names the label while ``fields`` names the API name.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sfsync.localorg import ids
from sfsync.localorg.errors import ApiError
from sfsync.localorg.schema import Field, Schema

Coercion = Callable[[Any], Any]
EARLIEST = int(datetime(1700, 1, 1, tzinfo=UTC).timestamp())
LATEST = int(datetime(4000, 12, 31, tzinfo=UTC).timestamp())
_EMAIL = re.compile(r"[^@\s<>()\[\],;:\\\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?Z?")
_MOST_KNOWN_IDS = 10_000
_TRUE = frozenset({"true", "1", "yes", "y"})
_FALSE = frozenset({"false", "0", "no", "n", ""})
_day_texts: dict[int, str] = {}


def datetime_text(unix: int) -> str:
    """Return a stored datetime as REST shows it: ``2026-11-21T20:00:00.000+0000``."""
    day, rest = divmod(unix, 86_400)
    text = _day_texts.get(day)
    if text is None:
        text = _day_texts[day] = date.fromordinal(719_163 + day).isoformat()
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{text}T{hours:02d}:{minutes:02d}:{seconds:02d}.000+0000"


def datetime_text_z(unix: int) -> str:
    """Return a stored datetime as Bulk CSV and SOAP show it: ``2026-11-21T20:00:00.000Z``."""
    return datetime_text(unix)[:-5] + "Z"


def rest_renderer(field: Field) -> Callable[[Any], Any] | None:
    """Return what turns a stored, non-null value of ``field`` into its JSON value; None when it already is one."""
    match field.type:
        case "boolean":
            return bool
        case "datetime":
            return datetime_text
        case "int":
            return int
        case "double" | "currency" | "percent":
            return float
        case _:
            return None


def csv_text(field: Field, stored: Any) -> str:
    """Return a stored value as Bulk CSV shows it; null is the empty text."""
    if stored is None:
        return ""
    match field.type:
        case "boolean":
            return "true" if stored else "false"
        case "datetime":
            return datetime_text_z(stored)
        case "double" | "currency" | "percent":
            return repr(float(stored))
        case _:
            return str(stored)


def parse_datetime(text: str) -> int | None:
    """Return the unix second of an ISO 8601 text with a zone (the fraction is dropped), or None."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is None or "T" not in text.upper():
        return None
    return math.floor(found.timestamp())


def round_half_up(value: float, scale: int) -> float:
    """Return ``value`` with at most ``scale`` decimals, halves away from zero (facts U17)."""
    if scale <= 0 and value == int(value):
        return float(value)
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP))


def _wrong(kind: str, value: Any) -> ApiError:
    match value:
        case bool():
            token = f"VALUE_{str(value).upper()}"
        case int():
            token = "VALUE_NUMBER_INT"
        case float():
            token = "VALUE_NUMBER_FLOAT"
        case str():
            token = "VALUE_STRING"
        case list():
            token = "START_ARRAY"
        case _:
            token = "START_OBJECT"
    tail = "" if token.startswith("START") else f" value {str(value).lower() if isinstance(value, bool) else value}"
    return ApiError(
        400,
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token}{tail} or request may be missing "
        "a required field at [line:1, column:1]",
    )


def _text(field: Field) -> Coercion:
    limit, label, name, is_email = field.length, field.label, field.name, field.type == "email"
    keep_front = field.type == "textarea"

    def coerce(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise _wrong("string", value)
        text = value.rstrip() if keep_front else value.strip()
        if not text:
            return None
        if "\x00" in text:
            raise ApiError(400, "JSON_PARSER_ERROR", f"Illegal character in {name}")
        if limit and len(text) > limit:
            shown = text if len(text) <= 1_000 else text[:1_000]
            message = f"{label}: data value too large: {shown} (max length={limit})"
            raise ApiError(400, "STRING_TOO_LONG", message, [name])
        if is_email and not _EMAIL.fullmatch(text):
            raise ApiError(400, "INVALID_EMAIL_ADDRESS", f"{label}: invalid email address: {text}", [name])
        return text

    return coerce


def _picklist(field: Field) -> Coercion:
    plain = _text(field)
    chosen: dict[str, str] = {v.value.lower(): v.value for v in field.picklist if v.active}
    exact = frozenset(chosen.values())
    label, name, restricted = field.label, field.name, field.restricted

    def coerce(value: Any) -> str | None:
        if type(value) is str and value in exact:
            return value
        text: str | None = plain(value)
        if text is None:
            return None
        found = chosen.get(text.lower())
        if found is None:
            if restricted:
                message = f"{label}: bad value for restricted picklist field: {text}"
                raise ApiError(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name])
            return text
        return found

    return coerce


def _multipicklist(field: Field) -> Coercion:
    chosen = {v.value.lower(): (n, v.value) for n, v in enumerate(field.picklist) if v.active}
    label, name, restricted = field.label, field.name, field.restricted

    def coerce(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise _wrong("string", value)
        parts: dict[str, int] = {}
        for part in (p.strip() for p in value.split(";")):
            if not part:
                continue
            place, canonical = chosen.get(part.lower(), (len(chosen) + len(parts), part))
            if restricted and part.lower() not in chosen:
                message = f"{label}: bad value for restricted picklist field: {part}"
                raise ApiError(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name])
            parts[canonical] = place
        return ";".join(sorted(parts, key=lambda p: parts[p])) or None

    return coerce


def _boolean(_: Field) -> Coercion:
    def coerce(value: Any) -> int:
        if value is None or value is False:
            return 0
        if value is True:
            return 1
        text = str(value).strip().lower()
        if isinstance(value, str | int) and text in _TRUE:
            return 1
        if isinstance(value, str | int) and text in _FALSE:
            return 0
        raise _wrong("boolean", value)

    return coerce


def _out_of_range(field: Field, value: Any) -> ApiError:
    message = f"{field.label}: value outside of valid range on numeric field: {value}"
    return ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message, [field.name])


def _int(field: Field) -> Coercion:
    bound = 10 ** (field.digits or 9)

    def coerce(value: Any) -> int | None:
        if value is None:
            return None
        number: int
        if isinstance(value, bool):
            raise _wrong("int", value)
        if isinstance(value, int):
            number = value
        elif isinstance(value, float) and value == int(value):
            number = int(value)
        elif isinstance(value, str):
            if not value.strip():
                return None
            try:
                decimal = Decimal(value.strip())
                if decimal != decimal.to_integral_value():
                    raise _wrong("int", value)
                number = int(decimal)
            except (InvalidOperation, ValueError, OverflowError):
                raise _wrong("int", value) from None
        else:
            raise _wrong("int", value)
        if not -bound < number < bound:
            raise _out_of_range(field, number)
        return number

    return coerce


def _double(field: Field) -> Coercion:
    scale = field.scale
    bound = 10.0 ** ((field.precision or 18) - scale)

    def coerce(value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _wrong("double", value)
        if isinstance(value, str):
            if not value.strip():
                return None
            try:
                number = float(value)
            except ValueError:
                raise _wrong("double", value) from None
        else:
            number = float(value)
        if not math.isfinite(number):
            raise _wrong("double", value)
        if not -bound < number < bound:
            raise _out_of_range(field, value)
        rounded = round_half_up(number, scale)
        return rounded or 0.0

    return coerce


def _date(field: Field) -> Coercion:
    def coerce(value: Any) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise _wrong("date", value)
        text = value.strip()
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(?:Z|[T+-].*)?", text):
            raise _wrong("date", value)
        try:
            found = date.fromisoformat(text[:10])
        except ValueError:
            raise _wrong("date", value) from None
        if not 1700 <= found.year <= 4000:
            raise ApiError(400, "INVALID_FIELD", f"{field.label}: invalid date: {text}", [field.name])
        return text[:10]

    return coerce


def _datetime(field: Field) -> Coercion:
    def coerce(value: Any) -> int | None:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise _wrong("datetime", value)
        found = parse_datetime(value)
        if found is None and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
            found = parse_datetime(value.strip() + "T00:00:00Z")
        if found is None:
            raise _wrong("datetime", value)
        if not EARLIEST <= found < LATEST:
            raise ApiError(400, "INVALID_FIELD", f"{field.label}: invalid date: {value}", [field.name])
        return found

    return coerce


def _time(_: Field) -> Coercion:
    def coerce(value: Any) -> str | None:
        if value is None or value == "":
            return None
        found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise _wrong("time", value)
        hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3] or 0)
        if hours > 23 or minutes > 59 or seconds > 59:
            raise _wrong("time", value)
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{(found[4] or '0').ljust(3, '0')}Z"

    return coerce


def _id(field: Field, schema: Schema) -> Coercion:
    label, name = field.label, field.name
    allowed = {schema[t].key_prefix for t in field.reference_to if t in schema}
    known: dict[str, str] = {}  # many rows point to few parents

    def coerce(value: Any) -> str | None:
        if value is None or value == "":
            return None
        if isinstance(value, str) and value in known:
            return known[value]
        if not isinstance(value, str):
            raise _wrong("string", value)
        found = ids.to_long(value.strip())
        if found is None or (allowed and found[:3] not in allowed):
            raise ApiError(400, "MALFORMED_ID", f"{label}: id value of incorrect type: {value}", [name])
        if len(known) < _MOST_KNOWN_IDS:
            known[value] = found
        return found

    return coerce


def _base64(field: Field) -> Coercion:
    def coerce(value: Any) -> bytes | None:
        if value is None or value == "":
            return None
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise _wrong("base64", value)
        try:
            return base64.b64decode(value, validate=False)
        except (binascii.Error, ValueError):
            raise ApiError(400, "JSON_PARSER_ERROR", f"{field.label}: not base64 encoded", [field.name]) from None

    return coerce


def coercion(field: Field, schema: Schema) -> Coercion:
    """Return the function that turns what a client sent for ``field`` into its stored form, or raises ApiError.

    JSON strings are taken for numbers and booleans too, as a real org does; text is trimmed and empty text is null.
    """
    match field.type:
        case "picklist":
            return _picklist(field)
        case "multipicklist":
            return _multipicklist(field)
        case "boolean":
            return _boolean(field)
        case "int":
            return _int(field)
        case "double" | "currency" | "percent":
            return _double(field)
        case "date":
            return _date(field)
        case "datetime":
            return _datetime(field)
        case "time":
            return _time(field)
        case "reference" | "id":
            return _id(field, schema)
        case "base64":
            return _base64(field)
        case _:
            return _text(field)
