"""Scenarios of group F: hosts and conductors that fall silent, come back, or are taken out of service during a move."""

import asyncio
from pathlib import Path

import pytest

from haulier.bus import permissions
from haulier.conductor.service import Conductor
from haulier.db.store import hosts
from haulier.model.migration import State
from haulier.model.server import TaskState, VmState
from tests.functional.cloud import PATIENCE, Cloud, running, settings
from tests.functional.hooks import before, held_question, long_ago
from tests.functional.test_fence import lose
from tests.functional.test_force import silence
from tests.functional.test_scenarios_targets import answers

SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


async def test_F9_a_source_that_comes_back_keeps_its_copy_until_the_move_is_confirmed(cloud: Cloud) -> None:
    """In the window a revert may still need the copy; once confirmed, the agent deletes it, however late it hears."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cloud.allinone.restart_agent("node1")
    await heard_and_swept(cloud, server)
    assert server in cloud.drivers["node1"].disks
    lose(cloud, b"confirm_resize")
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def confirmed() -> bool:
        return (await cloud.server(server)).vm_state == VmState.ACTIVE

    await cloud.until(confirmed)
    await cloud.allinone.agents["node1"].stop()
    cloud.allinone.broker.losses.clear()
    assert server in cloud.drivers["node1"].disks
    await cloud.allinone.restart_agent("node1")
    await cloud.ended((await cloud.newest(server)).id)
    assert server not in cloud.drivers["node1"].disks
    assert cloud.fleet.running == {server: "node2"}


async def heard_and_swept(cloud: Cloud, server: str) -> None:
    """Every host has said what it has, long enough after the server's last change, and the sweeps have looked at it."""
    changed = (await cloud.server(server)).updated_at.timestamp()
    settled = cloud.allinone.settings.conductor.orphan_after

    async def heard() -> bool:
        rows = await cloud.allinone.db.read(hosts.all_rows)
        return all(row.last_heard.timestamp() - changed > settled for row in rows)

    await cloud.until(heard)
    await cloud.allinone.conductor.driver.sweep()


async def test_F11_a_host_is_disabled_whatever_is_claimed_on_it_and_though_it_is_silent(cloud: Cloud) -> None:
    """The word counts from then on, also when the agent is back; what is there or under way is not touched by it."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    held = await cloud.claims(server)
    await silence(cloud, "node2")
    await cloud.disable("node2", "bad fan")
    await cloud.allinone.restart_agent("node2")
    assert await cloud.claims(server) == held
    other = await cloud.create("other", host="node1")
    assert (await cloud.move(other)).target == "node3"
    (shown,) = (await cloud.call("GET", "/v2.1/os-services?host=node2")).json()["services"]
    assert (shown["status"], shown["state"], shown["disabled_reason"]) == ("disabled", "up", "bad fan")
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_F12_a_scheduler_that_takes_longer_than_it_is_waited_for_fails_nothing(tmp_path: Path) -> None:
    """Whoever asked was answered already; the conductor asks again, and meanwhile the move is in preparation."""
    async with running(settings(tmp_path, ("node1", "node2"), scheduler_timeout=0.5)) as cloud:
        server = await cloud.create(host="node1")
        asked, _never = held_question(cloud)
        assert (await cloud.action(server, {"migrate": None})).status_code == 202
        await asyncio.wait_for(asked.wait(), PATIENCE)
        assert (await cloud.server(server)).task_state == TaskState.RESIZE_PREP
        assert (await cloud.newest(server)).status == "pre-migrating"
        await cloud.free(server)
        move = await cloud.newest(server)
        assert (move.state, move.attempt, move.reasons) == (State.AWAITS_CONFIRM, 1, ())
        assert await cloud.reasons(server) == []


@pytest.mark.parametrize("chosen", [False, True], ids=["before it is chosen", "before it is claimed"])
async def test_F13_a_host_that_falls_silent_is_not_taken(cloud: Cloud, chosen: bool) -> None:
    """By the scheduler; and if it had chosen it already, by the conductor."""
    server = await cloud.create(host="node1")
    if chosen:
        asked, may_answer = held_question(cloud)
        assert (await cloud.action(server, {"migrate": None})).status_code == 202
        await asyncio.wait_for(asked.wait(), PATIENCE)
        await silence(cloud, "node2")
        may_answer.set()
        await cloud.free(server)
        move = await cloud.newest(server)
    else:
        await silence(cloud, "node2")
        move = await cloud.move(server)
        assert [selection.host for selection in answers(cloud)[-1].answer.selections] == ["node3"]
    assert (move.state, [attempt.host for attempt in move.attempts]) == (State.AWAITS_CONFIRM, ["node3"])
    assert await cloud.claims(server) == {"node1 (migration)": SMALL, "node3": SMALL}
    await cloud.allinone.restart_agent("node2")


async def test_F15_a_target_that_vanished_at_work_is_left_for_the_next(cloud: Cloud) -> None:
    """Nobody starts it again; when it is back after all, it deletes what it had made."""
    server = await cloud.create(host="node1")
    node2, at_work = cloud.drivers["node2"], asyncio.Event()

    async def stuck() -> None:
        at_work.set()
        await asyncio.Event().wait()

    unstick = before(node2, "open_export", stuck)
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await asyncio.wait_for(at_work.wait(), PATIENCE)
    await silence(cloud, "node2")
    await long_ago(cloud, (await cloud.newest(server)).id)
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    assert await cloud.claims(server) == {"node1 (migration)": SMALL, "node3": SMALL}
    unstick()
    await cloud.allinone.restart_agent("node2")

    async def discarded() -> bool:
        return server not in node2.disks

    await cloud.until(discarded)


async def test_F15_a_move_that_no_conductor_was_there_for_is_taken_up_by_the_next(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.allinone.conductor.stop()
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    assert (await cloud.server(server)).task_state == TaskState.RESIZE_PREP
    bus = cloud.allinone.broker.connect("conductor", permissions.CONDUCTOR)
    cloud.allinone.conductor = Conductor(cloud.allinone.settings.conductor, cloud.allinone.db, bus)
    await cloud.allinone.conductor.start()
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
