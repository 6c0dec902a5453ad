"""XML as the Metadata API's files have it: written byte for byte the same each time, read with line numbers.

It may not know what any element means. It keeps one law: what it reads is hostile until proven plain, so a document
type, an entity of its own or a processing instruction is refused before anything is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
NOTICE = "Generated from mappings/*.yaml by: sfsync metadata generate. Do not edit."
_INDENT = "    "


class XmlError(ValueError):
    """A text that is not XML, or not the plain XML that metadata files are; ``line`` is 1-based."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Element:
    """One element: its tag without namespace, its text or its children, and the line it begins on."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)
    line: int = 0
    namespace: str = NAMESPACE

    def add(self, tag: str, value: str | bool | int | None) -> None:
        """Append a child holding ``value``, unless it is None."""
        if value is not None:
            self.children.append(leaf(tag, value))

    def all(self, tag: str) -> Iterator[Element]:
        """Iterate over the children called ``tag``."""
        return (child for child in self.children if child.tag == tag)

    def find(self, tag: str) -> Element | None:
        """Return the first child called ``tag``, or None."""
        return next(self.all(tag), None)

    def value(self, tag: str) -> str:
        """Return the text of the first child called ``tag``, or the empty text."""
        found = self.find(tag)
        return "" if found is None else found.text

    def values(self, tag: str) -> list[str]:
        """Return the texts of all children called ``tag``."""
        return [child.text for child in self.all(tag)]

    def walk(self) -> Iterator[Element]:
        """Iterate over this element and everything below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


def leaf(tag: str, value: str | bool | int) -> Element:
    """Return an element that holds one value; a boolean is written ``true`` or ``false``."""
    return Element(tag, str(value).lower() if isinstance(value, bool) else str(value))


def tree(tag: str, /, **parts: str | bool | int | list[Element] | Element | None) -> Element:
    """Return an element with ``parts`` as its children, in the order given; None is left out.

    A list adds its elements as they are; the name of its keyword only tells the reader what they are.
    """
    made = Element(tag)
    for name, part in parts.items():
        if isinstance(part, list):
            made.children.extend(part)
        elif isinstance(part, Element):
            made.children.append(part)
        else:
            made.add(name, part)
    return made


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(element: Element, depth: int) -> Iterator[str]:
    pad = _INDENT * depth
    if not element.children:
        yield f"{pad}<{element.tag}>{_escaped(element.text)}</{element.tag}>"
        return
    yield f"{pad}<{element.tag}>"
    for child in element.children:
        yield from _lines(child, depth + 1)
    yield f"{pad}</{element.tag}>"


def render(root: Element) -> bytes:
    """Return the file that holds ``root``: UTF-8, line feeds, four spaces, the same bytes for the same tree."""
    body = "\n".join(line for child in root.children for line in _lines(child, 1))
    middle = f"\n{body}\n" if body else "\n"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<!-- {NOTICE} -->\n"
        f'<{root.tag} xmlns="{NAMESPACE}">{middle}</{root.tag}>\n'
    )
    return text.encode()


class _Builder:
    """Collects expat's events into a tree."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self._open: list[Element] = []
        self.root: Element | None = None
        for event, function in (
            ("StartElement", self._start),
            ("EndElement", self._end),
            ("CharacterData", self._text),
            ("StartDoctypeDecl", self._refuse_doctype),
            ("ProcessingInstruction", self._refuse_instruction),
        ):
            setattr(parser, f"{event}Handler", function)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        namespace, _, tag = name.rpartition(" ")
        element = Element(tag, line=self._parser.CurrentLineNumber, namespace=namespace)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        done = self._open.pop()
        if done.children and not done.text.strip():
            done.text = ""

    def _text(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def _refuse_doctype(self, *_: object) -> None:
        raise XmlError("a document type is not allowed here", self._parser.CurrentLineNumber)

    def _refuse_instruction(self, *_: object) -> None:
        raise XmlError("a processing instruction is not allowed here", self._parser.CurrentLineNumber)


def parse(data: bytes) -> Element:
    """Return the root of ``data``; XmlError when it is not plain XML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    builder = _Builder(parser)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as bad:
        raise XmlError(f"not XML: {expat.errors.messages[bad.code]}", bad.lineno) from None
    if builder.root is None:
        raise XmlError("the file is empty", 1)
    return builder.root
