"""Every worked case of the contract, and of the files named in SFSYNC_VECTORS (separated by ``:``)."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from sfsync.mapping import load_plans
from sfsync.policy import Policy
from tests.vectors.registry import AREAS, CONTRACT, HERE, Sums, Vector, area, check, differences, read_vectors

for module in sorted(HERE.glob("areas_*.py")):
    importlib.import_module(f"tests.vectors.{module.stem}")

FILES = [
    *sorted(HERE.glob("*.json")),
    *(Path(name) for name in os.environ.get("SFSYNC_VECTORS", "").split(os.pathsep) if name),
]
VECTORS = [(path.name, vector) for path in FILES for vector in read_vectors(path)]


@pytest.mark.parametrize("vector", [v for _, v in VECTORS], ids=[f"{file}:{v.id}:{v.area}" for file, v in VECTORS])
def test_the_contract_holds(vector: Vector) -> None:
    check(vector)


def test_our_default_policy_is_the_contracts() -> None:
    promised = read_vectors(CONTRACT)[0].meta["default_policy"]
    ours = Policy().model_dump(mode="json")
    assert {key: ours.get(key, "missing") for key in promised} == promised


def test_our_offers_are_the_contracts() -> None:
    promised, ours = read_vectors(CONTRACT)[0].plans, load_plans()
    assert promised.packs == ours.packs
    assert {key: plan.targets for key, plan in promised.sla.items()} == {k: p.targets for k, p in ours.sla.items()}


def test_a_sum_of_a_name_that_was_not_expected_fails() -> None:
    assert list(differences({}, Sums({"A": 5, "B": 0}), "then.balance")) == ["then.balance: not expected {'A': 5}"]


def test_an_area_that_nobody_answers_fails() -> None:
    vector = read_vectors(CONTRACT)[0]
    vector.area = "sla.unheard"
    with pytest.raises(AssertionError, match=r"nobody answers the area 'sla\.unheard'"):
        check(vector)


def test_a_key_that_nobody_reads_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AREAS, "sla.due", lambda vector: vector.then)
    vector = next(v for v in read_vectors(CONTRACT) if v.area == "sla.due")
    with pytest.raises(AssertionError, match=r"does not know given\.calendar"):
        check(vector)


def test_an_expected_key_that_is_not_computed_fails() -> None:
    assert list(differences({"due": 1}, {"due_at": 1}, "then")) == [
        "then.due: expected 1, the area computes ['due_at']"
    ]


def test_a_wrong_figure_fails() -> None:
    vector = next(v for v in read_vectors(CONTRACT) if v.id == "S-01")
    vector.then = {"due_at": "2026-11-24T14:00:01-03:00"}
    with pytest.raises(AssertionError, match="expected '2026-11-24T14:00:01-03:00'"):
        check(vector)


def test_an_area_has_one_answer() -> None:
    with pytest.raises(ValueError, match="answered twice"):
        area("sla.due")(lambda _: {})
