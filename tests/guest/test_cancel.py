"""A cancelled move of a real guest: off for the copy, and running again where it was."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.model.migration import State
from tests.functional.cloud import PATIENCE, Cloud, settings
from tests.guest.real import processes_below, real
from tests.guest.test_move import STUBBORN, folder, processes, said_on_console, upload

pytestmark = pytest.mark.guest


def seen_before(cloud: Cloud, host: str, primitive: str, *, waits: bool) -> asyncio.Event:
    """Set when the host's driver comes to that; with `waits` it never gets further."""
    driver: Any = cloud.allinone.agents[host]._driver  # type: ignore[index]
    does, seen = getattr(driver, primitive), asyncio.Event()

    async def look(*given: Any) -> Any:
        seen.set()
        await (asyncio.Event().wait() if waits else asyncio.sleep(0))
        return await does(*given)

    setattr(driver, primitive, look)
    return seen


async def cancelled(cloud: Cloud, server: str) -> None:
    move = await cloud.newest(server)
    answer = await cloud.call("DELETE", f"/v2.1/servers/{server}/migrations/{move.id}")
    assert answer.status_code == 202, answer.text


async def test_the_restart_is_issued_within_two_seconds(tmp_path: Path) -> None:
    async with real(settings(tmp_path, ("node1", "node2"))) as cloud:
        server = await cloud.create(host="node1")
        await said_on_console(cloud, server, "TICK")
        copying = seen_before(cloud, "node1", "send_disk", waits=True)
        await cloud.action(server, {"migrate": {"host": "node2"}})
        await asyncio.wait_for(copying.wait(), PATIENCE)
        assert processes(cloud, server) == [], "it is off for the copy"
        restarted = seen_before(cloud, "node1", "start", waits=False)
        await cancelled(cloud, server)
        await asyncio.wait_for(restarted.wait(), 2.0)
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.CANCELLED
        await said_on_console(cloud, server, "BOOT 00000002")
        assert len(processes(cloud, server)) == 1

        async def cleared() -> bool:
            return not folder(cloud, "node2", server).exists()

        await cloud.until(cleared)


async def test_a_guest_that_ignores_its_button_never_stops(tmp_path: Path) -> None:
    """Cancelled while it is being powered off: its plug is not pulled for a move that nobody wants any more."""
    made = settings(tmp_path, ("node1", "node2"), power_off_grace=PATIENCE)
    quick = tuple(msgspec.structs.replace(host, power_off_grace=1.0) for host in made.hosts)
    async with real(msgspec.structs.replace(made, hosts=quick)) as cloud:
        cloud.image = await upload(cloud, "stubborn", STUBBORN.ljust(1 << 20, b"\0"))
        server = await cloud.create(host="node1")
        [before] = processes_below(tmp_path)
        stopping = seen_before(cloud, "node1", "power_off", waits=False)
        await cloud.action(server, {"migrate": {"host": "node2"}})
        await asyncio.wait_for(stopping.wait(), PATIENCE)
        await cancelled(cloud, server)
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.CANCELLED
        assert list(processes_below(tmp_path)) == [before], "one and the same process"
        assert (await cloud.server(server)).vm_state == "active"
