"""The steps lead to exactly the schema the code uses."""

import sqlite3
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from haulier.db.engine import Database, Transaction
from haulier.db.schema import metadata
from haulier.db.store import actions, announcements
from haulier.db.upgrades import upgrade


def difference(tx: Transaction) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(tx.connection), metadata))


async def test_the_upgraded_database_is_the_schema(db: Database) -> None:
    assert await db.read(difference) == []


async def test_upgrading_twice_changes_nothing(db: Database) -> None:
    await upgrade(db)
    assert await db.read(difference) == []


BEFORE_RECORDS = """
INSERT INTO migrations (id, uuid, server_id, kind, state, generation, source, target, attempt, alternates, attempts,
    named, forced, skipped, old_flavor, new_flavor, reasons, bytes_done, bytes_total, request_id, project_id, user_id,
    created_at, updated_at)
VALUES (1, 'u', 's', 'migration', 'COPYING', 2, 'a', 'b', 1, '[]', '[]', 0, 0, '[]', '{}', '{}', '[]', 0, 0, 'open',
    'p', 'u', 1.0, 2.0);
INSERT INTO transitions (migration_id, generation, at, from_state, to_state, event, actor)
VALUES (1, 1, 1.0, 'REQUESTED', 'PREPARING', 'Chosen', 'conductor'),
    (1, 2, 2.0, 'PREPARING', 'COPYING', 'Prepared', 'b');
INSERT INTO actions (server_id, request_id, action, project_id, user_id, started_at, finished_at)
VALUES ('s', 'open', 'migrate', 'p', 'u', 1.0, NULL), ('s', 'closed', 'delete', 'p', 'u', 1.0, 5.0);
INSERT INTO action_events (server_id, request_id, event, started_at)
VALUES ('s', 'open', 'compute_resize_instance', 2.0), ('s', 'closed', 'compute_delete_server', 2.0),
    ('s', '', 'compute_discard_orphan', 2.0);
"""


async def test_0003_takes_a_database_with_a_move_half_done(tmp_path: Path) -> None:
    """What went before is not told, what comes is; events that had outlived their action end, the open one does not."""
    path = tmp_path / "old.db"
    database = Database(path)
    await database.write(lambda tx: to(tx, "0002"))
    with sqlite3.connect(path) as connection:
        connection.executescript(BEFORE_RECORDS)
    connection.close()
    await upgrade(database)
    assert await database.read(difference) == []
    assert await database.read(announcements.untold, 10) == []
    assert await database.read(actions.left_open) == []
    ended = [(row.event, row.result) for row in await database.read(actions.events_of, "s", "closed")]  # type: ignore[arg-type]
    assert ended == [("compute_delete_server", "Error")]
    (going_on,) = await database.read(actions.events_of, "s", "open")  # type: ignore[arg-type]
    assert (going_on.result, going_on.finished_at) == (None, None)
    database.close()


def to(tx: Transaction, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("haulier.db.upgrades")))
    config.attributes["connection"] = tx.connection
    command.upgrade(config, revision)
