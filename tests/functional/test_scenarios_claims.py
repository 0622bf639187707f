"""Scenarios of groups B and C: what is claimed where and when, also while claiming fails or a sweep looks at it."""

import asyncio

import msgspec
import pytest

from haulier.db.store import hosts, migrations
from haulier.model.ids import ServerId
from haulier.model.migration import State
from haulier.model.resources import ResourceClass
from haulier.model.server import VmState
from haulier.wire.events import Inventory
from tests.functional.cloud import PATIENCE, Cloud
from tests.functional.hooks import before, conflicts, held_before, held_question
from tests.functional.test_force import fill, unmoved
from tests.functional.test_same_host import resize

SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
LARGE = {"VCPU": 2, "MEMORY_MB": 128, "DISK_GB": 2}


@pytest.mark.parametrize("end", ["confirm", "revert"])
@pytest.mark.parametrize(("source", "target"), [("node1", "node2"), ("node2", "node1")])
async def test_B1_B2_both_sizes_are_held_until_the_end_and_sweeps_change_nothing(
    cloud: Cloud, end: str, source: str, target: str
) -> None:
    server = await cloud.create(host=source)
    assert (await resize(cloud, server)).target == target
    await holds(cloud, server, {f"{source} (migration)": SMALL, target: LARGE})
    await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    await holds(cloud, server, {target: LARGE} if end == "confirm" else {source: SMALL})


async def holds(cloud: Cloud, server: str, held: dict[str, dict[str, int]]) -> None:
    """Before a sweep and after it."""
    assert await cloud.claims(server) == held
    await cloud.allinone.conductor.driver.sweep()
    assert await cloud.claims(server) == held


async def test_B5_a_source_that_can_not_send_leaves_no_claim_on_any_target(cloud: Cloud) -> None:
    """Whoever asked was answered 202 long before."""
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "cable cut"
    move = await resize(cloud, server)
    assert (move.state, [attempt.host for attempt in move.attempts]) == (State.FAILED, ["node2", "node3"])
    await unmoved_when_discarded(cloud, server)


async def test_B6_a_target_that_can_not_finish_gives_server_and_claim_back(cloud: Cloud) -> None:
    """The server's row named the target already. Looked at as the source starts the guest again, then at the end."""
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        cloud.drivers[host].fails["start"] = "no memory"
    seen = []

    async def look() -> None:
        found = await cloud.server(server)
        seen.append((found.host, found.flavor.name, await cloud.claims(server)))

    before(cloud.drivers["node1"], "start", look)
    move = await resize(cloud, server)
    assert (move.state, move.attempt) == (State.FAILED, 2)
    assert seen == [("node1", "small", {"node1 (migration)": SMALL})] * 2
    await unmoved_when_discarded(cloud, server)


async def unmoved_when_discarded(cloud: Cloud, server: str) -> None:
    async def discarded() -> bool:
        return [host for host, driver in cloud.drivers.items() if server in driver.disks] == ["node1"]

    await cloud.until(discarded)
    assert (await cloud.server(server)).flavor.name == "small"
    await unmoved(cloud, server)


async def test_B7_a_source_that_can_not_delete_its_copy_holds_the_disk_and_nothing_else(cloud: Cloud) -> None:
    """The server is free at once; what really lies on the source stays claimed until it is gone."""
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    cloud.drivers["node1"].fails["delete"] = "busy"
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def tried() -> bool:
        return "busy" in "".join((await cloud.migration(move.id)).reasons)

    await cloud.until(tried)
    assert (await cloud.server(server)).vm_state == VmState.ACTIVE
    assert await cloud.claims(server) == {"node2": SMALL, "node1 (migration)": {"DISK_GB": 1}}
    cloud.drivers["node1"].fails.clear()
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    assert await cloud.claims(server) == {"node2": SMALL}


async def test_B8_a_target_that_filled_up_after_it_was_chosen(cloud: Cloud) -> None:
    await cloud.add_flavor("cow", ram=2048)
    server = await cloud.create(host="node1", flavor="cow")
    claimed = await cloud.claims(server)
    asked, may_answer = held_question(cloud)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await asyncio.wait_for(asked.wait(), PATIENCE)
    await fill(cloud, "node2")
    may_answer.set()
    found = await cloud.free(server)
    assert (found.host, found.vm_state) == ("node1", VmState.ACTIVE)
    assert (await cloud.newest(server)).state == State.FAILED
    assert "needs 2048 MiB of memory, has 384 free" in "".join(await cloud.reasons(server))
    assert await cloud.claims(server) == claimed


@pytest.mark.parametrize("function", ["make", "hand_over"])
async def test_B8_B9_a_conflict_while_claiming_writes_nothing_and_the_request_is_taken_up_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """Of the target's claim, and of the source's on its way from the server to the migration. Each try asks once."""
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    held = []

    async def look(body: bytes) -> bytes:
        held.append(await cloud.claims(server))
        return await choose(body)

    subject = "haulier.scheduler.select_destinations"
    choose = cloud.allinone.broker.servers[subject]
    cloud.allinone.broker.servers[subject] = look
    with conflicts(monkeypatch, function, 2, lambda *_, **__: True) as met:
        move = await cloud.move(server, "node2")
    assert (move.state, move.attempt, len(met)) == (State.AWAITS_CONFIRM, 1, 2)
    assert held == [{"node1": SMALL}] * 3
    assert await cloud.claims(server) == {"node1 (migration)": SMALL, "node2": SMALL}
    assert len(await cloud.allinone.db.read(migrations.of_server, ServerId(server))) == 1


async def test_B21_K8_force_never_copies_a_claim_to_a_host_of_another_shape(cloud: Cloud) -> None:
    """node2 has no disks to give away at all."""
    server = await cloud.create(host="node1")
    node2 = cloud.drivers["node2"]
    inventory = node2.inventory

    async def diskless() -> Inventory:
        found = await inventory()
        stock = {each: held for each, held in found.stock.items() if each != ResourceClass.DISK_GB}
        return msgspec.structs.replace(found, stock=stock)

    node2.inventory = diskless  # type: ignore[method-assign]

    async def known() -> bool:
        return ResourceClass.DISK_GB not in (await cloud.allinone.db.read(hosts.get, "node2")).stock

    await cloud.until(known)
    move = await cloud.move(server, "node2", force=True)
    assert move.state == State.FAILED
    assert "needs 1 GiB of disk, has 0 free" in move.reasons[0]
    await unmoved(cloud, server)


async def test_B28_the_usage_of_hosts_is_right_the_moment_a_move_ends(cloud: Cloud) -> None:
    """No sweep runs and no heartbeat is heard after the move was asked for."""
    server = await cloud.create(host="node1")
    await cloud.allinone.conductor.driver.stop()
    cloud.allinone.broker.losses.append(lambda said: said.subject.endswith(".heartbeat"))
    await resize(cloud, server)
    assert await usage(cloud) == {"node1": (1, 64, 1, 0), "node2": (2, 128, 2, 1), "node3": (0, 0, 0, 0)}
    await cloud.confirm(server)
    assert await usage(cloud) == {"node1": (0, 0, 0, 0), "node2": (2, 128, 2, 1), "node3": (0, 0, 0, 0)}


async def usage(cloud: Cloud) -> dict[str, tuple[int, ...]]:
    shown = (await cloud.call("GET", "/v2.1/os-hypervisors/detail")).json()["hypervisors"]
    figures = ("vcpus_used", "memory_mb_used", "local_gb_used", "running_vms")
    return {one["hypervisor_hostname"]: tuple(one[figure] for figure in figures) for one in shown}


async def test_C7_accounting_finds_both_sizes_at_each_moment_of_a_confirm(cloud: Cloud) -> None:
    """Before the target gives its word, and before the source deletes: the move's row keeps both flavors for good."""
    server = await cloud.create(host="node1")
    move = await resize(cloud, server)
    seen: list[tuple[dict[str, dict[str, int]], tuple[object, ...]]] = []

    async def account() -> None:
        await cloud.allinone.conductor.orphaned_claims.sweep()
        report = await cloud.allinone.conductor.audit.look()
        seen.append((await cloud.claims(server), report.violations))

    node2 = cloud.drivers["node2"]
    holds_it = node2.has_disk

    async def attests(asked: ServerId) -> bool:
        await account()
        return await holds_it(asked)

    node2.has_disk = attests  # type: ignore[method-assign]
    before(cloud.drivers["node1"], "delete", account)
    await cloud.confirm(server)
    both = {"node1 (migration)": SMALL, "node2": LARGE}
    assert seen == [(both, ()), ({"node1 (migration)": {"DISK_GB": 1}, "node2": LARGE}, ())]
    ended = await cloud.migration(move.id)
    assert (ended.old_flavor.name, ended.new_flavor.name) == ("small", "large")


async def test_C8_in_the_window_the_disk_on_the_source_is_counted_however_often_the_host_reports(cloud: Cloud) -> None:
    """The server is another host's by then; the copy that a revert needs is neither trouble nor free space."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")

    heard = len(cloud.recorder.on("haulier.event.node1.heartbeat"))

    async def reported_twice() -> bool:
        return len(cloud.recorder.on("haulier.event.node1.heartbeat")) >= heard + 2

    await cloud.until(reported_twice)
    await cloud.allinone.conductor.driver.sweep()
    assert await usage(cloud) == {"node1": (1, 64, 1, 0), "node2": (1, 64, 1, 1), "node3": (0, 0, 0, 0)}
    report = await cloud.allinone.conductor.audit.look()
    assert (report.violations, server in cloud.drivers["node1"].disks) == ((), True)


@pytest.mark.parametrize("what", ["build", "move"])
async def test_C10_a_sweep_while_the_target_prepares_takes_no_claim_away(cloud: Cloud, what: str) -> None:
    """Also when it looks at what is on the host, where there is nothing yet."""
    server = await cloud.create(host="node1") if what == "move" else ""
    reached, go = held_before(cloud.drivers["node2"], "create_disk")
    if what == "move":
        assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    else:
        wanted = {"name": "vm", "imageRef": cloud.image, "flavorRef": "small", "networks": "none"}
        wanted["availability_zone"] = "nova:node2"
        answer = await cloud.call("POST", "/v2.1/servers", {"server": wanted})
        server = answer.json()["server"]["id"]
    await reached()
    assert server not in cloud.drivers["node2"].disks
    for _ in range(2):
        await cloud.allinone.conductor.driver.sweep()
        assert (await cloud.claims(server))["node2"] == SMALL
    go()
    found = await cloud.free(server)
    assert (found.host, found.vm_state) == ("node2", VmState.RESIZED if what == "move" else VmState.ACTIVE)
