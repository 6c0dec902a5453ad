"""One org: its schema, its rows, its people, its clock, and the operations that people and clients perform on it.

It may not know HTTP. It keeps one law: everything that depends on time or chance comes from the clock and the seed it
was given.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import ref
from zoneinfo import ZoneInfo

from sfsync.clock import Clock, SystemClock, seeded
from sfsync.localorg import formula, ids
from sfsync.localorg.access import ADMIN_PROFILE, Actor, load_actor
from sfsync.localorg.auth import Logins
from sfsync.localorg.deploying import SchemaChanges
from sfsync.localorg.errors import not_found
from sfsync.localorg.faults import Faults
from sfsync.localorg.fresh import Assignment, furnish
from sfsync.localorg.journal import Journal
from sfsync.localorg.records import Change, Options, Records, SaveResult
from sfsync.localorg.removal import Removal
from sfsync.localorg.saving import PERSON, SEED, raise_first
from sfsync.localorg.schema import PicklistValue, Schema, SchemaChange
from sfsync.localorg.soql.functions import register
from sfsync.localorg.standard import standard_schema
from sfsync.localorg.storage import Held, Storage, quoted

DAY_SECONDS = 86_400
_SEED_CHUNK = 10_000


class LocalOrg:
    """A Salesforce org in a box.

    ``name`` is the My Domain name; ``seed`` decides ids and every tie; ``path`` is a file for the rows, or memory.
    """

    def __init__(
        self,
        name: str = "acme",
        *,
        clock: Clock | None = None,
        seed: int = 1,
        path: str = ":memory:",
        zone: str = "America/Los_Angeles",
        edition: str = "Developer Edition",
        daily_api_requests: int = 15_000,
        sandbox: bool = False,
    ) -> None:
        self.name, self.seed, self.edition, self.sandbox, self.zone = name, seed, edition, sandbox, zone
        self.clock: Clock = clock or SystemClock()
        self.daily_api_requests = daily_api_requests
        self.lock = threading.RLock()
        self.faults = Faults()
        self.logins = Logins(self)
        self._path = path
        self._begin()

    def _begin(self) -> None:
        """Make everything that ``reset`` makes anew."""
        self.random = seeded(f"{self.name}/{self.seed}")
        pod = ids.base62(10 * 62 + 10 + (self.seed * 37 + sum(self.name.encode())) % 3_000, 2) + "0"
        self.ids = ids.IdSource(pod)
        self.schema: Schema = standard_schema()
        self.storage = Storage(self._path)
        self.records = Records(self)
        self.removal = Removal(self)
        self.changes = SchemaChanges(self)
        self.journal = Journal()
        self.schema_changed_at = self.log_begins_at = self.now_seconds()
        self.access_version = 1
        self.custom_grants: dict[str, frozenset[str]] = {}
        self.custom_permissions: set[str] = set()
        self.assignment: list[Assignment] = []
        self.cursors: dict[str, Any] = {}
        self.describes: dict[tuple[str, str, str], tuple[int, bytes, str]] = {}
        self.used: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._actors: dict[str, Actor] = {}
        self._closed: frozenset[str] | None = None
        self._usage: deque[tuple[int, int]] = deque()
        self._spent = 0
        self._current: Actor | None = None
        self._register_functions()
        self.storage.make_all(self.schema)
        self.org_id = self.ids.one("00D")
        furnish(self)

    def reset(self) -> None:
        """Make the org as fresh as it began: rows, schema, sessions, faults and journal; the apps stay."""
        self.storage.db.close()
        if self._path != ":memory:":
            Path(self._path).unlink(missing_ok=True)
        self.logins.expire_all()
        self.logins.refresh_tokens.clear()
        self.faults = Faults()
        self._begin()

    def credentials(self) -> dict[str, Any]:
        """Return what a client needs to log in to this org, as far as the org itself knows."""
        app = next(iter(self.logins.apps.values()), None)
        username = self.actor(self.integration_id).username
        return {
            "name": self.name,
            "org_id": self.org_id,
            "client_id": app.client_id if app else None,
            "client_secret": app.client_secret if app else None,
            "username": username,
            "password": self.logins.passwords.get(username.lower()),
            "admin_username": self.admin.username,
        }

    # Time

    def now(self) -> datetime:
        """Return the org's instant, in whole seconds, UTC."""
        return self.clock.now()

    def now_seconds(self) -> int:
        """Return the org's instant as unix seconds."""
        return int(self.clock.now().timestamp())

    def date_in(self, zone: ZoneInfo, unix: int) -> str:
        """Return the date text of an instant in a zone."""
        return datetime.fromtimestamp(unix, UTC).astimezone(zone).date().isoformat()

    def settle_due(self) -> None:
        """Commit the held transactions whose time has come."""
        if self.storage.held:
            now = self.now_seconds()
            for held in list(self.storage.held.values()):
                if held.commit_at is not None and held.commit_at <= now:
                    self.commit_held(held)

    # People

    def actor(self, user: str) -> Actor:
        """Return the actor for a user id or username; NOT_FOUND when there is none."""
        found = self._actors.get(user)
        if found is None:
            user_id = user if user[:3] == "005" and ids.to_long(user) == user else self.user_id(user)
            loaded = load_actor(self.storage, self.schema, user_id, self.custom_grants)
            if loaded is None:
                raise not_found()
            found = self._actors[user] = self._actors[user_id] = loaded
        return found

    def user_id(self, username: str) -> str:
        """Return the id of the user with this username (in any case)."""
        rows = self.storage.rows('SELECT "Id" FROM "User" WHERE "Username" = ?', (username,))
        if not rows:
            raise not_found(f"no user is called {username}")
        return str(rows[0][0])

    @property
    def admin(self) -> Actor:
        """The administrator that every org has."""
        return self.actor(self.admin_id)

    admin_id: str
    integration_id: str

    def access_changed(self) -> None:
        """Forget what was computed from permissions and users."""
        self._actors.clear()
        self.records.forget_plans()
        self.access_version += 1
        self.schema_changed_at = max(self.schema_changed_at, self.now_seconds())

    @contextmanager
    def running_as(self, actor: Actor) -> Iterator[None]:
        """Let SQL functions that depend on the user answer for ``actor``."""
        before, self._current = self._current, actor
        try:
            yield
        finally:
            self._current = before

    def _register_functions(self) -> None:
        # The database keeps its functions where the garbage collector does not look: what they hold strongly stays.
        me = ref(self)

        def here() -> LocalOrg:
            found = me()
            if found is None:
                raise RuntimeError("the org of this database is gone")
            return found

        def sf_now() -> int:
            return here().now_seconds()

        def sf_today() -> str:
            org = here()
            return org.date_in(org._zone(), org.now_seconds())

        def sf_zone_date(unix: Any) -> str | None:
            org = here()
            return None if unix is None else org.date_in(org._zone(), int(unix))

        def sf_id15(value: Any) -> Any:
            return value[: ids.SHORT] if isinstance(value, str) else value

        def sf_permitted(name: Any) -> int:
            user = here()._current
            return int(user is not None and name in user.custom_permissions)

        def sf_user(name: Any) -> Any:
            user = here()._current
            return None if user is None else user.attributes.get(name)

        self.storage.functions(
            sf_now=sf_now,
            sf_today=sf_today,
            sf_zone_date=sf_zone_date,
            sf_id15=sf_id15,
            sf_permitted=sf_permitted,
            sf_user=sf_user,
            **formula.sql_functions(),
        )
        register(self.storage.db)

    def _zone(self) -> ZoneInfo:
        return self._current.zone if self._current is not None else ZoneInfo(self.zone)

    # Numbers

    def take_numbers(self, counter: str, count: int) -> int:
        """Take ``count`` auto-numbers and return the first; a rolled-back write leaves a gap, as in life."""
        first = self._numbers.get(counter, self._first_number(counter))
        self._numbers[counter] = first + count
        return first

    def _first_number(self, counter: str) -> int:
        return 1_001 if counter == "Case.CaseNumber" else 1

    # What people do: the same operations the REST face has, as plain methods

    def insert(
        self,
        object_name: str,
        records: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        user: str | None = None,
        options: Options = PERSON,
    ) -> list[str]:
        """Create records as a user (the administrator when none is named); return their ids or raise ApiError."""
        many = [records] if isinstance(records, Mapping) else list(records)
        results = self.records.insert(self.actor(user or self.admin_id), object_name, many, options)
        raise_first(results)
        return [r.id or "" for r in results]

    def update(
        self,
        object_name: str,
        record_id: str,
        values: Mapping[str, Any],
        *,
        user: str | None = None,
        options: Options = PERSON,
    ) -> None:
        """Change a record as a user; ApiError when refused."""
        raise_first(self.records.update(self.actor(user or self.admin_id), object_name, [(record_id, values)], options))

    def upsert(
        self,
        object_name: str,
        external: str,
        records: Sequence[Mapping[str, Any]],
        *,
        user: str | None = None,
        options: Options = PERSON,
    ) -> list[SaveResult]:
        """Create or change records by an external id as a user; ApiError when refused."""
        results = self.records.upsert(self.actor(user or self.admin_id), object_name, external, records, options)
        raise_first(results)
        return results

    def delete(self, object_name: str, record_id: str, *, user: str | None = None, hard: bool = False) -> None:
        """Delete a record as a user, into the recycle bin unless ``hard``; ApiError when refused."""
        raise_first(self.removal.delete(self.actor(user or self.admin_id), [(object_name, record_id)], hard=hard))

    def undelete(self, record_id: str, *, user: str | None = None) -> None:
        """Bring a record back from the recycle bin; ApiError when it is not in there."""
        raise_first(self.removal.undelete(self.actor(user or self.admin_id), [record_id]))

    def merge(self, object_name: str, master: str, losers: Sequence[str], *, user: str | None = None) -> None:
        """Merge ``losers`` into ``master``; ApiError when refused."""
        result = self.removal.merge(self.actor(user or self.admin_id), object_name, master, losers)
        raise_first([result])

    def seed_rows(self, object_name: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create records with whatever system fields they give (CreatedDate, SystemModstamp, Id …); return their ids.

        Validation of values stays on; history, assignment rules and field permissions are off.
        """
        made: list[str] = []
        for start in range(0, len(records), _SEED_CHUNK):
            results = self.records.insert(self.admin, object_name, records[start : start + _SEED_CHUNK], SEED)
            raise_first(results)
            made += [r.id or "" for r in results]
        return made

    def get(self, object_name: str, record_id: str) -> dict[str, Any] | None:
        """Return a committed row in its stored form, deleted ones too, or None."""
        return self.storage.image(self.schema[object_name].name, record_id)

    def count(self, object_name: str) -> int:
        """Return the number of live rows of an object."""
        return int(
            self.storage.rows(f'SELECT count(*) FROM {quoted(self.schema[object_name].name)} WHERE "IsDeleted" = 0')[0][
                0
            ]
        )

    # Transactions that stay open

    def hold(self, user: str | None = None, *, commit_at: datetime | None = None) -> Held:
        """Open a transaction: rows written ``within`` it get their stamps at once and are seen when it commits."""
        held = self.storage.hold(self.now_seconds(), user or self.admin_id)
        held.commit_at = None if commit_at is None else int(commit_at.timestamp())
        return held

    @contextmanager
    def within(self, held: Held) -> Iterator[None]:
        """Let the writes of a block belong to a held transaction."""
        with self.storage.inside(held):
            yield

    def commit_held(self, held: Held) -> None:
        """Make what a held transaction wrote visible."""
        touched = self.storage.commit(held)
        for object_name, record_id in touched:
            image = held.images[object_name, record_id]
            if image is not None and image["IsDeleted"]:
                self.storage.db.execute(
                    'INSERT INTO "_bin" (root, object, id) VALUES (?,?,?)', (record_id, object_name, record_id)
                )
        self.access_changed()

    # Cases

    def closed_statuses(self) -> frozenset[str]:
        """Return the lower-case Case statuses that mean closed."""
        if self._closed is None:
            rows = self.storage.rows('SELECT "ApiName" FROM "CaseStatus" WHERE "IsClosed" = 1')
            self._closed = frozenset(str(r[0]).lower() for r in rows)
        return self._closed

    def set_case_statuses(self, statuses: Sequence[tuple[str, bool]]) -> None:
        """Let Case.Status have these values, given as (name, whether it means closed); the first is the default."""
        with self.storage.unit():
            self.storage.remove("CaseStatus", [i for (i,) in self.storage.rows('SELECT "Id" FROM "CaseStatus"')])
            rows = [
                {"MasterLabel": n, "ApiName": n, "SortOrder": at, "IsDefault": at == 1, "IsClosed": closed}
                for at, (n, closed) in enumerate(statuses, 1)
            ]
            self.seed_rows("CaseStatus", rows)
        values = tuple(PicklistValue(n, default=at == 0) for at, (n, _) in enumerate(statuses))
        status = self.schema["Case"].fields["Status"]
        self.schema.put_field("Case", replace(status, picklist=values, default=statuses[0][0]))
        self._closed = None
        self.access_changed()

    def default_business_hours(self) -> str | None:
        """Return the id of the default business hours."""
        rows = self.storage.rows('SELECT "Id" FROM "BusinessHours" WHERE "IsDefault" = 1')
        return rows[0][0] if rows else None

    def account_of_contact(self, contact_id: str) -> str | None:
        """Return the account of a contact."""
        rows = self.storage.rows('SELECT "AccountId" FROM "Contact" WHERE "Id" = ?', (contact_id,))
        return rows[0][0] if rows else None

    def assign_cases(self, changes: Sequence[Change], chosen: bool | str, actor: Actor) -> None:
        """Run the Case assignment rule (the active one, or the one chosen by id) over rows on their way."""
        sql = 'SELECT "Id" FROM "AssignmentRule" WHERE "SobjectType" = \'Case\' AND '
        if isinstance(chosen, str):
            rules = self.storage.rows(sql + '"Id" = ?', (ids.to_long(chosen),))
        else:
            rules = self.storage.rows(sql + '"Active" = 1')
        if not rules:
            return
        plan = self.records.plan(self.admin, "Case")
        now = self.now_seconds()
        entries = [e for e in self.assignment if e.rule_id == rules[0][0]]
        compiled = [(e, formula.rule_function(e.formula, self.schema, self.schema["Case"])) for e in entries]
        for change in changes:
            situation = self.records.situation(plan, change, now)
            owner = next((e.owner_id for e, true in compiled if true(situation)), None)
            if owner is not None:
                change.new["OwnerId"] = owner

    # API usage

    def spend(self, calls: int) -> None:
        """Count API requests towards the rolling day."""
        if calls:
            self._usage.append((self.now_seconds(), calls))
            self._spent += calls

    def spent(self) -> int:
        """Return the API requests of the last 24 hours."""
        since = self.now_seconds() - DAY_SECONDS
        while self._usage and self._usage[0][0] <= since:
            self._spent -= self._usage.popleft()[1]
        return self._spent

    # Schema

    def schema_change(self, change: SchemaChange) -> None:
        """Apply a deploy: all of it or nothing. Fields are seen by people other than administrators when permitted.

        Raises ApiError when a rule or formula cannot be used or a named object does not exist.
        """
        before = self.schema.copy(), dict(self.custom_grants), set(self.custom_permissions)
        try:
            with self.storage.unit():
                self.changes.apply(change)
        except BaseException:
            self.schema, self.custom_grants, self.custom_permissions = before
            raise
        finally:
            self._closed = None
            self.schema_changed_at = self.now_seconds()
            self.access_changed()

    # Permission sets

    def permission_set_id(self, name: str) -> str | None:
        """Return the id of a permission set by its name, or None."""
        rows = self.storage.rows(
            'SELECT "Id" FROM "PermissionSet" WHERE "Name" = ? AND "IsOwnedByProfile" = 0', (name,)
        )
        return rows[0][0] if rows else None

    def assign(self, permission_set: str, user: str) -> None:
        """Give a user a permission set, by name and username or id; nothing happens when it is already given."""
        set_id = self.permission_set_id(permission_set)
        if set_id is None:
            raise not_found(f"no permission set is called {permission_set}")
        user_id = self.actor(user).user_id
        known = self.storage.rows(
            'SELECT 1 FROM "PermissionSetAssignment" WHERE "AssigneeId" = ? AND "PermissionSetId" = ?',
            (user_id, set_id),
        )
        if not known:
            self.insert("PermissionSetAssignment", {"AssigneeId": user_id, "PermissionSetId": set_id})


__all__ = ["ADMIN_PROFILE", "LocalOrg"]
