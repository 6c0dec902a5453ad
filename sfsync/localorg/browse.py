"""The pages a person can look at: the objects of an org, their list views, and one record with all that hangs on it.

It may not write, and what it shows of a record is hostile text. It keeps one law: the pages answer without a token, so
they answer nobody who is not on this machine, unless the world was opened with ``control``.

The paths are those that Salesforce itself has, so a link to a record opens here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from sfsync.localorg import ids, soql
from sfsync.localorg.access import Actor
from sfsync.localorg.errors import ApiError, not_found
from sfsync.localorg.face import Call, Response, Routes
from sfsync.localorg.list_views import SYSTEM_FIELDS, ListView, everything, first_columns, layout_sections, list_views
from sfsync.localorg.query import view_of
from sfsync.localorg.rest import shown
from sfsync.localorg.schema import ChildRelationship, Field, SObject

routes = Routes()
ROWS = 50
MOST_OFFSET = 2_000  # as SOQL allows
RELATED_ROWS = 10
HISTORY_ROWS = 100
LONGEST_CELL = 90
_HEADERS = [
    ("Content-Type", "text/html;charset=UTF-8"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as people read it, the value as the API gives it, and the page it leads to."""

    text: str
    raw: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under labels; ``refusal`` is what the org said instead of rows."""

    labels: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    refusal: str = ""


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("sfsync.localorg", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# Who may look


def may_look(call: Call) -> bool:
    """Return whether a request without a token may see the pages: in process, with control, or from this machine.

    The host must be one of ours too, or a page elsewhere could have its own name lead here and read along.
    """
    request = call.request
    if not request.wire or call.world.control:
        return True
    name = request.hostname
    ours = name in ("localhost", "127.0.0.1", "[::1]") or name.endswith((".localhost", ".salesforce.com"))
    return ours and _is_loopback(request.peer)


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


Page = Callable[["Look"], Response]


def _page(template: str, summary: str) -> Callable[[Page], Page]:
    """Register a page: it runs as the user named by ``?as=``, the administrator when none is."""

    def register(function: Page) -> Page:
        def guarded(call: Call) -> Response:
            if not may_look(call):
                raise not_found()
            look = Look(call, call.org.admin)
            try:
                look = Look(call, call.org.actor(call.request.query.get("as") or call.org.admin_id))
                call.user = look.actor
                with call.org.running_as(look.actor):
                    return function(look)
            except ApiError as error:
                return look.page("refused.html", status=error.status, title=error.code, message=error.message)

        routes.on("GET", template, summary, session=False, cost=0)(guarded)
        return function

    return register


# One look


@dataclass(slots=True)
class Look:
    """One request for a page, with the user whose eyes it is seen with."""

    call: Call
    actor: Actor

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page made of a template."""
        org, request = self.call.org, self.call.request
        port = request.host[len(request.hostname) :]
        body = (
            _templates()
            .get_template(template)
            .render(
                org=org,
                home=self.link("/"),
                orgs=[(n, f"{request.scheme}://{n}.localhost{port}/") for n in self.call.world.orgs if n != org.name],
                actor=self.actor,
                now=org.now().astimezone(self.actor.zone).strftime("%d %b %Y, %H:%M"),
                zone=self.actor.zone.key,
                **values,
            )
        )
        return Response(status, body.encode(), list(_HEADERS))

    def link(self, path: str, **query: str | int | None) -> str:
        """Return the address of a page, seen by the same user."""
        asked = {k: str(v) for k, v in query.items() if v not in (None, "", 0)}
        seen_by = self.call.request.query.get("as")
        asked |= {"as": seen_by} if seen_by else {}
        return quote(path) + (f"?{urlencode(asked)}" if asked else "")

    def list_link(self, sobject: SObject, **query: str | int | None) -> str:
        """Return the address of the list of an object."""
        return self.link(f"/lightning/o/{sobject.name}/list", **query)

    def record_link(self, sobject: SObject, record_id: str) -> str:
        """Return the address of a record."""
        return self.link(f"/lightning/r/{sobject.name}/{record_id}/view")

    def sobject(self, name: str) -> SObject:
        """Return an object that the user sees; NOT_FOUND otherwise."""
        found = self.actor.schema.get(name)
        if found is None or found.tooling:
            raise not_found(f"{self.actor.name} sees no object called {name}")
        return found

    def ask(self, statement: str) -> soql.Result:
        """Return the answer to a statement, as the user would get it."""
        view = view_of(self.call, include_deleted=False)
        return soql.run(self.call.org.storage.db, statement, view)

    def count(self, sobject: SObject, where: str = "") -> int:
        """Return how many rows the user sees."""
        return self.ask(f"SELECT COUNT() FROM {sobject.name}{' WHERE ' + where if where else ''}").total_size

    # Values

    def table(
        self, sobject: SObject, columns: Sequence[Field], where: str, order: str, limit: int, offset: int = 0
    ) -> Table:
        """Return rows as a table whose first cell leads to the record; a refusal is shown in place of rows."""
        names = list(dict.fromkeys(["Id", *(c.name for c in columns)]))
        statement = f"SELECT {', '.join(names)} FROM {sobject.name}"
        statement += (f" WHERE {where}" if where else "") + (f" ORDER BY {order}" if order else "") + f" LIMIT {limit}"
        labels = [c.label for c in columns]
        try:
            records = self.ask(statement + (f" OFFSET {offset}" if offset else "")).page(self.call.org.storage.db)
        except ApiError as refusal:
            return Table(labels, [], refusal.message)
        called = self.names_of((c, r[c.name]) for c in columns for r in records)
        rows = []
        for record in records:
            cells = [self.cell(c, record[c.name], called, LONGEST_CELL) for c in columns]
            where_to = self.record_link(sobject, record["Id"])
            cells[0] = Cell(cells[0].text or record["Id"], cells[0].raw, where_to)
            rows.append(cells)
        return Table(labels, rows)

    def names_of(self, values: Iterable[tuple[Field, Any]]) -> dict[str, tuple[SObject, str]]:
        """Return the object and the name of every record that lookups point to and that the user sees."""
        wanted: dict[str, set[str]] = {}
        for field, value in values:
            if field.type != "reference" or not value:
                continue
            one = field.reference_to[0] if len(field.reference_to) == 1 else None
            found = self.actor.schema.get(one) if one else self.actor.schema.by_prefix(value[:3])
            if found is not None and not found.tooling:
                wanted.setdefault(found.name, set()).add(value)
        called: dict[str, tuple[SObject, str]] = {}
        for name, some in wanted.items():
            sobject = self.actor.schema[name]
            title = sobject.name_field
            columns = [title.name] if title is not None and title.stored else ["Id"]
            for record_id, row in self.call.org.storage.by_ids(name, some, columns).items():
                called[record_id] = (sobject, str(row[0] or record_id))
        return called

    def cell(
        self, field: Field, value: Any, called: Mapping[str, tuple[SObject, str]], longest: int | None = None
    ) -> Cell:
        """Return a REST value as people read it."""
        if value is None:
            return Cell("")
        if field.type == "reference" and value in called:
            sobject, name = called[value]
            return Cell(name, value, self.record_link(sobject, value))
        text = self._text(field, value)
        if longest is not None and len(text) > longest:
            text = text[: longest - 1] + "…"
        return Cell(text, "" if isinstance(value, dict) else str(value))

    def _text(self, field: Field, value: Any) -> str:
        match field.type:
            case "boolean":
                return "Yes" if value else "No"
            case "datetime":
                return datetime.fromisoformat(value).astimezone(self.actor.zone).strftime("%d %b %Y, %H:%M")
            case "date":
                return date.fromisoformat(value).strftime("%d %b %Y")
            case "double" | "currency" | "percent":
                return f"{value:,.{field.scale}f}" + (" %" if field.type == "percent" else "")
            case "multipicklist":
                return str(value).replace(";", "; ")
            case "address" | "location":
                return ", ".join(str(v) for v in value.values() if v is not None)
            case "picklist":
                return next((v.label for v in field.picklist if v.value == value), str(value))
            case "base64":
                return "(content of a file)"
            case _:
                return str(value)


# The pages


@_page("/", "Page: the objects of the org, for a browser")
def home(look: Look) -> Response:
    """Show every object with its number of rows, our own first."""
    groups: dict[str, list[tuple[SObject, str, int]]] = {"Custom objects": [], "Standard objects": [], "Setup": []}
    for each in sorted(look.actor.schema, key=lambda o: o.label_plural.lower()):
        if each.tooling or not each.queryable or each.associate_type == "History":
            continue
        group = "Setup" if not each.layoutable and not each.custom else "Standard objects"
        rows = look.call.org.count(each.name)
        groups["Custom objects" if each.custom else group].append((each, look.list_link(each), rows))
    people = [
        (name, username, f"/?{urlencode({'as': username})}")
        for name, username in look.call.org.storage.rows(
            'SELECT "Name", "Username" FROM "User" WHERE "IsActive" = 1 ORDER BY "CreatedDate", "Id" LIMIT 20'
        )
    ]
    return look.page("objects.html", title=look.call.org.name, groups=groups, people=people)


@_page("/lightning/o/{object}/list", "Page: a list view of an object, for a browser")
def listed(look: Look) -> Response:
    """Show one page of rows: of all, of a list view (``filterName``), or of those that point to a record (``of``)."""
    sobject = look.sobject(look.call.args["object"])
    query = look.call.request.query
    views = [everything(sobject), *list_views(look.call.org, look.actor, sobject)]
    chosen = next((v for v in views if v.name == query.get("filterName", "")), None)
    if chosen is None:
        raise not_found(f"{sobject.name} has no list view called {query.get('filterName')}")
    where, of = _conditions(look, sobject, chosen, query.get("of", ""))
    sort = sobject.field(query.get("sort", "").removeprefix("-"))
    descending = query.get("sort", "").startswith("-")
    order = f"{sort.name}{' DESC' if descending else ''} NULLS LAST, Id" if sort else _latest_first(sobject)
    total = _total(look, sobject, where)
    start = min(_number(query.get("from", "")), MOST_OFFSET) // ROWS * ROWS
    table = look.table(sobject, chosen.columns, where, order, ROWS, start)
    here = {"filterName": chosen.name, "of": query.get("of")}
    sorts = [
        look.list_link(sobject, **here, sort=("-" if sort is c and not descending else "") + c.name)
        if c.sortable
        else ""
        for c in chosen.columns
    ]

    def step(to: int) -> str:
        return look.list_link(sobject, **here, sort=query.get("sort"), **{"from": to})

    return look.page(
        "list.html",
        title=sobject.label_plural,
        sobject=sobject,
        views=[(v, look.list_link(sobject, filterName=v.name, of=query.get("of"))) for v in views],
        chosen=chosen,
        of=of,
        table=table,
        sorts=sorts,
        total=total,
        start=start,
        before=step(start - ROWS) if start else None,
        after=step(start + ROWS) if start + ROWS < min(total or 0, MOST_OFFSET + 1) else None,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _conditions(look: Look, sobject: SObject, chosen: ListView, of: str) -> tuple[str, Cell | None]:
    """The condition of a list, and the record that its rows belong to when ``of`` is ``Field:id``."""
    if not of:
        return chosen.where, None
    name, _, given = of.partition(":")
    field, record_id = sobject.field(name), ids.to_long(given)
    if field is None or record_id is None:
        raise not_found()
    condition = f"{field.name} = '{record_id}'"
    called = look.names_of([(field, record_id)])
    joined = f"{chosen.where} AND {condition}" if chosen.where else condition
    return joined, look.cell(field, record_id, called)


def _total(look: Look, sobject: SObject, where: str) -> int | None:
    try:
        return look.count(sobject, where)
    except ApiError:
        return None  # the table says why


def _latest_first(sobject: SObject) -> str:
    stamp = sobject.stamp_field
    return f"{stamp} DESC, Id DESC" if stamp is not None and sobject.fields[stamp].sortable else "Id"


@_page("/lightning/r/{id}/view", "Page: the record with this id, for a browser")
def record_alone(look: Look) -> Response:
    """Show the record with an id, whatever object it is of."""
    found = ids.to_long(look.call.args["id"])
    sobject = look.actor.schema.by_prefix(found[:3]) if found else None
    if sobject is None:
        raise not_found()
    return _record(look, sobject)


@_page("/lightning/r/{object}/{id}/view", "Page: one record with its fields, history and related lists, for a browser")
def record(look: Look) -> Response:
    """Show one record, one in the recycle bin too."""
    return _record(look, look.sobject(look.call.args["object"]))


def _record(look: Look, sobject: SObject) -> Response:
    org = look.call.org
    record_id = ids.to_long(look.call.args["id"])
    row = None if record_id is None else org.storage.image(sobject.name, record_id)
    if row is None:
        raise not_found(f"no {sobject.label} has the id {look.call.args['id']}")
    values = shown(look.call, sobject, row, None)
    called = look.names_of((f, values[f.name]) for f in sobject.fields.values())
    cells = {f.name: (f, look.cell(f, values[f.name], called)) for f in sobject.fields.values()}
    title = sobject.name_field
    return look.page(
        "record.html",
        title=(cells[title.name][1].text if title is not None else "") or row["Id"],
        sobject=sobject,
        list_link=look.list_link(sobject),
        record_id=row["Id"],
        deleted=bool(row["IsDeleted"]),
        sections=_sections(look, sobject, cells),
        history=_history(look, sobject, row["Id"]),
        related=_related(look, sobject, row["Id"]),
    )


def _sections(
    look: Look, sobject: SObject, cells: Mapping[str, tuple[Field, Cell]]
) -> list[tuple[str, list[tuple[Field, Cell]]]]:
    """The fields as the deployed page layout has them, and after them those it leaves out."""
    left = dict(cells)
    sections = []
    for label, names in layout_sections(look.call.org, sobject):
        found = [sobject.field(n) for n in names]
        placed = [left.pop(f.name) for f in found if f is not None and f.name in left]
        if placed:
            sections.append((label, placed))
    rest = sorted(left.values(), key=lambda each: each[0].name in SYSTEM_FIELDS)
    return [*sections, ("Fields not on the page layout" if sections else "Fields", rest)]


def _history(look: Look, sobject: SObject, record_id: str) -> list[tuple[Cell, Cell, str, str, str]]:
    """Who changed which field when, from what to what, newest first."""
    kept = look.actor.schema.get(sobject.history_object or "")
    if kept is None:
        return []
    parent = "ParentId" if sobject.custom else f"{sobject.name}Id"
    asked = (
        f"SELECT CreatedDate, CreatedById, Field, OldValue, NewValue FROM {kept.name} WHERE {parent} = '{record_id}' "
        f"ORDER BY CreatedDate DESC, Id DESC LIMIT {HISTORY_ROWS}"
    )
    found = look.ask(asked).page(look.call.org.storage.db)
    when, who = kept.fields["CreatedDate"], kept.fields["CreatedById"]
    called = look.names_of((who, r["CreatedById"]) for r in found)
    lines = []
    for each in found:
        changed = sobject.field(each["Field"]) or sobject.field(f"{each['Field']}Id")
        old, new = ("" if v is None else str(v) for v in (each["OldValue"], each["NewValue"]))
        at, by = look.cell(when, each["CreatedDate"], called), look.cell(who, each["CreatedById"], called)
        lines.append((at, by, changed.label if changed else each["Field"], old, new))
    return lines


def _related(look: Look, sobject: SObject, record_id: str) -> list[tuple[str, int, str, Table]]:
    """The related lists that have rows: label, number of rows, the whole list's address, the first rows."""
    lists = []
    for each in look.actor.schema.children(sobject.name):
        child = look.actor.schema.get(each.child)
        if each.name is None or child is None or child.tooling or child.associate_type == "History":
            continue
        where = f"{each.field} = '{record_id}'"
        total = _total(look, child, where)
        if total:
            table = look.table(child, first_columns(child, each.field), where, _latest_first(child), RELATED_ROWS)
            address = look.list_link(child, of=f"{each.field}:{record_id}")
            lists.append((_called(child, each), total, address, table))
    return lists


def _called(child: SObject, relationship: ChildRelationship) -> str:
    field = child.fields[relationship.field]
    return f"{child.label_plural} ({field.label.removesuffix(' ID')})"
