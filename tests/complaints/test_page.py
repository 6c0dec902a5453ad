"""docs/complaints.md names every complaint once, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_complaint_has_its_line_and_every_test_named_there_exists() -> None:
    page = (ROOT / "docs" / "complaints.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \|(.*)$", page, re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, 65))
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "complaints").glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))
    for number, line in lines:
        assert f"test_complaint_{number.zfill(2)}_" in line, f"complaint {number} names no test of its own"
        for name in re.findall(r"`(test_\w+)(…?)`", line):
            assert any(test.startswith(name[0]) if name[1] else test == name[0] for test in tests), name
