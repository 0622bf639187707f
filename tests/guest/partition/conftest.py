import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.guest.partition.cases import SOURCE
from tests.guest.partition.cutting import CONVERGES, Cut, divided, why_not
from tests.guest.test_move import said_on_console

ALL = "partition"
"""The marker that asks for all of them; without it those marked `exhaustive` are left out."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = why_not()
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.partition)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
    if ALL not in (config.option.markexpr or ""):
        left_out = [item for item in here if item.get_closest_marker("exhaustive")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


Begin = Callable[[], Awaitable[Cut]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class Divided:
    """One fleet for many tests, as long as they leave it as they found it."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._make_folder = lambda: tmp_path_factory.mktemp("apart")
        self._stack: AsyncExitStack | None = None
        self.parts: tuple = ()

    async def begin(self) -> Cut:
        if self._stack is None:
            stack = AsyncExitStack()
            self.parts = await stack.enter_async_context(divided(self._make_folder()))
            self._stack = stack
        cloud, network, watch = self.parts
        server = await cloud.create(host=SOURCE)
        await said_on_console(cloud, server, "TICK")
        return Cut(cloud, network, watch, server)

    async def end(self) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            await stack.aclose()


@pytest.fixture(scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Divided]:
    made = Divided(tmp_path_factory)
    yield made
    await made.end()


@pytest.fixture
async def apart(shared: Divided, request: pytest.FixtureRequest) -> AsyncIterator[Cut]:
    """A server that runs on node1 of a fleet that can be divided. At the end nothing of it is left anywhere."""
    failed = request.session.testsfailed
    cut = await shared.begin()
    yield cut
    cut.cloud.taps.clear()
    try:
        assert request.session.testsfailed == failed, "its logs are below"
        cut.make_whole()
        async with asyncio.timeout(CONVERGES):
            await cut.cloud.delete_all()
        assert cut.cloud.errors() == []
    except BaseException:
        cut.cloud.show_logs()
        await shared.end()
        if request.session.testsfailed == failed:
            raise
