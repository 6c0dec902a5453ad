"""The same seed is the same history: ``python -m tests.simulation.replay [LAYER ...] [--seeds 500]``.

Every seed is lived twice in each of three processes whose hashes differ (PYTHONHASHSEED 0, 1, 4242), and the traces are
compared. It keeps one law: a trace tells everything that people could tell apart, so equal traces are equal histories.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.__main__ import LAYERS, layer, outcome
from tests.simulation.ground import Trace

HASH_SEEDS = ("0", "1", "4242")
ROOT = Path(__file__).resolve().parents[2]


def lived(name: str, seeds: range) -> list[str]:
    """Live each seed, then each once more; return one line for each life, with what broke and the trace's digest."""
    lay = layer(name)
    said = []
    try:
        for _ in range(2):
            for seed in seeds:
                trace = Trace()
                promise = outcome(lay, seed, None, trace)
                said.append(f"{name} {seed} {trace.digest} {promise or 'held'}")
    finally:
        lay.close()
    return said


def differing(name: str, seeds: range) -> tuple[list[str], str]:
    """Return the lives that did not go as the first one of their seed, and one digest of all that did."""
    first: dict[str, str] = {}
    wrong = []
    for hashes in HASH_SEEDS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.replay", name, "--lives", f"{seeds.start}", f"{seeds.stop}"],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hashes}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"the process with PYTHONHASHSEED={hashes} ended: {done.stderr[-1000:]}")
        lines = done.stdout.splitlines()
        if len(lines) != 2 * len(seeds):
            raise RuntimeError(f"{len(lines)} lives were told of {2 * len(seeds)}")
        for line in lines:
            seed = line.split()[1]
            if first.setdefault(seed, line) != line:
                wrong.append(f"PYTHONHASHSEED={hashes}: {line}; first it was: {first[seed]}")
    return wrong, hashlib.sha256("\n".join(first.values()).encode()).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a history went two ways."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replay", description=__doc__)
    parser.add_argument("layers", nargs="*", help=f"which layers: {', '.join(LAYERS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds of each layer (default: 500)")
    parser.add_argument("--lives", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    unknown = [name for name in given.layers if name not in LAYERS]
    if unknown:
        parser.error(f"there is no layer {unknown[0]!r}; there are {', '.join(LAYERS)}")
    if given.lives:
        sys.stdout.write("\n".join(lived(given.layers[0], range(*given.lives))) + "\n")
        return 0
    bad = 0
    for name in given.layers or LAYERS:
        began = time.monotonic()
        wrong, digest = differing(name, range(given.seeds))
        bad += len(wrong)
        for line in wrong[:5]:
            sys.stdout.write(f"  {line}\n")
        sys.stdout.write(
            f"{name}: {given.seeds} seeds, {2 * len(HASH_SEEDS)} lives each, {len(wrong)} went another way; "
            f"all of them: {digest} ({time.monotonic() - began:.0f} s)\n"
        )
        sys.stdout.flush()
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
