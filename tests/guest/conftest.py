from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from haulier.compute.qemu.driver import QemuDriver
from tests.functional.cloud import Cloud, running, settings

HOSTS = ("node1", "node2", "node3")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Three hosts with real QEMU; at its end every guest is deleted, and with them their processes."""
    async with running(settings(tmp_path, HOSTS), QemuDriver) as made:
        yield made
        listed = (await made.call("GET", "/v2.1/servers")).json()["servers"]
        for server in listed:
            await made.call("DELETE", f"/v2.1/servers/{server['id']}")
        for server in listed:

            async def gone(server_id: str = server["id"]) -> bool:
                return (await made.server(server_id)).vm_state == "deleted"

            await made.until(gone)
