"""What a log line may say, whoever writes it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sfsync import logs

SECRET = "3MVG9 secret of the client"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Configure logs into a text; return what was written, line by line."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before


def test_an_event_is_one_line_of_json_with_the_keys_of_the_house(lines) -> None:
    logs.logger("runtime").info("run ended", org="acme", run="ab12", ms=12, api_calls=3)
    [line] = lines()
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "run ended", "level": "info", "logger": "sfsync.runtime", "org": "acme", "run": "ab12", "ms": 12,
        "api_calls": 3,
    }  # fmt: skip


def test_a_key_that_is_not_of_the_house_is_left_out(lines) -> None:
    logs.logger("runtime").info("run ended", org="acme", subject=SECRET, token=SECRET)
    assert SECRET not in json.dumps(lines())
    assert lines()[0]["org"] == "acme"


def test_plain_words_of_a_library_stay_and_longer_arguments_are_hidden(lines) -> None:
    log = logging.getLogger("sfsync.org.faults")
    log.warning("unmapped: %s: %s", "FIELD_CUSTOM_VALIDATION", SECRET)
    said = {"name": "sfsync.sync", "id": 7, "text": SECRET, "n": 2}
    log.warning("%(name)s[%(id)s] said %(text)r after %(n)d s", said)
    assert [line["event"] for line in lines()] == [
        "unmapped: FIELD_CUSTOM_VALIDATION: …",
        "sfsync.sync[7] said … after 2 s",
    ]


def test_an_exception_is_its_class_and_its_place_without_its_words(lines) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as bad:
        logging.getLogger("celery.app.trace").exception("task raised %s", bad)
        logs.logger("tasks").exception("task failed")
    library, ours = lines()
    for line in (library, ours):
        assert line["error"] == "ValueError"
        assert "test_logs.py" in line["where"]
    assert library["event"] == "task raised ValueError"
    assert SECRET not in json.dumps(lines())


def test_a_terminal_gets_a_line_for_a_person_with_the_same_limits() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("INFO", stream, terminal=True)
    logs.logger("runtime").info("run ended", org="acme", subject=SECRET)
    root.handlers[:], root.level = before
    assert "run ended" in stream.getvalue()
    assert "acme" in stream.getvalue()
    assert SECRET not in stream.getvalue()
