"""Words out of a SOQL text: tokens, string escapes, and the caret block of an error.

It may not know the grammar or the schema. The one law: a message points at the character it is about,
in the shape a real org uses (facts 5.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfsync.localorg.errors import ApiError

MAX_STATEMENT = 100_000
MAX_STRING = 4_000
_WINDOW = 42

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<datetime>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)?)
    |(?P<date>\d{4}-\d\d-\d\d)
    |(?P<time>\d\d:\d\d:\d\d(?:\.\d+)?[Zz]?)
    |(?P<currency>[A-Za-z]{3}\d+\.\d+(?![\w.]))
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<sign><=|>=|!=|<>|[=<>(),.:])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the statement: its kind, its text, and its offset."""

    kind: str
    text: str
    at: int

    @property
    def upper(self) -> str:
        """The text in capitals when it is a word, else the empty text."""
        return self.text.upper() if self.kind == "word" else ""


def pointing_at(text: str, at: int, message: str) -> str:
    """Return ``message`` under a fragment of ``text`` and a caret below offset ``at`` (facts 5.3)."""
    at = min(at, len(text))
    row = _row(text, at)
    line_start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    start = line_start
    if at - line_start > _WINDOW:
        start = text.find(" ", at - _WINDOW, at) + 1 or at - _WINDOW
    end = line_end
    if line_end - at > _WINDOW:
        end = text.rfind(" ", at + 1, at + _WINDOW)
        end = at + _WINDOW if end < 0 else end
    return f"\n{text[start:end]}\n{' ' * (at - start)}^\nERROR at Row:{row}:Column:{at - line_start + 1}\n{message}"


def refused(code: str, text: str, at: int, message: str) -> ApiError:
    """Return the 400 answer for a fault at offset ``at`` of the statement."""
    return ApiError(400, code, pointing_at(text, at, message))


def malformed(text: str, at: int, message: str) -> ApiError:
    """Return a MALFORMED_QUERY answer pointing at offset ``at``."""
    return refused("MALFORMED_QUERY", text, at, message)


def foreign(text: str, at: int) -> ApiError:
    """Return the answer to a character that begins no word; the org counts it from 0 and points one place before it."""
    char = text[at] if at < len(text) else "<EOF>"
    message = f"line {_row(text, at)}:{_offset(text, at)} no viable alternative at character '{char}'"
    return malformed(text, max(0, at - 1), message)


def _row(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _offset(text: str, at: int) -> int:
    return at - text.rfind("\n", 0, at) - 1


def tokens(text: str) -> list[Token]:
    """Return the tokens of ``text``, ending with one of kind ``end``; raise ApiError for foreign characters."""
    if len(text) > MAX_STATEMENT:
        message = f"SOQL statements cannot be longer than {MAX_STATEMENT} characters."
        raise ApiError(400, "MALFORMED_QUERY", message)
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] == "'":
                place = f"line {_row(text, at)}:{_offset(text, len(text))}"
                raise malformed(text, len(text) - 1, f"{place} mismatched character '<EOF>' expecting '''")
            raise foreign(text, at)
        kind = match.lastgroup or "sign"
        if kind != "space":
            found.append(Token(kind, match.group(), at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "b": "\b",
    "f": "\f",
    '"': '"',
    "'": "'",
    "\\": "\\",
}


def unescaped(raw: str, text: str, at: int) -> str:
    """Return the characters a string literal stands for (facts 5.2); raise ApiError for a foreign escape."""
    if "\\" not in raw:
        return raw
    return "".join(char for char, _ in _characters(raw, text, at, for_like=False))


def like_pattern(raw: str, text: str, at: int) -> str:
    """Return a LIKE pattern for SQL with ``\\`` as the escape: only bare ``%`` and ``_`` stay wild."""
    pattern: list[str] = []
    for char, literal in _characters(raw, text, at, for_like=True):
        if char == "\\" or (literal and char in "%_"):
            pattern.append("\\")
        pattern.append(char)
    return "".join(pattern)


def _characters(raw: str, text: str, at: int, *, for_like: bool) -> list[tuple[str, bool]]:
    """Each character with the fact whether it was escaped."""
    found: list[tuple[str, bool]] = []
    index = 0
    while index < len(raw):
        char = raw[index]
        if char != "\\":
            found.append((char, False))
            index += 1
            continue
        nxt = raw[index + 1]
        digits = raw[index + 2 : index + 6]
        if nxt in "uU" and re.fullmatch(r"[0-9A-Fa-f]{4}", digits):
            found.append((chr(int(digits, 16)), True))
            index += 6
            continue
        if nxt.lower() in _ESCAPES:
            found.append((_ESCAPES[nxt.lower()], True))
        elif for_like and nxt in "%_":
            found.append((nxt, True))
        else:
            raise malformed(text, at + 1 + index, f"Illegal character sequence '\\{nxt}' in string literal")
        index += 2
    return found
