"""Two agents in a process of their own, to be killed in the middle of a copy.

`python -m tests.guest.agent.dying FOLDER` says on one line what it has done, and waits to be killed.
"""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

from haulier.guest_image import disk_image
from tests.guest.agent.lab import Lab
from tests.guest.agent.relay import Relay
from tests.unit.compute.hand import move


async def main(folder: Path) -> None:
    lab = Lab(folder)
    lab.guest = lab.guest_of(disk_image(4 << 20, blocks_per_tick=20, nblocks=96))
    await lab.hand.start()
    await lab.start("n1")
    await lab.start("n2")
    moving, staying = await lab.build("n1"), await lab.build("n1")
    await lab.booted("n1", moving, 1, tick=64)
    await lab.booted("n1", staying, 1)
    prepared = await lab.prepare(moving)
    async with Relay(prepared.address, prepared.port, passes=1 << 20) as relay:
        order = msgspec.structs.replace(lab.send(prepared), port=relay.port)
        await lab.hand.send(lab.hand.command("n1", moving, order, **move(generation=2)))
        await relay.holding.wait()
        done = {"moving": moving, "staying": staying, "order": msgspec.to_builtins(lab.send(prepared))}
        print(json.dumps(done), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
