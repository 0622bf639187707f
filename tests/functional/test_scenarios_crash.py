"""Scenarios F1, F6, B10 to B13: what Nova's own tests still assert the wrong outcome for.

Each is one case of the sweep in tests/crash, told as a story. docs/scenarios.md lists the scenarios and their tests.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from haulier.bus.local import Said
from haulier.conductor.reconcile.orphaned_claims import OrphanedClaims
from haulier.db.engine import Transaction
from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud, running, settings
from tests.functional.hooks import conflicts, held_question
from tests.functional.test_delete import delete, gone

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


async def runs_on(cloud: Cloud, server: str, host: str) -> None:
    found = await cloud.server(server)
    assert (found.host, found.vm_state, found.task_state) == (host, VmState.ACTIVE, None)
    assert cloud.fleet.running == {found.id: host}


async def in_the_copy(cloud: Cloud, server: str) -> None:
    """Begin a move to node2, and return when the source is in the middle of sending the disk."""
    reached, driver = asyncio.Event(), cloud.drivers["node1"]
    driver.latency = {"send_disk": 3600.0}
    act = driver._act

    async def watched(primitive: str, server_id: str = "") -> None:
        if primitive == "send_disk":
            reached.set()
        await act(primitive, server_id)

    driver._act = watched  # type: ignore[method-assign]
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await asyncio.wait_for(reached.wait(), 30)
    assert cloud.drivers["node1"].power_state((await cloud.server(server)).id) == PowerState.SHUTDOWN
    driver.latency = 0.0


async def test_F1_the_source_dies_in_the_middle_of_the_copy_and_comes_back(cloud: Cloud) -> None:
    """Nova leaves the migration in `migrating` with both claims; here the copy starts over and the move is done."""
    server = await cloud.create(host="node1")
    await in_the_copy(cloud, server)
    assert (await cloud.newest(server)).state == State.COPYING
    await cloud.allinone.restart_agent("node1")
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.was_running, move.attempt) == (State.AWAITS_CONFIRM, True, 1)
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, "node2": ONE_SMALL}
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    await runs_on(cloud, server, "node2")
    assert await cloud.claims(server) == {"node2": ONE_SMALL}


async def test_F1_when_the_copy_can_not_go_on_the_server_is_as_it_was_found(cloud: Cloud) -> None:
    """The guest that was stopped for the move runs again, and everything of the move is cleared away."""
    server = await cloud.create(host="node1")
    await in_the_copy(cloud, server)
    cloud.drivers["node1"].fails["send_disk"] = "the disk is on fire"
    await cloud.allinone.restart_agent("node1")
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.status) == (State.FAILED, "error")
    await runs_on(cloud, server, "node1")
    assert (await cloud.server(server)).flavor.name == "small"
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_F6_a_killed_source_resumes_the_move_when_it_is_started_again(cloud: Cloud) -> None:
    """SIGKILL while the guest is being stopped: it is not left half stopped, and is not taken for one that was off."""
    server = await cloud.create(host="node1")
    driver, reached = cloud.drivers["node1"], asyncio.Event()
    stop = driver.power_off

    async def never(server_id: Any, grace: float) -> None:
        reached.set()
        await asyncio.Event().wait()

    driver.power_off = never  # type: ignore[method-assign]
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await asyncio.wait_for(reached.wait(), 30)
    driver.power_off = stop  # type: ignore[method-assign]
    await cloud.allinone.restart_agent("node1")
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.was_running) == (State.AWAITS_CONFIRM, True)
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    await runs_on(cloud, server, "node2")


async def test_B10_a_conflict_in_the_release_of_the_sources_claim_is_retried(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both releases of a confirm: of what runs, with the target's word, and of the disk, with the source's answer."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    with conflicts(monkeypatch, "release", 4, lambda *_, host=None, **__: host == "node1") as met:
        assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert len(met) == 4
    assert await cloud.claims(server) == {"node2": ONE_SMALL}


@pytest.mark.parametrize("deletion", [False, True], ids=["revert", "delete"])
async def test_B11_a_conflict_in_the_release_of_the_targets_claim_is_retried(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, deletion: bool
) -> None:
    """In a revert, and in a deletion, past which Nova leaks what it could not release once."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    with conflicts(monkeypatch, "release", 3, lambda *_, host=None, **__: host == "node2") as met:
        if deletion:
            await delete(cloud, server)
            await cloud.until(lambda: gone(cloud, server))
        else:
            assert (await cloud.revert(server)).state == State.REVERTED
    assert len(met) == 3
    assert await cloud.claims(server) == ({} if deletion else {"node1": ONE_SMALL})


async def test_B12_a_conflict_in_the_revert_of_a_resize_on_one_host_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings(tmp_path, ("node1",), allow_resize_to_same_host=True)) as cloud:
        server = await cloud.create(host="node1")
        assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
        await cloud.free(server)
        move = await cloud.newest(server)
        assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node1")
        with conflicts(monkeypatch, "release", 3, lambda *_, host=None, **__: host == "node1") as met:
            assert (await cloud.revert(server)).state == State.REVERTED
        assert len(met) == 3
        assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_B13_J5_a_server_deleted_while_the_scheduler_chooses_gets_no_claim(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    asked, may_answer = held_question(cloud)
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await asyncio.wait_for(asked.wait(), 30)
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    assert await cloud.claims(server) == {}
    may_answer.set()
    move = await cloud.newest(server)
    await nothing_comes_back(cloud, server)
    assert (await cloud.migration(move.id)).state == State.CANCELLED


@pytest.mark.parametrize("step", ["prep_resize", "resize_instance", "receive_disk", "finish_resize"])
async def test_B13_a_rollback_never_makes_a_claim_again(cloud: Cloud, step: str) -> None:
    """The step's failure is said while the server is being deleted, and once more when it is gone."""
    server = await cloud.create(host="node1")
    host, primitive = {
        "prep_resize": ("node2", "create_disk"),
        "resize_instance": ("node1", "send_disk"),
        "receive_disk": ("node2", "make_durable"),
        "finish_resize": ("node2", "start"),
    }[step]
    cloud.drivers[host].fails[primitive] = "the disk is on fire"
    kept: list[Said] = []

    def keep(said: Said) -> bool:
        fails = b"on fire" in said.body and said.verb == "tell"
        kept.extend([said] if fails else [])
        return fails or (said.subject == "haulier.event.node1.answer" and b"Discarded" in said.body)

    cloud.allinone.broker.losses.append(keep)
    assert (await cloud.action(server, {"migrate": None})).status_code == 202

    async def failed() -> bool:
        return bool(kept)

    await cloud.until(failed)
    cloud.drivers[host].fails.clear()
    await delete(cloud, server)
    cloud.allinone.broker.losses[:] = [lambda said: said not in kept and keep(said)]
    cloud.allinone.broker.deliver(kept[0])
    await cloud.create("other", host="node3")  # what was said before this has been heard
    assert "node3" not in await cloud.claims(server)
    cloud.allinone.broker.losses.clear()
    await cloud.until(lambda: gone(cloud, server))
    cloud.allinone.broker.deliver(kept[0])
    await nothing_comes_back(cloud, server)


async def nothing_comes_back(cloud: Cloud, server: str) -> None:
    """What was late has been taken in, and neither claim nor disk of the deleted server is there."""
    await cloud.create("another", host="node3")  # what was said before this has been heard
    assert await cloud.claims(server) == {}
    assert [host for host, driver in cloud.drivers.items() if server in driver.disks] == []


async def test_a_failed_discard_is_no_answer_to_what_the_source_was_asked(cloud: Cloud) -> None:
    """Found by the sweep: it ended the move, server shown as off, while the source was starting its guest again."""
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["make_durable"] = "bad disk"
    cloud.drivers["node2"].fails["end_copy"] = "it hangs"
    cloud.drivers["node1"].latency = {"start": 0.3}
    move = await cloud.move(server, "node2")
    assert move.state == State.FAILED
    await runs_on(cloud, server, "node1")
    cloud.drivers["node2"].fails.clear()

    async def discarded() -> bool:
        return server not in cloud.drivers["node2"].disks

    await cloud.until(discarded)


async def test_a_source_that_can_not_start_the_guest_again_still_owns_it(cloud: Cloud) -> None:
    """Found by the sweep: after `end_copy` failed, the disk stayed sealed and the server could never be started."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    cloud.drivers["node1"].fails["start"] = "no memory"
    assert (await cloud.revert(server)).state == State.REVERTED
    found = await cloud.free(server)
    assert (found.host, found.vm_state) == ("node1", VmState.STOPPED)
    cloud.drivers["node1"].fails.clear()
    assert (await cloud.action(server, {"os-start": None})).status_code == 202
    await cloud.free(server)
    await runs_on(cloud, server, "node1")


async def test_a_copy_that_can_not_be_ended_is_asked_for_again(cloud: Cloud) -> None:
    """Found by the sweep: the revert ended with a disk that stayed sealed, so that the server never started again."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    driver = cloud.drivers["node1"]
    driver.fails["end_copy"] = "it hangs"
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202
    tried = len([call for call in driver.calls if call[0] == "end_copy"])

    async def tried_twice() -> bool:
        return len([call for call in driver.calls if call[0] == "end_copy"]) > tried + 2

    await cloud.until(tried_twice)
    driver.fails.clear()
    move = await cloud.newest(server)
    assert (await cloud.ended(move.id)).state == State.REVERTED
    await cloud.free(server)
    await runs_on(cloud, server, "node1")


async def test_a_deletion_ends_the_records_of_what_it_supersedes(cloud: Cloud) -> None:
    """Found by the sweep: action and events of the move stayed open for ever (I6)."""
    server = await cloud.create(host="node1")
    await in_the_copy(cloud, server)
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))

    def left_open(tx: Transaction) -> int:
        count = 0
        for table in ("actions", "action_events"):
            statement = f"SELECT count(*) FROM {table} WHERE server_id = ? AND finished_at IS NULL"
            count += tx.connection.exec_driver_sql(statement, (server,)).scalar_one()
        return count

    assert await cloud.allinone.db.read(left_open) == 0


async def test_a_claim_of_a_server_that_is_being_deleted_is_no_orphan(cloud: Cloud) -> None:
    """Found by the sweep: the source's claim went before the deletion was taken up, so the source was never told."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    conductor = cloud.allinone.conductor
    release, handle = asyncio.Event(), conductor.outbox.handle

    async def wait_first(request: Any, row_id: str) -> None:
        await release.wait()
        await handle(request, row_id)

    conductor.outbox.handle = wait_first
    await delete(cloud, server)
    await OrphanedClaims(cloud.allinone.db).sweep()
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, "node2": ONE_SMALL}
    release.set()
    await cloud.until(lambda: gone(cloud, server))
    assert [host for host, driver in cloud.drivers.items() if server in driver.disks] == []
