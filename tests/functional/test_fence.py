"""A silent host moves nothing, an operator's word does; a host that comes back after it starts nothing until told."""

import asyncio
from typing import Any

import pytest

from haulier.bus.local import Said
from haulier.db.store import hosts
from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud
from tests.functional.test_force import silence

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


def cut_off(cloud: Cloud, host: str) -> Any:
    """Nothing that is said to the host or by it arrives; returns what ends that."""

    def lost(said: Said) -> bool:
        return said.sender == f"compute.{host}" or said.subject == f"haulier.compute.{host}"

    cloud.allinone.broker.losses.append(lost)
    return lambda: cloud.allinone.broker.losses.remove(lost)


async def fall_silent(cloud: Cloud, host: str) -> None:
    statement = "UPDATE hosts SET last_heard = last_heard - 3600 WHERE name = ?"
    await cloud.allinone.db.write(lambda tx: tx.connection.exec_driver_sql(statement, (host,)).rowcount)


async def fence(cloud: Cloud, host: str) -> Any:
    return await cloud.call("POST", f"/haulier/v1/hosts/{host}/fence", {"reason": "pulled the plug"})


async def fence_silent(cloud: Cloud, host: str) -> None:
    """Fence a host that is cut off; a heartbeat that was on its way already may come first, and once only."""
    async with asyncio.timeout(30):
        while True:
            await fall_silent(cloud, host)
            if (await fence(cloud, host)).status_code == 200:
                return


async def begin(cloud: Cloud, server: str, host: str | None, at: State) -> int:
    """Ask for a move and wait until it is in that state."""
    assert (await cloud.action(server, {"migrate": {"host": host} if host else None})).status_code == 202
    return await reached(cloud, server, at)


async def reached(cloud: Cloud, server: str, at: State) -> int:
    async def look() -> bool:
        return (await cloud.newest(server)).state == at

    await cloud.until(look)
    return (await cloud.newest(server)).id


def lose(cloud: Cloud, step: bytes) -> None:
    """No command of that step arrives."""
    cloud.allinone.broker.losses.append(lambda said: said.subject.startswith("haulier.compute.") and step in said.body)


async def test_a_host_that_is_heard_is_not_fenced(cloud: Cloud) -> None:
    answer = await fence(cloud, "node2")
    assert answer.status_code == 409
    assert "it is not off" in answer.json()["conflictingRequest"]["message"]


async def test_who_fenced_and_why_is_kept(cloud: Cloud) -> None:
    await silence(cloud, "node2")
    shown = (await fence(cloud, "node2")).json()["host"]
    assert shown["fence"]["reason"] == "pulled the plug"
    assert shown["fence"]["by"]
    assert shown["up"] is False
    await cloud.allinone.restart_agent("node2")
    (node2,) = [one for one in (await cloud.call("GET", "/haulier/v1/hosts")).json()["hosts"] if one["name"] == "node2"]
    assert (node2["fence"], node2["up"]) == (None, True), "it ends when the agent has come back"


async def test_a_silent_target_moves_nothing_after_the_switch(cloud: Cloud) -> None:
    """It shows for whom it waits, and since when; only a fence leads on: the second switch, the source runs again."""
    server = await cloud.create(host="node1")
    lose(cloud, b"finish_resize")
    move = await begin(cloud, server, "node2", State.SWITCHED)
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move}")).json()["migration"]
    assert [(one["host"], one["step"]) for one in shown["waiting_for"]] == [("node2", "finish_resize")]
    cut_off(cloud, "node2")
    await fence_silent(cloud, "node2")
    ended = await cloud.ended(move)
    assert ended.state == State.FAILED
    assert "node2 was fenced" in ended.reasons[0]
    found = await cloud.server(server)
    assert (found.host, found.vm_state, found.owner_epoch) == ("node1", VmState.ACTIVE, 3)
    assert cloud.drivers["node1"].guests[found.id] == PowerState.RUNNING
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_a_host_that_was_cut_off_and_fenced_stops_its_stale_guest_and_cleans_up(cloud: Cloud) -> None:
    """The answer `finished` was lost, the guest runs on the target; the operator was wrong about the host."""
    server = await cloud.create(host="node1")
    finished = []

    def lost(said: Said) -> bool:
        if said.sender == "compute.node2" and b"Finished" in said.body:
            finished.append(said)
        return bool(finished) and (said.sender == "compute.node2" or said.subject == "haulier.compute.node2")

    cloud.allinone.broker.losses.append(lost)
    move = await begin(cloud, server, "node2", State.SWITCHED)

    async def runs_there() -> bool:
        return cloud.drivers["node2"].guests.get((await cloud.server(server)).id) == PowerState.RUNNING

    await cloud.until(runs_there)
    cloud.fleet.violations.clear()
    await fence_silent(cloud, "node2")
    await cloud.ended(move)
    cloud.fleet.violations.clear()  # the word was false: that two guests ran is the operator's doing
    cloud.allinone.broker.losses.clear()

    async def clean() -> bool:
        driver = cloud.drivers["node2"]
        return server not in driver.disks and driver.guests.get((await cloud.server(server)).id) != PowerState.RUNNING

    await cloud.until(clean)
    assert (await cloud.server(server)).host == "node1"

    async def told() -> bool:
        return not (await cloud.allinone.db.read(hosts.get, "node2")).fenced

    await cloud.until(told)
    assert (await cloud.move(server, "node2")).state == State.AWAITS_CONFIRM, "and it may be a target again"


async def test_a_fenced_target_lets_a_revert_go_on(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    cut_off(cloud, "node2")
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202
    move = await reached(cloud, server, State.REVERTING)
    cloud.drivers["node2"].guests.clear()
    cloud.fleet.running.pop((await cloud.server(server)).id, None)
    await fence_silent(cloud, "node2")
    assert (await cloud.ended(move)).state == State.REVERTED
    found = await cloud.server(server)
    assert (found.host, found.vm_state) == ("node1", VmState.ACTIVE)
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


@pytest.mark.parametrize("at", ["prep_resize", "receive_disk"])
async def test_a_fenced_target_before_the_switch_means_the_next_alternate(cloud: Cloud, at: str) -> None:
    server = await cloud.create(host="node1")
    lose(cloud, at.encode())
    move = await begin(cloud, server, None, State.PREPARING if at == "prep_resize" else State.RECEIVING)
    cloud.allinone.broker.losses.clear()
    cut_off(cloud, "node2")
    await fence_silent(cloud, "node2")
    await cloud.free(server)
    ended = await cloud.migration(move)
    assert (ended.state, ended.target) == (State.AWAITS_CONFIRM, "node3")
    assert "node2 was fenced" in ended.reasons[0]


async def test_a_fenced_source_is_waited_for_since_it_has_the_disk(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    lose(cloud, b"resize_instance")
    move = await begin(cloud, server, "node2", State.COPYING)
    heal = cut_off(cloud, "node1")
    await fence_silent(cloud, "node1")
    await cloud.allinone.conductor.driver.sweep()
    assert (await cloud.migration(move)).state == State.COPYING
    heal()
    cloud.allinone.broker.losses.clear()
    await cloud.free(server)
    assert (await cloud.migration(move)).state == State.AWAITS_CONFIRM


async def test_F9_files_that_nobody_owns_are_deleted(cloud: Cloud) -> None:
    """A host that was down through it all comes back with a server that is long gone."""
    server = await cloud.create(host="node1")
    statement = "UPDATE servers SET vm_state = 'deleted', host = NULL WHERE id = ?"
    await cloud.allinone.db.write(lambda tx: tx.connection.exec_driver_sql(statement, (server,)).rowcount)

    async def clean() -> bool:
        return server not in cloud.drivers["node1"].disks

    await cloud.until(clean)
    assert await cloud.claims(server) == {}, "nor is there a claim left for it"
    cloud.allinone.conductor.orphaned_claims.released = 0  # the one that this test has left over by hand
