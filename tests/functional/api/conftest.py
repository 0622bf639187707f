from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.api.compute_api import ComputeApi, running


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ComputeApi]:
    """The Compute API with a few rows, and nobody behind it."""
    async with running(tmp_path) as made:
        yield made
