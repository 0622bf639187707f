"""Deleting a server: what the hosts hold goes with it, and nothing is called gone before they were told."""

import asyncio
from typing import Any

from haulier.conductor.reconcile.lost_deletions import LostDeletions
from tests.functional.cloud import Cloud
from tests.functional.test_force import silence


async def gone(cloud: Cloud, server: str) -> bool:
    return (await cloud.call("GET", f"/v2.1/servers/{server}")).status_code == 404


async def delete(cloud: Cloud, server: str) -> None:
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204


async def test_a_deleted_server_leaves_nothing(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    assert await cloud.claims(server) == {}
    assert server not in cloud.drivers["node1"].disks


async def test_a_deletion_that_is_still_to_be_taken_up_is_not_swept_away(cloud: Cloud) -> None:
    """The reconciler once took \"no host is still to answer\" for \"every host has answered\"."""
    server = await cloud.create(host="node1")
    conductor = cloud.allinone.conductor
    release, handle = asyncio.Event(), conductor.outbox.handle

    async def wait_first(request: Any, row_id: str) -> None:
        await release.wait()
        await handle(request, row_id)

    conductor.outbox.handle = wait_first
    await delete(cloud, server)
    await LostDeletions(cloud.allinone.db, conductor.deletions).sweep()
    assert not await gone(cloud, server)
    release.set()
    await cloud.until(lambda: gone(cloud, server))
    assert server not in cloud.drivers["node1"].disks


async def test_B14_a_host_that_is_down_is_told_when_it_is_back(cloud: Cloud) -> None:
    """Until then the claim says for whom it waits; the server is gone for its users at once."""
    server = await cloud.create(host="node1")
    await silence(cloud, "node1")
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    held = await cloud.allinone.db.read(causes, server)
    assert set(held) == {"deleted, awaiting host"}
    await cloud.allinone.restart_agent("node1")

    async def released() -> bool:
        return await cloud.claims(server) == {}

    await cloud.until(released)
    assert server not in cloud.drivers["node1"].disks


def causes(tx: Any, server: str) -> list[str]:
    statement = "SELECT cause FROM claims WHERE server_id = ?"
    return [row[0] for row in tx.connection.exec_driver_sql(statement, (server,))]
