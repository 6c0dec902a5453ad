"""The worked cases of the contract as data: reading them, and who answers which area.

A module ``areas_*.py`` in this directory registers one function for each area it knows. The function gets a
``Vector`` and returns everything it can compute; the runner compares what the vector expects with it. Three
things fail loudly: an area nobody answers, a key of ``given`` or ``when`` that the answering function never
read, and an expected key that it did not compute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sfsync.mapping import load_plans
from sfsync.policy import PackPlan, Plans, Policy, SlaPlan, Target

HERE = Path(__file__).resolve().parent
CONTRACT = HERE / "contract.json"


class Sums(dict[str, int]):
    """A sum for each name: what is expected must name every one that is not zero."""


class Asked(Mapping[str, Any]):
    """A mapping that remembers which of its keys were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def unread(self) -> list[str]:
        """Return the keys nobody asked for."""
        return sorted(self._values.keys() - self._read)


@dataclass
class Vector:
    """One worked case: facts, an act, and what the contract says comes of it."""

    id: str
    area: str
    name: str
    meta: Mapping[str, Any]
    given: Asked
    when: Asked
    then: Mapping[str, Any]
    plans: Plans
    """The offers of the file's ``meta``: those of the contract unless it brings numbers of its own."""
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a fact from ``when`` or ``given``; a key that is in both must say the same."""
        if key in self.when and key in self.given and self.when[key] != self.given[key]:
            raise AssertionError(f"{self.id}: {key} is both {self.when[key]!r} and {self.given[key]!r}")
        if key in self.when:
            return self.when[key]
        return self.given.get(key, default)

    def has(self, key: str) -> bool:
        """Return whether a fact is given."""
        return key in self.when or key in self.given

    def policy(self, **more: Any) -> Policy:
        """Return the contract's default policy with what this vector and ``more`` say; unknown keys are refused.

        A key of the policy may stand among the facts too.
        """
        facts = {key: self.get(key) for key in Policy.model_fields if self.has(key)}
        said = {ALSO_CALLED.get(key, key): value for key, value in {**self.overrides, **facts, **more}.items()}
        return Policy.model_validate({**self.meta["default_policy"], **said})


ALSO_CALLED = {"mode": "rounding", "scope": "rounding_scope"}
"""Keys of a vector's policy that ours has under another name."""


def offers(meta: Mapping[str, Any]) -> Plans:
    """Return the plans we ship with the prices, targets and covers of a file's ``meta`` put in."""
    shipped = load_plans()
    packs = {}
    for key, row in meta["packs"].items():
        row = dict(row)
        price = next(name for name in row if re.fullmatch("price_[a-z]{3}_per_pack", name))
        packs[key] = PackPlan(
            name=row.pop("name", key.capitalize()),
            currency=price[6:9].upper(),
            unit_price_amount=Decimal(str(row.pop(price))),
            valid_months=row.pop("validity_months"),
            **row,
        )
    sla: dict[str, SlaPlan] = {}
    for row in meta["sla"]:
        assert row.keys() <= {"plan", "priority", "cover", "target_minutes", "resolution_minutes"}, f"sla: {row}"
        plan = sla.get(row["plan"])
        if plan is None:
            known = shipped.sla.get(row["plan"])
            plan = SlaPlan(name=row["plan"], channels=known.channels if known else (), targets={})
        target = Target(
            cover=row["cover"],
            acknowledge_minutes=row["target_minutes"],
            resolve_minutes=row.get("resolution_minutes"),
        )
        sla[row["plan"]] = plan.model_copy(update={"targets": {**plan.targets, row["priority"]: target}})
    return Plans(packs=packs, covers=shipped.covers, sla=sla, policy=shipped.policy)


Answer = Callable[[Vector], Mapping[str, Any]]
AREAS: dict[str, Answer] = {}


def area(*names: str) -> Callable[[Answer], Answer]:
    """Register the decorated function as the one that answers these areas."""

    def register(answer: Answer) -> Answer:
        for name in names:
            if name in AREAS:
                raise ValueError(f"area {name} is answered twice")
            AREAS[name] = answer
        return answer

    return register


def read_vectors(path: Path) -> list[Vector]:
    """Return the vectors of a file; calendars and policy it does not bring are those of the contract."""
    data = json.loads(path.read_text(encoding="utf-8"))
    meta = json.loads(CONTRACT.read_text(encoding="utf-8"))["meta"]
    for key, value in data.get("meta", {}).items():
        both = isinstance(value, dict) and isinstance(meta.get(key), dict)
        meta[key] = {**meta[key], **value} if both else value
    plans = offers(meta)
    known = {"id", "area", "name", "policy", "given", "when", "then", "rules", "verified_by"}
    vectors = []
    for row in data["vectors"]:
        if row.keys() - known:
            raise ValueError(f"{path.name}: {row.get('id')}: unknown keys {sorted(row.keys() - known)}")
        vectors.append(
            Vector(
                id=row["id"],
                area=row["area"],
                name=row.get("name") or "",
                meta=meta,
                given=Asked(row.get("given") or {}),
                when=Asked(row.get("when") or {}),
                then=row["then"],
                plans=plans,
                overrides=row.get("policy") or {},
            )
        )
    return vectors


def check(vector: Vector) -> None:
    """Answer a vector and raise ``AssertionError`` with every difference."""
    answer = AREAS.get(vector.area)
    assert answer is not None, f"{vector.id}: nobody answers the area {vector.area!r}"
    said = answer(vector)
    unread = [*(f"given.{k}" for k in vector.given.unread()), *(f"when.{k}" for k in vector.when.unread())]
    assert not unread, f"{vector.id}: area {vector.area} does not know {', '.join(unread)}"
    wrong = list(differences(vector.then, said, "then"))
    assert not wrong, f"{vector.id} {vector.name}:\n  " + "\n  ".join(wrong)


def differences(expected: Any, said: Any, at: str) -> Iterator[str]:
    """Yield what differs. Instants are compared as instants, money as Decimal, dates as dates.

    Pairs of a lot and minutes may be expected as pairs, as rows, or as one mapping.
    """
    if isinstance(expected, Mapping) and isinstance(said, list) and all(isinstance(p, list) for p in said):
        yield from differences(dict(expected), dict(said), at)
        if len(expected) != len(said):
            yield f"{at}: expected {dict(expected)!r}, got {said!r}"
    elif isinstance(expected, Mapping) and isinstance(said, list) and len(said) == 2:
        yield from differences(dict(expected), dict(zip(("lot", "minutes"), said, strict=True)), at)
    elif isinstance(expected, Mapping) and isinstance(said, Mapping):
        if isinstance(said, Sums) and (more := {k: n for k, n in said.items() if n and k not in expected}):
            yield f"{at}: not expected {more!r}"
        for key, value in expected.items():
            if key in said:
                yield from differences(value, said[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}: expected {value!r}, the area computes {sorted(map(str, said))}"
    elif isinstance(expected, list) and isinstance(said, list | tuple):
        if len(expected) != len(said):
            yield f"{at}: expected {len(expected)} rows {expected!r}, got {len(said)}: {said!r}"
        for number, (one, other) in enumerate(zip(expected, said, strict=False)):
            yield from differences(one, other, f"{at}[{number}]")
    elif not same(expected, said):
        yield f"{at}: expected {expected!r}, got {said!r}"


def same(expected: Any, said: Any) -> bool:
    """Return whether one expected value equals what was said, by the kind of what was said."""
    if isinstance(said, datetime):
        return isinstance(expected, str) and instant(expected) == said
    if isinstance(said, date):
        return isinstance(expected, str) and date.fromisoformat(expected) == said
    if isinstance(said, Decimal):
        number = isinstance(expected, str | int | float) and not isinstance(expected, bool)
        return number and Decimal(str(expected)) == said
    if isinstance(said, int) and not isinstance(said, bool) and isinstance(expected, float):
        return expected == said
    return type(expected) is type(said) and bool(expected == said)


def instant(text: str) -> datetime:
    """Return an aware instant in whole seconds, as the mirror cuts them; a text without an offset is refused."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return parsed.astimezone(UTC).replace(microsecond=0)
