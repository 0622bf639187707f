"""A whole haulier with real QEMU, which leaves no process behind, whatever became of the test."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from haulier.compute.qemu.driver import QemuDriver
from haulier.config.allinone import AllInOneSettings
from tests.functional.cloud import Cloud, running


@asynccontextmanager
async def real(made: AllInOneSettings) -> AsyncIterator[Cloud]:
    """The cloud, started; at its end every server is deleted, and with it its process."""
    try:
        async with running(made, QemuDriver) as cloud:
            yield cloud
            await delete_all(cloud)
            left = processes_below(Path(made.state_dir))
            assert not left, left
    finally:
        for pid in processes_below(Path(made.state_dir)):
            os.kill(pid, signal.SIGKILL)


async def delete_all(cloud: Cloud) -> None:
    """Delete every server, and wait until each is gone."""
    for server in (await cloud.call("GET", "/v2.1/servers")).json()["servers"]:
        await delete(cloud, server["id"])


async def delete(cloud: Cloud, server: str) -> None:
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204

    async def gone() -> bool:
        return (await cloud.server(server)).vm_state == "deleted"

    await cloud.until(gone)


def processes_below(folder: Path) -> dict[int, str]:
    """QEMU's processes that work in a folder below this one: {pid: command line}."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").readlink()
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "qemu" in words and where.is_relative_to(folder):
            found[int(process.name)] = words
    return found
