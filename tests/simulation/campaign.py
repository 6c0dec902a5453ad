"""Many histories over a long time: ``python -m tests.simulation.campaign LOG merge=800000 line=100000 full=5000``.

The layer that is furthest from its goal goes next, a block at a time; each block is a line of the log, so an abrupt end
leaves its figures, and the command goes on where the log ends. ``full=2500..4999`` are the seeds of a second process
with a log of its own. ``--figures`` adds logs up. It keeps one law: a block that broke a promise names the command that
lives it again, and the seeds after it are lived all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.__main__ import LAYERS, Layer, layer, outcome, span

BLOCK_SECONDS = 60


@dataclass(slots=True)
class Sum:
    """What a log says of one layer."""

    lived: int = 0
    next: int = 0
    """The seed after the last one."""
    broken: int = 0
    wall: float = 0.0
    cpu: float = 0.0


def added_up(logs: Sequence[Path]) -> dict[str, Sum]:
    """Return what logs say of each layer."""
    sums = {name: Sum() for name in LAYERS}
    for line in (line for log in logs if log.exists() for line in log.read_text(encoding="utf-8").splitlines()):
        words = line.split()
        if words and words[0] in sums:
            first, last = words[1].split("..")
            one = sums[words[0]]
            one.lived += int(last) + 1 - int(first)
            one.next = max(one.next, int(last) + 1)
            one.broken += int(words[2])
            one.wall += float(words[3])
            one.cpu += float(words[4])
            assert int(first) <= int(last)
    return sums


def block(lay: Layer, first: int, most: int, log: Path) -> None:
    """Live histories from a seed on for about a minute, and write what came of it."""
    began, cpu, seed, broken = time.monotonic(), time.process_time(), first, 0
    while seed < first + most and time.monotonic() - began < BLOCK_SECONDS:
        promise = outcome(lay, seed)
        if promise is not None:
            broken += 1
            with log.open("a", encoding="utf-8") as out:
                out.write(f"BROKEN {promise} | python -m tests.simulation {lay.name} --seeds {seed}..{seed}\n")
        seed += 1
    wall, used = time.monotonic() - began, time.process_time() - cpu
    with log.open("a", encoding="utf-8") as out:
        out.write(f"{lay.name} {first}..{seed - 1} {broken} {wall:.1f} {used:.1f}\n")


def goal(word: str) -> tuple[str, range]:
    """Return the layer and the seeds of ``line=100000`` or ``full=2500..4999``."""
    name, equals, seeds = word.partition("=")
    if name not in LAYERS or not equals:
        raise argparse.ArgumentTypeError(
            f"{word!r} is no goal; write layer=histories, such as line=100000; layers: {', '.join(LAYERS)}"
        )
    return name, span(seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if the log names a broken promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.campaign", description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("goals", nargs="*", help="layer=histories, or layer=first..last; with --figures, more logs")
    parser.add_argument("--figures", action="store_true", help="add the logs up and stop")
    given = parser.parse_args(arguments)
    try:
        goals = {} if given.figures else dict(map(goal, given.goals))
    except argparse.ArgumentTypeError as bad:
        parser.error(str(bad))
    logs = [given.log, *(Path(word) for word in given.goals if given.figures)]
    opened: dict[str, Layer] = {}
    try:
        while goals:
            sums = added_up(logs)
            next_of = {name: max(seeds.start, sums[name].next) for name, seeds in goals.items()}
            left = {n: (next_of[n] - one.start) / len(one) for n, one in goals.items() if next_of[n] < one.stop}
            if not left:
                break
            name = min(left, key=lambda n: left[n])
            lay = opened.setdefault(name, layer(name))
            block(lay, next_of[name], goals[name].stop - next_of[name], given.log)
    finally:
        for lay in opened.values():
            lay.close()
    sums = added_up(logs)
    for name, one in sums.items():
        if one.lived:
            sys.stdout.write(
                f"{name}: {one.lived} histories, {one.broken} broke a promise; {one.wall:.0f} s, "
                f"{one.lived / max(one.cpu, 1e-9):.1f} a second of one core\n"
            )
    return min(1, sum(one.broken for one in sums.values()))


if __name__ == "__main__":
    sys.exit(main())
