"""In a hub, one client's records: how they are asked for, and how each row is looked at again.

This module may not know the store. It keeps one law: a row that is not provably this client's is never handed on.
"""

from __future__ import annotations

from sfsync.errors import SafetyStop
from sfsync.mapping import ObjectMapping
from sfsync.org.soql import Unquotable, compare, either, every, name

_LITERAL = str.maketrans({"_": "\\_"})
"""An underscore stands for any character in a LIKE."""


def only_ours(mapping: ObjectMapping, above: str = "") -> str:
    """Return the condition for this client's records; empty where the org is the client's own.

    ``above`` is a path such as ``Case.`` where the question is asked of a child. A record that people made and the
    service has not written yet belongs to whom the record it is about belongs.
    """
    if not mapping.client:
        return ""
    key = f"{above}{mapping.key}"
    ours = _begins(key, mapping.client)
    if not mapping.whose:
        return ours
    return either(ours, f"({every(compare(key, '=', None), _begins(above + mapping.whose, mapping.client))})")


def _begins(field: str, client: str) -> str:
    if not client.replace("_", "").replace("-", "").isalnum():
        raise Unquotable(f"{client!r} is no client")
    return f"{name(field)} LIKE '{client.translate(_LITERAL)}/%'"


def own_key(mapping: ObjectMapping, sf_id: str, external: str, about: str) -> str:
    """Return the external id without the client in front; SafetyStop for a row of another client.

    ``external`` is what the record carries, ``about`` what the record carries that it is about; both may be empty.
    """
    if not mapping.client:
        return external
    front = f"{mapping.client}/"
    proof = external or (about if mapping.whose else "")
    if proof.startswith(front):
        return external[len(front) :]
    raise SafetyStop(
        f"{mapping.object} {sf_id} in the hub was shown as {mapping.client}'s and its key says otherwise; nothing of "
        "it was stored. Look at the record and at the record it is about"
    )
