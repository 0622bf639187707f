"""A resize on one host with a real guest: one boot more, a larger disk, and the old one back after a revert.

The guest counts its own boots and writes on its own disk (see haulier.guest_image).
"""

import asyncio
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from haulier.bus.local import Said
from haulier.model.migration import Migration, State
from haulier.model.server import PowerState
from tests.functional.cloud import Cloud, settings
from tests.guest.real import real
from tests.guest.test_move import counters, folder, processes, said_on_console

pytestmark = pytest.mark.guest

HOST = "node1"
GIB = 1 << 30


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with real(settings(tmp_path, (HOST,), allow_resize_to_same_host=True)) as made:
        yield made


async def made(cloud: Cloud) -> str:
    server = await cloud.create(host=HOST)
    await said_on_console(cloud, server, "TICK", 2)
    return server


async def resize(cloud: Cloud, server: str) -> Migration:
    answer = await cloud.action(server, {"resize": {"flavorRef": "large"}})
    assert answer.status_code == 202, answer.text
    await cloud.free(server)
    return await cloud.newest(server)


def layers(cloud: Cloud, server: str) -> list[str]:
    return sorted(path.name for path in folder(cloud, HOST, server).glob("*.qcow2"))


def size(cloud: Cloud, server: str, layer: str = "disk.qcow2") -> int:
    info = ["qemu-img", "info", "-U", "-f", "qcow2", "--output=json", str(folder(cloud, HOST, server) / layer)]
    return int(json.loads(subprocess.run(info, check=True, capture_output=True).stdout)["virtual-size"])


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_confirm(cloud: Cloud) -> None:
    server = await made(cloud)
    before = counters(cloud, HOST, server)
    move = await resize(cloud, server)
    assert (move.state, move.source, move.target) == (State.AWAITS_CONFIRM, HOST, HOST), move.reasons
    await said_on_console(cloud, server, "BOOT", 2)
    kept = f"kept.{move.id}.qcow2"
    assert layers(cloud, server) == ["disk.qcow2", kept]
    assert (size(cloud, server), size(cloud, server, kept)) == (2 * GIB, GIB)
    after = counters(cloud, HOST, server)
    assert after.boots == before.boots + 1 == 2
    assert after.seq >= before.seq, "its last write is there"
    (line,) = processes(cloud, server)
    assert re.search(r"-m (size=)?128", line), line
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert layers(cloud, server) == ["disk.qcow2"]
    assert processes(cloud, server) == [line], "confirm does not touch the guest"
    assert counters(cloud, HOST, server).boots == 2


async def test_revert_gives_the_old_size_and_content_back(cloud: Cloud) -> None:
    server = await made(cloud)
    move = await resize(cloud, server)
    await said_on_console(cloud, server, "BOOT", 2)
    disk = folder(cloud, HOST, server) / "disk.qcow2"
    kept = disk.with_name(f"kept.{move.id}.qcow2")
    old, number = content(kept), kept.stat().st_ino
    assert kept.stat().st_mode & 0o222 == 0, "nobody may write to it"
    brought_back: list[tuple[str, int]] = []

    def look(said: Said) -> None:
        first = not brought_back  # it may be said again when it is done already
        if first and said.subject.startswith("haulier.compute.") and b"RestoreInPlace" in said.body:
            brought_back.append((content(kept), counters(cloud, HOST, server).boots))

    cloud.allinone.broker.taps.append(look)
    assert (await cloud.revert(server)).state == State.REVERTED
    assert brought_back == [(old, 2)], "unchanged to the last, while the guest ran on the other"
    assert layers(cloud, server) == ["disk.qcow2"]
    assert (size(cloud, server), disk.stat().st_ino) == (GIB, number), "the same file"
    assert stat.S_IMODE(disk.stat().st_mode) == 0o600
    await said_on_console(cloud, server, "BOOT 00000002", 2)
    assert counters(cloud, HOST, server).boots == 2, "the boot in the window is not on this disk"
    (line,) = processes(cloud, server)
    assert re.search(r"-m (size=)?64", line), line


@pytest.mark.parametrize("end", ["confirm", "revert"])
async def test_E1_a_stopped_server_stays_stopped(cloud: Cloud, end: str) -> None:
    server = await made(cloud)
    await cloud.stop(server)
    await resize(cloud, server)
    assert processes(cloud, server) == []
    await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    assert (await cloud.server(server)).power_state == PowerState.SHUTDOWN
    assert counters(cloud, HOST, server).boots == 1
    assert size(cloud, server) == (2 * GIB if end == "confirm" else GIB)
    assert layers(cloud, server) == ["disk.qcow2"]


async def test_I3_a_guest_that_does_not_start_in_its_new_size_runs_in_the_old_one(cloud: Cloud) -> None:
    """More memory than any machine has: QEMU itself refuses, after the switch."""
    server = await made(cloud)
    agent = cloud.allinone.agents[HOST]
    driver = agent.executor.context.driver
    start = driver.start

    async def too_large(server_id: object, guest: object) -> None:
        large = guest.memory_mb == 128  # type: ignore[attr-defined]
        await start(server_id, msgspec.structs.replace(guest, memory_mb=1 << 30) if large else guest)  # type: ignore[arg-type,type-var]

    driver.start = too_large  # type: ignore[method-assign, assignment]
    move = await resize(cloud, server)
    assert move.state == State.FAILED
    assert "finish_resize failed on node1" in move.reasons[0]
    await said_on_console(cloud, server, "BOOT", 2)
    assert (await cloud.server(server)).flavor.name == "small"
    assert (size(cloud, server), layers(cloud, server)) == (GIB, ["disk.qcow2"])
    assert counters(cloud, HOST, server).boots == 2
    assert len(processes(cloud, server)) == 1


async def test_a_guest_that_is_killed_in_the_window_can_still_be_reverted(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    await said_on_console(cloud, server, "BOOT", 2)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes() if entry.exists() else b""
        if b"qemu-system" in words and server.encode() in words:
            os.kill(int(entry.parent.name), signal.SIGKILL)
    assert (await cloud.revert(server)).state == State.REVERTED
    await said_on_console(cloud, server, "BOOT 00000002", 2)
    assert size(cloud, server) == GIB


@pytest.mark.parametrize("primitive", ["copy_disk", "use_copy", "use_kept"])
async def test_the_agent_goes_away_at_work_and_comes_back(
    cloud: Cloud, primitive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are changed, the answer is not said: asked again, the new agent ends up the same."""
    server = await made(cloud)
    driver = cloud.allinone.agents[HOST].executor.context.driver
    does, done = getattr(driver, primitive), asyncio.Event()

    async def then_hangs(*args: object) -> None:
        await does(*args)
        done.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(driver, primitive, then_hangs)
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
    if primitive == "use_kept":
        await cloud.free(server)
        await said_on_console(cloud, server, "BOOT 00000002")
        assert (await cloud.action(server, {"revertResize": None})).status_code == 202
    await asyncio.wait_for(done.wait(), 30)
    await cloud.allinone.restart_agent(HOST)
    await cloud.free(server)
    move = await cloud.newest(server)
    if primitive == "use_kept":
        assert move.state == State.REVERTED
        await said_on_console(cloud, server, "BOOT 00000002", 2)
    else:
        assert move.state == State.AWAITS_CONFIRM
        await said_on_console(cloud, server, "BOOT 00000002")
        assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert counters(cloud, HOST, server).boots == 2
    assert layers(cloud, server) == ["disk.qcow2"]
    assert size(cloud, server) == (GIB if primitive == "use_kept" else 2 * GIB)
    assert len(processes(cloud, server)) == 1
