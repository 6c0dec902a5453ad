"""The languages: every sentence is translated with the same figures in it, and figures look native."""

from __future__ import annotations

import ast
import re
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import sfsync
from sfsync.errors import PolicyError
from sfsync.language import CODES, language
from sfsync.rules.language import ENGLISH, Duration, Moment, duration, say
from sfsync.rules.wording import PACKS, Hours, Packs, Sentence

SOURCE = Path(sfsync.__file__).parent
NAMES = re.compile(r"\{(\w+)\}")
MOMENT = Moment.of(datetime(2026, 11, 24, 17, 0, tzinfo=UTC).astimezone(ZoneInfo("America/Argentina/Buenos_Aires")))


def sentences() -> list[str]:
    """Return every text marked with N_ in the rules."""
    found: set[str] = set()
    for path in (SOURCE / "rules").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "N_":
                (text,) = node.args
                assert isinstance(text, ast.Constant), f"{path.name}:{node.lineno}: N_ takes one plain text"
                found.add(str(text.value))
    return sorted(found)


@pytest.mark.parametrize("code", [code for code in CODES if code != "en"])
def test_every_sentence_is_translated_with_the_same_figures_in_it(code: str) -> None:
    spoken = language(code)
    missing = [text for text in sentences() if spoken.translate(text) == text]
    assert missing == []
    different = [
        text for text in sentences() if sorted(NAMES.findall(spoken.translate(text))) != sorted(NAMES.findall(text))
    ]
    assert different == []


@pytest.mark.parametrize("code", [code for code in CODES if code != "en"])
def test_no_catalogue_translates_what_nobody_says(code: str) -> None:
    from babel.messages.pofile import read_po

    labels = {"Mon-Fri 9-18", "Mon-Fri 8-20", "24/7"}
    for path in sorted((SOURCE / "language" / code).glob("*.po")):
        with path.open("rb") as file:
            ids = [message.id for message in read_po(file, locale=code) if message.id]
        known = {each[0] if isinstance(each, list | tuple) else each for each in ids}
        assert sorted(known - set(sentences()) - labels - {PACKS[0]}) == [], path.name


def test_a_text_without_a_translation_is_said_in_english() -> None:
    assert language("es").translate("Nobody ever said this.") == "Nobody ever said this."
    assert language("es").translate("") == ""


def test_a_language_we_do_not_speak_is_refused() -> None:
    with pytest.raises(PolicyError, match="no catalogue speaks 'fr'"):
        language("fr")


@pytest.mark.parametrize(
    ("code", "moment", "day", "hours"),
    [
        ("en", "Tue 24 Nov 2026 14:00", "Mon 23 Nov 2026", "1.50 h"),
        ("es", "mar 24 nov 2026 14:00", "lun 23 nov 2026", "1,50 h"),
        ("ro", "mar. 24 nov. 2026 14:00", "lun. 23 nov. 2026", "1,50 h"),
    ],
)
def test_figures_look_native(code: str, moment: str, day: str, hours: str) -> None:
    show = language(code).show
    assert (show(MOMENT), show(date(2026, 11, 23)), show(Hours(90))) == (moment, day, hours)
    assert (show(Duration(4800)), show("L-V"), show(7)) == ("1 h 20 min", "L-V", "7")


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("en", ["0 packs", "1 pack", "2 packs", "20 packs"]),
        ("es", ["0 paquetes", "1 paquete", "2 paquetes", "20 paquetes"]),
        ("ro", ["0 pachete", "1 pachet", "2 pachete", "20 de pachete"]),
    ],
)
def test_a_number_of_packs_has_the_form_its_language_asks_for(code: str, texts: list[str]) -> None:
    assert [language(code).show(Packs(count)) for count in (0, 1, 2, 20)] == texts


def test_seconds_are_shown_only_where_there_are_any() -> None:
    odd = Moment.of(datetime(2026, 11, 24, 14, 0, 17, tzinfo=UTC))
    assert ENGLISH.show(odd) == "Tue 24 Nov 2026 14:00:17"
    assert language("es").show(odd) == "mar 24 nov 2026 14:00:17"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 min"), (17, "17 s"), (3600, "1 h"), (4817, "1 h 20 min 17 s"), (-60, "-1 min")]
)
def test_a_duration_names_its_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_a_sentence_is_said_whole() -> None:
    assert say(Sentence("Due {due}.", {"due": MOMENT}), language("ro")) == "Termen: mar. 24 nov. 2026 14:00."
