"""Agents with real QEMU on this machine, each with its own folder, and a conductor played by hand."""

import asyncio
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from haulier.bus.permissions import compute
from haulier.compute.qemu.driver import QemuDriver
from haulier.compute.qemu.nodes import IMAGE_OPTIONS
from haulier.compute.service import Agent
from haulier.config.compute import Accelerator, ComputeSettings
from haulier.guest_image import GuestState, disk_image, read_state
from haulier.model.ids import HostName, ImageId, ServerId
from haulier.wire.events import Built, Discarded, Finished, Prepared, Received, Sealed
from haulier.wire.to_compute import (
    BuildGuest,
    DiscardGuest,
    FinishResize,
    GuestSpec,
    ImageRef,
    Owned,
    PrepResize,
    ReceiveDisk,
    ResizeInstance,
)
from tests.unit.compute.hand import Hand, guest, move, new_server

ROOT_BYTES = 4 << 20
GRACE = 20.0


class Lab:
    """`guest` is what servers are made of. Whatever runs at the end is ended by `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir(exist_ok=True)
        self.hand = Hand()
        self.agents: dict[str, Agent] = {}
        self.settings: dict[str, ComputeSettings] = {}
        self.servers: set[ServerId] = set()
        self.guest = self.guest_of(disk_image(blocks_per_tick=2))

    def guest_of(self, content: bytes, disk_format: str = "raw") -> GuestSpec:
        """A guest whose image has this content."""
        digest = hashlib.sha256(content).hexdigest()
        image = ImageRef(ImageId(f"image-{digest[:8]}"), digest, len(content), disk_format)
        (self.images / image.id).write_bytes(content)
        return guest(image, root_bytes=ROOT_BYTES)

    async def start(self, host: str, **changes: Any) -> Agent:
        fields = {
            "state_dir": str(self.folder / host),
            "images_dir": str(self.images),
            "accelerator": Accelerator.TCG,
            "heartbeat": 0.5,
            "hello_again": 0.1,
            "power_button_again": 0.2,
            "stall_after": 2.0,
        }
        settings = ComputeSettings(host=host, **(fields | changes))
        self.settings[host] = settings
        bus = self.hand.broker.connect(host, compute(HostName(host)))
        agent = self.agents[host] = Agent(settings, bus, QemuDriver(settings))
        await agent.start()
        await asyncio.wait_for(agent.welcomed.wait(), 30)
        return agent

    async def restart(self, host: str, owned: list[Owned]) -> Agent:
        await self.agents.pop(host).stop()
        self.hand.owned[host] = owned
        return await self.start(host)

    async def close(self) -> None:
        for host, agent in self.agents.items():
            for server_id in agent._driver.servers():
                await agent._driver.close_export(server_id)
                await agent._driver.power_off(server_id, 0)
            await agent.stop()
            assert processes_below(self.folder / host) == []
        await self.hand.close()

    # -- what is asked of them -----------------------------------------------------------------------------

    async def expect(self, outcome: type, host: str, server_id: ServerId, order: Any, **envelope: Any) -> Any:
        return await self.hand.expect(outcome, host, server_id, order, **envelope)

    async def build(self, host: str, spec: GuestSpec | None = None) -> ServerId:
        server_id = new_server()
        await self.expect(Built, host, server_id, BuildGuest(spec or self.guest))
        return server_id

    async def booted(self, host: str, server_id: ServerId, boots: int, tick: int = 0) -> None:
        """Wait until the guest has said on its console that it booted so often, and written `tick` blocks."""
        async with asyncio.timeout(30):
            while True:
                text = (await self.hand.console(host, server_id)).text
                _, booted, since = text.rpartition(f"BOOT {boots:08x}")
                ticks = [int(line[5:], 16) for line in since.split("\n")[:-1] if line.startswith("TICK ")]
                if booted and max(ticks, default=0) >= tick:
                    return
                await asyncio.sleep(0.02)

    async def prepare(self, server_id: ServerId, number: int = 1, generation: int = 1) -> Prepared:
        order = PrepResize(self.guest, HostName("n1"), ROOT_BYTES)
        return await self.expect(Prepared, "n2", server_id, order, **move(number, generation))

    def send(self, prepared: Prepared) -> ResizeInstance:
        return ResizeInstance(prepared.address, prepared.port, prepared.export, GRACE, self.guest)

    async def move_until_received(self, server_id: ServerId) -> Sealed:
        """Prepare, copy, receive: all that comes before the switch."""
        prepared = await self.prepare(server_id)
        sealed = await self.expect(Sealed, "n1", server_id, self.send(prepared), **move(generation=2))
        await self.expect(Received, "n2", server_id, ReceiveDisk(sealed.digest), **move(generation=3))
        return sealed

    async def finish(self, server_id: ServerId, spec: GuestSpec | None = None, start: bool = True) -> Finished:
        order = FinishResize(spec or self.guest, start)
        return await self.expect(Finished, "n2", server_id, order, owner_epoch=2, **move(generation=4))

    async def discard(self, host: str, server_id: ServerId, end_running: bool, **envelope: Any) -> None:
        await self.expect(Discarded, host, server_id, DiscardGuest(end_running), **envelope)

    # -- what is on their disks ----------------------------------------------------------------------------

    def server_folder(self, host: str, server_id: ServerId) -> Path:
        return self.folder / host / "servers" / server_id

    def content(self, host: str, server_id: ServerId) -> bytes:
        """All that a guest which is off would read."""
        folder = self.server_folder(host, server_id)
        raw = self.folder / f"{host}-{server_id}.raw"
        run_in(folder, "qemu-img", "convert", "--image-opts", IMAGE_OPTIONS, "-O", "raw", str(raw))
        return raw.read_bytes()

    def state(self, host: str, server_id: ServerId) -> GuestState:
        return read_state(self.content(host, server_id))

    def compare(self, server_id: ServerId, one: str = "n1", other: str = "n2") -> None:
        """`qemu-img compare` says that the two hosts hold the same disk."""
        disks = [str(self.server_folder(host, server_id) / "disk.qcow2") for host in (one, other)]
        run_in(self.folder, "qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", *disks)


def run_in(folder: Path, *argv: str) -> None:
    """Run a tool of QEMU's; it must succeed."""
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def processes_below(folder: Path) -> list[str]:
    """Commands of the processes that work somewhere below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append((entry / "cmdline").read_bytes().split(b"\0")[0].decode())
            except OSError:
                continue
    return found


def pid_of(folder: Path, program: str) -> int:
    """The one process of `program` that works in a folder."""
    pids = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_in(entry, folder) and program in (entry / "cmdline").read_bytes().decode()
    ]
    assert len(pids) == 1, (folder, pids)
    return pids[0]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False
