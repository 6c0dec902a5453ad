"""The store as dictionaries in memory, with the same promises as ``sfsync.store``: one transaction a call, fenced.

It may not know orgs. It keeps one law: a method that writes does all of it or nothing, after proving its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sfsync.errors import LeaseLost, StoreUnavailable, WrongOrg
from sfsync.mirror.merge import Link, Merged
from sfsync.mirror.plan import Outcome, Plan, Result, Unplannable
from sfsync.mirror.translate import Bookmark, Ids, Page, Seen
from tests.simulation.ground import Broken
from tests.simulation.model_org import Clock

MAX_ATTEMPTS = 8
LEASE_SECONDS = 60
DEADLINE = 3_600
"""Seconds after which a case that nobody answered is breached."""
OURS = frozenset(("bought", "balance", "logged", "serial", "breached", "state", "pack"))
OBJECTS = {"Pack": "Pack", "Case": "Case", "Entry": "Entry"}


class LinkRow:
    """A link with what the store keeps beside it."""

    __slots__ = ("attempts", "link", "next_try_at", "settled", "state", "touched", "tries")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.touched, self.settled, self.attempts, self.tries = 1, 0, 0, 0
        self.state = "ready"
        self.next_try_at: int | None = None


class LocalRow:
    """One record as the store holds it."""

    __slots__ = ("created", "deleted", "values", "version")

    def __init__(self, created: int | None) -> None:
        self.values: dict[str, Any] = {}
        self.deleted = False
        self.created = created
        self.version = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """Minutes that moved on a pack."""

    pack: str
    minutes: int
    source: str
    version: int


@dataclass(slots=True)
class Said:
    """What the small rules say of one version of the facts."""

    fields: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    notices: list[tuple[str, str, int]] = field(default_factory=list)
    next_due_at: int | None = None
    findings: tuple[()] = ()
    ask: None = None


@dataclass(slots=True)
class SmallFacts:
    """The facts of the small rules, with what they come to."""

    said: Said


class ModelStore:
    """What the store remembers of one client."""

    def __init__(self, client: str, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.rows: dict[tuple[str, str], LocalRow] = {}
        self.links: dict[tuple[str, str, str], LinkRow] = {}
        self.ids: dict[tuple[str, str], str] = {}
        """(org, sf_id) to key."""
        self.bookmarks: dict[tuple[str, str], Bookmark] = {}
        self.conflicts: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self.postings: list[Posting] = []
        self.standing: dict[str, tuple[int, str | None, int]] = {}
        """Source to its newest version, the pack it stands on and the minutes that stand there."""
        self.notices: list[tuple[str, str, int]] = []
        self.quarantine: dict[tuple[str, str, str], str] = {}
        self.echoes: dict[tuple[str, str, str], int] = {}
        """Link to the bookmark behind which a write of it was confirmed that no read has shown yet."""
        self.version = 0
        self.evaluated: int | None = None
        self.next_due_at: int | None = None
        self.pins: dict[str, str] = {}
        self.leases: dict[str, tuple[int, int]] = {}
        self.known: set[Any] = {None}
        """Every shared value that the store ever held or logged."""
        self.org_shown: Callable[[Any], bool] = lambda _: True
        self.writes = 0

    # --- whose turn it is ---------------------------------------------------------------------------

    def acquire(self, org: str) -> int | None:
        """Return the token of the lease on an org, or None while somebody else holds it."""
        token, expires = self.leases.get(org, (0, -1))
        if expires >= self.clock.now:
            return None
        self.leases[org] = (token + 1, self.clock.now + LEASE_SECONDS)
        return token + 1

    def renew(self, org: str, token: int) -> None:
        """Let the lease last from now; LeaseLost if somebody took the org over."""
        if self.leases[org][0] != token:
            raise LeaseLost("taken over")
        self.leases[org] = (token, self.clock.now + LEASE_SECONDS)

    def release(self, org: str, token: int) -> None:
        """Let anybody take the org."""
        if self.leases[org][0] == token:
            self.leases[org] = (token, -1)

    def pin(self, org: str, organization_id: str) -> None:
        """Pin the organisation at the first login; WrongOrg ever after if it is another one."""
        if self.pins.setdefault(org, organization_id) != organization_id:
            raise WrongOrg("another organisation")

    # --- the desk -----------------------------------------------------------------------------------

    def amend(self, name: str, key: str, values: Mapping[str, Any], orgs: Iterable[str]) -> None:
        """A person of the consultancy says something: a pack bought, a shared field changed."""
        self.version += 1
        self.put(name, key, values, None, None, looked_at=False)
        self.touch([(name, key)], orgs)
        self.known.update(v for n, v in values.items() if n in ("note", "tag"))

    def put(
        self, name: str, key: str, values: Mapping[str, Any], created: int | None, deleted: bool | None, *,
        looked_at: bool,
    ) -> None:  # fmt: skip
        """Leave values in force; a row that is not there is made."""
        row = self.rows.get((name, key))
        if row is None:
            row = self.rows[name, key] = LocalRow(created)
        row.values.update(values)
        row.created = row.created if row.created is not None else created
        if deleted is not None:
            row.deleted = deleted
        if not looked_at:
            row.version = self.version

    def touch(self, changed: Iterable[tuple[str, str]], orgs: Iterable[str]) -> None:
        """Let every org look at these records again."""
        for org in orgs:
            for name, key in changed:
                link = self.links.get((org, name, key))
                if link is None:
                    self.links[org, name, key] = LinkRow(Link(name, key))
                else:
                    link.touched += 1
                    link.state = "ready"

    # --- the small rules ----------------------------------------------------------------------------

    def reckon(self, now: int, *, books: bool = True) -> Said:
        """What a tiny contract says: packs are drawn in the order of keys, a case is breached after an hour."""
        said = Said()
        if books:
            self._draw(said)
        for (name, key), row in self.rows.items():
            if name != "Case" or row.deleted:
                continue
            due = (row.created if row.created is not None else now) + DEADLINE
            if due <= now and not row.values.get("breached"):
                self._say(said, "Case", key, row, {"breached": True})
                said.notices.append(("breach", key, due))
            elif due > now and (said.next_due_at is None or due < said.next_due_at):
                said.next_due_at = due
        return said

    def _draw(self, said: Said) -> None:
        entries = sorted((k, r) for (o, k), r in self.rows.items() if o == "Entry")
        packs = {k: r for (o, k), r in sorted(self.rows.items()) if o == "Pack"}
        left = {k: int(r.values.get("bought") or 0) for k, r in packs.items()}
        logged: dict[str, int] = {}
        back: list[Posting] = []
        draws: list[Posting] = []
        for key in packs:
            version, _, stands = self.standing.get(key, (0, None, 0))
            if left[key] > stands:
                draws.append(Posting(key, left[key] - stands, key, version + 1))
        for key, row in entries:
            minutes = 0 if row.deleted else int(row.values.get("minutes") or 0)
            pack = next((p for p, have in left.items() if have >= minutes), None) if minutes > 0 else None
            if pack is not None:
                left[pack] -= minutes
            case = row.values.get("case")
            if case and minutes > 0:
                logged[case] = logged.get(case, 0) + minutes
            version, stood_on, stands = self.standing.get(key, (0, None, 0))
            wanted = minutes if pack is not None else 0
            if (stood_on if stands else None, stands) != (pack if wanted else None, wanted):
                if stands:
                    version += 1
                    back.append(Posting(stood_on or "", stands, key, version))
                if wanted:
                    draws.append(Posting(pack or "", -wanted, key, version + 1))
            if not row.deleted:
                state = "Counted" if wanted else "Waiting"
                self._say(said, "Entry", key, row, {"state": state, "pack": pack if wanted else None})
        said.postings = [*back, *draws]
        for key, row in packs.items():
            if not row.deleted:
                self._say(said, "Pack", key, row, {"balance": left[key]})
        for (name, key), row in self.rows.items():
            if name != "Case" or row.deleted:
                continue
            minutes = logged.get(key, 0)
            if row.values.get("logged") != minutes:
                self._say(said, "Case", key, row, {"logged": minutes, "serial": self.version})

    @staticmethod
    def _say(said: Said, name: str, key: str, row: LocalRow, values: Mapping[str, Any]) -> None:
        changed = {n: v for n, v in values.items() if row.values.get(n, ...) != v}
        if changed:
            said.fields.setdefault((name, key), {}).update(changed)

    def post(self, posting: Posting) -> None:
        """Book one posting; the store itself refuses it twice, and an overdraw."""
        self.postings.append(posting)
        stands = -posting.minutes if posting.minutes < 0 else 0
        if posting.source == posting.pack:
            stands = posting.minutes + self.standing.get(posting.source, (0, None, 0))[2]
        self.standing[posting.source] = (posting.version, posting.pack, stands)


class ModelRoom:
    """One org's place in a model store; implements ``sync.Room``."""

    def __init__(
        self, store: ModelStore, org: str, orgs: tuple[str, ...], token: int, point: Callable[[str], None]
    ) -> None:
        self.store, self.org, self.orgs, self.token, self._point = store, org, orgs, token, point
        self._facts_version: int | None = None
        self._examined: dict[tuple[str, str], int] = {}
        self._read_at = -1
        self.after_bookmark: Callable[[Bookmark], None] = lambda _: None

    # --- reading ------------------------------------------------------------------------------------

    def bookmarks(self) -> Mapping[str, Bookmark]:
        """Return how far each object has been read."""
        return {
            name: replace(mark, silent=self._silent(name, mark))
            for (org, name), mark in self.store.bookmarks.items()
            if org == self.org
        }

    def _silent(self, name: str, mark: Bookmark | None) -> tuple[str, ...]:
        """What was confirmed behind a bookmark that has passed since, by its ids."""
        read_to: Any = mark.read_to if mark is not None else None
        found = []
        for named, after in self.store.echoes.items():
            link = self.store.links[named].link
            if named[:2] == (self.org, name) and read_to is not None and after < read_to and not link.deleted:
                found.append(link.sf_id or "")
        return tuple(found)

    def _hear_echoes(self, page: Page) -> None:
        """A write that a read shows has come back; one that was looked up by its id is not asked for again."""
        echoes = self.store.echoes
        if echoes:
            heard = {one.sf_id for one in page.seen}
            mark, read_to = self.store.bookmarks.get((self.org, page.object)), page.bookmark.read_to
            if mark is not None and mark.read_to is not None and read_to is not None and mark.read_to < read_to:
                heard.update(self._silent(page.object, mark))  # what was looked up comes with this page
            for named in [n for n in echoes if n[:2] == (self.org, page.object)]:
                if self.store.links[named].link.sf_id in heard:
                    del echoes[named]

    def ids(self, sf_ids: Iterable[str], keys: Iterable[str]) -> Ids:
        """Return the pairs of id and key known for any of ``sf_ids`` or ``keys``."""
        found = Ids(self.store.pins.get(self.org, ""))
        for sf_id in sf_ids:
            key = self.store.ids.get((self.org, sf_id))
            if key is not None:
                found.add(sf_id, key)
        for key in keys:
            for name in OBJECTS:
                row = self.store.links.get((self.org, name, key))
                if row is not None and row.link.sf_id is not None:
                    found.add(row.link.sf_id, key)
        return found

    def memories(self, name: str, keys: Iterable[str]) -> Mapping[str, tuple[Link | None, Mapping[str, Any] | None]]:
        """Return link and local values of each key that has either."""
        self._point("memories")
        self._read_at = self.store.version
        found = {}
        for key in keys:
            link, row = self.store.links.get((self.org, name, key)), self.store.rows.get((name, key))
            if link is not None or row is not None:
                found[key] = (link.link if link else None, dict(row.values) if row else None)
        return found

    def linked(self) -> Mapping[str, int]:
        """Return how many live records of each object this org is known to hold."""
        counts: dict[str, int] = {}
        for (org, name, _), row in self.store.links.items():
            if org == self.org and row.link.sf_id and not row.link.deleted:
                counts[name] = counts.get(name, 0) + 1
        return counts

    def facts(self, now: Any, ask: Any = None) -> Any:
        """Return what the rules must look at, or None."""
        store = self.store
        due = store.next_due_at is not None and store.next_due_at <= now
        if store.evaluated is not None and store.version <= store.evaluated and not due:
            return None
        self._point("facts")
        self._facts_version = store.version
        changed = store.evaluated is None or store.version > store.evaluated
        return SmallFacts(store.reckon(now, books=changed))

    def unsettled(self, now: Any) -> list[tuple[Link, Mapping[str, Any]]]:
        """Return links that may differ from the local values and are not in quarantine."""
        self._point("unsettled")
        self._examined = {}
        found = []
        for (org, name, key), row in self.store.links.items():
            waits = row.next_try_at is not None and row.next_try_at > now
            if org != self.org or row.touched <= row.settled or row.state != "ready" or waits:
                continue
            self._examined[name, key] = row.touched
            local = self.store.rows.get((name, key))
            if local is not None:
                found.append((row.link, dict(local.values)))
        return found

    # --- writing ------------------------------------------------------------------------------------

    def prove(self) -> None:
        """Raise LeaseLost unless this run's lease is the newest."""
        if self.store.leases[self.org][0] != self.token:
            raise LeaseLost("taken over")

    def _begin(self, name: str) -> None:
        self._point(name)
        self.prove()
        self.store.writes += 1

    def current(self) -> bool:
        """Whether nobody changed the client since the memories were read."""
        return self.store.version == self._read_at

    def rest(self) -> None:
        """Nothing is ever under way."""

    def absorb(self, page: Page, merged: Iterable[tuple[Seen, Merged]]) -> None:
        """TRANSACTION 1."""
        news = self.without_doubles(page.object, list(merged))
        self._begin("absorb")
        store, name = self.store, page.object
        if any(one.local for _, one in news) and not self.current():
            raise StoreUnavailable("changed while it was merged")
        if any(one.new or one.local for _, one in news) or page.hard_deleted:
            store.version += 1
        for seen in [s for s, one in news if not (one.new or one.local)]:
            row = store.rows.get((name, seen.key))
            if row is not None and row.deleted != seen.deleted:
                store.version += 1
                row.deleted, row.version = seen.deleted, store.version
        for seen, one in news:
            self.log(seen, one)
            if one.new or one.local:
                self._taken(name, seen, one)
                had = store.rows[name, seen.key].values if (name, seen.key) in store.rows else {}
                if not OURS.isdisjoint(had.keys() & one.local.keys()):
                    raise Broken("our fields are put back", f"{seen.key}: took {one.local}")
                store.put(name, seen.key, one.local, seen.created_at, seen.deleted, looked_at=False)  # type: ignore[arg-type]
                store.touch([(name, seen.key)], [o for o in self.orgs if o != self.org])
            self._put_link(one.link)
        for sf_id, at in page.hard_deleted:
            key = store.ids.get((self.org, sf_id))
            row = store.links.get((self.org, name, key)) if key else None
            if key is not None and row is not None and not row.link.deleted:
                row.link = _buried(row.link, at)
                local = store.rows.get((name, key))
                if local is not None:
                    local.deleted, local.version = True, store.version
        self._hear_echoes(page)
        before = store.bookmarks.get((self.org, name))
        self.move(before, page.bookmark)
        self.after_bookmark(store.bookmarks[self.org, name])

    def move(self, before: Bookmark | None, to: Bookmark) -> None:
        """A bookmark never goes back by itself."""
        read_to = to.read_to
        if before is not None and before.read_to is not None:
            read_to = before.read_to if read_to is None else max(before.read_to, read_to)
        self.store.bookmarks[self.org, to.object] = Bookmark(to.object, read_to, to.checkpoint)

    def without_doubles(self, name: str, news: list[tuple[Seen, Merged]]) -> list[tuple[Seen, Merged]]:
        """Set aside records whose key somebody edited: one key, one record."""
        kept: dict[str, tuple[Seen, Merged]] = {}
        for seen, one in news:
            before = kept.get(seen.key)
            if self.store.ids.get((self.org, seen.sf_id), seen.key) != seen.key:
                continue
            if before is not None and before[0].sf_id != seen.sf_id and self.of_two(before[0], seen) is not seen:
                continue
            kept[seen.key] = (seen, one)
        return list(kept.values())

    def noted(self, stamp: Any, kind: str, kept: Any, lost: Any) -> tuple[Any, ...]:
        """What tells two notes on one field apart: late commits may show two values with one stamp."""
        return (stamp, kind, kept, lost)

    def of_two(self, kept: Seen, seen: Seen) -> Seen:
        """Which of two records with one key counts: the living one, else the first."""
        return seen if kept.deleted and not seen.deleted else kept

    def log(self, seen: Seen, one: Merged) -> None:
        """Write conflicts and hand edits down, each once."""
        notes = self.store.conflicts
        for c in one.conflicts:
            named = (c.object, c.key, c.field, *self.noted(seen.stamp, "conflict", c.kept, c.lost))
            notes.setdefault(named, (c.kept, c.lost))
            self.store.known.update((c.kept, c.lost))
        for e in one.hand_edits:
            named = (e.object, e.key, e.field, *self.noted(seen.stamp, "hand_edit", e.ours, e.found))
            notes.setdefault(named, (e.ours, e.found))

    def _taken(self, name: str, seen: Seen, one: Merged) -> None:
        """What the desk said may be replaced only after people could see it, or with a note in the log."""
        row = self.store.rows.get((name, seen.key))
        for field_name in ("note", "tag"):
            if field_name in one.local:
                old = row.values.get(field_name) if row is not None else None
                if isinstance(old, str) and old.startswith("desk") and not self.store.org_shown(old):
                    logged = {lost for _, lost in self.store.conflicts.values()}
                    if old not in logged:
                        raise Broken("no edit of ours is lost", f"{field_name} of {seen.key}: {old}")
                self.store.known.add(one.local[field_name])

    def _put_link(self, link: Link) -> None:
        named = (self.org, link.object, link.key)
        row = self.store.links.get(named)
        self._known_by(row.link.sf_id if row is not None else None, link)
        if row is None:
            self.store.links[named] = LinkRow(link)
        else:
            row.link, row.state, row.next_try_at = link, "ready", None
            row.touched += 1

    def _known_by(self, before: str | None, link: Link) -> None:
        if before is not None and before != link.sf_id:
            self.store.ids.pop((self.org, before), None)
        if link.sf_id is not None:
            self.store.ids[self.org, link.sf_id] = link.key

    def unchanged(self) -> bool:
        """Whether nobody changed the client since the facts were read."""
        return self.store.version == self._facts_version

    def record(self, evaluation: Any, now: Any) -> None:
        """TRANSACTION 2."""
        self._begin("record")
        store = self.store
        if not self.unchanged():
            raise StoreUnavailable("changed while the rules looked at it")
        for (name, key), values in evaluation.fields.items():
            store.put(name, key, values, None, None, looked_at=True)
        for posting in evaluation.postings:
            store.post(posting)
        store.notices += evaluation.notices
        store.touch(list(evaluation.fields), self.orgs)
        store.evaluated, store.next_due_at = store.version, evaluation.next_due_at

    def begin(self, plan: Plan, now: Any) -> None:
        """Note which changes are about to be tried."""
        if not self._examined:
            return
        self._begin("begin")
        wanted = {(c.object, c.key) for c in plan.changes} | {(r.object, r.key) for r in plan.refused}
        for (name, key), touched in self._examined.items():
            row = self.store.links[self.org, name, key]
            if (name, key) in wanted:
                row.attempts += 1
                row.link = self.reserved(row.link)
            else:
                row.attempts, row.settled = 0, max(row.settled, touched)
                row.link = self.agreeing(row.link)
            if row.attempts >= MAX_ATTEMPTS:
                row.state = "quarantined"
                self.store.quarantine[self.org, name, key] = "NEVER_ENDED"

    def agreeing(self, link: Link) -> Link:
        """The link of a record that needs no change: what the org shows is what both have in common."""
        return link if link.deleted or link.agreed == link.remote else replace(link, agreed=link.remote)

    def reserved(self, link: Link) -> Link:
        """The link with its next revision taken: whoever plans after this one plans a higher one."""
        return replace(link, revision=link.revision + 1)

    def settle(self, outcomes: Iterable[Outcome], refused: Iterable[Unplannable], now: Any) -> None:
        """TRANSACTION 3."""
        self._begin("settle")
        for outcome in outcomes:
            change = outcome.change
            row = self.store.links[self.org, change.object, change.key]
            if outcome.result is Result.DONE:
                self._done(row, outcome)
            elif outcome.result is Result.REJECTED:
                row.state = "quarantined"
                self.store.quarantine[self.org, change.object, change.key] = outcome.code
            else:
                row.attempts, row.tries = 0, row.tries + 1
                wait = min(3600, 30 * 2 ** min(row.tries, 10))
                row.next_try_at = now + wait if outcome.result is Result.LATER else None
        for one in refused:
            self.store.links[self.org, one.object, one.key].state = "quarantined"
            self.store.quarantine[self.org, one.object, one.key] = "CANNOT_HOLD"

    def replaced(self, link: Link, change: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a write replaced that no read has shown yet."""
        return {} if change.creates else {**{name: change.before.get(name) for name in sent}, **link.unheard}

    def await_echo(self, link: Link, mark: Bookmark | None) -> None:
        """A read must show what the org has confirmed, at the latest when the bookmark has moved on."""
        if mark is not None and mark.read_to is not None:
            self.store.echoes[self.org, link.object, link.key] = mark.read_to  # type: ignore[assignment]

    def _done(self, row: LinkRow, outcome: Outcome) -> None:
        change, link = outcome.change, row.link
        sent, unknown = {}, False
        for name, value in change.fields.items():
            if isinstance(value, str) and value.startswith("key:"):
                parent = self.store.links.get((self.org, "Pack", value[4:]))
                if parent is None or parent.link.sf_id is None:
                    unknown = True
                    continue
                value = parent.link.sf_id
            sent[name] = value
        row.link = Link(
            link.object, link.key, outcome.sf_id or link.sf_id, {**link.remote, **sent}, {**link.agreed, **sent},
            link.stamp, link.deleted, max(link.revision, change.revision), link.merged_into,
            self.replaced(link, change, sent),
        )  # fmt: skip
        self.await_echo(link, self.store.bookmarks.get((self.org, link.object)))
        self._known_by(link.sf_id, row.link)
        if not unknown:
            row.settled = max(row.settled, self._examined.get((link.object, link.key), 0))
        row.attempts, row.tries, row.state, row.next_try_at = 0, 0, "ready", None
        self.store.quarantine.pop((self.org, link.object, link.key), None)


def _buried(link: Link, at: Any) -> Link:
    stamp = at if link.stamp is None else max(link.stamp, at)
    return Link(
        link.object, link.key, link.sf_id, link.remote, link.agreed, stamp, True, link.revision, link.merged_into
    )
