"""The Force table of the design, row by row: what force skips, what it never does, and how each refusal shows."""

from typing import Any

import pytest

from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
BOTH = pytest.mark.parametrize("force", [False, True], ids=["checked", "forced"])


async def unmoved(cloud: Cloud, server: str) -> None:
    """I3: host, states and claims as found; nothing left on the others."""
    found = await cloud.server(server)
    assert (found.host, found.vm_state, found.task_state) == ("node1", VmState.ACTIVE, None)
    assert found.power_state == PowerState.RUNNING
    assert await cloud.claims(server) == {"node1": ONE_SMALL}
    assert [name for name, driver in cloud.drivers.items() if server in driver.disks] == ["node1"]


async def ask(cloud: Cloud, server: str, host: str, force: bool) -> Any:
    return await cloud.action(server, {"migrate": {"host": host, "force": force}})


@BOTH
async def test_the_host_must_exist(cloud: Cloud, force: bool) -> None:
    server = await cloud.create()
    answer = await ask(cloud, server, "nosuch", force)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == "Compute host nosuch could not be found."
    await unmoved(cloud, server)


@BOTH
async def test_the_host_must_not_be_the_source(cloud: Cloud, force: bool) -> None:
    server = await cloud.create()
    answer = await ask(cloud, server, "node1", force)
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == "Cannot migrate to the host where the server exists."
    await unmoved(cloud, server)


async def silence(cloud: Cloud, host: str) -> None:
    """The agent of a host stops, and has not been heard for an hour."""
    await cloud.allinone.agents[host].stop()
    statement = "UPDATE hosts SET last_heard = last_heard - 3600 WHERE name = ?"
    await cloud.allinone.db.write(lambda tx: tx.connection.exec_driver_sql(statement, (host,)).rowcount)


@BOTH
async def test_F7_the_sources_agent_must_be_up(cloud: Cloud, force: bool) -> None:
    server = await cloud.create()
    await silence(cloud, "node1")
    answer = await ask(cloud, server, "node2", force)
    assert answer.status_code == 409
    assert "node1" in answer.json()["conflictingRequest"]["message"]
    await unmoved(cloud, server)
    await cloud.allinone.restart_agent("node1")


@BOTH
async def test_the_targets_agent_must_be_alive(cloud: Cloud, force: bool) -> None:
    server = await cloud.create()
    await silence(cloud, "node2")
    move = await cloud.move(server, "node2", force=force)
    assert move.state == State.FAILED
    assert "node2: its agent has not been heard for 36" in move.reasons[0]
    assert "node2: its agent has not been heard for" in "".join(await cloud.reasons(server))
    await unmoved(cloud, server)
    await cloud.allinone.restart_agent("node2")


async def test_a_disabled_host_is_refused_with_the_reason(cloud: Cloud) -> None:
    server = await cloud.create()
    await cloud.disable("node2", "bad fan")
    move = await cloud.move(server, "node2")
    assert (move.state, move.status) == (State.FAILED, "error")
    assert move.reasons == ("node2: it is disabled (bad fan)",)
    assert "No valid host was found. node2: it is disabled (bad fan)" in "".join(await cloud.reasons(server)) or (
        "node2: it is disabled (bad fan)" in "".join(await cloud.reasons(server))
    )
    await unmoved(cloud, server)


async def test_a_disabled_host_is_taken_under_force(cloud: Cloud) -> None:
    server = await cloud.create()
    await cloud.disable("node2", "bad fan")
    move = await cloud.move(server, "node2", force=True)
    assert (move.state, move.target, move.forced) == (State.AWAITS_CONFIRM, "node2", True)
    assert "enabled" in move.skipped
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, "node2": ONE_SMALL}


async def test_a_draining_host_is_refused_and_taken_under_force(cloud: Cloud) -> None:
    server = await cloud.create()
    assert (await cloud.call("POST", "/haulier/v1/hosts/node2/drain")).status_code in (200, 202, 204)
    assert (await cloud.move(server, "node2")).reasons == ("node2: it is being drained",)
    assert (await cloud.move(server, "node2", force=True)).state == State.AWAITS_CONFIRM


async def fill(cloud: Cloud, host: str) -> None:
    """Nothing more fits on the host."""
    await cloud.add_flavor("whale", ram=16000)
    await cloud.create("whale", host=host, flavor="whale")


@BOTH
async def test_K8_the_claim_is_never_skipped(cloud: Cloud, force: bool) -> None:
    await fill(cloud, "node2")
    await cloud.add_flavor("cow", ram=2048)
    server = await cloud.create(flavor="cow")
    move = await cloud.move(server, "node2", force=force)
    assert move.state == State.FAILED
    assert "needs 2048 MiB of memory, has 384 free" in move.reasons[0]
    assert "needs 2048 MiB of memory, has 384 free" in "".join(await cloud.reasons(server))
    assert set(await cloud.claims(server)) == {"node1"}
    assert (await cloud.server(server)).vm_state == VmState.ACTIVE


@BOTH
async def test_A3_what_prep_resize_finds_counts_and_a_named_host_is_not_replaced(cloud: Cloud, force: bool) -> None:
    server = await cloud.create()
    cloud.drivers["node2"].fails["create_disk"] = "this QEMU has no such machine type"
    move = await cloud.move(server, "node2", force=force)
    assert (move.state, move.attempt) == (State.FAILED, 1)
    assert move.reasons == ("prep_resize failed on node2: this QEMU has no such machine type",)
    assert "this QEMU has no such machine type" in "".join(await cloud.reasons(server))
    await unmoved(cloud, server)


async def test_who_forced_is_recorded(cloud: Cloud) -> None:
    server = await cloud.create()
    move = await cloud.move(server, "node2", force=True)
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move.id}")).json()["migration"]
    assert (shown["forced"], shown["skipped"]) == (True, ["enabled", "draining", "zone"])
    assert shown["asked_by"]["user_id"] == move.user_id
