"""A load alone in its process, so that its memory is its own: ``python -m tests.bench.loading SETTINGS [whole]``.

Runs the line of the one org in the settings: up to where everything was read and absorbed, or the whole of it. Prints
what it did as one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from sfsync.runtime import Runtime
from sfsync.settings import load

ORG = "acme"


class EnoughError(Exception):
    """Everything was read and absorbed; the rest of the line is not wanted."""


def main() -> None:
    """Load, and say how it went."""
    whole = sys.argv[2:] == ["whole"]
    reached: dict[str, float] = {}

    def step(name: str) -> None:
        reached[name] = time.perf_counter()
        reached[f"own {name}"] = time.process_time()
        if name == "evaluate" and not whole:
            raise EnoughError

    report = None
    with Runtime.open(load(Path(sys.argv[1]), {"HOME": "/"})) as runtime, suppress(EnoughError):
        report = runtime.sync(ORG, step=step)
    print(  # noqa: T201
        json.dumps(
            {
                "seconds": reached["evaluate"] - reached["preflight"],
                "own_seconds": reached["own evaluate"] - reached["own preflight"],
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
                **({"read": report.read, "absorbed": report.absorbed, "wrote": report.wrote} if report else {}),
            }
        )
    )


if __name__ == "__main__":
    main()
