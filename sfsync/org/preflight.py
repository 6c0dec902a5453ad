"""Does the org still have what the mapping says? Asked before anything is read, at no cost of its own.

This module may not know what is read or written. It keeps one law: drift pauses the org with a list of differences; it
never turns a field into null or a record into a deletion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime

from sfsync.errors import SchemaDrift
from sfsync.mapping import Mappings, ObjectMapping
from sfsync.mirror.translate import Bookmark, Ids
from sfsync.org import poll
from sfsync.org.composite import SubAnswer, read_all
from sfsync.org.faults import OutcomeUnknown
from sfsync.org.poll import Opening
from sfsync.org.schema import ObjectSeen, capabilities, fingerprint, problems
from sfsync.org.session import OrgSession

MARGIN = timedelta(seconds=60)
"""Subtracted from the org's clock where a describe does not say when it changed: a change in the same second counts."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found of each mapped object; no difference to the mapping."""

    seen: Mapping[str, ObjectSeen]
    opening: Opening | None = None
    """The first call of the run, where the describes travelled in it."""
    described: tuple[str, ...] = ()
    """Objects whose describe had changed, or was never seen."""
    redefined: frozenset[str] = frozenset()
    """Objects of which somebody redefined a mapped formula since they were last described."""
    calls: int = 0

    @property
    def schema_seen(self) -> dict[str, str]:
        """What each object's bookmark keeps, so that the next run asks only for what changed."""
        return {name: seen.as_text() for name, seen in self.seen.items()}


@dataclass(slots=True)
class _Found:
    seen: dict[str, ObjectSeen] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)


def preflight(
    session: OrgSession,
    mappings: Mappings,
    bookmarks: Mapping[str, Bookmark],
    ids: Ids,
    *,
    overlap: timedelta | None = None,
) -> Preflight:
    """Return what the org has; SchemaDrift with every difference if it is not what the mapping says.

    Where every object was seen before, the conditional describes travel in the first call of the run, which the
    result carries for :func:`sfsync.org.extract.extract`: 1 API call for both. Otherwise the describes are a call of
    their own.
    """
    before = session.calls.api
    overlap = overlap or timedelta(seconds=session.settings.overlap_seconds)
    kept = {m.object: _kept(m, bookmarks.get(m.object), session) for m in mappings}
    known = {name: seen for name, seen in kept.items() if seen is not None}
    opening = None
    if len(known) == len(kept):
        subs = [poll.describe_sub(m, known[m.object]) for m in mappings]
        reading = poll.readers(mappings, known, ids, session.user_id)
        opening = poll.open_run(session, reading, bookmarks, overlap=overlap, describes=subs)
        answers = [opening.describes[m.object] for m in mappings]
    else:
        answers = read_all(session, [poll.describe_sub(m, kept[m.object]) for m in mappings])
    found = _Found()
    for mapping, answer in zip(mappings, answers, strict=True):
        _judge(session, mapping, answer, kept[mapping.object], found)
    if found.problems:
        raise SchemaDrift(session.name, found.problems)
    if opening is not None and any(known[name] != found.seen[name] for name in found.described):
        opening = _without(opening, [n for n in found.described if _reads_differently(known[n], found.seen[n])])
    session.schema = dict(found.seen)
    redefined = frozenset(
        name for name in found.described if name in known and _redefined(known[name], found.seen[name])
    )
    return Preflight(found.seen, opening, tuple(found.described), redefined, session.calls.api - before)


def _kept(mapping: ObjectMapping, bookmark: Bookmark | None, session: OrgSession) -> ObjectSeen | None:
    """Return what was seen of the object, if it was checked against this very mapping."""
    seen = ObjectSeen.from_text(bookmark.schema_seen) if bookmark is not None else None
    return seen if seen and seen.fingerprint == fingerprint(mapping, session.settings.api_version) else None


def _judge(
    session: OrgSession, mapping: ObjectMapping, answer: SubAnswer, kept: ObjectSeen | None, found: _Found
) -> None:
    if answer.status == 304 and kept is not None:
        found.seen[mapping.object] = kept
        return
    if not answer.ok:
        if answer.fault.code not in ("NOT_FOUND", "INVALID_TYPE"):
            answer.checked()
        found.problems.append(f"{mapping.object} is missing, or hidden from the integration user")
        return
    if not isinstance(answer.body, dict) or not isinstance(answer.body.get("fields"), list):
        raise OutcomeUnknown(f"{mapping.object}: the describe is none")
    changed = answer.headers.get("last-modified") or _http_date(answer.at - MARGIN)
    mark = fingerprint(mapping, session.settings.api_version)
    found.seen[mapping.object] = capabilities(mapping, answer.body, changed, mark)
    found.problems += problems(mapping, answer.body)
    found.described.append(mapping.object)


def _redefined(old: ObjectSeen, new: ObjectSeen) -> bool:
    return old.formulas != new.formulas


def _reads_differently(old: ObjectSeen, new: ObjectSeen) -> bool:
    return (old.revision, old.merges, old.authored) != (new.revision, new.merges, new.authored)


def _without(opening: Opening, names: list[str]) -> Opening:
    """Return ``opening`` without the pages that were asked for before the object was known to have changed."""
    for name in names:
        opening.queries.pop(name, None)
    return opening


def _http_date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)
