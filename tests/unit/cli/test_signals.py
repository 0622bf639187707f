"""What the first and the second signal do, in a process of its own."""

import asyncio
import signal
import sys

import pytest

SCRIPT = """
import asyncio
from haulier.cli.signals import told_to_end

async def run():
    told = told_to_end()
    print("ready", flush=True)
    await told.wait()
    print("told", flush=True)
    await asyncio.sleep(60)

asyncio.run(run())
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_asks_and_the_second_ends_at_once(first: signal.Signals, second: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(first)
        assert await process.stdout.readline() == b"told\n"
        process.send_signal(second)
        assert await process.wait() == -second
