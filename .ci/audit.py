"""Ask which packages of the lock file have a known vulnerability, and say how many could be asked about.

Run by ``make audit`` with the Python that has pip-audit and nothing of ours. It keeps one law: what nobody could look
up is never called clean.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

CLEAN, FOUND, UNKNOWN = 0, 1, 3


def pinned(lock: str) -> dict[str, str]:
    """Return the version of each package that a lock file pins, by normalised name."""
    lines = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s\\;]+)", lock, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines}


def verdict(wanted: dict[str, str], answer: dict[str, Any] | None) -> tuple[int, list[str]]:
    """Return the exit code and what to print; ``answer`` is pip-audit's JSON, None if it gave none."""
    told = {} if answer is None else {one["name"]: one for one in answer["dependencies"] if "vulns" in one}
    known = {re.sub(r"[-_.]+", "-", name).lower(): one["vulns"] for name, one in told.items()}
    bad = {name: found for name, found in known.items() if found and name in wanted}
    lines = [
        f"{name} {wanted[name]}: {one['id']}"
        + (f", mended in {', '.join(one['fix_versions'])}" if one.get("fix_versions") else ", not mended yet")
        for name, found in sorted(bad.items())
        for one in found
    ]
    silent = sorted(wanted.keys() - known.keys())
    if bad:
        lines.append('mend with: make lock ARGS="--upgrade-package NAME"')
    if silent:
        lines.append(f"NOT LOOKED UP: {len(silent)} of {len(wanted)} packages ({', '.join(silent[:5])}, ...)")
        lines.append("nothing is known of them: no list of vulnerabilities is reached from here; run it where one is")
    lines.append(
        f"{len(wanted) - len(silent)} of {len(wanted)} packages looked up, {len(bad)} with a known vulnerability"
    )
    return (FOUND if bad else UNKNOWN if silent else CLEAN), lines


def main(arguments: Sequence[str]) -> int:
    """Audit a lock file; 0: every package was looked up and is clean, 1: something was found, 3: not all is known."""
    lock, *more = arguments
    with open(lock, encoding="utf-8") as file:
        wanted = pinned(file.read())
    asked = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(
        [*asked, "--format", "json", "--requirement", lock, *more], capture_output=True, text=True, check=False
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    code, lines = verdict(wanted, answer)
    if answer is None:
        last = done.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        lines.insert(0, f"pip-audit: {last[0][:300]}")
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
