"""Options of the benchmarks."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person say how many orgs the fleet has."""
    parser.addoption("--fleet", type=int, default=100, help="how many client orgs the bench of the fleet has")
