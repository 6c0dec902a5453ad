"""The published shape of metadata: which elements a type has, in which order, of which simple type.

Read from the Metadata WSDL that the simple-salesforce package carries, so a generated file is judged by Salesforce's
own description and not by ours. It may not know mappings. It keeps one law: it only reads the WSDL, never the network
and never the package's code.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import iterparse

from sfsync.errors import ConfigError
from sfsync.metadata.xmltext import NAMESPACE, Element

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_PATTERNS = {
    "xsd:boolean": (re.compile(r"true|false"), "true or false"),
    "xsd:int": (re.compile(r"[+-]?\d{1,10}"), "a whole number"),
    "xsd:double": (re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?"), "a number"),
    "xsd:date": (re.compile(r"\d{4}-\d\d-\d\d"), "a date"),
    "xsd:dateTime": (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "a date and time"),
    "xsd:base64Binary": (re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*"), "base64"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One element a type may hold: how often, and of which type."""

    tag: str
    type: str
    required: bool
    many: bool


@dataclass(frozen=True, slots=True)
class Shapes:
    """Every type of the WSDL: ``parts`` by type name (inherited parts first), ``enums`` by type name."""

    version: str
    parts: dict[str, tuple[Part, ...]]
    enums: dict[str, frozenset[str]]
    bases: dict[str, str]

    def is_component(self, type_name: str) -> bool:
        """Return whether ``type_name`` is a metadata type that can stand in a file of its own."""
        while type_name in self.bases:
            type_name = self.bases[type_name]
        return type_name == "Metadata"

    def problems(self, root: Element) -> Iterator[tuple[int, str]]:
        """Yield the line and the sentence of everything in ``root`` that its type does not allow."""
        if root.namespace != NAMESPACE:
            yield root.line, f"<{root.tag}> is in the namespace {root.namespace or '(none)'}, not in {NAMESPACE}"
        elif root.tag not in self.parts:
            yield root.line, f"there is no metadata type {root.tag}"
        else:
            yield from self._complex(root, root.tag)

    def _complex(self, element: Element, type_name: str) -> Iterator[tuple[int, str]]:
        parts = self.parts[type_name]
        place = {part.tag: index for index, part in enumerate(parts)}
        if element.text.strip():
            yield element.line, f"<{element.tag}> holds text, but {type_name} has only elements"
        seen: dict[str, int] = {}
        last = -1
        for child in element.children:
            index = place.get(child.tag)
            if index is None:
                yield child.line, f"{type_name} has no element <{child.tag}>"
                continue
            if index < last:
                yield child.line, f"<{child.tag}> stands after <{parts[last].tag}>; in {type_name} it comes before"
            last = max(last, index)
            seen[child.tag] = seen.get(child.tag, 0) + 1
            if seen[child.tag] > 1 and not parts[index].many:
                yield child.line, f"<{child.tag}> stands twice in <{element.tag}>; {type_name} has one"
            yield from self._one(child, parts[index].type)
        for part in parts:
            if part.required and part.tag not in seen:
                yield element.line, f"<{element.tag}> lacks <{part.tag}>, which {type_name} requires"

    def _one(self, element: Element, type_name: str) -> Iterator[tuple[int, str]]:
        if type_name in self.parts:
            yield from self._complex(element, type_name)
            return
        if element.children:
            yield element.line, f"<{element.tag}> holds elements, but {type_name} is a plain value"
        elif type_name in self.enums:
            if element.text not in self.enums[type_name]:
                yield element.line, f"<{element.tag}> says {element.text!r}, which is no {type_name}"
        elif type_name in _PATTERNS:
            pattern, what = _PATTERNS[type_name]
            if not pattern.fullmatch(element.text):
                yield element.line, f"<{element.tag}> says {element.text!r}, which is not {what}"


def wsdl_path() -> Path:
    """Return the path of the WSDL; ConfigError when simple-salesforce is not installed."""
    spec = importlib.util.find_spec("simple_salesforce")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "metadata.wsdl"
        if path.is_file():
            return path
    raise ConfigError("the Metadata WSDL is missing: install simple-salesforce")


@cache
def shapes() -> Shapes:
    """Return the types of the WSDL; they are read once (about a tenth of a second)."""
    path = wsdl_path()
    parts: dict[str, tuple[Part, ...]] = {}
    enums: dict[str, frozenset[str]] = {}
    bases: dict[str, str] = {}
    for _, node in iterparse(path, events=("end",)):
        name = node.get("name", "")
        if node.tag == f"{_XSD}complexType" and name:
            parts[name] = tuple(
                Part(
                    tag=one.get("name", ""),
                    type=one.get("type", "").removeprefix("tns:"),
                    required=one.get("minOccurs") != "0",
                    many=one.get("maxOccurs") == "unbounded",
                )
                for one in node.iter(f"{_XSD}element")
            )
            extension = next(node.iter(f"{_XSD}extension"), None)
            if extension is not None:
                bases[name] = extension.get("base", "").removeprefix("tns:")
        elif node.tag == f"{_XSD}simpleType" and name:
            restriction = next(node.iter(f"{_XSD}restriction"), None)
            values = frozenset(v.get("value", "") for v in node.iter(f"{_XSD}enumeration"))
            if values:
                enums[name] = values
            elif restriction is not None:
                bases[name] = restriction.get("base", "")

    def inherited(name: str) -> tuple[Part, ...]:
        base = bases.get(name)
        return (inherited(base) if base in parts else ()) + parts[name]

    found = re.search(rb"Metadata API version ([\d.]+)", path.read_bytes()[:2000])
    return Shapes(found[1].decode() if found else "", {name: inherited(name) for name in parts}, enums, bases)
