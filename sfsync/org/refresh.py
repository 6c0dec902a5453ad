"""Calculated fields: which records to read again although no stamp of theirs moved.

Salesforce moves no stamp when a formula's value changes because the record it looks at changed, the day went on, or
somebody wrote another formula. May not know how records are read. It keeps one law: a formula of the record's own
fields costs nothing; only one that looks elsewhere is read again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sfsync.mapping import MappedField, ObjectMapping

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Kept as the last refresh of an object whose formulas were redefined: it is due until it was done."""
KIN_MOST = 2_000
"""More parents than this moving in one run make a look at the whole object cheaper."""
_TEXT = re.compile(r'"[^"]*"|\'[^\']*\'')
_ELSEWHERE = re.compile(r"[A-Za-z]\w*\.\w|\b(?:NOW|TODAY)\s*\(", re.IGNORECASE)


def looks_elsewhere(line: MappedField) -> bool:
    """Return whether a mapped formula looks at another record or at the clock."""
    return line.formula is not None and _ELSEWHERE.search(_TEXT.sub("", line.formula)) is not None


def due(mapping: ObjectMapping, refreshed_at: datetime | None, now: datetime, hours: int) -> bool:
    """Return whether the whole object is to be read again: every ``hours``, or at once after a redefinition."""
    if refreshed_at == NEVER:
        return True
    if refreshed_at is None or not any(map(looks_elsewhere, mapping.fields.values())):
        return False
    return now - refreshed_at >= timedelta(hours=hours)


def through(mapping: ObjectMapping, parent: str) -> list[str]:
    """Return the API names of lookups to ``parent`` through which a formula of ``mapping`` looks."""
    formulas = [_TEXT.sub("", line.formula).lower() for line in mapping.fields.values() if line.formula]
    return [
        line.api
        for line in mapping.fields.values()
        if line.type.kind == "lookup"
        and line.type.target == parent
        and any(re.search(rf"(?<![\w.]){re.escape(_relation(line.api))}\.", formula) for formula in formulas)
    ]


def _relation(api: str) -> str:
    return (api[:-1] + "r" if api.endswith("__c") else api.removesuffix("Id")).lower()


def kin(mapping: ObjectMapping, moved: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each lookup whose parents moved and show in a formula, with the ids of these parents."""
    for parent, sf_ids in moved.items():
        wanted = sorted(sf_ids)
        if wanted:
            yield from ((api, wanted) for api in through(mapping, parent))


def formulas_digest(mapping: ObjectMapping, fields: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a digest of the mapped formulas as the org has them (``fields`` of a describe, by lower-case name)."""
    texts = [
        f"{line.api}={fields.get(line.api.lower(), {}).get('calculatedFormula')}"
        for line in mapping.fields.values()
        if line.formula is not None
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12] if texts else ""
