"""XML in and out for the SOAP and Metadata faces: a small tree with places, and a writer.

It may not know any element by name. It keeps one law: what comes in is hostile, so a document type, an entity of its
own and a processing instruction are refused before anything is expanded, and depth and size have a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

DEEPEST = 100
_ILLEGAL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535))


class XmlError(ValueError):
    """A text that is not acceptable XML; ``line`` and ``column`` are 1-based."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(slots=True)
class Element:
    """One element: name and namespace, text, attributes by local name, children, and where its content begins."""

    name: str
    namespace: str = ""
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    line: int = 0
    column: int = 0

    def all(self, name: str) -> Iterator[Element]:
        """Iterate over the children called ``name``, in whatever namespace."""
        return (child for child in self.children if child.name == name)

    def find(self, name: str) -> Element | None:
        """Return the first child called ``name``, or None."""
        return next(self.all(name), None)

    def value(self, name: str, default: str = "") -> str:
        """Return the text of the first child called ``name``, trimmed."""
        found = self.find(name)
        return default if found is None else found.text.strip()

    def values(self, name: str) -> list[str]:
        """Return the trimmed texts of all children called ``name``."""
        return [child.text.strip() for child in self.all(name)]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return the boolean in the first child called ``name``; any case, also 1 and 0."""
        text = self.value(name).lower()
        return default if not text else text in ("true", "1")

    def walk(self) -> Iterator[Element]:
        """Iterate over this element and everything below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


class _Builder:
    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self._open: list[tuple[Element, list[str]]] = []
        self.root: Element | None = None
        for event, function in (
            ("StartElement", self._start),
            ("EndElement", self._end),
            ("CharacterData", self._text),
            ("StartDoctypeDecl", self._refuse),
            ("EntityDecl", self._refuse),
            ("ProcessingInstruction", self._refuse),
        ):
            setattr(parser, f"{event}Handler", function)

    def _place(self) -> tuple[int, int]:
        return self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        if len(self._open) >= DEEPEST:
            raise XmlError("elements are nested too deeply", *self._place())
        line, column = self._place()
        plain = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        # Salesforce reports the place behind the opening tag.
        made = Element(name, namespace, "", plain, [], line, column + len(name) + 2)
        if self._open:
            self._open[-1][0].children.append(made)
        else:
            self.root = made
        self._open.append((made, []))

    def _end(self, _qualified: str) -> None:
        element, texts = self._open.pop()
        element.text = "".join(texts)

    def _text(self, data: str) -> None:
        if self._open:
            self._open[-1][1].append(data)

    def _refuse(self, *_: object) -> None:
        raise XmlError("DOCTYPE, entity and processing instruction are not allowed", *self._place())


def parse(data: bytes | str) -> Element:
    """Return the root of ``data``; XmlError when it is not plain XML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    builder = _Builder(parser)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as bad:
        raise XmlError(expat.errors.messages[bad.code], bad.lineno, bad.offset + 1) from None
    if builder.root is None:
        raise XmlError("no element found", 1, 1)
    return builder.root


def escaped(text: str) -> str:
    """Return ``text`` as it may stand in an element: escaped, without the characters that XML cannot carry."""
    return text.translate(_ILLEGAL).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def leaf(name: str, value: object) -> str:
    """Return an element holding one value; None is an empty element, a boolean ``true`` or ``false``."""
    if value is None or value == "":
        return f"<{name}/>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escaped(text)}</{name}>"


def leaves(*pairs: tuple[str, object]) -> str:
    """Return an element for each pair whose value is not None."""
    return "".join(leaf(name, value) for name, value in pairs if value is not None)


def node(name: str, *parts: str) -> str:
    """Return an element around ``parts``, which are XML already."""
    return f"<{name}>{''.join(parts)}</{name}>"


def rendered(element: Element) -> str:
    """Return the XML of a tree without its namespaces and attributes, on one line."""
    if element.children:
        return node(element.name, *(rendered(child) for child in element.children))
    return leaf(element.name, element.text)


def pretty(element: Element, namespace: str) -> bytes:
    """Return the file Salesforce would retrieve for a tree: declared, indented by four spaces."""
    lines = [f"{' ' * 4}{line}" for child in element.children for line in _lines(child)]
    body = "\n".join(lines)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{element.name} xmlns="{namespace}">\n' + (body + "\n" if body else "") + f"</{element.name}>\n"
    )
    return text.encode()


def _lines(element: Element) -> Iterator[str]:
    if not element.children:
        yield leaf(element.name, element.text.strip())
        return
    yield f"<{element.name}>"
    for child in element.children:
        yield from (f"    {line}" for line in _lines(child))
    yield f"</{element.name}>"
