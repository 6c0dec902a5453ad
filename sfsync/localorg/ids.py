"""Record ids: fifteen case-sensitive characters, and the three that make them safe without case.

It may not know objects or storage. It keeps one law: the same seed and order of creation give the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
SHORT = 15
LONG = 18
_ALNUM = frozenset(ALPHABET)


def _chunk_mark(chunk: str) -> str:
    bits = 0
    for position, character in enumerate(chunk):
        if "A" <= character <= "Z":
            bits |= 1 << position
    return CHECKSUM[bits]


def checksum(short: str) -> str:
    """Return the three characters that make a 15-character id an 18-character one (facts 2.6)."""
    return _chunk_mark(short[:5]) + _chunk_mark(short[5:10]) + _chunk_mark(short[10:15])


def to_long(value: str) -> str | None:
    """Return the 18-character form of a 15- or 18-character id, or None when it is not an id.

    An 18-character id whose checksum does not fit its case is not an id.
    """
    if len(value) == LONG:
        short = value[:SHORT]
        return value if checksum(short) == value[SHORT:] and _ALNUM.issuperset(short) else None
    if len(value) == SHORT and _ALNUM.issuperset(value):
        return value + checksum(value)
    return None


def looks_like_id(value: str) -> bool:
    """Return whether a path segment has the shape of an id, whatever its checksum."""
    return len(value) in (SHORT, LONG) and _ALNUM.issuperset(value)


def base62(number: int, width: int) -> str:
    """Return ``number`` in base 62, padded with zeros to ``width`` characters."""
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = ALPHABET[digit] + text
    return text.rjust(width, "0")


_TAILS = [base62(n, 2) for n in range(62 * 62)]


class IdSource:
    """Hands out ids in order: key prefix, the org's three-character pod, and a number for each prefix."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._next: dict[str, int] = {}

    def one(self, prefix: str) -> str:
        """Return the next id of ``prefix``, 18 characters."""
        return next(iter(self.many(prefix, 1)))

    def many(self, prefix: str, count: int) -> Iterator[str]:
        """Yield the next ``count`` ids of ``prefix``; the numbers are taken at once."""
        first = self._next.get(prefix, 1)
        self._next[prefix] = first + count
        return self._range(prefix + self._pod, first, first + count)

    def _range(self, front: str, first: int, end: int) -> Iterator[str]:
        tails = _TAILS
        number = first
        while number < end:
            block, offset = divmod(number, len(tails))
            head = front + base62(block, 7)
            marks = _chunk_mark(head[:5]) + _chunk_mark(head[5:10])
            last_three = head[10:13]
            for tail in tails[offset : offset + end - number]:
                yield head + tail + marks + _chunk_mark(last_three + tail)
                number += 1

    def state(self) -> dict[str, int]:
        """Return the next number of every prefix, for saving."""
        return dict(self._next)

    def restore(self, numbers: dict[str, int]) -> None:
        """Continue from numbers given by ``state``."""
        self._next = dict(numbers)
