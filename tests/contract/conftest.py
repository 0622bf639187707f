"""One fixture, two buses: what the tests here say holds for both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from haulier.bus import permissions
from haulier.bus.interface import Bus
from haulier.bus.local import Broker
from haulier.bus.permissions import Permissions, User
from tests.contract.nats_server import NatsServer

ALL = Permissions(publish=(">",), subscribe=(">",))
USERS = (
    *(User(name, ALL, asks=True, answers=True) for name in ("x", "y", "z")),
    *permissions.users(("host-a", "host-b")),
)
"""Three who may do everything, and everybody of a haulier with two hosts."""


class Buses:
    """`await buses(name)` is a connection of that user of USERS."""

    def __init__(self, stack: AsyncExitStack, server: NatsServer | None) -> None:
        self._stack = stack
        self._server = server
        self._broker = Broker()

    async def __call__(self, name: str) -> Bus:
        if self._server is not None:
            bus = self._server.bus(name)
            self._stack.push_async_callback(bus.close)
            await bus.connected.wait()
            return bus
        user = next(user for user in USERS if user.name == name)
        local = self._broker.connect(name, user.permissions)
        self._stack.push_async_callback(local.close)
        return local


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path, USERS) as started:
        yield started


@pytest.fixture(params=["local", "nats"])
async def buses(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Buses]:
    async with AsyncExitStack() as stack:
        server = None
        if request.param == "nats":
            server = await stack.enter_async_context(NatsServer(tmp_path, USERS))
        yield Buses(stack, server)
