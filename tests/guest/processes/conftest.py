from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.guest.processes.fleet import Fleet, fleet


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Three hosts. At the end no guest is left, and no process logged an error."""
    async with fleet(tmp_path) as made:
        yield made
        await made.delete_all()
        assert made.errors() == []
