"""The schema of an org: objects, fields, relationships, rules and permission sets, as plain values.

It may not know SQL, HTTP or any object by name. It keeps one law: names are found without regard to case and handed
out in their canonical case.

Storage convention
------------------
This is what the record layer promises to everybody who writes SQL (the SOQL compiler above all).

* One SQLite database an org, one connection, used under the org's lock. Only committed rows are in the tables: a
  transaction that is held open lives beside the tables as row images and is applied when it commits, with the stamps
  it was given when it wrote. A reader therefore needs no filter to be blind to uncommitted work, and never waits.
* One table per object, named by its API name; one column per stored field, named by its API name. Names are always
  quoted with double quotes (``"Case"``, ``"Group"`` and ``"Order"`` are words of SQL). Tables whose name begins with an
  underscore are the record layer's own.
* Every table has ``"Id" TEXT PRIMARY KEY`` (always 18 characters) and ``"IsDeleted" INTEGER NOT NULL``, the latter even
  when the object has no such field (``User``, ``BusinessHours``): ``WHERE "IsDeleted" = 0`` is always right for a query
  and its absence for queryAll. Recycle-bin rows stay in the table; hard-deleted rows leave it.
* Stored forms by ``Field.type``::

      id, reference                     TEXT, 18 characters, compared by byte
      boolean                           INTEGER 0 or 1, never NULL
      int                               INTEGER
      double, currency, percent         REAL, already rounded half up to the field's scale
      datetime                          INTEGER, unix seconds, UTC
      date                              TEXT 'YYYY-MM-DD'
      time                              TEXT 'HH:MM:SS.000Z'
      multipicklist                     TEXT 'A;B' in the order of the picklist
      base64                            BLOB (rendered as a URL path, never selected as data)
      everything else                   TEXT

* Text that ignores case carries ``COLLATE NOCASE`` in the column (so ``=``, ``IN``, ``LIKE``, ``ORDER BY``,
  ``GROUP BY``, indexes and uniqueness ignore ASCII case by themselves); a field with ``case_sensitive`` has the plain
  binary collation. The empty string is never stored: it is NULL.
* A field with ``stored == False`` has no column. That is a compound (``address``, ``location``; made of the fields
  whose ``compound_name`` names it) or a formula (``formula`` is not None), whose SQL is
  ``sfsync.localorg.formula.sql_expression(schema, sobject, field, alias)``. Read-through fields such as
  ``Case.ContactEmail`` are formulas too. Names of people (``Contact.Name``, ``User.Name``) are stored, kept by the
  writer.
* SQL functions registered on the connection: ``sf_now()`` (unix seconds of the org's clock), ``sf_today()`` (the
  running user's date as text), ``sf_id15(id)``, ``sf_zone_date(unix)`` (date text of an instant in the user's zone).
* Indexes: every external id and unique field, lookups with a child relationship, ``("SystemModstamp", "Id")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

TEXT_TYPES = frozenset(
    {"string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "combobox", "encryptedstring"}
)
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})
COMPOUND_TYPES = frozenset({"address", "location"})
UNGROUPABLE_TYPES = (NUMBER_TYPES - {"int"}) | {"textarea", "multipicklist", "datetime", "time", "base64"}
LONGEST_FILTERABLE_TEXT = 255


class OnDelete(StrEnum):
    """What happens to a row when the row its lookup points to is deleted."""

    SET_NULL = "SetNull"
    RESTRICT = "Restrict"
    CASCADE = "Cascade"
    NOTHING = "Nothing"


@dataclass(frozen=True, slots=True)
class PicklistValue:
    """One value of a picklist: the API ``value``, the ``label`` people see, whether it may still be chosen."""

    value: str
    label: str = ""
    active: bool = True
    default: bool = False

    def __post_init__(self) -> None:
        """Let the label be the value where none is given."""
        if not self.label:
            object.__setattr__(self, "label", self.value)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object, with the attributes that describe shows.

    ``type`` is the describe type. ``default`` is the stored value that an insert without the field gets;
    ``default_formula`` is evaluated instead when given. ``required`` is asked of API writes: it is False for a field
    that the org fills by itself even where describe says ``nillable: false``.
    """

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    digits: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted_on_create: bool = False
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    id_lookup: bool = False
    name_field: bool = False
    auto_number: str | None = None
    formula: str | None = None
    formula_blank_as_zero: bool = False
    default: str | int | float | bool | None = None
    default_formula: str | None = None
    picklist: tuple[PicklistValue, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    child_relationship_name: str | None = None
    on_delete: OnDelete = OnDelete.NOTHING
    master_detail: bool = False
    reparentable: bool = True
    compound_name: str | None = None
    custom: bool = False
    filterable: bool = True
    sortable: bool = True
    groupable: bool = True
    aggregatable: bool = True
    permissionable: bool = False
    html: bool = False
    plain_textarea: bool = False
    history_tracked: bool = False
    help_text: str | None = None
    description: str | None = None
    extra_type_info: str | None = None
    name_pointing: bool = False
    polymorphic: bool = False
    relationship_order: int | None = None
    controller_name: str | None = None
    search_prefilterable: bool = False
    encrypted: bool = False
    byte_length: int | None = None

    @property
    def calculated(self) -> bool:
        """Whether the value comes from a formula and is never written."""
        return self.formula is not None

    @property
    def stored(self) -> bool:
        """Whether the object's table has a column for this field."""
        return self.formula is None and self.type not in COMPOUND_TYPES

    @property
    def required(self) -> bool:
        """Whether an API insert without a value is refused with REQUIRED_FIELD_MISSING."""
        return self.createable and not self.nillable and not self.defaulted_on_create and self.type != "boolean"

    @property
    def is_text(self) -> bool:
        """Whether the stored form is free or chosen text."""
        return self.type in TEXT_TYPES

    @property
    def is_number(self) -> bool:
        """Whether the stored form is a number."""
        return self.type in NUMBER_TYPES


def custom_field(name: str, kind: str, **attributes: object) -> Field:
    """Return a custom field of describe type ``kind`` with the flags a real org derives from the type.

    ``attributes`` override any attribute of ``Field``. Long text (over 255) is not filterable, sortable or groupable;
    a reference ``X__c`` gets the relationship name ``X__r``; formulas and auto-numbers are read-only; a unique or
    external id field can be used in upsert; a master-detail field is required and cascades.
    """
    given = dict(attributes)
    length = int(str(given.get("length", 0)))
    long_text = kind == "textarea" and length > LONGEST_FILTERABLE_TEXT
    derived: dict[str, object] = {
        "label": name.removesuffix("__c").replace("_", " "),
        "custom": True,
        "permissionable": True,
        "filterable": not long_text and kind != "base64",
        "sortable": not long_text and kind not in {"base64", "multipicklist"},
        "groupable": kind not in UNGROUPABLE_TYPES,
        "aggregatable": not long_text and kind not in {"boolean", "multipicklist", "base64"},
    }
    if kind == "boolean":
        derived |= {"nillable": False, "defaulted_on_create": True, "default": False}
    if kind == "reference":
        derived |= {"length": 18, "relationship_name": name.removesuffix("__c") + "__r", "on_delete": OnDelete.SET_NULL}
    if given.get("formula") is not None or given.get("auto_number") is not None:
        derived |= {"createable": False, "updateable": False}
    if given.get("formula") is not None:
        derived |= {"groupable": False}
    if given.get("auto_number") is not None:
        derived |= {"nillable": False, "defaulted_on_create": True, "length": 30, "permissionable": False}
    if given.get("unique") or given.get("external_id"):
        derived["id_lookup"] = True
    if given.get("master_detail"):
        derived |= {
            "nillable": False,
            "on_delete": OnDelete.CASCADE,
            "permissionable": False,
            "updateable": bool(given.get("reparentable", False)),
            "reparentable": False,
        }
    if given.get("nillable") is False:
        derived["permissionable"] = False
    return Field(name=name, type=kind, **(derived | given))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ValidationRule:
    """A formula that must not be true when a record is saved; ``error_field`` is where the message appears."""

    name: str
    formula: str
    message: str
    active: bool = True
    error_field: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record type of an object."""

    id: str
    developer_name: str
    label: str
    active: bool = True
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ChildRelationship:
    """``child`` rows point to the parent by ``field``; ``name`` is None when there is no child subquery for it."""

    child: str
    field: str
    name: str | None
    on_delete: OnDelete


@dataclass(slots=True)
class SObject:
    """An object: its fields in describe order and what may be done with it."""

    name: str
    label: str
    label_plural: str
    key_prefix: str | None
    custom: bool = False
    fields: dict[str, Field] = field(default_factory=dict)
    rules: tuple[ValidationRule, ...] = ()
    record_types: tuple[RecordType, ...] = ()
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    queryable: bool = True
    replicateable: bool = True
    retrieveable: bool = True
    searchable: bool = True
    undeletable: bool = True
    mergeable: bool = False
    layoutable: bool = True
    triggerable: bool = True
    feed_enabled: bool = False
    mru_enabled: bool = True
    custom_setting: bool = False
    history_enabled: bool = False
    history_object: str | None = None
    associate_parent: str | None = None
    associate_type: str | None = None
    tooling: bool = False
    description: str | None = None
    sharing_model: str = "ReadWrite"
    attributes: dict[str, object] = field(default_factory=dict)
    _by_lower: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by lower-case name."""
        self._by_lower = {name.lower(): name for name in self.fields}

    def field(self, name: str) -> Field | None:
        """Return the field called ``name`` in any case, or None."""
        found = self.fields.get(name)
        if found is None:
            canonical = self._by_lower.get(name.lower())
            return None if canonical is None else self.fields[canonical]
        return found

    def put(self, new: Field) -> None:
        """Add ``new``, or replace the field of that name in its place."""
        old = self._by_lower.get(new.name.lower())
        if old is not None and old != new.name:
            del self.fields[old]
        self.fields[new.name] = new
        self._by_lower[new.name.lower()] = new.name

    def drop(self, name: str) -> None:
        """Remove the field called ``name``, if there is one."""
        canonical = self._by_lower.pop(name.lower(), None)
        if canonical is not None:
            del self.fields[canonical]

    def parent(self, relationship_name: str) -> Field | None:
        """Return the lookup whose parent path is called ``relationship_name`` (``Account``, ``Pack__r``), or None."""
        wanted = relationship_name.lower()
        for candidate in self.fields.values():
            if candidate.relationship_name and candidate.relationship_name.lower() == wanted:
                return candidate
        return None

    @property
    def name_field(self) -> Field | None:
        """The field that people read as the record's name."""
        for candidate in self.fields.values():
            if candidate.name_field:
                return candidate
        return None

    @property
    def has_bin(self) -> bool:
        """Whether deleted rows go to the recycle bin (the object shows IsDeleted)."""
        return "IsDeleted" in self.fields

    @property
    def stamp_field(self) -> str | None:
        """The field that says when a row last changed: SystemModstamp, else LastModifiedDate, else CreatedDate."""
        return next((n for n in ("SystemModstamp", "LastModifiedDate", "CreatedDate") if n in self.fields), None)

    def stored_fields(self) -> list[Field]:
        """Return the fields that have a column, in describe order."""
        return [f for f in self.fields.values() if f.stored]


class Schema:
    """The objects of an org, or of an org as one user may see it."""

    def __init__(self, objects: Iterable[SObject] = ()) -> None:
        self._objects: dict[str, SObject] = {}
        self._by_prefix: dict[str, str] = {}
        self._children: dict[str, list[ChildRelationship]] | None = None
        for each in objects:
            self.put(each)

    def __iter__(self) -> Iterator[SObject]:
        """Iterate over the objects in the order they were added."""
        return iter(self._objects.values())

    def __contains__(self, name: str) -> bool:
        """Return whether there is an object called ``name`` in any case."""
        return name.lower() in self._objects

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._objects)

    def get(self, name: str) -> SObject | None:
        """Return the object called ``name`` in any case, or None."""
        return self._objects.get(name.lower())

    def __getitem__(self, name: str) -> SObject:
        """Return the object called ``name`` in any case; KeyError when there is none."""
        return self._objects[name.lower()]

    def by_prefix(self, prefix: str) -> SObject | None:
        """Return the object whose ids begin with ``prefix`` (three characters, case matters), or None."""
        name = self._by_prefix.get(prefix)
        return None if name is None else self._objects[name]

    def put(self, sobject: SObject) -> None:
        """Add ``sobject``, or replace the object of that name."""
        self._objects[sobject.name.lower()] = sobject
        if sobject.key_prefix:
            self._by_prefix.setdefault(sobject.key_prefix, sobject.name.lower())
        self._children = None

    def put_field(self, object_name: str, new: Field) -> None:
        """Add or replace a field of an object that exists."""
        self[object_name].put(new)
        self._children = None

    def drop(self, name: str) -> None:
        """Remove the object called ``name``, if there is one."""
        gone = self._objects.pop(name.lower(), None)
        if gone is not None and gone.key_prefix and self._by_prefix.get(gone.key_prefix) == name.lower():
            del self._by_prefix[gone.key_prefix]
        self._children = None

    def drop_field(self, object_name: str, name: str) -> None:
        """Remove a field of an object that exists."""
        self[object_name].drop(name)
        self._children = None

    def copy(self) -> Schema:
        """Return an equal schema whose objects can be changed without changing these."""
        return Schema(replace(each, fields=dict(each.fields)) for each in self)

    def children(self, object_name: str) -> list[ChildRelationship]:
        """Return the child relationships of an object, in the order of the child objects."""
        if self._children is None:
            found: dict[str, list[ChildRelationship]] = {}
            for each in self:
                for one in each.fields.values():
                    for target in one.reference_to:
                        found.setdefault(target.lower(), []).append(
                            ChildRelationship(each.name, one.name, one.child_relationship_name, one.on_delete)
                        )
            self._children = found
        return self._children.get(object_name.lower(), [])

    def child(self, object_name: str, relationship_name: str) -> ChildRelationship | None:
        """Return the child relationship called ``relationship_name`` (``Cases``, ``Time_Entries__r``), or None."""
        wanted = relationship_name.lower()
        for each in self.children(object_name):
            if each.name is not None and each.name.lower() == wanted:
                return each
        return None

    def restricted(self, visible: Mapping[str, frozenset[str] | None]) -> Schema:
        """Return the schema a user sees: objects missing from ``visible`` are gone, None keeps all of their fields."""
        kept = []
        for each in self:
            if each.name not in visible:
                continue
            names = visible[each.name]
            fields = each.fields if names is None else {n: f for n, f in each.fields.items() if n in names}
            kept.append(replace(each, fields=dict(fields)))
        return Schema(kept)


@dataclass(frozen=True, slots=True)
class ObjectPermission:
    """What a permission set or profile lets its users do with an object."""

    read: bool = False
    create: bool = False
    edit: bool = False
    delete: bool = False
    view_all: bool = False
    modify_all: bool = False


@dataclass(frozen=True, slots=True)
class FieldPermission:
    """Whether a permission set or profile lets its users see and change a field."""

    readable: bool = False
    editable: bool = False


@dataclass(slots=True)
class PermissionSet:
    """A permission set as deployed; field keys are ``Object.Field``, object keys are API names."""

    name: str
    label: str
    description: str | None = None
    objects: dict[str, ObjectPermission] = field(default_factory=dict)
    fields: dict[str, FieldPermission] = field(default_factory=dict)
    custom_permissions: frozenset[str] = frozenset()
    user_permissions: frozenset[str] = frozenset()
    is_profile: bool = False


@dataclass(slots=True)
class SchemaChange:
    """What a metadata deploy changes, applied all together or not at all by ``LocalOrg.schema_change``.

    ``objects`` are whole new custom objects (system fields and key prefix are filled in when missing) or replaced
    attributes of one that exists; fields not named keep their place. ``fields`` and ``rules`` are (object, value) pairs
    for objects that exist or are in ``objects``.
    """

    objects: list[SObject] = field(default_factory=list)
    fields: list[tuple[str, Field]] = field(default_factory=list)
    rules: list[tuple[str, ValidationRule]] = field(default_factory=list)
    record_types: list[tuple[str, RecordType]] = field(default_factory=list)
    permission_sets: list[PermissionSet] = field(default_factory=list)
    custom_permissions: list[str] = field(default_factory=list)
    removed_objects: list[str] = field(default_factory=list)
    removed_fields: list[tuple[str, str]] = field(default_factory=list)
    removed_rules: list[tuple[str, str]] = field(default_factory=list)
    removed_permission_sets: list[str] = field(default_factory=list)
