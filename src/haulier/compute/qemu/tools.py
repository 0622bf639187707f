"""Runs qemu-img and such to the end, without a shell, and turns a failure into a reason."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from haulier.compute.driver import HostTrouble
from haulier.compute.qemu.child import Account, Child

TIMEOUT = 600.0


async def run_tool(
    argv: Sequence[str], folder: Path, account: Account | None = None, accept: tuple[int, ...] = (0,)
) -> str:
    """What the program wrote, if its exit status is one of `accept`. Cancelling kills it.

    Raises:
        HostTrouble: it failed, with the end of what it said, or took longer than TIMEOUT seconds.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = Child.spawn(argv, folder, account, output, errors)
        try:
            if not await child.ends_within(TIMEOUT):
                raise HostTrouble(f"{argv[0]} {argv[1]} took longer than {TIMEOUT:g} s")
        finally:
            await child.kill()
        if child.status not in accept:
            errors.seek(0)
            raise HostTrouble(f"{argv[0]} {argv[1]} failed: {last_words(errors.read()) or f'status {child.status}'}")
        output.seek(0)
        return output.read().decode()


def last_words(said: bytes, limit: int = 400) -> str:
    """The end of what a program complained of, on one line."""
    return "; ".join(said.decode(errors="replace").split("\n"))[-limit:].strip("; ")
