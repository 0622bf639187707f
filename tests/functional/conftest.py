from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.cloud import Cloud, running, settings

HOSTS = ("node1", "node2", "node3")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Three simulated hosts, an image, two flavors; at its end no guest ran twice, and no claim was left over.

    What else must hold at the end is looked at by the audit: see `running`.
    """
    async with running(settings(tmp_path, HOSTS)) as made:
        yield made
        assert made.fleet.violations == []
        await made.allinone.conductor.orphaned_claims.sweep()
        assert made.allinone.conductor.orphaned_claims.released == 0, "a sweep had to release what a step left claimed"
