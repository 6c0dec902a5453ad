"""Bringing a database to the newest schema, and telling whether it is there.

May not know any data. It keeps one law: an upgrade is one transaction; whoever comes second finds it done.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from sfsync.errors import StoreRefused
from sfsync.store.protection import statements
from sfsync.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

LOCK = 7_317_102_201
"""Any number that nobody else locks: two upgrades never run at once."""


def config(connection: Connection | None = None) -> Config:
    """Return alembic's configuration, with the migrations of this package."""
    from alembic.config import Config

    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    made.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return made


def head() -> str:
    """Return the name of the newest step."""
    name = newest()
    assert name is not None
    return name


def current(connection: Connection) -> str | None:
    """Return the step this database is at; None for an empty one. Asked at every start, so without alembic."""
    there = connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
    return connection.scalar(text("SELECT version_num FROM alembic_version")) if there else None


def upgrade(connection: Connection, role: str) -> None:
    """Leave the database at the newest step, protected, in the transaction of ``connection``.

    StoreRefused if the service role does not exist and may not be created, or could get round row security.
    """
    connection.execute(text("SET LOCAL lock_timeout = '10s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    ensure_role(connection, role)
    if current(connection) != head():
        from alembic import command

        command.upgrade(config(connection), "head")
    for statement in statements(role):
        connection.execute(text(statement.replace(":", "\\:")))


def ensure_role(connection: Connection, role: str) -> None:
    """Leave a role that owns nothing, bypasses nothing and may be stepped down to."""
    row = connection.execute(
        text(
            "SELECT r.rolsuper OR r.rolbypassrls AS above, u.rolcreaterole OR u.rolsuper AS may_create "
            "FROM pg_roles u LEFT JOIN pg_roles r ON r.rolname = :role WHERE u.rolname = current_user"
        ),
        {"role": role},
    ).one()
    if row.above:
        raise StoreRefused(f"the service role {role} is a superuser or bypasses row security; choose another")
    if row.above is None:
        if not row.may_create:
            raise _ask_an_administrator(role, f"the service role {role} does not exist and this user may not create it")
        # Another database of the same server may be creating it at this moment.
        created = f'CREATE ROLE "{role}" NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;'
        connection.exec_driver_sql(f"DO $$ BEGIN {created} END $$")
    may = "SELECT pg_has_role(current_user, :role, 'SET'), pg_has_role(current_user, :role, 'MEMBER WITH ADMIN OPTION')"
    steps_down, may_grant = connection.execute(text(may), {"role": role}).one()
    if not steps_down:
        if not may_grant:
            raise _ask_an_administrator(role, f"this user may not step down to the service role {role}")
        connection.exec_driver_sql(f'GRANT "{role}" TO CURRENT_USER')


def _ask_an_administrator(role: str, why: str) -> StoreRefused:
    return StoreRefused(
        f"{why}; as an administrator: CREATE ROLE {role} NOLOGIN; GRANT {role} TO the user of store.url;"
    )


def differences(connection: Connection) -> list[str]:
    """Return how the database differs from the tables of the code, one sentence each."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(found) for found in compare_metadata(context, metadata)]


def newest() -> str | None:
    """Return the name of the newest step; None before there is one. Steps are numbered and follow each other."""
    steps = sorted(path.name[:4] for path in (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
    return steps[-1] if steps else None


def write_step(connection: Connection, message: str) -> None:
    """Write a new migration module from the differences between an up-to-date database and the tables of the code."""
    from alembic import command

    command.revision(config(connection), message, rev_id=f"{int(newest() or 0) + 1:04d}", autogenerate=True)
