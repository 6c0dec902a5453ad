"""Structured logs: one event a line, JSON off a terminal, readable on one.

May not know who logs. It keeps one law: a key that is not on the list, an argument of more than one plain word and the
words of an exception are left out, so that no record's text and no secret can reach a log by mistake.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

KEYS = frozenset(
    {
        "event", "level", "logger", "at", "run", "org", "client", "object", "sf_id", "op", "result", "code",
        "api_calls", "ms", "stage", "task", "task_id", "next", "error", "where", "orgs", "due", "pid",
    }
)  # fmt: skip
"""What an event may say; everything else is dropped."""

HIDDEN = "…"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")

Event = MutableMapping[str, Any]


def logger(name: str) -> Any:
    """Return a logger of events, silent until ``configure`` was called or the level is set."""
    return structlog.wrap_logger(
        logging.getLogger(f"sfsync.{name}"),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def configure(level: str = "INFO", stream: TextIO | None = None, *, terminal: bool | None = None) -> None:
    """Leave every logger of the process writing to ``stream`` (default: stderr), ours and those of libraries alike."""
    into = stream or sys.stderr
    pretty = into.isatty() if terminal is None else terminal
    render: Any = (
        structlog.dev.ConsoleRenderer(colors=pretty, sort_keys=False)
        if pretty
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    writer = logging.StreamHandler(into)
    writer.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_from_library],
            processors=[_stamp, _only_known, structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level)


def _from_library(_: Any, __: str, event: Event) -> Event:
    """Take a library's message as its template with plain words put in; longer arguments are hidden."""
    record: logging.LogRecord = event["_record"]
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    arguments = event.pop("positional_args", None)
    if isinstance(arguments, Mapping):
        event["event"] = _fill(template, {key: _plain(value) for key, value in arguments.items()})
    elif arguments:
        event["event"] = _fill(template, tuple(_plain(value) for value in arguments))
    else:
        event["event"] = template
    return event


def _fill(template: str, arguments: Any) -> str:
    try:
        filled: str = re.sub(r"%(\(\w+\))?[-#0 +]*\d*(\.\d+)?[diouxXeEfFgGcrsa]", r"%\1s", template) % arguments
        return filled
    except (TypeError, ValueError, KeyError):
        return template


def _plain(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, BaseException):
        return type(value).__name__
    said = str(value)
    return said if _PLAIN.fullmatch(said) or _ID.fullmatch(said) else HIDDEN


def _stamp(_: Any, __: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    event["at"] = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")(None, "", {})["at"]
    event["level"] = record.levelname.lower()
    event["logger"] = record.name
    failed = event.pop("exc_info", None) or record.exc_info
    if failed is True:
        failed = sys.exc_info()
    if isinstance(failed, tuple) and failed[0] is not None:
        event["error"] = failed[0].__name__
        event["where"] = _where(failed[2])
    return event


def _where(trace: TracebackType | None) -> str:
    """Return file, line and function of the innermost frames: where it happened, without a value."""
    frames = traceback.extract_tb(trace)[-4:]
    return " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def _only_known(_: Any, __: str, event: Event) -> Event:
    meta = {key: event[key] for key in ("_record", "_from_structlog") if key in event}
    order = ("at", "level", "event")
    said = {key: event[key] for key in (*order, *sorted(event.keys() & KEYS - set(order))) if key in event}
    for key in ("code", "error", "next", "result", "stage"):
        if key in said and not isinstance(said[key], int | float):
            said[key] = str(said[key])[:80]
    return {**said, **meta}
