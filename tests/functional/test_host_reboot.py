"""A host loses its power and comes back: what its guests are then is the conductor's decision (decision 0012)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from haulier.bus.local import Said
from haulier.compute import service
from haulier.config.conductor import AfterHostReboot
from haulier.db.store import hosts
from haulier.model.migration import State
from haulier.model.server import PowerState, TaskState, VmState
from haulier.wire.events import Hello
from tests.functional.cloud import Cloud, running, settings
from tests.functional.conftest import HOSTS
from tests.functional.test_force import silence

Boot = Callable[..., Awaitable[None]]


@pytest.fixture
async def starting(tmp_path: Path) -> AsyncIterator[Cloud]:
    """A cloud whose operator wants what ran to run again."""
    made = settings(tmp_path, HOSTS, after_host_reboot=AfterHostReboot.START)
    async with running(made) as cloud:
        yield cloud
        assert cloud.fleet.violations == []
        await cloud.allinone.conductor.orphaned_claims.sweep()
        assert cloud.allinone.conductor.orphaned_claims.released == 0


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Boot:
    """Start a host whose power was cut: another boot of its kernel, and a new agent."""

    async def booted(cloud: Cloud, host: str, boot_id: str = "the second boot") -> None:
        monkeypatch.setattr(service, "_boot_id", lambda: boot_id)
        agent = cloud.allinone._agent(cloud.allinone.agents[host].settings)
        cloud.allinone.agents[host] = agent
        await agent.start()
        await agent.welcomed.wait()

    return booted


async def cut_power(cloud: Cloud, host: str) -> None:
    await cloud.allinone.agents[host].stop()
    cloud.drivers[host].lose_power()


def starts(cloud: Cloud, host: str, server: str) -> int:
    return sum(call == ("start", server) for call in cloud.drivers[host].calls)


async def status(cloud: Cloud, server: str) -> str:
    return str((await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]["status"])


async def newest_action(cloud: Cloud, server: str) -> dict[str, Any]:
    listed = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    action: dict[str, Any] = listed[0]
    return action


async def runs(cloud: Cloud, server: str) -> None:
    """Wait until it runs on its owner, and nowhere else (the fleet's eye), with nothing being done to it."""

    async def look() -> bool:
        found = await cloud.server(server)
        up = found.power_state == PowerState.RUNNING and cloud.fleet.running.get(found.id) == found.host
        return up and found.task_state is None

    await cloud.until(look)


async def test_start_what_ran_and_nothing_else(starting: Cloud, boot: Boot) -> None:
    cloud = starting
    ran, stopped, paused = [await cloud.create(host="node1", name=name) for name in ("ran", "stopped", "paused")]
    elsewhere = await cloud.create(host="node2")
    await cloud.stop(stopped)
    assert (await cloud.action(paused, {"pause": None})).status_code == 202
    await cloud.free(paused)
    before = {server: starts(cloud, "node1", server) for server in (ran, stopped, paused)}
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    await runs(cloud, ran)
    assert await status(cloud, ran) == "ACTIVE"
    assert starts(cloud, "node1", ran) == before[ran] + 1
    action = await newest_action(cloud, ran)
    assert (action["action"], action["user_id"], action["message"]) == ("start", "host reboot", None)
    for server in (stopped, paused):
        assert await status(cloud, server) == "SHUTOFF"
        assert starts(cloud, "node1", server) == before[server]
    assert "is lost, so it is not unpaused" in "".join(await cloud.reasons(paused))
    assert starts(cloud, "node2", elsewhere) == 1


async def test_wait_shows_them_off_and_says_why(cloud: Cloud, boot: Boot) -> None:
    """The default: as a Nova with resume_guests_state_on_host_boot = false."""
    server = await cloud.create(host="node1")
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    found = await cloud.server(server)
    assert (found.vm_state, found.power_state, found.task_state) == (VmState.STOPPED, PowerState.SHUTDOWN, None)
    action = await newest_action(cloud, server)
    assert (action["action"], action["user_id"]) == ("stop", "host reboot")
    [reason] = await cloud.reasons(server)
    assert reason == "host node1 rebooted while the server was on it; after_host_reboot = wait leaves it off"
    assert starts(cloud, "node1", server) == 1
    assert (await cloud.action(server, {"os-start": None})).status_code == 202
    await runs(cloud, server)


async def test_started_once_however_often_it_says_hello(starting: Cloud, boot: Boot) -> None:
    """The same boot again, from the agent's repeated hello, another conductor's ear, or an agent that restarted."""
    cloud = starting
    server = await cloud.create(host="node1")
    hellos: list[Hello] = []
    hear = cloud.allinone.conductor._hosts._register

    def keep(tx: Any, hello: Hello) -> Any:
        hellos.append(hello)
        return hear(tx, hello)

    cloud.allinone.conductor._hosts._register = keep  # type: ignore[method-assign]
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    await asyncio.gather(*(cloud.allinone.db.write(hear, hellos[0]) for _ in range(3)))
    await runs(cloud, server)
    assert starts(cloud, "node1", server) == 2
    cloud.drivers["node1"].guest_powers_off(server)  # type: ignore[arg-type]

    async def off() -> bool:
        return await status(cloud, server) == "SHUTOFF"

    await cloud.until(off)
    await cloud.allinone.restart_agent("node1")
    await asyncio.gather(*(cloud.allinone.db.write(hear, hello) for hello in hellos))
    assert await status(cloud, server) == "SHUTOFF"
    assert starts(cloud, "node1", server) == 2


async def test_a_host_that_is_new_has_not_rebooted(starting: Cloud) -> None:
    assert await starting.allinone.db.write(hosts.rebooted, "node9", "its first boot") is False  # type: ignore[arg-type]


async def test_an_agent_that_restarts_is_no_reboot(starting: Cloud, boot: Boot) -> None:
    """Its guests run on, and one that ended while no agent watched has ended by itself: it is not started."""
    cloud, same = starting, service._boot_id()
    goes_on, ended = [await cloud.create(host="node1", name=name) for name in ("goes-on", "ended")]
    before = [(await newest_action(cloud, server))["request_id"] for server in (goes_on, ended)]
    await cloud.allinone.agents["node1"].stop()
    cloud.drivers["node1"].guest_powers_off(ended)  # type: ignore[arg-type]
    await boot(cloud, "node1", same)

    async def off() -> bool:
        return await status(cloud, ended) == "SHUTOFF"

    await cloud.until(off)
    assert await status(cloud, goes_on) == "ACTIVE"
    assert [(await newest_action(cloud, server))["request_id"] for server in (goes_on, ended)] == before
    assert [starts(cloud, "node1", server) for server in (goes_on, ended)] == [1, 1]


async def test_the_conductor_dies_before_the_commit(
    starting: Cloud, boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is kept, the new boot_id neither: the hello that is said again finds all as it was."""
    cloud = starting
    server = await cloud.create(host="node1")
    await cut_power(cloud, "node1")
    register, broke = hosts.register, asyncio.Event()

    def dies_once(*args: Any, **reported: Any) -> None:
        if not broke.is_set():
            broke.set()
            raise ConnectionError("killed")
        register(*args, **reported)

    monkeypatch.setattr(hosts, "register", dies_once)
    await boot(cloud, "node1")
    assert broke.is_set()
    await runs(cloud, server)
    assert starts(cloud, "node1", server) == 2
    assert (await newest_action(cloud, server))["action"] == "start"


async def test_the_conductor_dies_after_the_commit(starting: Cloud, boot: Boot) -> None:
    """What it would have said is in the outbox, and is said by whoever comes after it."""
    cloud = starting
    server = await cloud.create(host="node1")
    lost: list[Said] = []

    def loses(said: Said) -> bool:
        is_one = b"start_server" in said.body and said.subject.startswith("haulier.compute.") and len(lost) < 2
        lost.extend([said] if is_one else [])
        return is_one

    cloud.allinone.broker.losses.append(loses)
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    await runs(cloud, server)
    assert len(lost) == 2
    assert starts(cloud, "node1", server) == 2


async def test_a_stop_in_hand_is_still_a_stop(starting: Cloud, boot: Boot) -> None:
    cloud = starting
    server = await cloud.create(host="node1")
    cloud.allinone.broker.losses.append(lambda said: b"stop_server" in said.body)
    assert (await cloud.action(server, {"os-stop": None})).status_code == 202
    await cut_power(cloud, "node1")
    cloud.allinone.broker.losses.clear()
    await boot(cloud, "node1")
    assert (await cloud.free(server)).vm_state == VmState.STOPPED
    assert starts(cloud, "node1", server) == 1


@pytest.mark.parametrize("end", ["confirm", "revert"])
async def test_in_the_window_the_target_starts_it_and_the_window_stays(starting: Cloud, boot: Boot, end: str) -> None:
    cloud = starting
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    await cut_power(cloud, "node2")
    await boot(cloud, "node2")
    await runs(cloud, server)
    assert await status(cloud, server) == "VERIFY_RESIZE"
    assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM
    ended = await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    assert ended.state == (State.CONFIRMED if end == "confirm" else State.REVERTED)
    await runs(cloud, server)
    assert await status(cloud, server) == "ACTIVE"


async def test_in_the_window_the_source_starts_nothing(starting: Cloud, boot: Boot) -> None:
    cloud = starting
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    assert starts(cloud, "node1", server) == 1
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_in_the_window_waiting_leaves_it_off_and_the_window_open(cloud: Cloud, boot: Boot) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cut_power(cloud, "node2")
    await boot(cloud, "node2")
    found = await cloud.server(server)
    assert (found.vm_state, found.power_state, found.task_state) == (VmState.RESIZED, PowerState.SHUTDOWN, None)
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert await status(cloud, server) == "SHUTOFF"


@pytest.mark.parametrize("held", ["start_server", "attest_disk"])
async def test_a_confirm_in_hand_and_a_start_do_not_end_each_other(starting: Cloud, boot: Boot, held: str) -> None:
    """Whichever is answered first: the server is not free before the start is, and is ACTIVE afterwards."""
    cloud = starting
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    losses = cloud.allinone.broker.losses
    losses.append(lambda said: b"attest_disk" in said.body)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204
    await cut_power(cloud, "node2")
    losses[:] = [lambda said: held.encode() in said.body and said.subject.startswith("haulier.compute.")]
    await boot(cloud, "node2")
    if held == "start_server":
        assert (await cloud.ended(move.id)).state == State.CONFIRMED
        found = await cloud.server(server)
        assert (found.vm_state, found.task_state) == (VmState.STOPPED, TaskState.POWERING_ON)
    else:
        await runs(cloud, server)
        assert (await cloud.server(server)).vm_state == VmState.RESIZED
    losses.clear()
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    await runs(cloud, server)
    assert await status(cloud, server) == "ACTIVE"


async def held_in(cloud: Cloud, server: str, step: str, state: State) -> int:
    """The id of a move to node2 that waits in `state`, since no `step` arrives."""
    cloud.allinone.broker.losses.append(
        lambda said: step.encode() in said.body and said.subject.startswith("haulier.compute.")
    )
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202

    async def there() -> bool:
        return (await cloud.newest(server)).state == state

    await cloud.until(there)
    return (await cloud.newest(server)).id


async def test_the_source_of_a_move_that_has_not_begun_there(starting: Cloud, boot: Boot) -> None:
    """It ran and is to run: here again, and when the move goes on, there."""
    cloud = starting
    server = await cloud.create(host="node1")
    move = await held_in(cloud, server, "prep_resize", State.PREPARING)
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")

    async def up() -> bool:
        return (await cloud.server(server)).power_state == PowerState.RUNNING

    await cloud.until(up)
    assert (await cloud.server(server)).task_state == TaskState.RESIZE_PREP, "the move goes on"
    cloud.allinone.broker.losses.clear()
    await cloud.free(server)
    found = await cloud.migration(move)
    assert (found.state, found.was_running) == (State.AWAITS_CONFIRM, True)
    assert cloud.fleet.running[server] == "node2"  # type: ignore[index]
    assert (await newest_action(cloud, server))["action"] == "start"


async def test_the_source_of_a_move_waiting(cloud: Cloud, boot: Boot) -> None:
    """It is moved as it was found: off."""
    server = await cloud.create(host="node1")
    move = await held_in(cloud, server, "prep_resize", State.PREPARING)
    await cut_power(cloud, "node1")
    await boot(cloud, "node1")
    cloud.allinone.broker.losses.clear()
    found = await cloud.free(server)
    assert (found.vm_state, found.power_state, found.host) == (VmState.RESIZED, PowerState.SHUTDOWN, "node2")
    assert (await cloud.migration(move)).was_running is False
    assert "after_host_reboot = wait" in "".join(await cloud.reasons(server))


@pytest.mark.parametrize("then", list(AfterHostReboot))
async def test_a_target_that_reboots_as_it_is_to_start_the_guest(
    tmp_path: Path, boot: Boot, then: AfterHostReboot
) -> None:
    """The move has stopped the guest and starts it again: that is no matter of the setting."""
    async with running(settings(tmp_path, HOSTS, after_host_reboot=then)) as cloud:
        server = await cloud.create(host="node1")
        await held_in(cloud, server, "finish_resize", State.SWITCHED)
        await cut_power(cloud, "node2")
        cloud.allinone.broker.losses.clear()
        await boot(cloud, "node2")
        await runs(cloud, server)
        assert await status(cloud, server) == "VERIFY_RESIZE"
        assert starts(cloud, "node2", server) == 1
        assert cloud.fleet.violations == []


async def test_a_source_that_reboots_in_the_copy(starting: Cloud, boot: Boot) -> None:
    """The move had stopped the guest: it remembers that, and the guest runs on the target."""
    cloud = starting
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].latency = {"send_disk": 5.0}
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202

    async def sending() -> bool:
        return ("send_disk", server) in cloud.drivers["node1"].calls

    await cloud.until(sending)
    await cut_power(cloud, "node1")
    cloud.drivers["node1"].latency = 0.0
    await boot(cloud, "node1")
    await cloud.free(server)
    assert (await cloud.newest(server)).was_running is True
    assert cloud.fleet.running[server] == "node2"  # type: ignore[index]
    assert starts(cloud, "node1", server) == 1


async def test_a_server_that_is_deleted_meanwhile_is_not_started(starting: Cloud, boot: Boot) -> None:
    cloud = starting
    server = await cloud.create(host="node1")
    await silence(cloud, "node1")
    cloud.drivers["node1"].lose_power()
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
    await boot(cloud, "node1")

    async def gone() -> bool:
        return server not in cloud.drivers["node1"].disks

    await cloud.until(gone)
    assert starts(cloud, "node1", server) == 1


async def test_a_fenced_host_that_is_back(starting: Cloud, boot: Boot) -> None:
    """It was off by an operator's word. What it still owns is started; what was taken from it is not."""
    cloud = starting
    mine, taken = await cloud.create(host="node2"), await cloud.create(host="node1")
    await held_in(cloud, taken, "finish_resize", State.SWITCHED)
    await silence(cloud, "node2")
    cloud.drivers["node2"].lose_power()
    cloud.allinone.broker.losses.clear()
    assert (await cloud.call("POST", "/haulier/v1/hosts/node2/fence", {"reason": "unplugged"})).status_code == 200
    assert (await cloud.free(taken)).host == "node1"
    await boot(cloud, "node2")
    await runs(cloud, mine)
    await runs(cloud, taken)
    assert (starts(cloud, "node2", mine), starts(cloud, "node2", taken)) == (2, 0)


async def test_a_host_that_can_not_start_it_says_why(starting: Cloud, boot: Boot) -> None:
    cloud = starting
    server = await cloud.create(host="node1")
    await cut_power(cloud, "node1")
    cloud.drivers["node1"].fails["start"] = "no such machine type"
    await boot(cloud, "node1")
    found = await cloud.free(server)
    assert (found.vm_state, found.power_state) == (VmState.STOPPED, PowerState.SHUTDOWN)
    assert "no such machine type" in "".join(await cloud.reasons(server))


async def test_a_start_that_the_move_overtakes_ends_with_its_reason(starting: Cloud, boot: Boot) -> None:
    """The source is told to send its disk before it hears of the start: the seal refuses it, and the record says so."""
    cloud = starting
    server = await cloud.create(host="node1")
    await held_in(cloud, server, "prep_resize", State.PREPARING)
    await cut_power(cloud, "node1")
    cloud.allinone.broker.losses[:] = [
        lambda said: b"start_server" in said.body and said.subject.startswith("haulier.compute.")
    ]
    await boot(cloud, "node1")
    assert (await cloud.free(server)).host == "node2"
    cloud.allinone.broker.losses.clear()

    async def ended() -> bool:
        action = await newest_action(cloud, server)
        return bool(action["action"] == "start" and action["message"] == "Error")

    await cloud.until(ended)
    assert starts(cloud, "node1", server) == 1
    assert (await cloud.confirm(server)).state == State.CONFIRMED
