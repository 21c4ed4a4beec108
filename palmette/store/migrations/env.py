"""Run by Alembic: on the connection that `palmette.store.migrate` gives, or printing SQL.

A new step, after a change of `palmette/store/schema.py`:

    alembic -x url=sqlite:///palmette.db revision --autogenerate --rev-id 0002 -m "what changed"
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from palmette.store.migrate import VERSION_TABLE
from palmette.store.schema import Table


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite cannot alter a column
    )
    with context.begin_transaction():
        context.run_migrations()


def print_sql() -> None:
    context.configure(
        dialect_name=context.get_x_argument(as_dictionary=True).get("dialect", "sqlite"),
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    print_sql()
elif given is not None:
    run(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
