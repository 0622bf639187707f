"""The steps lead to exactly the schema the code uses."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from haulier.db.engine import Database, Transaction
from haulier.db.schema import metadata
from haulier.db.upgrades import upgrade


def difference(tx: Transaction) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(tx.connection), metadata))


async def test_the_upgraded_database_is_the_schema(db: Database) -> None:
    assert await db.read(difference) == []


async def test_upgrading_twice_changes_nothing(db: Database) -> None:
    await upgrade(db)
    assert await db.read(difference) == []
