"""Crash points: in each scene the run is killed at every side effect in turn, finished, and compared.

``python -m tests.simulation.crashes [SCENE ...] [--every N] [--pairs]``. May not know the scenes. It keeps one law:
wherever a run died, the end is the end of a run that did not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from sfsync.errors import LeaseLost
from sfsync.org import transport
from sfsync.store.tables import RECORD_TABLES
from tests.simulation import full
from tests.simulation.ground import Broken, Killed
from tests.simulation.place import Place
from tests.simulation.scenes import MANY, SCENES

OF_THE_SYSTEM = frozenset(
    "SystemModstamp LastModifiedDate LastModifiedById CreatedDate LastViewedDate LastReferencedDate "
    "Sfsync_Revision__c Id Name".split()
)
"""What differs lawfully: when a row was written, how often it was tried, and in which order rows were made."""
LEFT_OUT = {"posting": ("seq", "chained"), "finding": ("first_seen_at",), "milestone": (), "conflict": ()}
"""Beside the records: what counts through all histories, and when it was first written down."""


class Count:
    """Counts side effects and kills at chosen ones."""

    def __init__(self, *kill_at: int) -> None:
        self.names: list[str] = []
        self._kill_at = set(kill_at)

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) in self._kill_at:
            raise Killed


def finish(place: Place) -> None:
    """A minute later fresh workers go on until there is nothing left to do."""
    place.forget_lease("acme")
    place.runtime.sync("acme")
    place.later(minutes=20)
    for _ in range(4):
        report = place.runtime.sync("acme")
        if not (report.wrote or report.absorbed or report.later or report.evaluated):
            return
    raise Broken("a second run writes nothing", f"{report}")


def end_state(place: Place) -> dict[str, Any]:
    """Return everything that people and rules can tell apart."""
    org = place.orgs["acme"]
    key_of = dict(place.ask("SELECT sf_id, key FROM link WHERE org = 'acme' AND sf_id IS NOT NULL"))
    state: dict[str, Any] = {}
    mappings = place.runtime.client("acme").mappings
    for mapping in mappings:
        names = [f.name for f in org.schema[mapping.object].stored_fields() if f.name not in OF_THE_SYSTEM]
        columns = ", ".join(f'"{n}"' for n in names)
        rows = org.storage.rows(f'SELECT {columns} FROM "{mapping.object}"')
        plain = [{n: key_of.get(v, v) for n, v in zip(names, row, strict=True)} for row in rows]
        state[f"org {mapping.object}"] = sorted(json.dumps(row, sort_keys=True, default=str) for row in plain)
    records = {RECORD_TABLES[mapping.record].name: ("changed_version",) for mapping in mappings}
    for table, but in {**records, **LEFT_OUT}.items():
        left_out = "".join(f" - '{name}'" for name in but)
        rows = place.ask(f'SELECT (to_jsonb(t){left_out})::text FROM "{table}" t WHERE client = %s', "acme")
        state[table] = sorted(row[0] for row in rows)
    rows = place.ask("SELECT object, key, sf_id, remote::text, agreed::text, deleted FROM link WHERE client = 'acme'")
    state["link"] = sorted(str(row) for row in rows)
    return state


class Dying:
    """One scene, brought to where the run begins, to be gone back to as often as there are ways to die."""

    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name = place, name
        self._many = transport.BULK_FROM
        transport.BULK_FROM = MANY.get(name, transport.BULK_FROM)
        place.reset(name)
        SCENES[name](place)
        self._recall = place.remember()
        count = Count()
        self.report = place.worker(count).sync("acme")
        finish(place)
        self.names = count.names
        """The side effects of a run that nothing disturbs."""
        self._wanted = end_state(place)

    def close(self) -> None:
        """Leave the product as it was."""
        transport.BULK_FROM = self._many

    def differs(self, *kill_at: int) -> str | None:
        """Kill at the given side effects, one run after the other, finish, and return what is not as it should be."""
        place = self.place
        self._recall()
        for at in kill_at:
            place.forget_lease("acme")
            try:
                place.worker(Count(at)).sync("acme")
            except (Killed, LeaseLost):
                continue
        try:
            finish(place)
            full.books(place, "acme")
        except Exception as bad:
            return f"{type(bad).__name__}: {bad}"
        found = end_state(place)
        for part, rows in self._wanted.items():
            if found[part] != rows:
                more, less = sorted(set(found[part]) - set(rows)), sorted(set(rows) - set(found[part]))
                return f"{part}: {more[:2]} instead of {less[:2]}"
        return None


def judge(place: Place, name: str, every: int = 1) -> tuple[int, list[tuple[int, str, str]]]:
    """Return the number of side effects of a scene, and those after which the end was another one."""
    dying = Dying(place, name)
    try:
        tries = range(1, len(dying.names) + 1, every)
        bad = [(at, dying.names[at - 1], what) for at in tries if (what := dying.differs(at)) is not None]
    finally:
        dying.close()
    return len(dying.names), bad


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a crash made a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crashes", description=__doc__)
    parser.add_argument("scenes", nargs="*", help=", ".join(SCENES))
    parser.add_argument("--every", type=int, default=1, help="only each n-th side effect")
    parser.add_argument("--pairs", action="store_true", help="die at i, then the next run at j, for every i and j")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.scenes if name not in SCENES]
    if unknown:
        parser.error(f"there is no scene {unknown[0]!r}; there are {', '.join(SCENES)}")
    place = full.place()
    failed = 0
    for name in given.scenes or SCENES:
        began = time.monotonic()
        dying = Dying(place, name)
        names = dying.names
        tries = [(i,) for i in range(1, len(names) + 1, given.every)]
        if given.pairs:
            tries = [(i, j) for (i,) in tries for j in range(1, len(names) + 1, given.every)]  # type: ignore[misc]
        bad = [(at, what) for at in tries if (what := dying.differs(*at)) is not None]
        dying.close()
        failed += len(bad)
        sys.stdout.write(
            f"{name}: {len(names)} side effects, {dying.report.absorbed} records came and {dying.report.wrote} went, "
            f"{len(tries)} deaths, {len(bad)} made a difference ({time.monotonic() - began:.0f} s)\n"
        )
        for at, what in bad[:3]:
            sys.stdout.write(f"  killed at {' and '.join(f'{i} ({names[i - 1]})' for i in at)}: {what[:1500]}\n")
        sys.stdout.flush()
    full.close()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
