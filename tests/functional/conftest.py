from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.cloud import Cloud, running, settings

HOSTS = ("node1", "node2", "node3")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Three simulated hosts, an image, two flavors; at its end no guest ever ran twice."""
    async with running(settings(tmp_path, HOSTS)) as made:
        yield made
        assert made.fleet.violations == []
