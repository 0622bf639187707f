"""A laboratory for each test, and the mark that these boot real guests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.guest.agent.lab import Lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.hand.start()
    try:
        yield lab
    finally:
        await lab.close()
