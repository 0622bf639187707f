"""Alembic's steps from one schema to the next. `upgrade` brings a database file to the newest one."""

from importlib.resources import files

from alembic import command
from alembic.config import Config

from haulier.db.engine import Database


async def upgrade(database: Database) -> None:
    """Bring the schema up to date, in one transaction; a database that is up to date is not touched."""
    await database.write(lambda tx: _run(tx.connection))


def _run(connection: object) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("haulier.db.upgrades")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
