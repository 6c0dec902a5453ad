"""The names in a formula: enough of its grammar to know what it refers to.

It may not know what a function means. It keeps one law: text in quotes and comments names nothing.
"""

from __future__ import annotations

import re

_SILENT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|/\*.*?\*/', re.S)
_PERMISSION = re.compile(r"\$Permission\.(\w+)", re.I)
_PATH = re.compile(r"(?<![\w.$])([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)(?!\s*\()")


def names_in(formula: str) -> list[tuple[str, ...]]:
    """Return the custom fields a formula names, in order: ``Pack__r.Status__c`` as ``("Pack__r", "Status__c")``."""
    plain = _SILENT.sub(" ", formula)
    paths = (tuple(found.split(".")) for found in _PATH.findall(plain))
    return [path for path in dict.fromkeys(paths) if path[-1].endswith("__c")]


def permissions_in(formula: str) -> list[str]:
    """Return the custom permissions a formula asks for, in order."""
    return list(dict.fromkeys(_PERMISSION.findall(_SILENT.sub(" ", formula))))
