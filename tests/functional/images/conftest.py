from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.functional.images import small_api
from tests.functional.images.small_api import SmallApi


@pytest.fixture
def api(tmp_path: Path) -> Iterator[SmallApi]:
    made = small_api.make(tmp_path, image_max_bytes=4 << 20)
    yield made
    made.db.close()


def client(api: SmallApi, who: tuple[str, str] | None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(api.app), base_url="http://api.example:8774", auth=who)


@pytest.fixture
async def admin(api: SmallApi) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(api, small_api.ADMIN) as one:
        yield one


@pytest.fixture
async def member(api: SmallApi) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(api, small_api.MEMBER) as one:
        yield one


@pytest.fixture
async def other(api: SmallApi) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(api, small_api.OTHER) as one:
        yield one


@pytest.fixture
async def nobody(api: SmallApi) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(api, None) as one:
        yield one
