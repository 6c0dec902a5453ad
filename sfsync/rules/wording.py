"""Sentences for people, kept as a message and its figures until somebody knows the language.

May not know languages, catalogues or records. It keeps one law: a rule never glues words together; it
names one whole sentence and the values that stand in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date


class Hours(int):
    """Minutes that a sentence shows as decimal hours."""


class Packs(int):
    """A number of packs, shown with its noun: ``1 pack``, ``2 packs``."""


PACKS = ("{count} pack", "{count} packs")
"""One and many: the only noun whose number changes; a catalogue has as many forms as its language."""


Shown = int | str | date


def N_(message: str) -> str:  # noqa: N802 - the name that message extraction looks for
    """Mark ``message`` for translation; return it unchanged."""
    return message


def decimal_hours(minutes: int, point: str = ".") -> str:
    """Return minutes as hours with two places, halves away from zero: 90 is ``1.50``, 20 is ``0.33``."""
    whole, cents = divmod((abs(minutes) * 100 + 30) // 60, 100)
    return f"{'-' if minutes < 0 else ''}{whole}{point}{cents:02d}"


def english(value: Shown) -> str:
    """Return a value as an English sentence shows it."""
    if isinstance(value, Packs):
        return PACKS[value != 1].format(count=int(value))
    return f"{decimal_hours(value)} h" if isinstance(value, Hours) else str(value)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: its English text with ``{names}`` in it, which is the message id, and their values."""

    text: str
    values: Mapping[str, Shown] = field(default_factory=dict)

    def render(self, translate: Callable[[str], str] = str, show: Callable[[Shown], str] = english) -> str:
        """Return the sentence in the language that ``translate`` and ``show`` speak."""
        return translate(self.text).format(**{name: show(value) for name, value in self.values.items()})

    def __str__(self) -> str:
        """Return the English sentence."""
        return self.render()


def phrase(text: str, values: Mapping[str, Shown] | None = None, **more: Shown) -> Sentence:
    """Return a sentence with those of the values that stand in it."""
    return Sentence(text, {name: value for name, value in {**(values or {}), **more}.items() if f"{{{name}}}" in text})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule's no: a stable code for programs, and figures that explain it."""

    code: str
    details: Mapping[str, Shown] = field(default_factory=dict)
