"""The mapping: one declaration a field, read by extract, translate, merge, plan, preflight and metadata.

Loads ``mappings/*.yaml``, ``plans.yaml`` and the client overlays into frozen values. This module may
not know orgs, stores or rules. It keeps one law: data only, unknown keys refused, and every error
names file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sfsync.errors import ConfigError, MappingError, Place, PolicyError
from sfsync.policy import ClientTerms, HolidayChoice, Plans, Policy
from sfsync.records import RECORDS, Record, field_names

Owner = Literal["org", "service", "shared"]
OnConflict = Literal["org", "store", "newest", "client", "hub"]
Side = Literal["client", "hub"]
"""Which of a client's two orgs, where the consultancy works in an org of its own: the hub."""

OBJECT_FILES = ("account", "pack", "adjustment", "case", "estimate", "time_entry", "summary", "summary_line")
"""The standard shape, parents before children: also the order in which records are written."""

API_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
_TYPE = re.compile(r"^(?P<kind>[a-z]+)(?:\((?P<args>[^()]*)\)|\[(?P<values>[^\[\]]*)\])?$")


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field holds on both sides.

    ``hours`` is integer minutes in the store and decimal hours in the org; ``lookup`` is the key of
    a record in the store and its id in the org; ``user`` is a user's id on both sides.
    """

    kind: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    values: tuple[str, ...] = ()
    target: str = ""
    format: str = ""

    @classmethod
    def parse(cls, text: str) -> FieldType:
        """Return the type written as ``text``, e.g. ``decimal(9,2)``; ValueError if there is none such."""
        match = _TYPE.match(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a type; write for example text(255) or picklist[New, Done]")
        kind, args, values = match["kind"], match["args"], match["values"]
        if kind in ("date", "datetime", "checkbox", "user") and args is None and values is None:
            return cls(kind)
        if kind == "picklist" and args is None:
            return cls(kind, values=tuple(v.strip() for v in values.split(",")) if values else ())
        if kind in ("text", "textarea", "longtext") and args:
            return cls(kind, length=int(args))
        if kind == "integer" and args:
            return cls(kind, precision=int(args))
        if kind in ("decimal", "hours") and args and args.count(",") == 1:
            precision, scale = (int(part) for part in args.split(","))
            if not 0 <= scale <= precision <= 18:
                raise ValueError(f"{text!r}: Salesforce numbers have at most 18 digits")
            return cls(kind, precision=precision, scale=scale)
        if kind == "lookup" and args:
            return cls(kind, target=args)
        if kind == "autonumber" and args and "{0" in args:
            return cls(kind, format=args)
        raise ValueError(
            f"{text!r} is not a type; there are text(n), textarea(n), longtext(n), integer(n), decimal(p,s), "
            "hours(p,s), date, datetime, checkbox, user, picklist, picklist[a, b], lookup(Object), autonumber(X-{0000})"
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(_Strict):
    """A field as it is written in a mapping file."""

    api: Annotated[str, Field(pattern=API_NAME, description="API name of the field in the org")]
    type: Annotated[str, Field(description="text(255), integer(5), hours(9,2), picklist[New, Done], lookup(Case), ...")]
    owner: Annotated[Owner, Field(description="who may change it: org (people), service (sfsync), shared (both)")]
    label: Annotated[str | None, Field(description="label in the org; derived from the API name if absent")] = None
    help: Annotated[str | None, Field(description="help text people see in the org", max_length=510)] = None
    required: bool = False
    history: Annotated[bool, Field(description="track the field's history in the org")] = False
    on_conflict: Annotated[OnConflict, Field(description="who wins when both sides changed a shared field")] = "org"
    formula: Annotated[
        str | None, Field(description="formula in the org: read only, does not move the record's stamp")
    ] = None
    default: Annotated[str | None, Field(description="default value formula in the org")] = None
    people: Annotated[
        Literal["client", "hub", "both"] | None,
        Field(description="with a hub: in which org people change it; default: the object's people"),
    ] = None
    only: Annotated[
        Literal["client", "hub", "mirrored", "copy"] | None,
        Field(description="client, hub: never in the other org; mirrored: only with a hub; copy: only on a copy"),
    ] = None
    hub_api: Annotated[str | None, Field(pattern=API_NAME, description="API name in the hub, where it differs")] = None


class EventsSpec(_Strict):
    """Child rows that tell who did what on a record, read together with it."""

    history: Annotated[str | None, Field(pattern=API_NAME)] = None
    comments: Annotated[str | None, Field(pattern=API_NAME)] = None
    emails: Annotated[str | None, Field(pattern=API_NAME)] = None


class ObjectSpec(_Strict):
    """A mapping file: one object of the org and the record it becomes."""

    object: Annotated[str, Field(pattern=API_NAME)]
    record: str
    label: str
    plural: str
    prefix: Annotated[str, Field(pattern=r"^[a-z]{2,4}$", description="first part of each key")]
    key: Annotated[str | None, Field(pattern=API_NAME, description="external id field; absent where people create")] = (
        None
    )
    name: Annotated[str | None, Field(description="type of the Name field of a custom object")] = None
    description: str | None = None
    events: EventsSpec | None = None
    born: Annotated[
        Literal["client", "hub", "service"],
        Field(description="with a hub: in which org people create it, or service; elsewhere it is a copy"),
    ] = "service"
    people: Annotated[
        Literal["client", "hub", "both"], Field(description="with a hub: in which org people change its fields")
    ] = "client"
    about: Annotated[str | None, Field(description="lookup to the record that says, in a hub, whose it is")] = None
    copied_unless: Annotated[
        dict[str, list[str | bool]],
        Field(description="with a hub: field and values with which a record is not brought to the other org"),
    ] = Field(default_factory=dict)
    fields: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], FieldSpec]


class FieldOverlay(_Strict):
    """What a client overlay may change of one field."""

    api: Annotated[str | None, Field(pattern=API_NAME)] = None
    skip: bool = False


class ObjectOverlay(_Strict):
    """What a client overlay may change of one object."""

    skip: bool = False
    fields: dict[str, FieldOverlay] = Field(default_factory=dict)


class ClientSpec(_Strict):
    """A client overlay: names, zone, plan, holidays, policy numbers; never logic."""

    client: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    name: str
    time_zone: str
    sla_plan: str | None = None
    sla_plan_from: dict[date, str | None] = Field(default_factory=dict)
    holidays: HolidayChoice = HolidayChoice()
    languages: tuple[Literal["en", "es", "ro"], ...] = ("en",)
    policy: dict[str, Any] = Field(default_factory=dict)
    mapping: dict[str, ObjectOverlay] = Field(default_factory=dict)


@dataclass(frozen=True)
class MappedField:
    """One mapping line, ready to be read."""

    name: str
    api: str
    type: FieldType
    owner: Owner
    label: str
    help: str
    required: bool
    history: bool
    on_conflict: OnConflict
    formula: str | None
    default: str | None
    people: Literal["client", "hub", "both"] = "client"
    only: Literal["client", "hub", "mirrored", "copy"] | None = None
    hub_api: str | None = None
    read: bool = True
    """False for a field that is brought to the org and never read: the other org says what it holds."""
    initial: bool = False
    """True for a field of people in a hub: the service writes it once, when it brings the record there."""

    @property
    def standard(self) -> bool:
        """True for a field that Salesforce ships, which is never deployed."""
        return not self.api.endswith("__c")

    @property
    def relationship(self) -> str:
        """Name under which a lookup's parent is reached: ``Pack__c`` gives ``Pack__r``."""
        return self.api[:-1] + "r" if self.api.endswith("__c") else self.api.removesuffix("Id")

    @property
    def writable(self) -> bool:
        """True if the service may ever write it."""
        return self.owner != "org" and self.formula is None


@dataclass(frozen=True)
class ObjectMapping:
    """One object of the org and the record it becomes."""

    name: str
    """Name of the mapping, e.g. ``time_entry``."""
    object: str
    record: type[Record]
    label: str
    plural: str
    prefix: str
    key: str | None
    name_type: FieldType | None
    description: str
    events: EventsSpec
    fields: Mapping[str, MappedField]
    born: Literal["client", "hub", "service"] = "service"
    about: str | None = None
    copied_unless: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    copy: bool = False
    """In this org the record is a copy: its deletion here says nothing about the record."""
    mirrored: bool = False
    """The record is in two orgs: what the service writes in this one may be what a person did in the other."""
    client: str = ""
    """In a hub: the client whose records these are; its name stands in front of every external id."""
    whose: str = ""
    """In a hub, of records that people create: path to the external id of the record they are about."""

    def external(self, key: str) -> str:
        """Return the external id that a record with this key carries in the org."""
        return f"{self.client}/{key}" if self.client else key

    @cached_property
    def typed(self) -> frozenset[str]:
        """Names of mapped fields that are attributes of the record; the rest live in ``extra``."""
        return frozenset(self.fields) & frozenset(field_names(self.record))

    @cached_property
    def lookups(self) -> Mapping[str, str]:
        """Name of each lookup field to the object it points at."""
        return {f.name: f.type.target for f in self.fields.values() if f.type.kind == "lookup"}

    @cached_property
    def converted(self) -> tuple[tuple[str, FieldType], ...]:
        """Name and type of the fields whose value in the store has another form than the org's."""
        kinds = ("hours", "decimal", "date", "datetime", "lookup")
        return tuple((f.name, f.type) for f in self.fields.values() if f.type.kind in kinds)

    @property
    def custom(self) -> bool:
        """True for an object that the metadata brings."""
        return self.object.endswith("__c")


@dataclass(frozen=True)
class Mappings:
    """Every mapped object of one client in one org, parents before children."""

    objects: Mapping[str, ObjectMapping]
    declared: Mapping[str, ObjectMapping] = field(default_factory=dict, repr=False, compare=False)
    """Every line of the files, those for other kinds of org too."""
    by_object: Mapping[str, ObjectMapping] = field(init=False)
    by_record: Mapping[str, ObjectMapping] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_object", {m.object: m for m in self.objects.values()})
        object.__setattr__(self, "by_record", {m.record.__name__: m for m in self.objects.values()})

    def __iter__(self) -> Iterator[ObjectMapping]:
        return iter(self.objects.values())

    def __getitem__(self, name: str) -> ObjectMapping:
        return self.objects[name]


@dataclass(frozen=True)
class Client:
    """One client: its terms and its mappings."""

    terms: ClientTerms
    mappings: Mappings
    """Of its own org, where people of both sides work."""
    mirrored: Mappings
    """Of its own org, where the consultancy works in a hub."""
    hub: Mappings
    """Of its part of a hub; what an overlay renames in the client's own org has no say there."""


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml reads the files ten times as fast; the marks and the values are the same."""

# --- YAML with places -------------------------------------------------------------------------------


class _Lines:
    """A YAML document and the line of each of its keys."""

    def __init__(self, file: str, text: str, error: type[ConfigError]) -> None:
        self.file, self._error = file, error
        self._lines: dict[tuple[str | int, ...], int] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)
            if node is None:
                raise error("the file is empty", Place(file, 1))
            self._walk(node, ())
            self.data: Any = yaml.load(text, Loader=_Loader)
        except yaml.MarkedYAMLError as bad:
            line = bad.problem_mark.line + 1 if bad.problem_mark else None
            raise error(f"not valid YAML: {bad.problem or bad.context}", Place(file, line)) from None
        if not isinstance(self.data, dict):
            raise error("expected keys and values", Place(file, 1))

    def _walk(self, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                here = (*path, str(key.value))
                if key.value in seen:
                    raise self._error(
                        "this key stands here twice", Place(self.file, key.start_mark.line + 1, _dotted(here))
                    )
                seen.add(key.value)
                self._lines[here] = key.start_mark.line + 1
                self._walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*path, index))

    def place(self, *path: str | int) -> Place:
        """Return the place of ``path``, or of the nearest key above it."""
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        return Place(self.file, self._lines.get(known), _dotted(path) or None)

    def fail(self, message: str, *path: str | int) -> ConfigError:
        """Return the error to raise about ``path``."""
        return self._error(message, self.place(*path))

    def invalid(self, bad: ValidationError) -> ConfigError:
        """Return the first finding of ``bad`` as one sentence with its place."""
        first = bad.errors()[0]
        path = tuple(part for part in first["loc"] if part != "[key]")
        message = {"extra_forbidden": "there is no such key", "missing": "this key is missing"}.get(
            first["type"], str(first["msg"]).removeprefix("Value error, ")
        )
        if first["type"] not in ("extra_forbidden", "missing") and not isinstance(first["input"], dict | list):
            message += f" (it says {first['input']!r})"
        return self.fail(message, *path)


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path)


def _read(directory: Path, name: str, error: type[ConfigError]) -> _Lines:
    path = directory / name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as bad:
        raise error(f"cannot be read: {bad.strerror}", Place(_shown(path))) from None
    except UnicodeDecodeError:
        raise error("is not UTF-8 text", Place(_shown(path))) from None
    return _Lines(_shown(path), text, error)


def _shown(path: Path) -> str:
    """Return ``path`` as a person would name it: from the project's top where possible."""
    parts = path.parts
    return "/".join(parts[parts.index("mappings") :]) if "mappings" in parts else str(path)


# --- loading ----------------------------------------------------------------------------------------


def standard_directory() -> Path:
    """Return the directory of the mappings that ship with sfsync."""
    return Path(str(resources.files("mappings")))


def load_mappings(directory: Path | None = None) -> Mappings:
    """Return the standard shape; MappingError names file, line and key of the first thing wrong."""
    directory = directory or standard_directory()
    objects = {}
    for name in OBJECT_FILES:
        objects[name] = _load_object(directory, name)
    declared = Mappings(objects)
    for mapping in declared:
        for lookup, target in mapping.lookups.items():
            if target not in declared.by_object and target not in ("Account", "User", "Contact"):
                lines = _read(directory, f"{mapping.name}.yaml", MappingError)
                raise lines.fail(f"lookup({target}): no mapping file has that object", "fields", lookup, "type")
    return alone(objects)


def _load_object(directory: Path, name: str) -> ObjectMapping:
    lines = _read(directory, f"{name}.yaml", MappingError)
    try:
        spec = ObjectSpec.model_validate(lines.data)
    except ValidationError as bad:
        raise lines.invalid(bad) from None
    if spec.record not in RECORDS:
        raise lines.fail(f"no record is called {spec.record!r}; there are {', '.join(RECORDS)}", "record")
    seen: dict[str, str] = {}
    fields = {}
    for field_name, written in spec.fields.items():
        if written.api.lower() in seen:
            raise lines.fail(
                f"{written.api} is already the field {seen[written.api.lower()]!r}", "fields", field_name, "api"
            )
        seen[written.api.lower()] = field_name
        try:
            kind = FieldType.parse(written.type)
        except ValueError as bad:
            raise lines.fail(str(bad), "fields", field_name, "type") from None
        if written.formula and written.owner != "org":
            raise lines.fail("a formula is computed by the org: its owner is org", "fields", field_name, "owner")
        both = written.owner != "service" and not written.formula and (written.people or spec.people) == "both"
        if both and written.on_conflict not in ("client", "hub"):
            message = "people change it in both orgs: say who wins with on_conflict: client, or hub"
            raise lines.fail(message, "fields", field_name, "on_conflict")
        fields[field_name] = MappedField(
            name=field_name,
            api=written.api,
            type=kind,
            owner=written.owner,
            label=written.label or written.api.removesuffix("__c").replace("_", " "),
            help=written.help or "",
            required=written.required,
            history=written.history,
            on_conflict=written.on_conflict,
            formula=written.formula,
            default=written.default,
            people=written.people or spec.people,
            only=written.only,
            hub_api=written.hub_api,
        )
    if spec.about is not None and (spec.about not in fields or fields[spec.about].type.kind != "lookup"):
        raise lines.fail(f"{spec.about!r} is no lookup of this object", "about")
    if unknown := [name for name in spec.copied_unless if name not in fields]:
        raise lines.fail("there is no such field", "copied_unless", unknown[0])
    if spec.events and spec.events.history and not any(f.history for f in fields.values()):
        raise lines.fail("no field of this object has history: true", "events", "history")
    return ObjectMapping(
        name=name,
        object=spec.object,
        record=RECORDS[spec.record],
        label=spec.label,
        plural=spec.plural,
        prefix=spec.prefix,
        key=spec.key,
        name_type=FieldType.parse(spec.name) if spec.name else None,
        description=spec.description or "",
        events=spec.events or EventsSpec(),
        fields=fields,
        born=spec.born,
        about=spec.about,
        copied_unless={name: tuple(values) for name, values in spec.copied_unless.items()},
    )


# --- what a line means in which org -------------------------------------------------------------------


def alone(declared: Mapping[str, ObjectMapping]) -> Mappings:
    """Return the mappings of a client's only org: people of both sides work in it."""
    objects = {}
    for name, mapping in declared.items():
        fields = {
            n: replace(line, on_conflict=_winner(line, "client"))
            for n, line in mapping.fields.items()
            if line.only in (None, "client")
        }
        objects[name] = replace(mapping, fields=fields, copied_unless={})
    return Mappings(objects, declared)


def beside_hub(declared: Mapping[str, ObjectMapping]) -> Mappings:
    """Return the mappings of a client's own org whose consultants work in a hub."""
    return Mappings({name: _on_side(mapping, "client") for name, mapping in declared.items()}, declared)


def in_hub(declared: Mapping[str, ObjectMapping], client: str) -> Mappings:
    """Return the mappings of the part of a hub that is this client's."""
    made = {name: replace(_on_side(mapping, "hub"), client=client) for name, mapping in declared.items()}
    keys = {mapping.object: mapping.key for mapping in made.values()}
    for name, mapping in made.items():
        if mapping.about is not None and not mapping.copy:
            line = mapping.fields[mapping.about]
            made[name] = replace(mapping, whose=f"{line.relationship}.{keys[line.type.target]}")
    return Mappings(made, declared)


KEY = "Sfsync_Key__c"
"""External id of every record in a hub, also of those that have none in the client's own org."""


def _on_side(mapping: ObjectMapping, side: Side) -> ObjectMapping:
    copy = mapping.born != side and not (mapping.born == "service" and side == "client")
    fields = {}
    for name, line in mapping.fields.items():
        one = _line_on_side(line, side, copy)
        if one is not None:
            fields[name] = replace(one, required=True) if side == "hub" and name == mapping.about else one
    events, key = mapping.events, mapping.key
    if side == "hub":  # the client does not see what is said in the hub, so nobody is answered by it
        events, key = EventsSpec(history=events.history), key or KEY
    return replace(mapping, fields=fields, copy=copy, mirrored=True, key=key, events=events)


def _line_on_side(line: MappedField, side: Side, copy: bool) -> MappedField | None:
    """Return what a line means in one of the two orgs; None if it does not stand there.

    Where people do not change a field, the service writes there what the other org says. What no service can write
    (a number the org counts, a formula, a user of the other org) is not read there either.
    """
    if line.only not in (None, "mirrored", side) and not (line.only == "copy" and copy):
        return None
    if side == "hub" and line.hub_api is not None:
        line = replace(line, api=line.hub_api)
    if line.owner == "service":
        return line
    if line.people == "both":
        written = line.formula is None
        return replace(line, owner="shared", on_conflict=_winner(line, side)) if written else line
    if line.people == side:
        initial = side == "hub" and line.formula is None and line.type.kind not in ("autonumber", "user")
        return replace(line, initial=initial)
    if line.formula is not None:
        return replace(line, read=False)
    if line.type.kind in ("autonumber", "user"):
        return None
    return replace(line, owner="service", default=None)


def _winner(line: MappedField, side: Side) -> OnConflict:
    """Return who wins in an org of this side: ``client`` and ``hub`` are the same whichever org is read first."""
    if line.on_conflict not in ("client", "hub"):
        return line.on_conflict
    return "org" if line.on_conflict == side else "store"


def load_plans(directory: Path | None = None) -> Plans:
    """Return what ``plans.yaml`` promises; PolicyError names file, line and key of the first thing wrong."""
    lines = _read(directory or standard_directory(), "plans.yaml", PolicyError)
    try:
        return Plans.model_validate(lines.data)
    except ValidationError as bad:
        raise lines.invalid(bad) from None


def load_client(path: Path, mappings: Mappings, plans: Plans) -> Client:
    """Return the client that the overlay at ``path`` describes, on top of the standard shape.

    Raises MappingError or PolicyError naming file, line and key.
    """
    lines = _read(path.parent, path.name, MappingError)
    try:
        spec = ClientSpec.model_validate(lines.data)
    except ValidationError as bad:
        raise lines.invalid(bad) from None
    if spec.client != path.stem:
        raise lines.fail(f"the file is called {path.name}, so the client is {path.stem!r}", "client")
    if spec.sla_plan is not None and spec.sla_plan not in plans.sla:
        raise lines.fail(f"there is no SLA plan {spec.sla_plan!r}; there are {', '.join(plans.sla)}", "sla_plan")
    for plan in spec.sla_plan_from.values():
        if plan is not None and plan not in plans.sla:
            known = ", ".join(plans.sla)
            raise lines.fail(f"there is no SLA plan {plan!r}; there are {known}", "sla_plan_from")
    try:
        ZoneInfo(spec.time_zone)
    except (KeyError, ValueError, OSError):
        raise lines.fail(f"{spec.time_zone!r} is no time zone", "time_zone") from None
    try:
        policy = Policy.model_validate({**plans.policy.model_dump(), **spec.policy})
    except ValidationError as bad:
        first = bad.errors()[0]
        known = "there is no such key" if first["type"] == "extra_forbidden" else str(first["msg"])
        raise PolicyError(known, lines.place("policy", *first["loc"])) from None
    terms = ClientTerms(
        client=spec.client,
        name=spec.name,
        time_zone=spec.time_zone,
        sla_plan=spec.sla_plan,
        sla_plan_from=spec.sla_plan_from,
        holidays=spec.holidays,
        languages=spec.languages,
        policy=policy,
    )
    declared = _overlaid(mappings.declared, spec, lines)
    return Client(terms, alone(declared), beside_hub(declared), in_hub(mappings.declared, spec.client))


def _overlaid(declared: Mapping[str, ObjectMapping], spec: ClientSpec, lines: _Lines) -> Mapping[str, ObjectMapping]:
    objects = dict(declared)
    for name, overlay in spec.mapping.items():
        if name not in objects:
            raise lines.fail(f"there is no mapping {name!r}; there are {', '.join(objects)}", "mapping", name)
        fields = dict(objects[name].fields)
        for field_name, change in overlay.fields.items():
            if field_name not in fields:
                raise lines.fail(f"{name} has no field {field_name!r}", "mapping", name, "fields", field_name)
            if change.skip and fields[field_name].required:
                raise lines.fail("a required field cannot be switched off", "mapping", name, "fields", field_name)
            if change.skip:
                del fields[field_name]
            elif change.api:
                fields[field_name] = replace(fields[field_name], api=change.api)
        objects[name] = replace(objects[name], fields=fields)
        if overlay.skip:
            del objects[name]
    return objects


def load_clients(directory: Path, mappings: Mappings, plans: Plans) -> dict[str, Client]:
    """Return each client that has an overlay ``*.yaml`` in ``directory``, by its name."""
    return {path.stem: load_client(path, mappings, plans) for path in sorted(directory.glob("*.yaml"))}


def editor_schema() -> dict[str, Any]:
    """Return the JSON schema of a mapping file, for editors."""
    schema = ObjectSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "sfsync mapping file"
    return schema
