from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from haulier.db.engine import Database
from haulier.db.upgrades import upgrade


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "haulier.db")
    await upgrade(database)
    yield database
    database.close()
