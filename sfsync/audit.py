"""Proof that org and store are equal, or the exact records that are not.

Figures first, day by day; only unequal days are looked at record by record. May not know SQL or
Salesforce. It keeps one law: it changes nothing; repairing is reading again what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Protocol

from sfsync.mapping import Mappings
from sfsync.mirror import compare
from sfsync.mirror.compare import Certificate, Difference, Figures, Kind
from sfsync.mirror.merge import Link
from sfsync.mirror.translate import Bookmark, Page, Seen


class ExaminedOrg(Protocol):
    """What an audit needs of an org."""

    @property
    def organization_id(self) -> str:
        """The organisation that was reached."""
        ...

    @property
    def calls(self) -> int:
        """API calls so far."""
        ...

    def figures(self, mappings: Mappings) -> Mapping[str, Mapping[date, Figures]]:
        """Return each object's figures by day, as the org adds them up."""
        ...

    def of_days(self, sobject: str, days: Iterable[date]) -> Mapping[str, Seen]:
        """Return the live records whose stamp lies on one of ``days``."""
        ...

    def by_id(self, sobject: str, sf_ids: Iterable[str]) -> Mapping[str, Seen]:
        """Return the records with these ids, those in the recycle bin too."""
        ...


class ExaminedStore(Protocol):
    """What an audit needs of the store."""

    def links(self, sobject: str) -> Iterable[Link]:
        """Return every link of an object in this org."""
        ...

    def waiting(self) -> int:
        """Return how many records still have to be written to the org, quarantined ones included."""
        ...


def audit(
    org: ExaminedOrg, store: ExaminedStore, mappings: Mappings, *, client: str, name: str, now: datetime
) -> tuple[Certificate, dict[str, dict[str, Seen]]]:
    """Return the certificate, and the records of the org that differ, by object and id."""
    before = org.calls
    theirs = org.figures(mappings)
    found: list[Difference] = []
    records: dict[str, int] = {}
    shown: dict[str, dict[str, Seen]] = {}
    for mapping in mappings:
        sobject = mapping.object
        links = {link.sf_id: link for link in store.links(sobject) if link.sf_id is not None}
        ours = compare.figures(mapping, links.values())
        records[sobject] = sum(figures.count for figures in theirs[sobject].values())
        days = compare.unequal_days(ours, theirs[sobject])
        if not days:
            continue
        chosen = set(days)
        held = {
            sf_id: link
            for sf_id, link in links.items()
            if not link.deleted and link.stamp is not None and link.stamp.date() in chosen
        }
        seen = dict(org.of_days(sobject, days))
        held |= {sf_id: links[sf_id] for sf_id in seen if sf_id in links}
        elsewhere = [sf_id for sf_id in held if sf_id not in seen]
        seen |= org.by_id(sobject, elsewhere)
        different = compare.differences(mapping, held, seen)
        found += different
        shown[sobject] = {one.sf_id: seen[one.sf_id] for one in different if one.sf_id in seen}
    certificate = Certificate(
        client=client,
        org=name,
        organization_id=org.organization_id,
        at=now,
        records=records,
        differences=tuple(found),
        waiting=store.waiting(),
        calls=org.calls - before,
    )
    return certificate, shown


def pages_of(
    certificate: Certificate,
    shown: Mapping[str, Mapping[str, Seen]],
    mappings: Mappings,
    bookmarks: Mapping[str, Bookmark],
) -> Iterator[Page]:
    """Yield the differing records as pages to be merged, parents before children; no bookmark moves.

    A record that the org does not show even by its id is gone for good.
    """
    for mapping in mappings:
        sobject = mapping.object
        seen = shown.get(sobject, {})
        gone = tuple(
            (one.sf_id, certificate.at)
            for one in certificate.differences
            if one.object == sobject and one.kind is Kind.GONE and one.sf_id not in seen
        )
        if seen or gone:
            bookmark = bookmarks.get(sobject) or Bookmark(sobject)
            yield Page(sobject, tuple(seen[sf_id] for sf_id in sorted(seen)), bookmark, gone)
