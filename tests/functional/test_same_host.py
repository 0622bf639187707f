"""A resize that stays on its host, with simulated hypervisors: window, claims, failures, and what it never may.

The same with a real guest is in tests/guest/test_same_host.py; the agent's part, dying at each moment, in
tests/unit/compute/test_in_place.py.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.bus.local import Said
from haulier.db.store import hosts
from haulier.model.migration import Migration, State
from haulier.model.resources import ResourceClass
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud, running, settings

HOST, HERE = "node1", "node1 (migration)"
SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
LARGE = {"VCPU": 2, "MEMORY_MB": 128, "DISK_GB": 2}
GIB = 1 << 30


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """One host, so that a resize stays there or goes nowhere."""
    async with running(settings(tmp_path, (HOST,), allow_resize_to_same_host=True)) as made:
        yield made
        assert made.fleet.violations == []


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Two hosts; the first has by far more room and is preferred."""
    async with running(settings(tmp_path, (HOST, "node2"), allow_resize_to_same_host=True)) as made:
        await shrink(made, "node2")
        yield made
        assert made.fleet.violations == []


async def shrink(cloud: Cloud, host: str) -> None:
    """The host has much less from its next heartbeat on, which is waited for."""
    driver = cloud.drivers[host]
    driver.vcpus, driver.memory_mb, driver.disk_gb = 2, 1024, 10

    async def look() -> bool:
        found = await cloud.allinone.db.read(hosts.get, host)
        return found.stock[ResourceClass.MEMORY_MB].total == cloud.drivers[host].memory_mb

    await cloud.until(look)


async def resize(cloud: Cloud, server: str, flavor: str = "large") -> Migration:
    """Resize, and wait until it ended or the window is open."""
    answer = await cloud.action(server, {"resize": {"flavorRef": flavor}})
    assert answer.status_code == 202, answer.text
    await cloud.free(server)
    return await cloud.newest(server)


async def status(cloud: Cloud, server: str) -> str:
    return str((await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]["status"])


def layers(cloud: Cloud, host: str = HOST) -> tuple[int, int, int]:
    """How many disks, copies and kept disks the host has."""
    driver = cloud.drivers[host]
    return len(driver.disks), len(driver.copies), len(driver.kept)


async def made(cloud: Cloud, *, stopped: bool = False) -> str:
    server = await cloud.create(host=HOST)
    if stopped:
        await cloud.stop(server)
    return server


async def as_found(cloud: Cloud, server: str, *, stopped: bool = False, boots: int = 1) -> None:
    found = await cloud.server(server)
    assert (found.host, found.task_state, found.flavor.name) == (HOST, None, "small")
    assert found.vm_state == (VmState.STOPPED if stopped else VmState.ACTIVE)
    assert cloud.drivers[HOST].power_state(found.id) == (PowerState.SHUTDOWN if stopped else PowerState.RUNNING)
    disk = cloud.drivers[HOST].disks[found.id]
    assert (disk.size, disk.boots) == (GIB, boots)
    assert await cloud.claims(server) == {HOST: SMALL}
    assert layers(cloud) == (1, 0, 0)


# -- window --------------------------------------------------------------------------------------------------


async def test_B3_I2_the_window_counts_the_larger_one_of_each_class_and_both_disks(cloud: Cloud) -> None:
    server = await made(cloud)
    move = await resize(cloud, server)
    assert (move.state, move.source, move.target) == (State.AWAITS_CONFIRM, HOST, HOST)
    assert await status(cloud, server) == "VERIFY_RESIZE"
    assert await cloud.claims(server) == {HOST: LARGE, HERE: {"DISK_GB": 1}}
    assert layers(cloud) == (1, 0, 1)
    await cloud.confirm(server)
    assert await cloud.claims(server) == {HOST: LARGE}


async def test_B3_I2_a_smaller_flavor_keeps_what_a_revert_needs(cloud: Cloud) -> None:
    await cloud.add_flavor("lean", vcpus=1, ram=256, disk=2)
    server = await cloud.create(host=HOST, flavor="large")
    await resize(cloud, server, "lean")
    assert await cloud.claims(server) == {
        HOST: {"VCPU": 1, "MEMORY_MB": 256, "DISK_GB": 2},
        HERE: {"VCPU": 1, "DISK_GB": 2},
    }
    await cloud.revert(server)
    assert await cloud.claims(server) == {HOST: LARGE}


async def test_confirm_deletes_what_was_kept(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    found = await cloud.server(server)
    assert cloud.drivers[HOST].disks[found.id].boots == 2
    move = await cloud.confirm(server)
    assert (move.state, move.status) == (State.CONFIRMED, "confirmed")
    assert await status(cloud, server) == "ACTIVE"
    disk = cloud.drivers[HOST].disks[found.id]
    assert (disk.size, disk.boots) == (2 * GIB, 2)
    assert layers(cloud) == (1, 0, 0)
    assert cloud.fleet.running == {found.id: HOST}


async def test_revert_brings_back_size_content_and_flavor(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    move = await cloud.revert(server)
    assert (move.state, move.status) == (State.REVERTED, "reverted")
    assert await status(cloud, server) == "ACTIVE"
    await as_found(cloud, server, boots=2)


async def test_the_epoch_grows_with_each_change_of_the_disk(cloud: Cloud) -> None:
    server = await made(cloud)
    before = (await cloud.server(server)).owner_epoch
    await resize(cloud, server)
    assert (await cloud.server(server)).owner_epoch == before + 1
    await cloud.revert(server)
    assert (await cloud.server(server)).owner_epoch == before + 2


@pytest.mark.parametrize("end", ["confirm", "revert"])
async def test_E1_a_stopped_server_stays_stopped(cloud: Cloud, end: str) -> None:
    server = await made(cloud, stopped=True)
    await resize(cloud, server)
    assert (await cloud.server(server)).power_state == PowerState.SHUTDOWN
    await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    assert await status(cloud, server) == "SHUTOFF"
    assert (await cloud.server(server)).flavor.name == ("large" if end == "confirm" else "small")
    assert [disk.boots for disk in cloud.drivers[HOST].disks.values()] == [1], "it ran once, when it was made"


async def test_again_after_a_confirm_and_after_a_revert(cloud: Cloud) -> None:
    await cloud.add_flavor("huge", vcpus=4, ram=256, disk=4)
    server = await made(cloud)
    await resize(cloud, server)
    await cloud.confirm(server)
    await resize(cloud, server, "huge")
    await cloud.revert(server)
    assert (await cloud.server(server)).flavor.name == "large"
    await resize(cloud, server, "huge")
    await cloud.confirm(server)
    assert await cloud.claims(server) == {HOST: {"VCPU": 4, "MEMORY_MB": 256, "DISK_GB": 4}}
    assert layers(cloud) == (1, 0, 0)


async def test_its_host_is_told_each_step_once_and_never_to_discard(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    await cloud.revert(server)
    steps = [step for _, step in cloud.recorder.steps() if step != "build_server"]
    forward = ["prep_resize", "resize_instance", "finish_resize"]
    assert steps == [*forward, "check_disk", "revert_resize", "finish_revert_resize"]
    assert not [said for said in cloud.recorder.on("haulier.compute.") if b"DiscardGuest" in said.body]


async def test_I8_a_host_that_lost_the_new_disk_keeps_the_old_one(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    driver, found = cloud.drivers[HOST], await cloud.server(server)
    lost = driver.disks.pop(found.id)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204
    await cloud.until(lambda: reopened(cloud, server))
    assert layers(cloud) == (0, 0, 1)
    driver.disks[found.id] = lost
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_I8_a_damaged_kept_disk_leaves_the_guest_running_in_its_window(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    driver = cloud.drivers[HOST]
    next(iter(driver.kept.values())).sound = False
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202
    await cloud.until(lambda: reopened(cloud, server))
    assert await status(cloud, server) == "VERIFY_RESIZE"
    assert list(cloud.fleet.running.values()) == [HOST]
    assert ("power_off", server) not in driver.calls[driver.calls.index(("check_kept", server)) :]


async def reopened(cloud: Cloud, server: str) -> bool:
    move = await cloud.newest(server)
    return move.state == State.AWAITS_CONFIRM and bool(move.reasons)


async def test_deleted_in_the_window_nothing_is_left(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204

    async def gone() -> bool:
        return (await cloud.server(server)).vm_state == VmState.DELETED

    await cloud.until(gone)
    assert await cloud.claims(server) == {}
    assert layers(cloud) == (0, 0, 0)
    assert (await cloud.newest(server)).state == State.CANCELLED


async def test_a_next_resize_need_not_wait_for_what_the_last_one_still_deletes(cloud: Cloud) -> None:
    """Confirmed means free (decision 0007): what is kept for one move is nothing to another."""
    await cloud.add_flavor("huge", vcpus=4, ram=256, disk=4)
    server = await made(cloud)
    first = await resize(cloud, server)
    cloud.allinone.broker.losses.append(lambda said: b"confirm_resize" in said.body)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def free() -> bool:
        return (await cloud.server(server)).vm_state == VmState.ACTIVE

    await cloud.until(free)
    second = await resize(cloud, server, "huge")
    assert second.state == State.AWAITS_CONFIRM
    assert layers(cloud) == (1, 0, 2)
    cloud.allinone.broker.losses.clear()
    assert (await cloud.ended(first.id)).state == State.CONFIRMED
    await cloud.revert(server)
    assert (await cloud.server(server)).flavor.name == "large"
    assert [disk.size for disk in cloud.drivers[HOST].disks.values()] == [2 * GIB]
    assert await cloud.claims(server) == {HOST: LARGE}


# -- failures ------------------------------------------------------------------------------------------------

BEFORE = ("can_run", "power_off", "copy_disk", "digest_copy", "grow_copy", "use_copy", "start")
"""Every primitive of the way forward, in order; each is undone by the old disk."""
TOUCHING = ("copy_disk", "digest_copy", "grow_copy", "use_copy")
CASES = [(each, stopped) for each in BEFORE for stopped in (False, True) if not (stopped and each == "start")]


@pytest.mark.parametrize(("primitive", "stopped"), CASES, ids=[f"{p}-{'off' if s else 'on'}" for p, s in CASES])
async def test_D11_I3_a_primitive_that_fails_once_leaves_the_server_as_found(
    cloud: Cloud, primitive: str, stopped: bool
) -> None:
    server = await made(cloud, stopped=stopped)
    fail_once(cloud, primitive)
    move = await resize(cloud, server)
    assert move.state == State.FAILED, move.reasons
    assert "the disk is on fire" in "".join(move.reasons)
    off_meanwhile = not stopped and primitive != "can_run"
    await as_found(cloud, server, stopped=stopped, boots=2 if off_meanwhile else 1)
    cloud.drivers[HOST].fails.clear()
    assert (await resize(cloud, server)).state == State.AWAITS_CONFIRM


def fail_once(cloud: Cloud, primitive: str, host: str = HOST) -> None:
    """The primitive fails until its command has been answered; what is undone afterwards finds it well again."""
    driver = cloud.drivers[host]
    driver.fails[primitive] = "the disk is on fire"

    def look(said: Said) -> None:
        if b"on fire" in said.body and said.subject.startswith(("haulier.event.", "haulier.conductor.migrate")):
            driver.fails.pop(primitive, None)

    cloud.allinone.broker.taps.append(look)


@pytest.mark.parametrize("primitive", [*TOUCHING, "start"])
async def test_claims_while_the_old_disk_comes_back(cloud: Cloud, primitive: str) -> None:
    """What is undone still holds both disks, and nothing of the new size that runs."""
    server = await made(cloud)
    fail_once(cloud, primitive)
    cloud.drivers[HOST].latency = {"use_kept": 0.3}
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202

    async def restoring() -> bool:
        return (await cloud.newest(server)).state == State.RESTORING

    await cloud.until(restoring)
    assert await cloud.claims(server) == {HERE: SMALL, HOST: {"DISK_GB": 2}}
    await cloud.free(server)
    assert await cloud.claims(server) == {HOST: SMALL}


async def test_a_guest_that_does_not_start_either_way_ends_off_with_the_old_disk(cloud: Cloud) -> None:
    server = await made(cloud)
    cloud.drivers[HOST].fails["start"] = "no memory at all"
    move = await resize(cloud, server)
    assert move.state == State.FAILED
    await as_found(cloud, server, stopped=True)
    cloud.drivers[HOST].fails.clear()
    assert (await cloud.action(server, {"os-start": None})).status_code == 202
    assert (await cloud.free(server)).vm_state == VmState.ACTIVE


async def test_a_disk_that_can_not_be_put_back_is_asked_for_until_it_can(cloud: Cloud) -> None:
    """No answer rather than a wrong one: the move waits for its host, and goes on by itself (I4)."""
    server = await made(cloud)
    driver = cloud.drivers[HOST]
    fail_once(cloud, "start")
    driver.fails["use_kept"] = "read-only file system"
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202

    async def asked_twice() -> bool:
        return driver.calls.count(("use_kept", server)) >= 4

    await cloud.until(asked_twice)
    assert (await cloud.newest(server)).state == State.RESTORING
    driver.fails.clear()
    assert (await cloud.ended((await cloud.newest(server)).id)).state == State.FAILED
    await as_found(cloud, server, boots=2)


@pytest.mark.parametrize("primitive", ["power_off", "use_kept", "start"])
async def test_a_revert_goes_on_after_a_failure(cloud: Cloud, primitive: str) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    driver = cloud.drivers[HOST]
    driver.fails[primitive] = "not now"
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202

    async def tried() -> bool:
        return (primitive, server) in driver.calls[driver.calls.index(("check_kept", server)) :]

    async def tried_and_seen() -> bool:
        return "check_kept" in [call for call, _ in driver.calls] and await tried()

    await cloud.until(tried_and_seen)
    driver.fails.clear()
    move = await cloud.ended((await cloud.newest(server)).id)
    assert move.state == State.REVERTED
    found = await cloud.server(server)
    assert (found.flavor.name, found.host) == ("small", HOST)
    assert driver.disks[found.id].size == GIB
    assert await cloud.claims(server) == {HOST: SMALL}
    assert layers(cloud) == (1, 0, 0)


async def test_a_kept_disk_that_can_not_be_deleted_is_asked_for_again(cloud: Cloud) -> None:
    server = await made(cloud)
    await resize(cloud, server)
    driver = cloud.drivers[HOST]
    driver.fails["drop_kept"] = "busy"
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def tried() -> bool:
        return ("drop_kept", server) in driver.calls

    await cloud.until(tried)
    assert (await cloud.free(server)).vm_state == VmState.ACTIVE, "confirmed means free"
    assert await cloud.claims(server) == {HOST: LARGE, HERE: {"DISK_GB": 1}}
    driver.fails.clear()
    assert (await cloud.ended((await cloud.newest(server)).id)).state == State.CONFIRMED
    assert await cloud.claims(server) == {HOST: LARGE}


@pytest.mark.parametrize(
    "lost",
    ["prep_resize", "resize_instance", "finish_resize", "check_disk", "revert_resize", "finish_revert_resize"],
)
@pytest.mark.parametrize("way", ["command lost", "answer lost", "command twice"])
async def test_a_message_that_is_lost_or_comes_twice(cloud: Cloud, lost: str, way: str) -> None:
    server = await made(cloud)
    Wire(cloud, lost, way)
    await resize(cloud, server)
    await cloud.revert(server)
    await as_found(cloud, server, boots=2)


class Wire:
    """Loses the first command of a step, or the first answer to it, or says every command of it twice."""

    def __init__(self, cloud: Cloud, step: str, way: str) -> None:
        self._step, self._way, self._lost = step, way, False
        self._again: Callable[[Said], None] | None = None
        cloud.allinone.broker.losses.append(self._loses)
        if way == "command twice":
            cloud.allinone.conductor.outbox._send = self._twice(cloud.allinone.conductor.outbox._send)  # type: ignore[method-assign]

    def _loses(self, said: Said) -> bool:
        prefix = "haulier.event." if self._way == "answer lost" else "haulier.compute."
        if self._lost or self._way == "command twice" or not said.subject.startswith(prefix):
            return False
        message = msgspec.msgpack.decode(said.body)
        command = message.get("command") or message
        self._lost = command.get("step") == self._step
        return self._lost

    @staticmethod
    def _twice(send: Any) -> Any:
        async def both(row: Any, incarnation: str) -> None:
            await send(row, incarnation)
            await send(row, incarnation)

        return both


@pytest.mark.parametrize("primitive", ["copy_disk", "grow_copy", "use_copy", "check_kept", "use_kept", "drop_kept"])
async def test_the_agent_is_restarted_at_work(cloud: Cloud, primitive: str) -> None:
    """What the new agent is asked again, it finishes; each move ends (I4)."""
    server = await made(cloud)
    driver = cloud.drivers[HOST]
    reverts = primitive in ("check_kept", "use_kept")
    driver.latency = {primitive: 60.0}
    answer = await cloud.action(server, {"resize": {"flavorRef": "large"}})
    assert answer.status_code == 202
    if reverts or primitive == "drop_kept":
        await cloud.free(server)
        body: dict[str, Any] = {"revertResize": None} if reverts else {"confirmResize": None}
        assert (await cloud.action(server, body)).status_code in (202, 204)

    async def at_work() -> bool:
        return (primitive, server) in driver.calls

    await cloud.until(at_work)
    driver.latency = 0.0
    await cloud.allinone.restart_agent(HOST)
    if primitive in ("copy_disk", "grow_copy", "use_copy"):
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
        await cloud.revert(server)
    else:
        await cloud.ended((await cloud.newest(server)).id)
    if primitive == "drop_kept":
        assert await cloud.claims(server) == {HOST: LARGE}
        assert layers(cloud) == (1, 0, 0)
    else:
        await as_found(cloud, server, boots=2)


# -- where to ------------------------------------------------------------------------------------------------


async def test_A24_a_full_host_is_not_refused_when_the_new_size_fits_once_the_old_is_released(cloud: Cloud) -> None:
    """16384 MiB in all: 12288 held, 14336 wanted; counted twice it would be 26624."""
    await cloud.add_flavor("most", vcpus=30, ram=12288, disk=40)
    await cloud.add_flavor("more", vcpus=31, ram=14336, disk=50)
    server = await cloud.create(host=HOST, flavor="most")
    move = await resize(cloud, server, "more")
    assert move.state == State.AWAITS_CONFIRM, move.reasons
    assert await cloud.claims(server) == {
        HOST: {"VCPU": 31, "MEMORY_MB": 14336, "DISK_GB": 50},
        HERE: {"DISK_GB": 40},
    }
    await cloud.confirm(server)


async def test_A24_both_disks_must_fit(cloud: Cloud) -> None:
    """100 GiB in all: while both are there, 40 and 70 do not fit."""
    await cloud.add_flavor("disk40", disk=40)
    await cloud.add_flavor("disk70", disk=70)
    server = await cloud.create(host=HOST, flavor="disk40")
    before = await cloud.claims(server)
    move = await resize(cloud, server, "disk70")
    assert move.state == State.FAILED
    assert move.reasons == ("node1: needs 110 GiB of disk, has 100 free",)
    assert await cloud.claims(server) == before
    assert await status(cloud, server) == "ACTIVE"


async def test_A24_the_claims_of_others_count(cloud: Cloud) -> None:
    await cloud.add_flavor("most", ram=12288)
    await cloud.add_flavor("more", ram=14336)
    await cloud.add_flavor("other", ram=4096)
    await cloud.create("other", host=HOST, flavor="other")
    server = await cloud.create(host=HOST, flavor="most")
    move = await resize(cloud, server, "more")
    assert move.state == State.FAILED
    assert move.reasons == ("node1: needs 14336 MiB of memory, has 12288 free",)


async def test_A22_a_plain_migration_is_never_offered_its_own_host(cloud: Cloud) -> None:
    server = await made(cloud)
    move = await cloud.move(server)
    assert move.state == State.FAILED
    assert cloud.recorder.on("haulier.scheduler.")[-1].body.count(b"node1") == 1, "as the host to leave out"
    assert (await cloud.action(server, {"migrate": {"host": HOST}})).status_code == 400
    await as_found(cloud, server)


async def test_A22_without_the_setting_a_resize_goes_elsewhere_or_nowhere(tmp_path: Path) -> None:
    async with running(settings(tmp_path, (HOST,))) as cloud:
        server = await made(cloud)
        move = await resize(cloud, server)
        assert move.state == State.FAILED
        await as_found(cloud, server)


async def test_the_scheduler_may_prefer_another_host(two: Cloud) -> None:
    server = await two.create(host="node2")
    move = await resize(two, server)
    assert (move.state, move.source, move.target) == (State.AWAITS_CONFIRM, "node2", HOST)


@pytest.mark.parametrize("primitive", ["can_run", "copy_disk", "use_copy"])
async def test_the_next_alternate_is_tried_when_it_can_not_be_done_here(two: Cloud, primitive: str) -> None:
    """The guest runs again on the old disk first; then the move is one as any other."""
    server = await made(two)
    fail_once(two, primitive)
    move = await resize(two, server)
    assert (move.state, move.attempt, move.target) == (State.AWAITS_CONFIRM, 2, "node2"), move.reasons
    assert await two.claims(server) == {HERE: SMALL, "node2": LARGE}
    assert layers(two) == (1, 0, 0)
    await two.confirm(server)
    assert await two.claims(server) == {"node2": LARGE}
    assert layers(two) == (0, 0, 0)


async def test_its_own_host_as_the_alternate(two: Cloud) -> None:
    server = await two.create(host="node2")
    fail_once(two, "create_disk")
    move = await resize(two, server)
    assert (move.state, move.attempt, move.target) == (State.AWAITS_CONFIRM, 2, "node2"), move.reasons
    assert await two.claims(server) == {"node2": LARGE, "node2 (migration)": {"DISK_GB": 1}}
    await two.revert(server)
    assert await two.claims(server) == {"node2": SMALL}
    assert layers(two, "node2") == (1, 0, 0)


async def test_a_silent_host_is_waited_for_since_it_has_the_disk(tmp_path: Path) -> None:
    made_with = settings(tmp_path, (HOST, "node2"), allow_resize_to_same_host=True, prepare_timeout=0.2)
    async with running(made_with) as cloud:
        await shrink(cloud, "node2")
        server = await made(cloud)
        silent = [True]
        cloud.allinone.broker.losses.append(lambda said: silent[0] and b"prep_resize" in said.body)
        assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202

        async def asked_again() -> bool:
            return cloud.recorder.steps().count((HOST, "prep_resize")) >= 3

        await cloud.until(asked_again)
        move = await cloud.newest(server)
        assert (move.state, move.attempt, move.target) == (State.PREPARING, 1, HOST)
        silent[0] = False
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
