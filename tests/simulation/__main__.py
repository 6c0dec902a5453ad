"""The command: ``python -m tests.simulation --seeds N`` lives N histories and says how to live the first bad one again.

May not know how a layer works. It keeps one law: a failure ends with one command that replays it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.simulation.ground import Broken, Trace, shorten


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: how to live a history, and which steps it has."""

    name: str
    run: Callable[[int, Sequence[int] | None, Trace | None], None]
    steps: Callable[[int], list[int]]
    close: Callable[[], None]


LAYERS = {"merge": "walk", "line": "line", "rules": "contract", "full": "full", "hub": "hub"}


def layer(name: str) -> Layer:
    """Return a layer by its name."""
    module: Any = import_module(f"tests.simulation.{LAYERS[name]}")
    return Layer(name, module.run, module.steps_of, getattr(module, "close", lambda: None))


def outcome(lay: Layer, seed: int, kept: Sequence[int] | None = None, trace: Trace | None = None) -> str | None:
    """Live one history; return the promise that was broken, or None."""
    try:
        lay.run(seed, kept, trace)
    except Broken as bad:
        return bad.promise
    except Exception as bad:  # whatever the product raises without a right to is a finding too
        return f"{type(bad).__name__}: {bad}"[:200]
    return None


def shortest(lay: Layer, seed: int, promise: str, most: int = 400) -> list[int]:
    """Return the fewest steps after which the same promise is broken."""
    kind = promise.split(":", maxsplit=1)[0]
    kept, _ = shorten(
        lay.steps(seed), lambda k: (outcome(lay, seed, k) or "").split(":", maxsplit=1)[0] == kind, most=most
    )
    return kept


def say(text: str) -> None:
    """Write one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def span(text: str) -> range:
    """Return the seeds of ``200`` (the first two hundred) or ``17..20``."""
    first, dots, last = text.partition("..")
    if first.isdecimal() and (last.isdecimal() if dots else not last):
        seeds = range(int(first), int(last) + 1) if dots else range(int(first))
        if seeds:
            return seeds
    raise argparse.ArgumentTypeError(f"{text!r} names no seed; write 200 for the first two hundred, or 17..20")


def steps(text: str) -> list[int]:
    """Return the steps of ``3,7,9``."""
    if not all(word.isdecimal() for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of steps; write 3,7,9 as a failure prints them")
    return [int(word) for word in text.split(",")]


def live(lay: Layer, seeds: range, stop_at: int) -> int:
    """Live the histories of ``seeds``; return how many broke a promise."""
    began, cpu, bad, count = time.monotonic(), time.process_time(), 0, 0
    for seed in seeds:
        count += 1
        promise = outcome(lay, seed)
        if promise is None:
            continue
        bad += 1
        kept = shortest(lay, seed, promise)
        detail = promise
        try:
            lay.run(seed, kept, None)
        except Exception as again:
            detail = str(again)
        say(f"{lay.name} seed {seed}: {detail}")
        again = f"python -m tests.simulation {lay.name} --seeds {seed}..{seed} --steps {','.join(map(str, kept))}"
        say(f"  again, in {len(kept)} steps: {again}")
        if bad >= stop_at:
            break
    wall, used = time.monotonic() - began, time.process_time() - cpu
    say(
        f"{lay.name}: {count} histories, {bad} broke a promise; {wall:.1f} s, "
        f"{count / max(wall, 1e-9):.0f} a second, {count / max(used, 1e-9):.0f} a second of one core"
    )
    return bad


def replay(lay: Layer, seed: int, kept: list[int] | None) -> int:
    """Live one history and show its steps."""
    trace = Trace()
    promise = outcome(lay, seed, kept, trace)
    for line in trace.lines:
        if not line.startswith(" "):  # what everybody held after a step is only for the digest
            say(f"  {line}")
    say(f"{lay.name} seed {seed}: {promise or 'every promise held'}; trace {trace.digest}")
    return promise is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("layers", nargs="*", help=f"which layers: {', '.join(LAYERS)} (default: all)")
    parser.add_argument("--seeds", type=span, default=range(200), help="how many, or first..last")
    parser.add_argument("--steps", type=steps, help="keep only these steps, as a failure prints them")
    parser.add_argument("--stop-at", type=int, default=3, help="stop after so many failures")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.layers if name not in LAYERS]
    if unknown:
        parser.error(f"there is no layer {unknown[0]!r}; there are {', '.join(LAYERS)}")
    if given.steps and (len(given.seeds) != 1 or len(given.layers) != 1):
        parser.error("--steps are those of one history: name one layer and one seed, such as line --seeds 17..17")
    bad = 0
    for name in given.layers or LAYERS:
        lay = layer(name)
        try:
            if len(given.seeds) == 1:
                strange = sorted(set(given.steps or ()) - set(lay.steps(given.seeds[0])))
                if strange:
                    parser.error(f"seed {given.seeds[0]} of {name} has no step {strange[0]}")
                bad += replay(lay, given.seeds[0], given.steps)
            else:
                bad += live(lay, given.seeds, given.stop_at)
        finally:
            lay.close()
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
