"""``make migration MESSAGE="..."``: write the next step from what the tables have and the migrations have not.

May not know any data. It keeps one law: what it writes is a proposal, read by a person before it is committed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sqlalchemy import create_engine

from sfsync.store import schema
from sfsync.store.connection import SERVICE_ROLE
from sfsync.store.embedded import EmbeddedPostgres


def main(message: str) -> None:
    """Leave a new module in ``versions``; a server of its own is started and removed."""
    with tempfile.TemporaryDirectory() as home:
        server = EmbeddedPostgres(Path(home), durable=False)
        try:
            engine = create_engine(server.open().url.replace("postgresql:", "postgresql+psycopg:", 1))
            with engine.connect() as connection:
                if schema.newest() is not None:
                    schema.upgrade(connection, SERVICE_ROLE)
                    connection.commit()
                schema.write_step(connection, message)
            engine.dispose()
        finally:
            server.remove()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or sys.exit("say in a few words what changes"))
