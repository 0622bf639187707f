from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.cloud import Cloud, settings
from tests.guest.real import real

HOSTS = ("node1", "node2", "node3")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Three hosts with real QEMU."""
    async with real(settings(tmp_path, HOSTS)) as made:
        yield made
