"""Guests that stay where they are: built, stopped, found again, never doubled."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from qemu.qmp import QMPClient

from haulier.compute.qemu.nodes import IMAGE_OPTIONS
from haulier.guest_image import deaf_disk_image, disk_image
from haulier.model.server import PowerState
from haulier.wire.events import Attested, Discarded, Failed, Power, PowerChanged, Stale
from haulier.wire.to_compute import (
    AttestDisk,
    BuildGuest,
    DiscardGuest,
    Owned,
    PauseGuest,
    RebootGuest,
    StartGuest,
    StopGuest,
    UnpauseGuest,
)
from tests.guest.agent.lab import GRACE, Lab, pid_of, processes_below, run_in
from tests.unit.compute.hand import new_server, until

pytestmark = pytest.mark.guest


@pytest.mark.parametrize("machine_type", ["pc", "q35"])
async def test_a_server_is_built_stopped_and_started(lab: Lab, machine_type: str) -> None:
    await lab.start("n1", machine_type=machine_type)
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    assert (await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))).power_state == PowerState.SHUTDOWN
    assert processes_below(lab.folder / "n1") == []
    state = lab.state("n1", server)
    assert (state.boots, state.clean) == (1, 1)
    await lab.expect(PowerChanged, "n1", server, StartGuest(lab.guest))
    await lab.booted("n1", server, 2)
    text = (await lab.hand.console("n1", server)).text
    assert text.index("BOOT 00000001") < text.index("DOWN") < text.index("BOOT 00000002")
    assert (await lab.hand.console("n1", server, 1)).text.count("\n") <= 1
    await lab.discard("n1", server, end_running=True)
    assert list((lab.folder / "n1" / "servers").iterdir()) == []
    assert list((lab.folder / "n1" / "trash").iterdir()) == []


@pytest.mark.parametrize("how", ["its button", "the plug", "a crash", "by itself"])
async def test_a_guest_that_is_gone_is_watched_no_more(lab: Lab, how: str) -> None:
    """Seen in a partition: a watcher that waits for ever ends as asyncio's complaint about a lost task."""
    await lab.start("n1")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    assert len(_watchers()) == 1
    if how == "a crash":
        os.kill(pid_of(lab.server_folder("n1", server), "qemu-system"), signal.SIGKILL)
    elif how == "by itself":
        (machine,) = lab.agents["n1"]._driver._machines.values()  # type: ignore[attr-defined]
        await machine._ask("system_powerdown")
    else:
        grace = GRACE if how == "its button" else 0
        await lab.expect(PowerChanged, "n1", server, StopGuest(grace))
    await until(lambda: not _watchers())
    assert processes_below(lab.folder / "n1") == []


def _watchers() -> list[asyncio.Task[None]]:
    return [task for task in asyncio.all_tasks() if "_watch_guest" in repr(task.get_coro())]


async def test_pause_unpause_reboot(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    assert (await lab.expect(PowerChanged, "n1", server, PauseGuest())).power_state == PowerState.PAUSED
    assert (await lab.expect(PowerChanged, "n1", server, UnpauseGuest())).power_state == PowerState.RUNNING
    await lab.expect(PowerChanged, "n1", server, RebootGuest(lab.guest, 0))
    await lab.booted("n1", server, 2)
    await lab.expect(PowerChanged, "n1", server, PauseGuest())
    await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))
    assert lab.state("n1", server) >= (2, 1, 0)


async def test_qemu_is_nobody_and_reaches_its_own_disk_only(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    folder = lab.server_folder("n1", server)
    pid = pid_of(folder, "qemu-system")
    status = Path(f"/proc/{pid}/status").read_text()
    if os.geteuid() == 0:
        disk = (folder / "disk.qcow2").stat()
        assert f"Uid:\t{disk.st_uid}\t" in status
        assert disk.st_uid != 0
        assert folder.stat().st_uid == 0
        assert "Groups:\t \n" in status
    assert "Seccomp:\t2" in status
    assert (folder / "disk.qcow2").stat().st_mode & 0o777 == 0o600
    assert (folder / "base.raw").stat().st_mode & 0o777 == 0o444
    assert (lab.folder / "n1").stat().st_mode & 0o007 in (0, 1)


async def test_a_guest_that_powers_itself_off_is_reaped_and_reported(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    machine = lab.agents["n1"]._driver._machines[server]
    while machine.state == PowerState.RUNNING:  # a press from outside of a stop is the guest's own affair
        await machine._ask("system_powerdown")
        await asyncio.sleep(0.05)
        if machine._off.is_set():
            break
    power = await lab.hand.wait_for(lambda message: isinstance(message, Power))
    assert (power.guest.server_id, power.guest.power_state) == (server, PowerState.SHUTDOWN)
    assert processes_below(lab.folder / "n1") == []
    assert lab.state("n1", server).clean == 1


async def test_a_guest_whose_process_is_killed_is_reported(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    os.kill(pid_of(lab.server_folder("n1", server), "qemu-system"), signal.SIGKILL)
    power = await lab.hand.wait_for(lambda message: isinstance(message, Power))
    assert power.guest.power_state == PowerState.CRASHED
    assert "process is gone" in (await lab.expect(Failed, "n1", server, AttestDisk())).reason
    await lab.expect(PowerChanged, "n1", server, StartGuest(lab.guest))
    await lab.expect(Attested, "n1", server, AttestDisk())


async def test_a_guest_outlives_its_agent(lab: Lab) -> None:
    await lab.start("n1")
    server, dies, goes_off = await asyncio.gather(*(lab.build("n1") for _ in range(3)))
    await lab.booted("n1", server, 1)
    await lab.booted("n1", goes_off, 1)
    pid = pid_of(lab.server_folder("n1", server), "qemu-system")
    await lab.agents.pop("n1").stop()
    os.kill(pid_of(lab.server_folder("n1", dies), "qemu-system"), signal.SIGKILL)
    await press_the_button(lab.server_folder("n1", goes_off) / "run" / "qmp")
    lab.hand.owned["n1"] = [Owned(name, 1) for name in (server, dies, goes_off)]
    await lab.start("n1")
    for missing in (dies, goes_off):
        await lab.hand.wait_for(
            lambda m, missing=missing: (
                isinstance(m, Power) and (m.guest.server_id, m.guest.power_state) == (missing, PowerState.SHUTDOWN)
            )
        )
    assert pid_of(lab.server_folder("n1", server), "qemu-system") == pid
    await lab.expect(PowerChanged, "n1", server, StartGuest(lab.guest))
    await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))
    assert lab.state("n1", server)[:2] == (1, 1)


async def test_a_guest_that_ignores_its_button_is_unplugged(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1", lab.guest_of(deaf_disk_image()))
    began = asyncio.get_running_loop().time()
    await lab.expect(PowerChanged, "n1", server, StopGuest(0.7))
    assert asyncio.get_running_loop().time() - began >= 0.7
    assert processes_below(lab.folder / "n1") == []


async def test_nothing_starts_a_second_process(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    folder = lab.server_folder("n1", server)
    pid = pid_of(folder, "qemu-system")
    command = lab.hand.command("n1", server, StartGuest(lab.guest))
    await asyncio.gather(*(lab.hand.ask(command) for _ in range(3)))
    await lab.expect(PowerChanged, "n1", server, StartGuest(lab.guest))
    await lab.expect(Stale, "n1", server, StartGuest(lab.guest), owner_epoch=0)
    assert pid_of(folder, "qemu-system") == pid
    # Even somebody who goes around the agent meets QEMU's own lock.
    second = await asyncio.to_thread(
        subprocess.run, ["qemu-img", "info", "--image-opts", IMAGE_OPTIONS], cwd=folder, capture_output=True
    )
    assert second.returncode != 0
    assert b"lock" in second.stderr


async def test_a_reboot_that_comes_twice_happens_once(lab: Lab) -> None:
    await lab.start("n1")
    server = await lab.build("n1")
    await lab.booted("n1", server, 1)
    command = lab.hand.command("n1", server, RebootGuest(lab.guest, GRACE))
    first = await lab.hand.ask(command)
    await lab.booted("n1", server, 2)
    lab.hand.said.clear()
    assert await lab.hand.ask(command) == first
    await lab.expect(PowerChanged, "n1", server, StopGuest(GRACE))
    assert lab.state("n1", server).boots == 2


async def test_images_are_verified(lab: Lab) -> None:
    await lab.start("n1")
    good = lab.guest_of(disk_image(blocks_per_tick=3))
    path = lab.images / good.image.id
    path.write_bytes(b"x" + path.read_bytes()[1:])
    server = "11111111-1111-4111-8111-111111111111"
    assert "corrupt" in (await lab.expect(Failed, "n1", server, BuildGuest(good))).reason
    path.unlink()
    assert "missing" in (await lab.expect(Failed, "n1", server, BuildGuest(good))).reason
    assert list((lab.folder / "n1" / "base").iterdir()) == []
    assert list((lab.folder / "n1" / "servers").iterdir()) == []


async def test_a_qcow2_image_is_converted_and_one_with_a_backing_file_refused(lab: Lab, tmp_path: Path) -> None:
    await lab.start("n1")
    (tmp_path / "raw").write_bytes(disk_image())
    run_in(tmp_path, "qemu-img", "convert", "-O", "qcow2", "raw", "good")
    run_in(tmp_path, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "bad")
    server = await lab.build("n1", lab.guest_of((tmp_path / "good").read_bytes(), "qcow2"))
    await lab.booted("n1", server, 1)
    bad = lab.guest_of((tmp_path / "bad").read_bytes(), "qcow2")
    failed = await lab.expect(Failed, "n1", "11111111-1111-4111-8111-111111111111", BuildGuest(bad))
    assert "backing file" in failed.reason
    assert not failed.elsewhere


async def test_a_machine_type_that_qemu_does_not_have(lab: Lab) -> None:
    await lab.start("n1", machine_type="vax")
    failed = await lab.expect(Failed, "n1", "11111111-1111-4111-8111-111111111111", BuildGuest(lab.guest))
    assert "no machine type vax" in failed.reason


async def test_a_guest_that_qemu_can_not_start(lab: Lab) -> None:
    await lab.start("n1")
    monster = msgspec.structs.replace(lab.guest, vcpus=10_000)
    server = new_server()
    failed = await lab.expect(Failed, "n1", server, BuildGuest(monster))
    assert "QEMU did not start the guest" in failed.reason
    assert "CPU" in failed.reason
    assert processes_below(lab.folder) == []
    assert list((lab.folder / "n1" / "servers").iterdir()) == []
    assert not any(isinstance(message, Power) for message in lab.hand.said)


async def test_a_console_is_capped(lab: Lab) -> None:
    await lab.start("n1", console_bytes=40)
    server = await lab.build("n1")
    folder = lab.server_folder("n1", server)
    await until(lambda: (folder / "console.before").exists() and (folder / "run" / "console.log").stat().st_size < 20)
    console = (await lab.hand.console("n1", server)).text
    assert "TICK" in console
    assert len(console) <= 40
    await lab.expect(Discarded, "n1", server, DiscardGuest(True))


async def press_the_button(socket: Path) -> None:
    """Power a guest off while no agent is there, until QEMU says that it is off."""
    client = QMPClient()
    folder = os.open(socket.parent, os.O_PATH)
    await client.connect(f"/proc/self/fd/{folder}/{socket.name}")
    os.close(folder)
    while (await client.execute("query-status"))["status"] != "shutdown":
        await client.execute("system_powerdown")
        await asyncio.sleep(0.05)
    await client.disconnect()
