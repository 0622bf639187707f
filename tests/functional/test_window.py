"""The window: confirm, revert, what is refused meanwhile, and what each leaves behind."""

from typing import Any

import pytest

from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


async def status(cloud: Cloud, server: str) -> str:
    shown = (await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]
    return str(shown["status"])


async def test_B1_G2_move_then_confirm(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    assert await status(cloud, server) == "VERIFY_RESIZE"
    move = await cloud.confirm(server)
    assert (move.state, move.status) == (State.CONFIRMED, "confirmed")
    assert await status(cloud, server) == "ACTIVE"
    assert await cloud.claims(server) == {"node2": ONE_SMALL}
    assert server not in cloud.drivers["node1"].disks, "G2: the source's copy is gone"
    assert cloud.drivers["node2"].disks[server].boots == 2  # type: ignore[index]


async def test_B2_G3_move_then_revert(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    move = await cloud.revert(server)
    assert (move.state, move.status) == (State.REVERTED, "reverted")
    assert await status(cloud, server) == "ACTIVE"
    assert (await cloud.server(server)).host == "node1"
    assert await cloud.claims(server) == {"node1": ONE_SMALL}
    assert server not in cloud.drivers["node2"].disks, "G3: the target's copy is gone"


@pytest.mark.parametrize("end", ["confirm", "revert"])
async def test_E1_a_stopped_server_stays_stopped(cloud: Cloud, end: str) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    await cloud.move(server, "node2")
    found = await cloud.server(server)
    assert (found.vm_state, found.power_state) == (VmState.RESIZED, PowerState.SHUTDOWN)
    await (cloud.confirm(server) if end == "confirm" else cloud.revert(server))
    assert await status(cloud, server) == "SHUTOFF"
    boots = [driver.disks[server].boots for driver in cloud.drivers.values() if server in driver.disks]  # type: ignore[index]
    assert boots == [1], "it ran once, when it was made"


REFUSED: list[dict[str, Any]] = [
    {"migrate": None},
    {"resize": {"flavorRef": "large"}},
    {"os-start": None},
    {"os-stop": None},
    {"reboot": {"type": "SOFT"}},
    {"pause": None},
]


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: next(iter(body)))
async def test_K5_what_is_refused_in_the_window(cloud: Cloud, body: dict[str, Any]) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    assert (await cloud.action(server, body)).status_code == 409
    assert await status(cloud, server) == "VERIFY_RESIZE"


@pytest.mark.parametrize("body", [{"confirmResize": None}, {"revertResize": None}], ids=["confirm", "revert"])
async def test_E13_confirm_and_revert_outside_the_window(cloud: Cloud, body: dict[str, Any]) -> None:
    server = await cloud.create(host="node1")
    assert (await cloud.action(server, body)).status_code == 409
    assert await status(cloud, server) == "ACTIVE"


async def test_a_second_confirm_is_refused(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cloud.confirm(server)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 409


async def test_I8_M2_a_target_that_does_not_hold_the_disk_keeps_the_source_copy(cloud: Cloud) -> None:
    """Without the target's word the window is open as before, and the reason is in the event."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    kept = cloud.drivers["node2"].disks.pop(server)  # type: ignore[call-overload]
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def reopened() -> bool:
        return (await cloud.newest(server)).state == State.AWAITS_CONFIRM

    await cloud.until(reopened)
    assert server in cloud.drivers["node1"].disks
    assert await status(cloud, server) == "VERIFY_RESIZE"
    assert "".join(await cloud.reasons(server))
    cloud.drivers["node2"].disks[server] = kept  # type: ignore[index]
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_I8_a_source_that_could_not_run_it_keeps_the_target_copy(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    cloud.drivers["node1"].disks[server].sound = False  # type: ignore[index]
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202

    async def reopened() -> bool:
        return (await cloud.newest(server)).state == State.AWAITS_CONFIRM

    await cloud.until(reopened)
    assert server in cloud.drivers["node2"].disks
    assert await status(cloud, server) == "VERIFY_RESIZE"


async def test_deleted_in_the_window_nothing_is_left_anywhere(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204

    async def gone() -> bool:
        return (await cloud.call("GET", f"/v2.1/servers/{server}")).status_code == 404

    await cloud.until(gone)
    assert await cloud.claims(server) == {}
    assert [name for name, driver in cloud.drivers.items() if server in driver.disks] == []
    assert (await cloud.newest(server)).state == State.CANCELLED


async def test_B18_the_next_move_may_begin_while_the_source_still_deletes(cloud: Cloud) -> None:
    """Confirmed means free: a source that is slow to delete its copy holds nobody up."""
    server = await cloud.create(host="node1")
    first = await cloud.move(server, "node2")
    cloud.drivers["node1"].latency = {"delete": 0.5}
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def free() -> bool:
        return (await cloud.server(server)).vm_state == VmState.ACTIVE

    await cloud.until(free)
    second = await cloud.move(server, "node3")
    assert second.state == State.AWAITS_CONFIRM
    assert (await cloud.ended(first.id)).state == State.CONFIRMED
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert await cloud.claims(server) == {"node3": ONE_SMALL}


async def test_a_server_may_return_to_a_host_that_never_heard_the_confirm(cloud: Cloud) -> None:
    """The newer preparation overtakes the old deletion (decision 0007)."""
    server = await cloud.create(host="node1")
    first = await cloud.move(server, "node2")
    cloud.allinone.broker.losses.append(lambda said: b"confirm_resize" in said.body)
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def free() -> bool:
        return (await cloud.server(server)).vm_state == VmState.ACTIVE

    await cloud.until(free)
    back = await cloud.move(server, "node1")
    assert back.state == State.AWAITS_CONFIRM, back.reasons
    cloud.allinone.broker.losses.clear()
    assert (await cloud.ended(first.id)).state == State.CONFIRMED
    assert server in cloud.drivers["node1"].disks
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert await cloud.claims(server) == {"node1": ONE_SMALL}
