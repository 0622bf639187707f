"""Scenarios F2 to F6: what an ordinary stop, SIGTERM, does to what is in hand, and to what comes meanwhile.

`finish` and then `stop` is what every process does when it is told to end; tests/guest/processes tells real ones, and
test_scenarios_shutdown_control.py has the other processes.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.db.store import outbox
from haulier.model.ids import ServerId
from haulier.model.migration import State
from tests.functional.cloud import Cloud, running, settings
from tests.functional.conftest import HOSTS
from tests.functional.hooks import held
from tests.functional.test_delete import delete, gone
from tests.functional.test_scenarios_crash import ONE_SMALL, runs_on


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Agents that wait a fifth of a second for what they have in hand."""
    made = settings(tmp_path, HOSTS)
    hosts = tuple(msgspec.structs.replace(host, shutdown_timeout=0.2) for host in made.hosts)
    async with running(msgspec.structs.replace(made, hosts=hosts)) as cloud:
        yield cloud
        assert cloud.fleet.violations == []


async def end(cloud: Cloud, host: str) -> None:
    """What SIGTERM does to the agent of a host."""
    agent = cloud.allinone.agents[host]
    await agent.finish()
    await agent.stop()


async def told_to_end(cloud: Cloud, host: str) -> asyncio.Task[None]:
    """The agent, on its way to its end; everybody knows that."""
    ending = asyncio.create_task(end(cloud, host))

    async def known() -> bool:
        (found,) = [one for one in await hosts(cloud) if one["name"] == host]
        return bool(found["stopping"]) and not found["up"]

    await cloud.until(known)
    return ending


async def hosts(cloud: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await cloud.call("GET", "/haulier/v1/hosts")).json()["hosts"]
    return found


async def back(cloud: Cloud, host: str) -> None:
    """The agent is started again."""
    await cloud.allinone.restart_agent(host)
    (found,) = [one for one in await hosts(cloud) if one["name"] == host]
    assert (found["stopping"], found["up"]) == (False, True)


async def reach(reached: asyncio.Event) -> None:
    await asyncio.wait_for(reached.wait(), 30)


async def migrate(cloud: Cloud, server: str, host: str = "node2") -> None:
    answer = await cloud.action(server, {"migrate": {"host": host}})
    assert answer.status_code == 202, answer.text


async def window_opens(cloud: Cloud, server: str, target: str = "node2") -> None:
    """The move comes to its window at the first attempt: nothing of it was taken for a failure."""
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.attempt, move.target) == (State.AWAITS_CONFIRM, 1, target), move.reasons
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, target: ONE_SMALL}
    assert cloud.fleet.running[ServerId(server)] == target


async def test_F2_the_source_is_asked_to_stop_in_the_middle_of_the_copy(cloud: Cloud) -> None:
    """The move completes first, and new work is refused: at once by the API, with the reason by the scheduler."""
    server = await cloud.create(host="node1")
    other = await cloud.create("other", host="node1")
    third = await cloud.create("third", host="node3")
    with held(cloud.drivers["node1"], "send_disk") as (reached, may_go):
        await migrate(cloud, server)
        await reach(reached)
        ending = await told_to_end(cloud, "node1")
        for action in ({"migrate": None}, {"resize": {"flavorRef": "large"}}, {"os-stop": None}):
            refused = await cloud.action(other, action)
            assert refused.status_code == 409, refused.text
            assert "The agent of host node1 is stopping" in refused.text
        for force in (False, True):
            move = await cloud.move(third, "node1", force=force)
            assert move.state == State.FAILED
            assert "its agent is stopping" in " ".join(move.reasons)
        assert (await cloud.server(await cloud.create("fourth", host=None))).host != "node1"
        assert not ending.done()
        may_go.set()
        await asyncio.wait_for(ending, 30)
    await window_opens(cloud, server)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 409
    await back(cloud, "node1")
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert cloud.fleet.running[ServerId(server)] == "node2"
    assert await cloud.claims(server) == {"node2": ONE_SMALL}


@pytest.mark.parametrize("primitive", ["create_disk", "digest", "start"])
async def test_F2_the_target_is_asked_to_stop_during_the_move(cloud: Cloud, primitive: str) -> None:
    """In prep_resize, receive_disk and finish_resize: it stays until the window is open."""
    server = await cloud.create(host="node1")
    with held(cloud.drivers["node2"], primitive) as (reached, may_go):
        await migrate(cloud, server)
        await reach(reached)
        ending = await told_to_end(cloud, "node2")
        may_go.set()
        await asyncio.wait_for(ending, 30)
    await window_opens(cloud, server)
    await back(cloud, "node2")
    assert (await cloud.confirm(server)).state == State.CONFIRMED


@pytest.mark.parametrize(
    ("host", "primitive"),
    [("node1", "power_off"), ("node1", "send_disk"), ("node2", "create_disk"), ("node2", "digest"), ("node2", "start")],
)
async def test_F2_F6_a_step_that_takes_too_long_is_parked(impatient: Cloud, host: str, primitive: str) -> None:
    """Nothing of it is answered, nothing else is tried, and the same command does it after the restart."""
    cloud = impatient
    server = await cloud.create(host="node1")
    with held(cloud.drivers[host], primitive) as (reached, _):
        await migrate(cloud, server)
        await reach(reached)
        before = await cloud.newest(server)
        heard = len(cloud.recorder.on(f"haulier.event.{host}.answer"))
        await asyncio.wait_for(end(cloud, host), 30)
    assert len(cloud.recorder.on(f"haulier.event.{host}.answer")) == heard
    assert cloud.recorder.on("haulier.conductor.migrate_server") == []
    parked = await cloud.newest(server)
    assert (parked.state, parked.generation) == (before.state, before.generation)
    await back(cloud, host)
    await window_opens(cloud, server)
    assert (await cloud.newest(server)).was_running
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    await runs_on(cloud, server, "node2")


async def test_F3_a_target_that_prepared_waits_for_the_disk(cloud: Cloud) -> None:
    """It has nothing under way, but a move that it has begun counts as work."""
    server = await cloud.create(host="node1")
    with held(cloud.drivers["node1"], "send_disk") as (reached, may_go):
        await migrate(cloud, server)
        await reach(reached)
        ending = await told_to_end(cloud, "node2")
        assert cloud.allinone.agents["node2"].executor.in_hand() == [f"the next step of the move of server {server}"]
        assert not ending.done()
        may_go.set()
        await asyncio.wait_for(ending, 30)
    await window_opens(cloud, server)
    await back(cloud, "node2")
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    await runs_on(cloud, server, "node2")


async def test_F3_a_target_that_can_not_wait_so_long_goes_on_after_the_restart(impatient: Cloud) -> None:
    """The disk arrives without its agent."""
    cloud = impatient
    server = await cloud.create(host="node1")
    with held(cloud.drivers["node1"], "send_disk") as (reached, may_go):
        await migrate(cloud, server)
        await reach(reached)
        await asyncio.wait_for(end(cloud, "node2"), 30)
        may_go.set()

        async def sealed() -> bool:
            return (await cloud.newest(server)).state == State.RECEIVING

        await cloud.until(sealed)
    await back(cloud, "node2")
    await window_opens(cloud, server)
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    await runs_on(cloud, server, "node2")


async def test_F2_a_source_whose_copy_fails_starts_the_guest_again_before_it_ends(cloud: Cloud) -> None:
    """It stopped the guest for the move: what brings it back is no new work."""
    server = await cloud.create(host="node1")
    with held(cloud.drivers["node1"], "send_disk") as (reached, may_go):
        await migrate(cloud, server)
        await reach(reached)
        ending = await told_to_end(cloud, "node1")
        cloud.drivers["node1"].fails["send_disk"] = "the disk is on fire"
        may_go.set()
        await asyncio.wait_for(ending, 30)
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.FAILED
    await runs_on(cloud, server, "node1")
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_F6_what_waited_for_long_is_said_soon_when_the_agent_is_back(cloud: Cloud) -> None:
    """And not when its turn would have come: the longer nobody answers, the rarer a command is sent."""
    server = await cloud.create(host="node1")
    with held(cloud.drivers["node1"], "send_disk") as (reached, _):
        await migrate(cloud, server)
        await reach(reached)
        await cloud.allinone.agents["node1"].stop()
        (row,) = await cloud.allinone.db.read(outbox.waiting_on_server, ServerId(server))
        await cloud.allinone.db.write(outbox.mark_sent, row.id, 3600.0)
    await back(cloud, "node1")
    await window_opens(cloud, server)


async def test_F2_a_deletion_is_not_done_before_the_agent_is_back_and_did_it(cloud: Cloud) -> None:
    """An agent that stops is back soon, mostly: a server whose guest still runs is not said to be gone."""
    server = await cloud.create(host="node1")
    await asyncio.wait_for(end(cloud, "node1"), 30)
    await delete(cloud, server)

    async def told_to_discard() -> bool:
        rows = await cloud.allinone.db.read(outbox.waiting_on_server, ServerId(server))
        return any(row.host == "node1" and row.sends > 0 for row in rows)

    await cloud.until(told_to_discard)
    assert (await cloud.server(server)).vm_state == "active"
    assert cloud.fleet.running == {server: "node1"}
    await back(cloud, "node1")
    await cloud.until(lambda: gone(cloud, server))
    assert cloud.fleet.running == {}
    assert await cloud.claims(server) == {}


@pytest.mark.parametrize(("host", "primitive"), [("node1", "check_disk"), ("node2", "delete"), ("node1", "start")])
async def test_F4_a_stop_during_revert(cloud: Cloud, host: str, primitive: str) -> None:
    """The step in hand is finished, and the revert completes: at once, or when the agent it needs is back."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    with held(cloud.drivers[host], primitive) as (reached, may_go):
        assert (await cloud.action(server, {"revertResize": None})).status_code == 202
        await reach(reached)
        ending = await told_to_end(cloud, host)
        may_go.set()
        await asyncio.wait_for(ending, 30)
    if primitive == "check_disk":  # an answer, and no part of the move yet: the source is not waited for
        await back(cloud, host)
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.REVERTED
    await runs_on(cloud, server, "node1")
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


@pytest.mark.parametrize(("host", "primitive"), [("node2", "delete"), ("node1", "start")])
async def test_F4_a_stop_during_revert_that_can_not_wait(impatient: Cloud, host: str, primitive: str) -> None:
    """Parked in the middle of the discard, and of the start on the source: after the restart the revert completes."""
    cloud = impatient
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    with held(cloud.drivers[host], primitive) as (reached, _):
        assert (await cloud.action(server, {"revertResize": None})).status_code == 202
        await reach(reached)
        await asyncio.wait_for(end(cloud, host), 30)
    await back(cloud, host)
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.REVERTED
    await runs_on(cloud, server, "node1")
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_F5_several_operations_are_waited_for_and_nothing_new_is_begun(cloud: Cloud) -> None:
    """A copy, a stop and a start at once; a move that had asked for its source only after that waits, its guest on."""
    copied, stopped, started, late = [await cloud.create(name, host="node1") for name in ("a", "b", "c", "d")]
    await cloud.stop(started)
    source, target = cloud.drivers["node1"], cloud.drivers["node2"]
    with held(target, "create_disk") as (preparing, may_prepare):
        await migrate(cloud, late)
        await reach(preparing)
        with (
            held(source, "send_disk") as (copying, may_copy),
            held(source, "pause") as (pausing, may_pause),
            held(source, "start") as (starting, may_start),
        ):
            await migrate(cloud, copied, "node3")
            assert (await cloud.action(stopped, {"pause": None})).status_code == 202
            assert (await cloud.action(started, {"os-start": None})).status_code == 202
            for reached in (copying, pausing, starting):
                await reach(reached)
            ending = await told_to_end(cloud, "node1")
            may_prepare.set()
            await cloud.until(lambda: told(cloud, "resize_instance", late))
            for may_go in (may_copy, may_pause, may_start):
                assert not ending.done()
                may_go.set()
            await asyncio.wait_for(ending, 30)
    await window_opens(cloud, copied, "node3")
    assert (await cloud.free(stopped)).vm_state == "paused"
    assert (await cloud.free(started)).vm_state == "active"
    assert cloud.fleet.running[ServerId(late)] == "node1", "what had not begun is not begun"
    assert (await cloud.newest(late)).state == State.COPYING
    await back(cloud, "node1")
    await window_opens(cloud, late)


async def told(cloud: Cloud, step: str, server: str) -> bool:
    """Whether node1 was told, and has been asked again since, or has begun: so the first time was heard."""
    rows = await cloud.allinone.db.read(outbox.waiting_on_server, ServerId(server))
    begun = ("power_off", server) in cloud.drivers["node1"].calls
    return begun or any(row.step == step and row.sends > 1 for row in rows)
