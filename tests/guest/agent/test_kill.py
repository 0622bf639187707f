"""Agents killed with -9 in the middle of a copy: guests and exports live on, and the next agents end the move."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec
import pytest

from haulier.guest_image import disk_image
from haulier.wire.events import PowerChanged, Received, Sealed
from haulier.wire.to_compute import Owned, ReceiveDisk, ResizeInstance, StopGuest
from tests.guest.agent.lab import Lab, pid_of
from tests.unit.compute.hand import move

pytestmark = pytest.mark.guest


async def test_killed_in_the_middle_of_a_copy(lab: Lab, tmp_path: Path) -> None:
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.guest.agent.dying", str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert dying.stdout is not None
    try:
        line = b""
        while not line.startswith(b"{"):
            line = await asyncio.wait_for(dying.stdout.readline(), 60)
            assert line
    finally:
        dying.kill()
        await dying.wait()
    done = json.loads(line)
    staying = done["staying"]
    pid = pid_of(lab.server_folder("n1", staying), "qemu-system")

    lab.guest = lab.guest_of(disk_image(4 << 20, blocks_per_tick=20, nblocks=96))
    lab.hand.owned["n1"] = [Owned(done["moving"], 1), Owned(staying, 1)]
    await lab.start("n1")
    await lab.start("n2")
    assert pid_of(lab.server_folder("n1", staying), "qemu-system") == pid
    order = msgspec.convert(done["order"], ResizeInstance)
    sealed = await lab.expect(Sealed, "n1", done["moving"], order, **move(generation=2))
    assert sealed.was_running
    await lab.expect(Received, "n2", done["moving"], ReceiveDisk(sealed.digest), **move(generation=3))
    lab.compare(done["moving"])
    await lab.finish(done["moving"])
    await lab.booted("n2", done["moving"], 2)
    await lab.expect(PowerChanged, "n1", staying, StopGuest(20.0))
    assert lab.state("n1", staying)[:2] == (1, 1)
