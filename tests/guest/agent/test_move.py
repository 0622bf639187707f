"""A move between two hosts, step by step and by hand, and what is left when a step breaks."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.compute.qemu import durable
from haulier.guest_image import disk_image, last_blocks
from haulier.model.ids import HostName, ServerId
from haulier.model.server import PowerState
from haulier.wire.events import (
    Attested,
    Checked,
    Failed,
    PowerChanged,
    Prepared,
    Progress,
    Received,
    Restored,
    Sealed,
    Stale,
)
from haulier.wire.to_compute import (
    AttestDisk,
    CheckDisk,
    Command,
    FinishResize,
    Owned,
    PrepResize,
    ReceiveDisk,
    RestoreGuest,
    StartGuest,
    StopGuest,
)
from haulier.wire.to_conductor import MigrateServer
from tests.guest.agent.lab import GRACE, ROOT_BYTES, Lab, pid_of, processes_below, run_in
from tests.guest.agent.relay import Relay
from tests.unit.compute.hand import answers, move

pytestmark = pytest.mark.guest


@pytest.fixture
async def server(lab: Lab) -> ServerId:
    """A running guest on n1 that has written a while, and n2 to move it to."""
    await lab.start("n1")
    await lab.start("n2")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1, tick=8)
    return server


async def busy_guest(lab: Lab) -> ServerId:
    """As `server`, but one that has written 2 MiB or more."""
    await lab.start("n1")
    await lab.start("n2")
    lab.guest = lab.guest_of(disk_image(ROOT_BYTES, blocks_per_tick=20, nblocks=96))
    server = await lab.build("n1")
    await lab.booted("n1", server, 1, tick=64)
    return server


@pytest.fixture
async def busy(lab: Lab) -> ServerId:
    return await busy_guest(lab)


async def held_copy(lab: Lab, server: ServerId, relay: Relay, prepared: Prepared) -> Command:
    """A copy that is under way, and stuck in the middle for as long as the relay is held."""
    order = msgspec.structs.replace(lab.send(prepared), port=relay.port)
    copying = lab.hand.command("n1", server, order, **move(generation=2))
    await lab.hand.send(copying)
    await asyncio.wait_for(relay.holding.wait(), 30)
    return copying


def held(prepared: Prepared) -> Relay:
    return Relay(prepared.address, prepared.port, passes=1 << 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB for a target."""
    folder = tmp_path / "n2"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_whole_move(lab: Lab, server: ServerId) -> None:
    sealed = await lab.move_until_received(server)
    assert sealed.was_running
    assert sealed.bytes_sent == sealed.bytes_total > 0
    assert processes_below(lab.folder) == []
    lab.compare(server)
    before = lab.state("n2", server)
    assert (before.boots, before.clean) == (1, 1)
    assert before.seq >= 8
    assert max(last_blocks(lab.content("n2", server))) == before.seq - 1

    larger = msgspec.structs.replace(lab.guest, root_bytes=2 * ROOT_BYTES)
    assert (await lab.finish(server, larger)).power_state == PowerState.RUNNING
    await lab.booted("n2", server, 2)
    await lab.expect(Attested, "n2", server, AttestDisk(), owner_epoch=2, **move(generation=5))
    await lab.expect(Stale, "n1", server, StartGuest(lab.guest), owner_epoch=0)
    await lab.expect(Failed, "n1", server, StartGuest(lab.guest))
    await lab.discard("n1", server, False, owner_epoch=2, **move(generation=6))
    assert list((lab.folder / "n1" / "servers").iterdir()) == []

    await lab.expect(PowerChanged, "n2", server, StopGuest(GRACE), owner_epoch=2)
    after = lab.state("n2", server)
    assert (after.boots, after.clean) == (2, 1)
    assert after.seq >= before.seq
    assert len(lab.content("n2", server)) == 2 * ROOT_BYTES
    await lab.hand.wait_for(lambda message: isinstance(message, Progress))


async def test_a_revert(lab: Lab, server: ServerId) -> None:
    await lab.move_until_received(server)
    await lab.finish(server)
    await lab.booted("n2", server, 2)
    await lab.expect(Checked, "n1", server, CheckDisk(lab.guest), owner_epoch=2, **move(generation=5))
    await lab.discard("n2", server, True, owner_epoch=2, **move(generation=6))
    assert processes_below(lab.folder / "n2") == []
    order = RestoreGuest(lab.guest, True)
    await lab.expect(Restored, "n1", server, order, owner_epoch=3, **move(generation=7))
    await lab.booted("n1", server, 2)


async def test_a_server_that_is_off_moves_and_stays_off(lab: Lab, server: ServerId) -> None:
    await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))
    sealed = await lab.move_until_received(server)
    assert not sealed.was_running
    finished = await lab.finish(server, start=sealed.was_running)
    assert finished.power_state == PowerState.SHUTDOWN
    assert processes_below(lab.folder) == []
    assert lab.state("n2", server).boots == 1


async def test_the_flush_comes_between_the_export_and_the_answer(
    lab: Lab, server: ServerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observed at the system call: the disk's inode, then its folder's, when nothing has the disk open any more."""
    prepared = await lab.prepare(server)
    sealed = await lab.expect(Sealed, "n1", server, lab.send(prepared), **move(generation=2))
    folder = lab.server_folder("n2", server)
    flushed: list[tuple[int, list[str], bool]] = []

    def observed(descriptor: int, fsync: Any = os.fsync) -> None:
        said = any(isinstance(getattr(message, "outcome", None), Received) for message in lab.hand.said)
        flushed.append((os.fstat(descriptor).st_ino, processes_below(folder), said))
        fsync(descriptor)

    monkeypatch.setattr(durable.os, "fsync", observed)
    await lab.expect(Received, "n2", server, ReceiveDisk(sealed.digest), **move(generation=3))
    monkeypatch.undo()
    for path in (folder / "disk.qcow2", folder):
        assert (path.stat().st_ino, [], False) in flushed


async def test_M1_a_disk_changed_on_the_way_is_not_received(lab: Lab, server: ServerId) -> None:
    prepared = await lab.prepare(server)
    sealed = await lab.expect(Sealed, "n1", server, lab.send(prepared), **move(generation=2))
    await lab.agents["n2"]._driver.close_export(server)
    run_in(lab.server_folder("n2", server), "qemu-io", "-f", "qcow2", "-c", "write -P 1 3M 512", "disk.qcow2")
    failed = await lab.expect(Failed, "n2", server, ReceiveDisk(sealed.digest), **move(generation=3))
    assert "differs" in failed.reason


async def test_a_copy_whose_target_dies(lab: Lab, server: ServerId) -> None:
    prepared = await lab.prepare(server)
    os.kill(pid_of(lab.server_folder("n2", server), "qemu-storage-daemon"), signal.SIGKILL)
    failed = await lab.expect(Failed, "n1", server, lab.send(prepared), **move(generation=2))
    assert "broke" in failed.reason
    assert processes_below(lab.folder / "n1") == []
    await lab.discard("n2", server, True, **move(generation=3))
    restored = await lab.expect(Restored, "n1", server, RestoreGuest(lab.guest, None), **move(generation=4))
    assert restored.power_state == PowerState.RUNNING
    await lab.booted("n1", server, 2)
    assert list((lab.folder / "n2" / "servers").iterdir()) == []


async def test_a_copy_whose_target_dies_in_the_middle(lab: Lab, busy: ServerId) -> None:
    prepared = await lab.prepare(busy)
    async with held(prepared) as relay:
        copying = await held_copy(lab, busy, relay, prepared)
        os.kill(pid_of(lab.server_folder("n2", busy), "qemu-storage-daemon"), signal.SIGKILL)
        answer = await lab.hand.wait_for(lambda message: answers(message, copying))
    assert isinstance(answer.outcome, Failed)
    assert processes_below(lab.folder) == []
    await lab.expect(Restored, "n1", busy, RestoreGuest(lab.guest, None), **move(generation=3))
    await lab.booted("n1", busy, 2)


async def test_a_copy_that_stalls_is_given_up(lab: Lab, busy: ServerId) -> None:
    prepared = await lab.prepare(busy)
    async with held(prepared) as relay:
        copying = await held_copy(lab, busy, relay, prepared)
        answer = await lab.hand.wait_for(lambda message: answers(message, copying))
    assert "nothing moved for 2 s, at " in answer.outcome.reason
    assert processes_below(lab.folder / "n1") == []


async def test_a_restore_ends_a_copy_under_way(lab: Lab, busy: ServerId) -> None:
    prepared = await lab.prepare(busy)
    async with held(prepared) as relay:
        copying = await held_copy(lab, busy, relay, prepared)
        await lab.expect(Restored, "n1", busy, RestoreGuest(lab.guest, None), **move(generation=3))
    await lab.booted("n1", busy, 2)
    assert isinstance((await lab.hand.ask(copying)).outcome, Stale)
    assert [name for name in processes_below(lab.folder / "n1") if "storage" in name] == []


async def test_both_agents_restart_in_the_middle(lab: Lab, busy: ServerId) -> None:
    """The export outlives its agent; the copy is begun again by the new one, and nothing is lost."""
    prepared = await lab.prepare(busy)
    async with held(prepared) as relay:
        await held_copy(lab, busy, relay, prepared)
        await lab.restart("n1", [Owned(busy, 1)])
        await lab.restart("n2", [])
    sealed = await lab.expect(Sealed, "n1", busy, lab.send(prepared), **move(generation=2))
    assert sealed.was_running
    await lab.expect(Received, "n2", busy, ReceiveDisk(sealed.digest), **move(generation=3))
    lab.compare(busy)
    await lab.finish(busy)
    await lab.booted("n2", busy, 2)


async def test_a_target_that_fills_up(small_disk: Path, lab: Lab) -> None:
    server = await busy_guest(lab)
    prepared = await lab.prepare(server)
    fill(small_disk, leave=1 << 20)
    failed = await lab.expect(Failed, "n1", server, lab.send(prepared), **move(generation=2))
    assert "No space left on device" in failed.reason
    await lab.discard("n2", server, True, **move(generation=3))
    await lab.expect(Restored, "n1", server, RestoreGuest(lab.guest, None), **move(generation=4))
    await lab.booted("n1", server, 2)


async def test_a_target_without_room_is_refused_with_numbers(lab: Lab, server: ServerId) -> None:
    order = PrepResize(lab.guest, HostName("n1"), 1 << 60)
    call_back = await lab.hand.ask(lab.hand.command("n2", server, order, **move()))
    assert isinstance(call_back, MigrateServer)
    assert f"needs {1 << 60} bytes" in call_back.failed.reason
    assert list((lab.folder / "n2" / "servers").iterdir()) == []


async def test_a_disk_that_is_owned_is_not_overwritten(lab: Lab, server: ServerId) -> None:
    order = PrepResize(lab.guest, HostName("n2"), ROOT_BYTES)
    call_back = await lab.hand.ask(lab.hand.command("n1", server, order, **move()))
    assert "not overwritten" in call_back.failed.reason
    await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))
    assert lab.state("n1", server).clean == 1


async def test_a_finish_that_fails_leaves_a_tombstone(lab: Lab, server: ServerId) -> None:
    await lab.move_until_received(server)
    (lab.server_folder("n2", server) / "base.raw").unlink()
    order = FinishResize(lab.guest, True)
    await lab.expect(Failed, "n2", server, order, owner_epoch=2, **move(generation=4))
    await lab.expect(Failed, "n2", server, StartGuest(lab.guest), owner_epoch=2)
    assert processes_below(lab.folder / "n2") == []
    await lab.expect(Restored, "n1", server, RestoreGuest(lab.guest, True), owner_epoch=3, **move(generation=5))
    await lab.booted("n1", server, 2)


def fill(folder: Path, leave: int) -> None:
    """Fill a file system until `leave` bytes are free."""
    file_system = os.statvfs(folder)
    free = file_system.f_bavail * file_system.f_frsize
    with (folder / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
