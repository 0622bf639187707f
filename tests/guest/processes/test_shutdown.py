"""SIGTERM in the middle of a copy of 256 MiB, to real processes: the move completes, or is parked and goes on after.

Only the process itself is signalled, as systemd does with `KillMode=process`: no guest may notice. The copy is held by
stopping the process that receives it, which is what a slow line looks like to everybody else.
"""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from haulier.model.migration import State
from tests.guest.processes.fleet import PATIENCE, Fleet
from tests.guest.real import processes_below
from tests.guest.test_move import counters, folder, processes, said_on_console

pytestmark = pytest.mark.guest

MIB = 1 << 20
WRITTEN = 256 * MIB
FINISHING = "stopping: finishing what is in hand"
PARKED = "stopping: parked, it goes on when the agent is back"


async def fill(cloud: Fleet, server: str) -> None:
    """Write 256 MiB to its disk while it is off: as a guest that had been busy for long would have."""
    assert (await cloud.action(server, {"os-stop": None})).status_code == 202
    await cloud.free(server)
    disk = folder(cloud, "node1", server) / "disk.qcow2"
    write = ["qemu-io", "-f", "qcow2", "-c", f"write -P 0x5a {16 * MIB} {WRITTEN}", str(disk)]
    await asyncio.to_thread(subprocess.run, write, check=True, capture_output=True)
    assert (await cloud.action(server, {"os-start": None})).status_code == 202
    await cloud.free(server)
    await said_on_console(cloud, server, "BOOT 00000002")


def bytes_at(disk: Path) -> int:
    try:
        return disk.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


class Copy:
    """A move from node1 to node2, held in the middle of its copy; `staying` is a server on node1 and one on node2."""

    def __init__(self, cloud: Fleet) -> None:
        self.cloud = cloud
        self.server = ""
        self.staying: dict[str, dict[int, str]] = {}
        self._receiver = 0

    async def begin(self) -> None:
        cloud = self.cloud
        for host in ("node1", "node2"):
            stays = await cloud.create(host, host=host)
            self.staying[stays] = processes_below(folder(cloud, host, stays))
        self.server = await cloud.create(host="node1")
        await fill(cloud, self.server)
        assert (await cloud.action(self.server, {"migrate": {"host": "node2"}})).status_code == 202
        arriving = folder(cloud, "node2", self.server)
        async with asyncio.timeout(PATIENCE):
            while bytes_at(arriving / "disk.qcow2") < WRITTEN // 8:  # noqa: ASYNC110 - a file gives no event
                await asyncio.sleep(0.002)
        (self._receiver,) = processes_below(arriving)
        os.kill(self._receiver, signal.SIGSTOP)
        assert WRITTEN // 8 <= bytes_at(arriving / "disk.qcow2") < WRITTEN, "in the middle"

    def go_on(self) -> None:
        os.kill(self._receiver, signal.SIGCONT)

    def answers(self, step: str) -> list[str]:
        """Who answered that step of a move."""
        word = step.encode()
        return [said for said, body in self.cloud.heard if said.endswith(".answer") and word in body]

    async def logged(self, host: str, event: str) -> dict[str, Any]:
        """That event, once the agent of the host has logged it."""

        async def there() -> bool:
            return any(line["event"] == event for line in self.cloud.processes[host].logged())

        await self.cloud.until(there)
        return next(line for line in self.cloud.processes[host].logged() if line["event"] == event)

    async def takes_no_new_work(self, host: str) -> None:
        """No server moves from there, and none to there."""

        async def known() -> bool:
            listed = (await self.cloud.call("GET", "/haulier/v1/hosts")).json()["hosts"]
            return [one["name"] for one in listed if one["stopping"]] == [host]

        await self.cloud.until(known)
        here, there = self.staying if host == "node1" else list(self.staying)[::-1]
        refused = await self.cloud.action(here, {"migrate": None})
        assert (refused.status_code, f"agent of host {host} is stopping" in refused.text) == (409, True)
        for force in (False, True):
            move = await self.cloud.move(there, host, force=force)
            assert move.state == State.FAILED
            assert "its agent is stopping" in " ".join(move.reasons)

    async def comes_to_its_window(self) -> None:
        await self.cloud.free(self.server)
        move = await self.cloud.newest(self.server)
        assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node2", 1), move.reasons
        await said_on_console(self.cloud, self.server, "BOOT 00000003")
        assert counters(self.cloud, "node2", self.server).boots == 3
        assert len(processes(self.cloud, self.server)) == 1

    async def others_did_not_notice(self) -> None:
        for host, (server, guest) in zip(("node1", "node2"), self.staying.items(), strict=True):
            assert processes_below(folder(self.cloud, host, server)) == guest, "the same process"
            assert (await self.cloud.server(server)).vm_state == "active"


@pytest.fixture
async def copy(cloud: Fleet) -> Copy:
    return Copy(cloud)


@pytest.mark.parametrize("host", ["node1", "node2"])
async def test_F2_SIGTERM_in_the_middle_of_a_copy_is_waited_for(copy: Copy, host: str) -> None:
    """On the source, and on the target, which has only prepared (F3): both stay as long as they are needed."""
    await copy.begin()
    copy.cloud.send(host, signal.SIGTERM)
    waits = await copy.logged(host, FINISHING)
    assert [copy.server in one for one in waits["waits_for"]] == [True]
    await copy.takes_no_new_work(host)
    copy.go_on()
    assert await copy.cloud.processes[host].gone() == 0
    assert "ended" in [line["event"] for line in copy.cloud.processes[host].logged()]
    await copy.cloud.free(copy.server)
    await copy.cloud.start(host)
    await copy.comes_to_its_window()
    await copy.others_did_not_notice()
    assert (await copy.cloud.confirm(copy.server)).state == State.CONFIRMED


@pytest.mark.parametrize("host", ["node1", "node2"])
async def test_F6_SIGTERM_in_the_middle_of_a_copy_that_takes_too_long_parks_it(copy: Copy, host: str) -> None:
    """The source begins its copy again when it is back; the target's disk arrives without its agent."""
    copy.cloud.configure(host, shutdown_timeout=0.5)
    await copy.cloud.restart(host)
    await copy.begin()
    await copy.cloud.stop(host)
    assert [copy.server in one for one in (await copy.logged(host, PARKED))["parked"]] == [True]
    copy.go_on()
    assert copy.answers("resize_instance") == [] or host == "node2"
    await copy.others_did_not_notice()
    await copy.cloud.start(host)
    await copy.comes_to_its_window()
    await copy.others_did_not_notice()
    assert (await copy.cloud.confirm(copy.server)).state == State.CONFIRMED


async def test_F6_a_second_signal_ends_it_at_once_as_kill_9_does(copy: Copy) -> None:
    await copy.begin()
    copy.cloud.send("node1", signal.SIGTERM)
    await copy.logged("node1", FINISHING)
    copy.cloud.send("node1", signal.SIGTERM)
    assert await asyncio.wait_for(copy.cloud.processes["node1"].gone(), 5) == -signal.SIGTERM
    copy.go_on()
    await copy.others_did_not_notice()
    await copy.cloud.start("node1")
    await copy.comes_to_its_window()


async def test_F2_SIGTERM_to_all_others_in_the_middle_of_a_copy(copy: Copy) -> None:
    """None of them is needed while bytes travel."""
    await copy.begin()
    await copy.cloud.restart("api", "conductor", "scheduler")
    copy.go_on()
    await copy.comes_to_its_window()
    await copy.others_did_not_notice()
