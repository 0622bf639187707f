"""A real guest, moved by the whole of haulier: real QEMU, real disks over real NBD, requests over HTTP.

The guest counts its own boots and writes on its own disk (see haulier.guest_image), so a lost write, a second start
or a start from an old disk shows.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier import guest_image
from haulier.bus.local import Said
from haulier.model.migration import State
from haulier.model.server import PowerState
from haulier.wire import codec
from haulier.wire.to_compute import Directive, FinishResize
from tests.functional.cloud import Cloud, settings
from tests.guest.real import real

pytestmark = pytest.mark.guest


def folder(cloud: Cloud, host: str, server: str) -> Path:
    return Path(cloud.allinone.agents[host].settings.state_dir) / "servers" / server


def counters(cloud: Cloud, host: str, server: str) -> Any:
    """What the guest has written about itself on its disk: boots, clean, seq."""
    disk = folder(cloud, host, server) / "disk.qcow2"
    raw = disk.with_name("looked-at.raw")
    subprocess.run(
        ["qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", "bs=512", "count=2", f"if={disk}", f"of={raw}"],
        check=True,
        capture_output=True,
    )
    state = guest_image.read_state(raw.read_bytes())
    raw.unlink()
    return state


async def console(cloud: Cloud, server: str) -> str:
    answer = await cloud.action(server, {"os-getConsoleOutput": {}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["output"])


async def said_on_console(cloud: Cloud, server: str, word: str, times: int = 1) -> str:
    """The console, once the guest has said `word` so many times."""
    async with asyncio.timeout(30):
        while len(re.findall(word, text := await console(cloud, server))) < times:  # noqa: ASYNC110 - a serial line gives no event
            await asyncio.sleep(0.05)
    return text


class BeforeTheStart:
    """Compares the disks at the last moment before the target may start: as it is told to."""

    def __init__(self, cloud: Cloud, source: str, target: str) -> None:
        self._cloud = cloud
        self._hosts = (source, target)
        self.compared: list[int] = []
        self._seen: set[str] = set()
        cloud.allinone.broker.taps.append(self._look)

    def _look(self, said: Said) -> None:
        if not said.subject.startswith("haulier.compute.") or said.verb != "tell":
            return
        command = codec.decode(said.body, Directive).command
        if command is None or command.id in self._seen:
            return  # a command that is sent again comes after the start, perhaps
        self._seen.add(command.id)
        if isinstance(command.instruction, FinishResize):
            disks = [str(folder(self._cloud, host, command.server_id) / "disk.qcow2") for host in self._hosts]
            compare = ["qemu-img", "compare", "-U", "-f", "qcow2", "-F", "qcow2", *disks]
            self.compared.append(subprocess.run(compare, capture_output=True, check=False).returncode)


def processes(cloud: Cloud, server: str) -> list[str]:
    """Command lines of all QEMU processes that run this server."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system" in words[0] and any(server.encode() in word for word in words):
            lines.append(b" ".join(words).decode())
    return lines


async def test_G2_G13_a_guest_moves_to_the_host_that_was_named(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK", 2)
    before = counters(cloud, "node1", server)
    look = BeforeTheStart(cloud, "node1", "node2")
    move = await cloud.move(server, "node2")
    assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node2")
    sealed = counters(cloud, "node1", server)
    assert sealed.clean == 1, "it was powered off by its own button, not killed"
    await said_on_console(cloud, server, "BOOT")
    after = counters(cloud, "node2", server)
    assert look.compared == [0], "equal before the start"
    assert [size(cloud, host, server) for host in ("node1", "node2")] == [1 << 30] * 2
    assert after.boots == before.boots + 1 == 2
    assert after.seq >= sealed.seq >= before.seq, "its last write is there"
    assert len(processes(cloud, server)) == 1
    await cloud.confirm(server)
    assert not folder(cloud, "node1", server).exists()
    assert len(processes(cloud, server)) == 1


async def test_G3_a_revert_runs_the_source_with_its_own_disk(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK")
    await cloud.move(server, "node2")
    await said_on_console(cloud, server, "TICK")
    kept = counters(cloud, "node1", server)
    move = await cloud.revert(server)
    assert move.state == State.REVERTED
    await said_on_console(cloud, server, f"BOOT {kept.boots + 1:08x}")
    assert counters(cloud, "node1", server).boots == kept.boots + 1 == 2, "the target's boot is not on this disk"
    assert not folder(cloud, "node2", server).exists()
    assert len(processes(cloud, server)) == 1


@pytest.mark.parametrize("end", ["confirm", "revert"])
async def test_E1_a_stopped_server_stays_stopped(cloud: Cloud, end: str) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")
    await cloud.stop(server)
    look = BeforeTheStart(cloud, "node1", "node2")
    await cloud.move(server, "node2")
    assert look.compared == [0]
    assert processes(cloud, server) == []
    await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    host = "node2" if end == "confirm" else "node1"
    found = await cloud.server(server)
    assert (found.host, found.vm_state, found.power_state) == (host, "stopped", PowerState.SHUTDOWN)
    assert counters(cloud, host, server).boots == 1
    assert processes(cloud, server) == []


async def test_a_resize_grows_the_disk_on_the_target_only(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
    await cloud.free(server)
    move = await cloud.newest(server)
    assert move.state == State.AWAITS_CONFIRM
    assert [size(cloud, host, server) for host in ("node1", str(move.target))] == [1 << 30, 2 << 30]
    await cloud.revert(server)
    await said_on_console(cloud, server, "BOOT 00000002")
    assert size(cloud, "node1", server) == 1 << 30


def size(cloud: Cloud, host: str, server: str) -> int:
    disk = folder(cloud, host, server) / "disk.qcow2"
    told = subprocess.run(
        ["qemu-img", "info", "-U", "-f", "qcow2", "--output=json", str(disk)], check=True, capture_output=True
    )
    return int(json.loads(told.stdout)["virtual-size"])


async def test_G11_the_image_may_be_deleted_meanwhile(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")
    assert (await cloud.admin.delete(f"/image/v2/images/{cloud.image}")).status_code == 204
    move = await cloud.move(server, "node2")
    assert move.state == State.AWAITS_CONFIRM, move.reasons
    await said_on_console(cloud, server, "BOOT 00000002")


async def test_a_guest_that_ends_itself_is_shown_and_reaped(cloud: Cloud) -> None:
    """Its power button is pressed from outside, behind haulier's back, as a user inside the guest would."""
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")
    answer = await cloud.action(server, {"os-stop": None})
    assert answer.status_code == 202
    await cloud.free(server)
    assert processes(cloud, server) == []
    assert (await cloud.server(server)).vm_state == "stopped"
    assert (await cloud.action(server, {"os-start": None})).status_code == 202
    await cloud.free(server)
    await said_on_console(cloud, server, "BOOT 00000002")


async def test_guests_outlive_their_agent_and_the_move_goes_on(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")
    (before,) = processes(cloud, server)
    await cloud.allinone.restart_agent("node1")
    assert processes(cloud, server) == [before], "the same process, re-attached"
    move = await cloud.move(server, "node2")
    assert move.state == State.AWAITS_CONFIRM, move.reasons
    await said_on_console(cloud, server, "BOOT 00000002")


async def test_I3_a_copy_that_breaks_leaves_the_guest_running_where_it_was(cloud: Cloud) -> None:
    """The target's export dies as the source is told to send."""
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "BOOT")

    def cut(said: Said) -> None:
        if said.subject == "haulier.event.node2.answer" and b"Prepared" in said.body:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                words = entry.read_bytes()
                if b"qemu-storage-daemon" in words and server.encode() in words + _cwd(entry):
                    subprocess.run(["kill", "-9", entry.parent.name], check=True)

    cloud.allinone.broker.taps.append(cut)
    move = await cloud.move(server, "node2")
    assert move.state == State.FAILED
    assert move.reasons
    await said_on_console(cloud, server, "BOOT 00000002")
    found = await cloud.server(server)
    assert (found.host, found.vm_state) == ("node1", "active")
    assert counters(cloud, "node1", server).boots == 2
    assert len(processes(cloud, server)) == 1


def _cwd(entry: Path) -> bytes:
    try:
        return str((entry.parent / "cwd").readlink()).encode()
    except OSError:
        return b""


STUBBORN = bytes([0xFA, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector that halts with interrupts off: no power button ever reaches it."""


async def upload(cloud: Cloud, name: str, content: bytes) -> str:
    """A public raw image of these bytes; its id."""
    body = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = await cloud.admin.post("/image/v2/images", json=body)
    assert made.status_code == 201, made.text
    image = str(made.json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    sent = await cloud.admin.put(f"/image/v2/images/{image}/file", content=content, headers=headers)
    assert sent.status_code == 204, sent.text
    return image


async def test_a_guest_that_ignores_the_power_button_is_moved_all_the_same(tmp_path: Path) -> None:
    async with real(settings(tmp_path, ("node1", "node2"), power_off_grace=1.0)) as cloud:
        cloud.image = await upload(cloud, "stubborn", STUBBORN.ljust(1 << 20, b"\0"))
        server = await cloud.create(host="node1")
        move = await cloud.move(server, "node2")
        assert (move.state, move.was_running) == (State.AWAITS_CONFIRM, True)
        assert len(processes(cloud, server)) == 1
        await cloud.confirm(server)


@contextlib.contextmanager
def small_disk(where: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own, so that it can really be full."""
    where.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which only root may do")


@needs_root
async def test_a_target_without_room_refuses_in_prep_resize_and_says_how_much(tmp_path: Path) -> None:
    made = settings(tmp_path, ("node1", "node2"))
    promised = tuple(msgspec.structs.replace(host, disk_gb=100) for host in made.hosts)
    made = msgspec.structs.replace(made, hosts=promised)  # so that the claim fits, and only the file system is full
    with small_disk(tmp_path / "hosts" / "node2", 64):
        async with real(made) as cloud:
            server = await cloud.create(host="node1")
            await said_on_console(cloud, server, "BOOT")
            move = await cloud.move(server, "node2")
            assert (move.state, move.attempt) == (State.FAILED, 1)
            (reason,) = move.reasons
            assert re.search(r"prep_resize failed on node2: .*1073741824 bytes.* \d+ bytes free", reason), reason
            assert counters(cloud, "node1", server).boots == 1, "the guest never stopped"
            assert not folder(cloud, "node2", server).exists()


@needs_root
async def test_a_target_that_fills_up_in_the_copy_leaves_the_guest_running_where_it_was(tmp_path: Path) -> None:
    target = tmp_path / "hosts" / "node2"
    with small_disk(target, 64):
        async with real(settings(tmp_path, ("node1", "node2"))) as cloud:
            await cloud.add_flavor("as-image", disk=0)
            cloud.image = await upload(cloud, "busy", guest_image.disk_image(size=32 << 20, blocks_per_tick=20))
            server = await cloud.create(host="node1", flavor="as-image")
            await said_on_console(cloud, server, "TICK", 4)

            def fill(said: Said) -> None:
                if said.subject == "haulier.event.node2.answer" and b"Prepared" in said.body:
                    with contextlib.suppress(OSError), (target / "ballast").open("wb") as ballast:
                        while True:
                            ballast.write(bytes(1 << 16))
                            ballast.flush()

            cloud.allinone.broker.taps.append(fill)
            move = await cloud.move(server, "node2")
            assert move.state == State.FAILED, move
            assert "No space left on device" in move.reasons[0], move.reasons
            await said_on_console(cloud, server, "BOOT 00000002")
            assert (await cloud.server(server)).vm_state == "active"
            assert len(processes(cloud, server)) == 1
            (target / "ballast").unlink()  # the audit at the end would find it
