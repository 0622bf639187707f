"""Scenarios of group A: which host a move goes to, and what follows when that host can not take the server."""

import asyncio
from pathlib import Path

import pytest

from haulier.compute.driver import HostTrouble
from haulier.db.store import migrations
from haulier.model.ids import ServerId
from haulier.model.migration import Migration, State
from haulier.wire import codec
from haulier.wire.to_scheduler import Destinations
from tests.functional.cloud import PATIENCE, Cloud, running, settings
from tests.functional.hooks import before, conflicts
from tests.functional.test_force import fill, silence, unmoved
from tests.functional.test_same_host import resize

SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
LARGE = {"VCPU": 2, "MEMORY_MB": 128, "DISK_GB": 2}
FOUR = ("node1", "node2", "node3", "node4")


def answers(cloud: Cloud) -> list[Destinations]:
    """What the scheduler has answered."""
    said = [one for one in cloud.recorder.said if one.verb == "reply" and "select_destinations" in one.subject]
    return [codec.decode(one.body, Destinations) for one in said]


async def test_A4_a_named_host_is_the_only_one_considered_though_another_is_better(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.create("other", host="node3")  # so that node2 has more room
    move = await cloud.move(server, "node3")
    assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node3")
    assert [selection.host for selection in answers(cloud)[-1].answer.selections] == ["node3"]


def told_by_each_event(move: Migration) -> list[str]:
    """What `cold_migrate` and the `conductor_migrate_server` around it say of a move for which no host is left."""
    return [f"No valid host was found. {'; '.join(move.reasons)}"] * 2


async def test_A7_when_every_other_host_is_silent_the_server_stays_and_the_reason_says_so(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        await silence(cloud, host)
    move = await cloud.move(server)
    assert (move.state, move.status, move.target) == (State.FAILED, "error", None)
    assert [reason.partition(" has not been heard")[0] for reason in move.reasons] == [
        "node2: its agent",
        "node3: its agent",
    ]
    assert answers(cloud)[-1].answer.selections == ()
    assert await cloud.reasons(server) == told_by_each_event(move)
    await unmoved(cloud, server)
    for host in ("node2", "node3"):
        await cloud.allinone.restart_agent(host)


async def test_A8_the_next_target_is_asked_only_when_the_first_has_undone_its_part(cloud: Cloud) -> None:
    """And it is one of the alternates: the scheduler is not asked a second time."""
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    undoing, may_end = asyncio.Event(), asyncio.Event()
    node2 = cloud.drivers["node2"]
    node2.fails["create_disk"] = "no room for the image"

    async def slowly() -> None:
        if ("create_disk", server) in node2.calls:
            undoing.set()
            await may_end.wait()

    before(node2, "delete", slowly)
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    await asyncio.wait_for(undoing.wait(), PATIENCE)
    assert len(answers(cloud)) == 1
    await cloud.create("other", host="node3")  # what was said before this has been heard
    assert (await cloud.newest(server)).attempt == 1
    assert ("create_disk", server) not in cloud.drivers["node3"].calls
    may_end.set()
    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    assert len(answers(cloud)) == 2, "one for this move, one for the other server"


@pytest.mark.parametrize("failing", [1, 3])
async def test_A9_targets_fail_one_after_the_other_until_one_can(tmp_path: Path, failing: int) -> None:
    hosts = (*FOUR, "node5")
    async with running(settings(tmp_path, hosts, max_attempts=4)) as cloud:
        server = await cloud.create(host="node1")
        for host in hosts[1 : 1 + failing]:
            cloud.drivers[host].fails["create_disk"] = "tired"
        move = await cloud.move(server)
        able = hosts[1 + failing]
        assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, able, failing + 1)
        assert await cloud.claims(server) == {"node1 (migration)": SMALL, able: SMALL}
        assert len(await cloud.allinone.db.read(migrations.of_server, ServerId(server))) == 1
        assert [host for host in hosts if server in cloud.drivers[host].disks] == ["node1", able]


async def test_A10_when_the_alternates_run_out_only_the_old_size_is_claimed(cloud: Cloud) -> None:
    """Two hosts, three attempts allowed."""
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        cloud.drivers[host].fails["create_disk"] = "full of dust"
    move = await resize(cloud, server)
    assert (move.state, move.attempt) == (State.FAILED, 2)
    assert (await cloud.server(server)).flavor.name == "small"
    await unmoved(cloud, server)


async def test_A11_a_target_that_refused_holds_no_claim_when_the_next_is_asked(cloud: Cloud) -> None:
    """And while it was still to be heard, the source's claim was there as in any move."""
    server = await cloud.create(host="node1")
    held = []

    async def look() -> None:
        held.append(await cloud.claims(server))

    cloud.drivers["node2"].fails["create_disk"] = "full of dust"
    before(cloud.drivers["node2"], "create_disk", look)
    before(cloud.drivers["node3"], "create_disk", look)
    await resize(cloud, server)
    source = {"node1 (migration)": SMALL}
    assert held == [{**source, "node2": LARGE}, {**source, "node3": LARGE}]


async def test_A12_an_alternate_that_filled_up_meanwhile_is_passed_over(tmp_path: Path) -> None:
    async with running(settings(tmp_path, FOUR)) as cloud:
        await cloud.add_flavor("cow", ram=2048)
        server = await cloud.create(host="node1", flavor="cow")
        cloud.drivers["node2"].fails["create_disk"] = "tired"
        before(cloud.drivers["node2"], "create_disk", lambda: fill(cloud, "node3"))
        move = await cloud.move(server)
        assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node4")
        assert [attempt.host for attempt in move.attempts] == ["node2", "node4"]
        assert "needs 2048 MiB of memory, has 384 free" in move.reasons[-1]


async def test_A13_a_conflict_in_the_claim_of_a_retry_leaves_nothing_half_done(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target's refusal is heard again until the next target's claim is made."""
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "tired"
    with conflicts(monkeypatch, "make", 2, lambda _tx, host, *_, **__: host == "node3") as met:
        move = await cloud.move(server)
    assert len(met) == 2
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    assert await cloud.claims(server) == {"node1 (migration)": SMALL, "node3": SMALL}


async def test_A13_a_retry_whose_claim_is_refused_ends_as_the_server_was_found(cloud: Cloud) -> None:
    await cloud.add_flavor("cow", ram=2048)
    server = await cloud.create(host="node1", flavor="cow")
    cloud.drivers["node2"].fails["create_disk"] = "tired"
    before(cloud.drivers["node2"], "create_disk", lambda: fill(cloud, "node3"))
    move = await cloud.move(server)
    assert (move.state, move.status) == (State.FAILED, "error")
    found = await cloud.server(server)
    assert (found.host, found.vm_state, found.task_state) == ("node1", "active", None)
    assert await cloud.claims(server) == {"node1": {**SMALL, "MEMORY_MB": 2048}}


async def test_A20_a_refusal_that_no_other_host_could_cure_ends_the_move(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")

    async def never(_guest: object) -> None:
        raise HostTrouble("nobody could run this image", elsewhere=False)

    cloud.drivers["node2"].can_run = never  # type: ignore[method-assign]
    move = await cloud.move(server)
    assert (move.state, [attempt.host for attempt in move.attempts]) == (State.FAILED, ["node2"])
    assert "nobody could run this image" in "".join(await cloud.reasons(server))
    await unmoved(cloud, server)


async def test_A21_a_flavor_that_no_host_can_carry(cloud: Cloud) -> None:
    await cloud.add_flavor("vast", ram=1 << 20)
    server = await cloud.create(host="node1")
    move = await resize(cloud, server, "vast")
    assert (move.state, move.attempt) == (State.FAILED, 0)
    why = "needs 1048576 MiB of memory, has 16384 free"
    assert move.reasons == (f"node2: {why}", f"node3: {why}")
    assert await cloud.reasons(server) == told_by_each_event(move)
    assert (await cloud.server(server)).flavor.name == "small"
    await unmoved(cloud, server)


async def test_A27_a_resize_is_judged_by_the_new_size(cloud: Cloud) -> None:
    """384 MiB are free on node2: enough for one size of the two, whichever is the new one."""
    await fill(cloud, "node2")
    await cloud.disable("node3")
    await cloud.add_flavor("cow", ram=2048)
    small = await cloud.create(host="node1")
    move = await resize(cloud, small, "cow")
    assert move.state == State.FAILED
    refused = [str(refusal) for refusal in answers(cloud)[-1].answer.refusals]
    assert "node2: needs 2048 MiB of memory, has 384 free" in refused
    cow = await cloud.create("cow", host="node1", flavor="cow")
    assert (await resize(cloud, cow, "small")).target == "node2"
