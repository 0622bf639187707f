"""A cancel ends a move as it began, in each state before the switch; from the switch on it is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haulier.db.store import actions, outbox
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import Migration, State
from haulier.model.server import PowerState, TaskState, VmState
from haulier.wire import subjects
from haulier.wire.to_conductor import DeleteServer
from tests.functional.cloud import Cloud, running, settings
from tests.functional.hooks import held_before, held_question

VERSION = {"OpenStack-API-Version": "compute 2.56"}
ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
BEFORE_THE_SWITCH = (
    (State.PREPARING, "node2", "create_disk"),
    (State.COPYING, "node1", "power_off"),
    (State.COPYING, "node1", "send_disk"),
    (State.RECEIVING, "node2", "make_durable"),
)


async def cancel(cloud: Cloud, server: str, migration: int | str | None = None, **more: Any) -> httpx2.Response:
    which = (await cloud.newest(server)).id if migration is None else migration
    return await cloud.call("DELETE", f"/v2.1/servers/{server}/migrations/{which}", **more)


async def as_found(cloud: Cloud, server: str) -> Migration:
    """The move has ended as cancelled, and nothing is left of it anywhere."""
    await cloud.free(server)
    move, found = await cloud.newest(server), await cloud.server(server)
    assert (move.state, move.status) == (State.CANCELLED, "cancelled")
    assert (found.host, found.flavor.name, found.vm_state) == ("node1", "small", VmState.ACTIVE)
    assert cloud.fleet.running == {server: "node1"}
    assert await cloud.claims(server) == {"node1": ONE_SMALL}

    async def cleared() -> bool:
        return [host for host, driver in cloud.drivers.items() if server in driver.disks] == ["node1"]

    await cloud.until(cleared)
    assert cloud.fleet.exports == {}
    return move


async def actions_of(cloud: Cloud, server: str) -> list[tuple[str, str | None]]:
    """What was asked of the server, newest first, and the message of each."""
    listed = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    return [(one["action"], one["message"]) for one in listed]


@pytest.mark.parametrize(("state", "host", "primitive"), BEFORE_THE_SWITCH)
async def test_M3_M19_until_the_switch_a_cancel_ends_the_move_as_found(
    cloud: Cloud, state: State, host: str, primitive: str
) -> None:
    server = await cloud.create(host="node1")
    reached, go = held_before(cloud.drivers[host], primitive)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await reached()
    assert (await cloud.newest(server)).state == state
    assert (await cancel(cloud, server)).status_code == 202
    go()
    move = await as_found(cloud, server)
    assert move.reasons == ("the move was cancelled",)
    assert (await actions_of(cloud, server))[:2] == [("cold_migration_cancel", None), ("migrate", "Error")]
    assert (await cloud.move(server, "node2")).state == State.AWAITS_CONFIRM


async def test_while_the_scheduler_chooses_no_host_hears_of_it(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    asked, may_answer = held_question(cloud)
    said = len(cloud.recorder.on("haulier.compute."))
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await asked.wait()
    assert (await cancel(cloud, server)).status_code == 202
    may_answer.set()
    await as_found(cloud, server)
    await cloud.create("another", host="node3")  # what was said before this has been heard
    to_it = [each for each in cloud.recorder.on("haulier.compute.")[said:] if server.encode() in each.body]
    assert to_it == []


async def test_while_the_source_is_being_restored_no_other_host_is_tried(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "the disk is on fire"
    reached, go = held_before(cloud.drivers["node1"], "start")
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await reached()
    assert (await cloud.newest(server)).state == State.RESTORING
    assert (await cancel(cloud, server)).status_code == 202
    go()
    move = await as_found(cloud, server)
    assert (len(move.attempts), move.alternates) == (1, ())
    assert "the disk is on fire" in move.reasons[0]


async def test_a_source_that_answers_just_before_the_cancel_is_taken_up_is_asked_again(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "the disk is on fire"
    reached, go = held_before(cloud.drivers["node1"], "start")
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await reached()
    conductor, may_handle = cloud.allinone.conductor, asyncio.Event()
    handle = conductor.outbox.handle

    async def wait_first(request: Any, row_id: str) -> None:
        await may_handle.wait()
        await handle(request, row_id)

    conductor.outbox.handle = wait_first
    assert (await cancel(cloud, server)).status_code == 202
    go()

    async def answered() -> bool:
        shown = (await cloud.call("GET", f"/haulier/v1/migrations/{(await cloud.newest(server)).id}")).json()
        return "restore_source" not in [one["step"] for one in shown["migration"]["waiting_for"]]

    await cloud.until(answered)
    may_handle.set()
    assert "the disk is on fire" in (await as_found(cloud, server)).reasons[0]


async def test_a_cancel_that_is_taken_up_late_does_not_free_a_server_that_is_being_deleted(cloud: Cloud) -> None:
    """Before a target is chosen the cancel ends the move at once, so a deletion may begin before it is taken up."""
    server = await cloud.create(host="node1")
    asked, may_answer = held_question(cloud)
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await asyncio.wait_for(asked.wait(), 30)
    conductor, may_handle = cloud.allinone.conductor, asyncio.Event()
    handle, deletion_waits = conductor.outbox.handle, asyncio.Event()

    async def cancel_first(request: Any, row_id: str) -> None:
        await may_handle.wait()
        if isinstance(request, DeleteServer):
            await deletion_waits.wait()
        await handle(request, row_id)

    conductor.outbox.handle = cancel_first
    assert (await cancel(cloud, server)).status_code == 202
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
    may_handle.set()

    async def taken_up() -> bool:
        return not await cloud.allinone.db.read(outbox.about_server, ServerId(server), "cancel_migration")

    await cloud.until(taken_up)
    found = await cloud.server(server)
    deletion_waits.set()
    may_answer.set()
    assert found.task_state == TaskState.DELETING

    async def gone() -> bool:
        return (await cloud.call("GET", f"/v2.1/servers/{server}")).status_code == 404

    await cloud.until(gone)
    log = await cloud.allinone.db.read(actions.of_server, ServerId(server))
    told = {row.action: (row.message, row.finished_at is not None) for row in log}
    assert (told["delete"], told["cold_migration_cancel"]) == ((None, True), ("Error", True))
    assert await cloud.claims(server) == {}
    assert server not in cloud.drivers["node1"].disks


async def test_from_the_switch_on_it_is_refused(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    reached, go = held_before(cloud.drivers["node2"], "start")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await reached()
    assert (await cloud.newest(server)).state == State.SWITCHED
    refused = await cancel(cloud, server)
    assert refused.status_code == 409
    assert "confirm it or revert it" in refused.json()["conflictingRequest"]["message"]
    go()
    await cloud.free(server)
    assert (await cancel(cloud, server)).status_code == 409
    assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
    await cloud.confirm(server)
    assert "has ended, it is confirmed" in (await cancel(cloud, server)).json()["conflictingRequest"]["message"]


async def test_asked_twice_it_is_the_same_as_once(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    reached, _ = held_before(cloud.drivers["node1"], "send_disk")
    restoring, go = held_before(cloud.drivers["node1"], "start")
    await cloud.action(server, {"migrate": {"host": "node2"}})
    await reached()
    assert (await cancel(cloud, server)).status_code == 202
    await restoring()
    assert (await cancel(cloud, server)).status_code == 202
    go()
    await as_found(cloud, server)
    assert [action for action, _ in await actions_of(cloud, server)] == ["cold_migration_cancel", "migrate", "create"]


async def test_a_stopped_server_stays_stopped(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    reached, _ = held_before(cloud.drivers["node1"], "send_disk")
    await cloud.action(server, {"migrate": {"host": "node2"}})
    await reached()
    assert (await cancel(cloud, server)).status_code == 202
    await cloud.free(server)
    found = await cloud.server(server)
    assert (found.vm_state, found.power_state, cloud.fleet.running) == (VmState.STOPPED, PowerState.SHUTDOWN, {})
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_a_guest_that_does_not_start_again_is_shown_as_off_and_says_why(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    reached, _ = held_before(cloud.drivers["node1"], "send_disk")
    await cloud.action(server, {"migrate": {"host": "node2"}})
    await reached()
    cloud.drivers["node1"].fails["start"] = "the fan is on fire"
    assert (await cancel(cloud, server)).status_code == 202
    await cloud.free(server)
    move, found = await cloud.newest(server), await cloud.server(server)
    assert (move.state, found.vm_state, found.host) == (State.CANCELLED, VmState.STOPPED, "node1")
    assert "the fan is on fire" in move.reasons[-1]
    assert (await actions_of(cloud, server))[0] == ("cold_migration_cancel", "Error")
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_a_silent_source_is_waited_for_and_said(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    reached, _ = held_before(cloud.drivers["node1"], "send_disk")
    await cloud.action(server, {"migrate": {"host": "node2"}})
    await reached()
    lost = cloud.allinone.broker.losses
    lost.append(lambda said: said.subject == subjects.commands(HostName("node1")))
    assert (await cancel(cloud, server)).status_code == 202
    which = (await cloud.newest(server)).id

    async def says_so() -> bool:
        shown = (await cloud.call("GET", f"/haulier/v1/migrations/{which}")).json()["migration"]
        waits = ("node1", "restore_source") in [(one["host"], one["step"]) for one in shown["waiting_for"]]
        return waits and (shown["state"], shown["next"]) == ("CANCELLING", "CANCELLED")

    await cloud.until(says_so)
    lost.clear()
    await as_found(cloud, server)


async def test_which_move_and_whose(cloud: Cloud) -> None:
    server, other = await cloud.create(host="node1"), await cloud.create("other", host="node3")
    move = await cloud.move(server, "node2")
    for whose, which in ((other, move.id), (server, 999), (server, "x")):
        assert (await cancel(cloud, whose, which)).status_code == 404
    assert (await cancel(cloud, server, version="2.23")).status_code == 404
    mine = await cloud.member.delete(f"/v2.1/servers/{server}/migrations/{move.id}", headers=VERSION)
    assert mine.status_code in (403, 404)
    assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM


@pytest.fixture
async def one_host(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(settings(tmp_path, ("node1",), allow_resize_to_same_host=True)) as made:
        yield made
        assert made.fleet.violations == []


@pytest.mark.parametrize(("state", "primitive"), [(State.PREPARING, "can_run"), (State.COPYING, "copy_disk")])
async def test_a_resize_on_its_host_ends_as_found_too(one_host: Cloud, state: State, primitive: str) -> None:
    cloud, server = one_host, await one_host.create(host="node1")
    reached, go = held_before(cloud.drivers["node1"], primitive)
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
    await reached()
    assert (await cloud.newest(server)).state == state
    assert (await cancel(cloud, server)).status_code == 202
    go()
    await as_found(cloud, server)
    assert (cloud.drivers["node1"].copies, cloud.drivers["node1"].kept) == ({}, {})
