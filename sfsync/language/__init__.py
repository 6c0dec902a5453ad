"""The languages clients are spoken to in: catalogues and the look of figures.

Passed into the rules, which know only what they ask of a language (``sfsync.rules.language``). May not know who
says what. It keeps one law: what no catalogue translates is said in English, never left out.
"""

from __future__ import annotations

import gettext
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from io import BytesIO

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from sfsync.errors import PolicyError
from sfsync.rules.language import ENGLISH, Duration, Language, duration
from sfsync.rules.wording import PACKS, Hours, Packs, Shown, decimal_hours

CODES = ("en", "es", "ro")
"""The languages there are; English is the one the sentences are written in."""


class Catalogue:
    """One language read from its ``.po`` files; the sentences of each room are in a file of their own."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._known = gettext.NullTranslations()
        for file in sorted((files("sfsync.language") / code).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".po"):
                compiled = BytesIO()
                with file.open("rb") as source:
                    write_mo(compiled, read_po(source, locale=code, abort_invalid=True))
                compiled.seek(0)
                further = gettext.GNUTranslations(compiled)
                further.add_fallback(self._known)
                self._known = further

    def translate(self, text: str) -> str:
        """Return ``text`` in this language, or ``text`` itself when no catalogue knows it."""
        return self._known.gettext(text) if text else text

    def show(self, value: Shown) -> str:
        """Return a figure as this language writes it: decimal comma, its own names of days and months."""
        if isinstance(value, Duration):
            return duration(value)
        if isinstance(value, Hours):
            return f"{decimal_hours(value, ',')} h"
        if isinstance(value, Packs):
            return self._known.ngettext(*PACKS, value).format(count=int(value))
        if isinstance(value, datetime):
            pattern = "EEE d MMM y HH:mm:ss" if value.second else "EEE d MMM y HH:mm"
            return str(format_datetime(value, pattern, tzinfo=value.tzinfo, locale=self.code))
        if isinstance(value, date):
            return str(format_date(value, "EEE d MMM y", locale=self.code))
        return str(value)


@cache
def language(code: str) -> Language:
    """Return a language by its two letters; raise ``PolicyError`` for one we do not speak."""
    if code not in CODES:
        raise PolicyError(f"no catalogue speaks {code!r}; there are {', '.join(CODES)}")
    return ENGLISH if code == "en" else Catalogue(code)
