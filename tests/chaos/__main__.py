"""The command: ``python -m tests.chaos --seeds N`` lives N rounds and says how to live the first bad one again.

May not know what a round does. It keeps one law: a failure ends with one command that replays it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.ground import ground
from tests.chaos.rounds import BrokenPromise, Memory, live
from tests.simulation.__main__ import say, span


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=span, default=range(200), help="how many rounds, or first..last")
    given = parser.parse_args(arguments)
    began, memory = time.monotonic(), Memory()
    with tempfile.TemporaryDirectory(prefix="sfsync-chaos-") as folder, ground(Path(folder)) as here:
        say(f"everything runs after {time.monotonic() - began:.1f} s")
        lived = 0
        try:
            for seed in given.seeds:
                since = time.monotonic()
                try:
                    done = live(here, seed, memory)
                except BrokenPromise as bad:
                    say(f"round {seed}: {bad}\n  again: make chaos SEEDS={seed}..{seed}")
                    return 1
                lived += 1
                say(f"round {seed}: {time.monotonic() - since:.1f} s, {', '.join(done)}")
        finally:  # a run that is cut off leaves its figures, and the next one goes on behind the last round it names
            took, late = time.monotonic() - began, here.watchman.late
            say(f"{lived} rounds in {took:.0f} s kept every promise; late writes that changed nothing: {late}")
            say(", ".join(f"{what} {times}" for what, times in sorted(memory.did.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
