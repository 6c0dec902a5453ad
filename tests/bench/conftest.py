"""Options of the benchmarks."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person say how many orgs the fleet has, and how many rows are loaded."""
    parser.addoption("--rows", type=int, default=100_000, help="how many rows sfsync and its peers load")
    parser.addoption("--million", type=int, default=1_000_000, help="how many rows the large load has")
    parser.addoption("--fleet", type=int, default=500, help="how many client orgs the bench of the fleet has")
