"""What a rule asks of a language: to translate a sentence and to show a figure in it.

May not know catalogues or files; ``sfsync.language`` provides Spanish and Romanian and is passed in. It keeps
one law: a figure reaches the sentence as a value with its unit, and only the language decides how it looks.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from sfsync.rules.wording import Hours, Packs, Sentence, Shown, english


class Duration(int):
    """Seconds that a sentence shows as hours and minutes."""


class Moment(datetime):
    """An instant in the zone of the contract, shown with weekday, day and time."""

    @classmethod
    def of(cls, local: datetime) -> Moment:
        """Return the same instant, zone and fold as ``local``."""
        return cls(
            local.year,
            local.month,
            local.day,
            local.hour,
            local.minute,
            local.second,
            tzinfo=local.tzinfo,
            fold=local.fold,
        )


class Language(Protocol):
    """A language a client is spoken to in."""

    @property
    def code(self) -> str:
        """Its two letters, such as ``es``."""
        ...

    def translate(self, text: str) -> str:
        """Return ``text`` in this language, or ``text`` itself when no catalogue knows it."""
        ...

    def show(self, value: Shown) -> str:
        """Return a figure as a sentence of this language shows it."""
        ...


class English:
    """The language the sentences are written in; needs no catalogue."""

    code = "en"

    def translate(self, text: str) -> str:
        """Return ``text``."""
        return text

    def show(self, value: Shown) -> str:
        """Return the figure in English."""
        if isinstance(value, Duration):
            return duration(value)
        if isinstance(value, Hours | Packs):
            return english(value)
        if isinstance(value, datetime):
            seconds = f":{value.second:02d}" if value.second else ""
            return f"{value:%a} {value.day} {value:%b %Y %H:%M}{seconds}"
        if isinstance(value, date):
            return f"{value:%a} {value.day} {value:%b %Y}"
        return str(value)


ENGLISH = English()


def say(sentence: Sentence, language: Language) -> str:
    """Return a sentence in a language."""
    return sentence.render(language.translate, language.show)


def duration(seconds: int) -> str:
    """Return seconds as ``4 h``, ``1 h 20 min`` or ``17 s``: the same in every language we speak."""
    hours, rest = divmod(abs(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if n]
    return ("-" if seconds < 0 else "") + (" ".join(parts) or "0 min")
