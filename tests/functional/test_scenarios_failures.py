"""Scenarios of group D: a step fails or says nothing, and how the server and the records look afterwards."""

import asyncio

import pytest

from haulier.db.store import migrations
from haulier.model.migration import State
from tests.functional.cloud import PATIENCE, Cloud
from tests.functional.hooks import before, long_ago
from tests.functional.test_fence import lose, reached
from tests.functional.test_force import unmoved
from tests.functional.test_same_host import fail_once
from tests.functional.test_undo import STEPS, as_found


@pytest.mark.parametrize("able", [True, False], ids=["able", "unable"])
async def test_D3_a_server_in_preparation_is_not_left_in_it_when_the_agent_starts_anew(
    cloud: Cloud, able: bool
) -> None:
    """The target's agent dies while it prepares; the next one goes on with it, or refuses, and the server is free."""
    server = await cloud.create(host="node1")
    node2, at_work = cloud.drivers["node2"], asyncio.Event()

    async def stuck() -> None:
        at_work.set()
        await asyncio.Event().wait()

    unstick = before(node2, "create_disk", stuck)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await asyncio.wait_for(at_work.wait(), PATIENCE)
    assert (await cloud.server(server)).task_state == "resize_prep"
    unstick()
    if not able:
        node2.fails["create_disk"] = "the disk is on fire"
    await cloud.allinone.restart_agent("node2")
    await cloud.free(server)
    assert (await cloud.newest(server)).state == (State.AWAITS_CONFIRM if able else State.FAILED)
    if not able:
        await unmoved(cloud, server)


@pytest.mark.parametrize(("host", "primitive"), STEPS, ids=[f"{host}-{what}" for host, what in STEPS])
async def test_D4_a_step_that_breaks_in_a_way_nobody_thought_of_is_a_failed_step(
    cloud: Cloud, host: str, primitive: str
) -> None:
    """A mistake of our own, such as a call with the wrong arguments, and not an error that is raised on purpose."""
    server = await cloud.create(host="node1")

    async def breaks() -> None:
        raise TypeError("takes 1 positional argument but 2 were given")

    before(cloud.drivers[host], primitive, breaks)
    move = await cloud.move(server, "node2")
    assert (move.state, move.status) == (State.FAILED, "error")
    assert "TypeError" in "".join(await cloud.reasons(server))
    await as_found(cloud, server, stopped=False)


async def test_D5_a_revert_that_stops_half_way_never_swaps_source_and_target(cloud: Cloud) -> None:
    """Half way the first time at the target, the second time at the source, which owns the server again."""
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    cloud.drivers["node2"].fails["delete"] = "busy"
    cloud.drivers["node1"].fails["start"] = "no memory"
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202

    async def tried() -> bool:
        return "busy" in "".join((await cloud.migration(move.id)).reasons)

    await cloud.until(tried)
    assert await ends(cloud) == ("reverting", "node1", "node2")
    cloud.drivers["node2"].fails.clear()
    assert (await cloud.ended(move.id)).state == State.REVERTED
    assert await ends(cloud) == ("reverted", "node1", "node2")
    assert (await cloud.server(server)).host == "node1"


async def ends(cloud: Cloud) -> tuple[str, str, str]:
    """Status, source and target of the only move, as the API shows them."""
    (move,) = (await cloud.call("GET", "/v2.1/os-migrations")).json()["migrations"]
    return move["status"], move["source_compute"], move["dest_compute"]


async def test_D7_a_named_target_that_never_answers_is_no_error_of_the_server(cloud: Cloud) -> None:
    """It was only asked whether it could; nothing has happened to the server."""
    server = await cloud.create(host="node1")
    lose(cloud, b"prep_resize")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    move = await reached(cloud, server, State.PREPARING)
    await long_ago(cloud, move)
    ended = await cloud.ended(move)
    assert (ended.state, ended.target) == (State.FAILED, "node2")
    assert "no answer to prep_resize" in "".join(await cloud.reasons(server))
    await unmoved(cloud, server)


async def test_D9_when_the_last_step_fails_nothing_says_that_the_move_succeeded(cloud: Cloud) -> None:
    """The server is as it was found, so it is not in ERROR; the move is, wherever one looks."""
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["start"] = "no memory"
    move = await cloud.move(server, "node2")
    assert await ends(cloud) == ("error", "node1", "node2")
    listed = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    assert (listed[0]["action"], listed[0]["message"]) == ("migrate", "Error")
    passed = [row.to_state for row in await cloud.allinone.db.read(migrations.log_of, move.id)]
    assert passed[-3:] == [State.SWITCHED, State.RESTORING, State.FAILED]
    assert "no memory" in "".join(await cloud.reasons(server))
    await as_found(cloud, server, stopped=False)


async def test_D11_a_source_that_can_not_stop_the_guest(cloud: Cloud) -> None:
    """What the target made goes; the guest, on its way down for all we know, is stopped after all and runs again."""
    server = await cloud.create(host="node1")
    fail_once(cloud, "power_off", "node1")
    move = await cloud.move(server, "node2")
    assert (move.state, move.status) == (State.FAILED, "error")
    await as_found(cloud, server, stopped=False)

    async def discarded() -> bool:
        return server not in cloud.drivers["node2"].disks

    await cloud.until(discarded)


async def test_D12_a_source_copy_that_somebody_else_deleted_counts_as_deleted(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    del cloud.drivers["node1"].disks[(await cloud.server(server)).id]
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_D12_without_the_source_copy_a_revert_is_refused_once_and_the_guest_runs_on(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    del cloud.drivers["node1"].disks[(await cloud.server(server)).id]
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202

    async def reopened() -> bool:
        now = await cloud.migration(move.id)
        return now.state == State.AWAITS_CONFIRM and now.generation > move.generation

    await cloud.until(reopened)
    assert cloud.fleet.running == {server: "node2"}
    assert cloud.recorder.steps().count(("node1", "check_disk")) == 1
    assert (await cloud.confirm(server)).state == State.CONFIRMED
