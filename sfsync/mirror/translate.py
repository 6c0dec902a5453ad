"""Between the org's values and ours, one field type at a time.

Three forms of a value: *local* (a Python value of ``records``), *wire* (the org's value in one
canonical, JSON-able form, which is what ``remote`` and ``agreed`` remember), and the *text* of a
transport (REST JSON, Bulk CSV). Comparing happens in wire form, so that a value which the org cannot
hold exactly (20 minutes are 0.33 h) is still equal to itself.

This module may not know who owns a field. It keeps one law: null, empty and absent stay three
different things, and no text is changed on its way but for what Salesforce itself does to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

from sfsync.mapping import FieldType, MappedField, ObjectMapping
from sfsync.records import CaseEvent, Value, unchanging

Wire: TypeAlias = None | bool | int | str
"""Numbers with a scale are text such as ``"1.50"``, instants ``2026-11-20T10:00:00Z``."""

MISSING: Any = object()
"""Stands for a value that nobody has seen yet, which is not the same as null."""

BULK_NULL = "#N/A"
KEY_FIELD = "@key"
"""Name under which a record's key field stands beside the mapped fields, where it does not hold the record's key."""


class Untranslatable(ValueError):
    """A value that the other side cannot hold; the text says which and why."""


@unchanging
class Seen:
    """One record as an org showed it."""

    object: str
    sf_id: str
    key: str
    """The external id it carries, or the key derived from its id."""
    wire: Mapping[str, Wire]
    """Mapped field name to canonical value; a field that was not read is absent."""
    stamp: datetime
    """SystemModstamp."""
    created_at: datetime | None = None
    deleted: bool = False
    merged_into: str | None = None
    """Id of the record that won a merge, for a deleted loser."""
    revision: int = 0
    events: tuple[CaseEvent, ...] = ()
    modified_by: str = ""
    miskeyed: str | None = None
    """What its key field holds, if that is not what belongs there (a person edited it); empty text for nothing."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far one object of one org has been read; moves only together with the records it covers."""

    object: str
    read_to: datetime | None = None
    """Every change visible with a stamp before this instant of the org's clock has been absorbed."""
    checkpoint: str = ""
    """Where a load that was cut short goes on; empty when the last one was finished."""
    schema_seen: str = ""
    """When the object's describe was last changed, in the org's own words, for a conditional request."""
    refreshed_at: datetime | None = None
    """When every record was last read whatever its stamp, for the sake of calculated fields."""
    silent: tuple[str, ...] = ()
    """Ids of records to be looked at whatever their stamps say: the org confirmed a write that no read has shown."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of what an org showed: absorbed in one transaction together with its bookmark."""

    object: str
    seen: tuple[Seen, ...]
    bookmark: Bookmark
    hard_deleted: tuple[tuple[str, datetime], ...] = ()
    """Id and instant of records that are gone for good, confirmed by id."""


@dataclass(slots=True)
class Ids:
    """Which key stands for which id in one org; lookups are translated through it."""

    organization_id: str
    to_key: dict[str, str] = field(default_factory=dict)
    to_id: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Keys of records that this org has deleted: nothing there can point to them."""

    def add(self, sf_id: str, key: str) -> None:
        """Remember that ``sf_id`` is the record ``key``."""
        self.to_key[sf_id] = key
        self.to_id.setdefault(key, sf_id)

    def forget(self) -> None:
        """Know no pair any more; a page asks again for those it needs, and all of a large load fit into no memory."""
        self.to_key.clear()
        self.to_id.clear()

    def update(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember many ``(sf_id, key)``."""
        known = self.to_id.setdefault
        for sf_id, key in pairs:
            self.to_key[sf_id] = key
            known(key, sf_id)


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = ["".join(three) for three in product(_BASE32, repeat=3)]
"""Three letters of base32 (RFC 4648, lower case) at once: the library's own takes several times as long."""
_SHIFTS = range(120, -1, -15)


def derived_key(prefix: str, organization_id: str, sf_id: str) -> str:
    """Return the key of a record born in an org: the same every time it is derived (I10)."""
    digest = hashlib.sha256(f"{organization_id[:15]}/{sf_id}".encode()).digest()
    number = int.from_bytes(digest[:16]) << 7  # 27 letters of base32 hold 135 bits, and 26 are wanted
    return f"{prefix}:{''.join([_LETTERS[(number >> shift) & 32767] for shift in _SHIFTS])[:26]}"


_CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def long_id(sf_id: str) -> str:
    """Return the 18-character form of a 15- or 18-character id; Untranslatable if it is neither."""
    if len(sf_id) not in (15, 18) or not sf_id.isascii() or not sf_id.isalnum():
        raise Untranslatable(f"{sf_id!r} is no Salesforce id")
    if len(sf_id) == 18:
        return sf_id
    bits = (sum(1 << i for i, c in enumerate(sf_id[n : n + 5]) if c.isupper()) for n in (0, 5, 10))
    return sf_id + "".join(_CHECKSUM[b] for b in bits)


# --- local <-> wire ---------------------------------------------------------------------------------


def to_wire(kind: FieldType, value: Value, ids: Ids) -> Wire:
    """Return the canonical org form of a local value; Untranslatable if the org cannot hold it.

    A lookup to a record that is not in the org yet becomes ``key:<key>``: the writer refers to it by
    its external id. A lookup to one that this org has deleted is null there.
    """
    if value is None:
        return False if kind.kind == "checkbox" else None
    match kind.kind:
        case "checkbox":
            return bool(value)
        case "integer":
            number = int(str(value))
            if len(str(abs(number))) > kind.precision:
                raise Untranslatable(f"{number} has more than {kind.precision} digits")
            return number
        case "hours":
            return _scaled(Decimal(int(str(value))) / 60, kind, exact=False)
        case "decimal":
            return _scaled(Decimal(str(value)), kind, exact=True)
        case "date":
            if not isinstance(value, date) or isinstance(value, datetime):
                raise Untranslatable(f"{value!r} is no date")
            return value.isoformat()
        case "datetime":
            if not isinstance(value, datetime) or value.tzinfo is None:
                raise Untranslatable(f"{value!r} is no instant with a zone")
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "lookup":
            return None if value in ids.gone else ids.to_id.get(str(value), f"key:{value}")
        case _:
            return _text(str(value), kind)


def _text(text: str, kind: FieldType) -> str | None:
    if "\x00" in text:
        raise Untranslatable("it holds a NUL character, which neither PostgreSQL nor Salesforce text can keep")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise Untranslatable("it holds half a surrogate pair, which is no text")
    if kind.length and len(text) > kind.length:
        raise Untranslatable(f"it has {len(text)} characters, the field holds {kind.length}")
    return text or None


def _scaled(number: Decimal, kind: FieldType, *, exact: bool) -> str:
    if not number.is_finite():
        raise Untranslatable(f"{number} is no number")
    step = Decimal(1).scaleb(-kind.scale)
    rounded = number.quantize(step, ROUND_HALF_UP)
    if exact and rounded != number:
        raise Untranslatable(f"{number} has more than {kind.scale} decimal places")
    if len(rounded.as_tuple().digits) > kind.precision and abs(rounded) >= Decimal(10) ** (kind.precision - kind.scale):
        raise Untranslatable(f"{number} has more than {kind.precision} digits")
    return str(rounded + 0)


def to_local(kind: FieldType, wire: Wire, ids: Ids, prefix: str = "") -> Value:
    """Return the local form of a canonical org value (RND-3 for hours)."""
    if wire is None:
        return None
    form = LOCAL.get(kind.kind)
    if form is not None:
        return form(wire)
    if kind.kind == "lookup":
        text = str(wire)
        if text.startswith("key:"):
            return text[4:]
        known = ids.to_key.get(text)
        return known if known or not prefix else derived_key(prefix, ids.organization_id, text)
    return wire


@lru_cache(maxsize=4096)
def _minutes(hours: Wire) -> int:
    return int((Decimal(str(hours)) * 60).quantize(Decimal(1), ROUND_HALF_UP))


LOCAL: Mapping[str, Callable[[Any], Value]] = {
    "hours": _minutes,
    "decimal": Decimal,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
}
"""How each type is read; of the others the wire form is the local one, but for lookups."""


# --- transports -> wire -----------------------------------------------------------------------------


def wire_from_json(kind: FieldType, value: Any) -> Wire:
    """Return the canonical form of what REST JSON says (parsed with ``parse_float=Decimal``)."""
    if value is None:
        return False if kind.kind == "checkbox" else None
    match kind.kind:
        case "checkbox":
            return bool(value)
        case "integer":
            return int(_decimal(value).to_integral_value(ROUND_HALF_UP))
        case "hours" | "decimal":
            return str(_decimal(value).quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP) + 0)
        case "date":
            return str(value)[:10]
        case "datetime":
            return parse_instant(str(value)).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "lookup" | "user":
            return long_id(str(value)) if value else None
        case _:
            return str(value) or None


def wire_from_csv(kind: FieldType, text: str) -> Wire:
    """Return the canonical form of a Bulk query cell; an empty cell is null there."""
    if text == "":
        return False if kind.kind == "checkbox" else None
    if kind.kind == "checkbox":
        return text.lower() in ("true", "1")
    return wire_from_json(kind, text)


def _decimal(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Untranslatable(f"{value!r} is no number") from None
    if not number.is_finite():
        raise Untranslatable(f"{value!r} is no number")
    return number


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant of a Salesforce date-time, to the second; Untranslatable if it has no zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Untranslatable(f"{text!r} is no date-time") from None
    if instant.tzinfo is None:
        raise Untranslatable(f"{text!r} has no zone")
    return instant.astimezone(UTC).replace(microsecond=0)


# --- wire -> transports -----------------------------------------------------------------------------


def wire_to_json(kind: FieldType, wire: Wire) -> Any:
    """Return what goes into a REST body: a JSON number for numbers, text otherwise."""
    if kind.kind in ("hours", "decimal") and wire is not None:
        digits = sum(c.isdigit() for c in str(wire))
        return float(str(wire)) if digits <= 15 else str(wire)  # a double prints 15 digits back unchanged
    return wire


def wire_to_csv(wire: Wire) -> str:
    """Return a Bulk ingest cell: null is ``#N/A``, because an empty cell leaves the field alone."""
    if wire is None:
        return BULK_NULL
    if isinstance(wire, bool):
        return "true" if wire else "false"
    return str(wire)


# --- whole records ----------------------------------------------------------------------------------


def line_of(mapping: ObjectMapping, name: str) -> MappedField:
    """Return a mapped field, or the record's key field for ``KEY_FIELD``: the service owns it."""
    if name != KEY_FIELD:
        return mapping.fields[name]
    return MappedField(
        name=KEY_FIELD,
        api=str(mapping.key),
        type=FieldType("text", length=255),
        owner="service",
        label="Key",
        help="",
        required=False,
        history=False,
        on_conflict="org",
        formula=None,
        default=None,
    )


def key_field_value(mapping: ObjectMapping, key: str, sf_id: str, organization_id: str) -> str | None:
    """Return what a record's key field has to hold: its key, or nothing where the key is derived from the id.

    In a hub every record carries whose it is.
    """
    if mapping.client:
        return mapping.external(key)
    return None if key == derived_key(mapping.prefix, organization_id, sf_id) else key


def selected(mapping: ObjectMapping) -> list[MappedField]:
    """Return the fields to read, in the mapping's order."""
    return [line for line in mapping.fields.values() if line.read]


def same(kind: FieldType, left: Wire, right: Wire) -> bool:
    """Return whether two canonical values mean the same in the org."""
    if kind.kind in ("text", "textarea", "longtext") and isinstance(left, str) and isinstance(right, str):
        return _as_stored(left) == _as_stored(right)
    return left == right


def _as_stored(text: str) -> str:
    """Return ``text`` as Salesforce keeps it: outer blanks trimmed, line ends as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
