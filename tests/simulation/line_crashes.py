"""Crash points of the line layer: every single one and every pair, in as many scenes as there are seeds.

``python -m tests.simulation.line_crashes --seeds N [--pairs N]``. A scene is a seed: people and the desk act, then one
run is killed. It keeps one law: wherever a run died, the end is the end of a run that did not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.simulation.ground import Broken, Killed, chance
from tests.simulation.line import QUIET_RUNS, History

BEFORE_THE_FIRST = -1
PEOPLE = (History.edit, History.create, History.delete, History.slow, History.desk, History.wait)


def scene(seed: int) -> History:
    """Return a world in which people have acted, somewhat synced, and something is owed."""
    history = History(seed)
    history.clients = history.clients[:1]
    [client] = history.clients
    for step in range(16):
        draw = chance(seed, step)
        act = draw.choice(PEOPLE)
        history.clock.now += draw.choice((0, 1, 30, 200))
        client.org.settle_due()
        act(history, client, draw, step)
        if step == 8:
            client.workers[0].run(history._job(client, client.workers[0]))
    client.org.settle_due(everything=True)
    history.clock.now += 1_000
    return history


def lived(seed: int, *kill_after: int) -> tuple[int, dict[str, Any]]:
    """Kill the next runs where told, finish, and return how many side effects a run had and what the end is."""
    history = scene(seed)
    [client] = history.clients
    worker = client.workers[0]
    count = 0
    for at in (*kill_after, *[BEFORE_THE_FIRST] * (2 - len(kill_after))):
        before = worker.points
        with suppress(Killed):
            worker.run(history._job(client, worker), kill_after=at)
        count = max(count, worker.points - before)
        history.clock.now += 61
    for _ in range(QUIET_RUNS):
        history.clock.now += 4_000
        worker.run(history._job(client, worker))
    history._judge()
    history._at_rest(client)
    return count, end_state(history)


def end_state(history: History) -> dict[str, Any]:
    """Return everything that people and rules can tell apart."""
    [client] = history.clients
    key_of = {sf_id: key for (_, sf_id), key in client.store.ids.items()}
    return {
        "org": sorted(
            (key_of.get(r.id, r.id), r.deleted, sorted((n, str(key_of.get(v, v))) for n, v in r.fields.items()))
            for r in client.org.rows.values()
        ),
        "store": sorted(
            (name, row.deleted, sorted((f, str(v)) for f, v in row.values.items()))
            for name, row in client.store.rows.items()
        ),
        "postings": sorted((p.source, p.version, p.pack, p.minutes) for p in client.store.postings),
        "notices": sorted(client.store.notices),
        "conflicts": sorted(str(c) for c in client.store.conflicts.items()),
    }  # fmt: skip


def differs(seed: int, wanted: dict[str, Any], *kill_after: int) -> str | None:
    """Return what is not as it should be after deaths at these side effects, or None."""
    try:
        _, found = lived(seed, *kill_after)
    except Broken as bad:
        return str(bad)
    return next(
        (f"{part}: {found[part]} instead of {wanted[part]}" for part in wanted if found[part] != wanted[part]), None
    )


def judge(seed: int, *, pairs: bool = False) -> tuple[int, list[str]]:
    """Return how many deaths were tried in a seed's scene, and what went wrong."""
    count, wanted = lived(seed)
    tries: list[tuple[int, ...]] = [(at,) for at in range(count)]
    if pairs:
        tries += [(first, second) for first in range(count) for second in range(count)]
    bad = [f"seed {seed} killed at {at}: {what}" for at in tries if (what := differs(seed, wanted, *at)) is not None]
    return len(tries), bad


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a crash made a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.line_crashes", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="scenes in which every single point is tried")
    parser.add_argument("--pairs", type=int, default=5, help="scenes in which every pair is tried too")
    given = parser.parse_args(arguments)
    began, deaths, bad = time.monotonic(), 0, []
    for seed in range(given.seeds):
        tried, wrong = judge(seed, pairs=seed < given.pairs)
        deaths += tried
        bad += wrong
    for line in bad[:5]:
        sys.stdout.write(line[:1500] + "\n")
    sys.stdout.write(
        f"{given.seeds} scenes, {deaths} deaths, {len(bad)} made a difference; {time.monotonic() - began:.0f} s\n"
    )
    return min(len(bad), 1)


if __name__ == "__main__":
    sys.exit(main())
