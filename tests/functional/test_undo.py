"""A step fails: before the switch the server ends as it was found (I3), after it there is a second switch.

With simulated hypervisors, which see whether a guest ever runs twice. The same with real guests is in tests/guest.
"""

import pytest

from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
STEPS = [("node2", "create_disk"), ("node1", "send_disk"), ("node2", "make_durable"), ("node2", "start")]
"""Where a named move from node1 to node2 can fail: the host and its primitive."""


async def server_on_node1(cloud: Cloud, stopped: bool) -> str:
    server = await cloud.create(host="node1")
    if stopped:
        await cloud.stop(server)
    return server


async def as_found(cloud: Cloud, server: str, stopped: bool) -> None:
    found = await cloud.server(server)
    assert (found.host, found.task_state, found.flavor.name) == ("node1", None, "small")
    assert found.vm_state == (VmState.STOPPED if stopped else VmState.ACTIVE)
    assert cloud.drivers["node1"].guests.get(found.id) in (
        (PowerState.SHUTDOWN, None) if stopped else (PowerState.RUNNING,)
    )
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


CASES = [(*step, stopped) for step in STEPS for stopped in (False, True) if not (stopped and step[1] == "start")]


@pytest.mark.parametrize(
    ("host", "primitive", "stopped"), CASES, ids=[f"{h}-{p}-{'stopped' if s else 'running'}" for h, p, s in CASES]
)
async def test_D1_D2_I3_a_named_move_that_fails_leaves_the_server_as_found(
    cloud: Cloud, host: str, primitive: str, stopped: bool
) -> None:
    server = await server_on_node1(cloud, stopped)
    cloud.drivers[host].fails[primitive] = "the disk is on fire"
    move = await cloud.move(server, "node2")
    assert (move.state, move.attempt) == (State.FAILED, 1)
    assert "the disk is on fire" in move.reasons[0]
    assert "the disk is on fire" in "".join(await cloud.reasons(server))
    await as_found(cloud, server, stopped)
    await cloud.until(lambda: gone(cloud, "node2", server))


async def gone(cloud: Cloud, host: str, server: str) -> bool:
    return server not in cloud.drivers[host].disks


@pytest.mark.parametrize(("host", "primitive"), STEPS[1:], ids=[f"{host}-{what}" for host, what in STEPS[1:]])
async def test_an_unnamed_move_goes_to_the_next_alternate(cloud: Cloud, host: str, primitive: str) -> None:
    """The source's guest runs again first: one outage for each attempt, never two guests."""
    server = await cloud.create(host="node1")
    driver = cloud.drivers[host]
    driver.fails[primitive] = "not today"
    cloud.allinone.broker.taps.append(
        lambda said: (
            driver.fails.clear() if said.subject == "haulier.event.node1.answer" and b"Restored" in said.body else None
        )
    )
    move = await cloud.move(server)
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, "node3": ONE_SMALL}
    confirmed = await cloud.confirm(server)
    assert confirmed.state == State.CONFIRMED


async def test_A10_A11_the_alternates_run_out(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        cloud.drivers[host].fails["create_disk"] = "full of dust"
    move = await cloud.move(server)
    assert (move.state, move.attempt) == (State.FAILED, 2)
    assert [attempt.host for attempt in move.attempts] == ["node2", "node3"]
    await as_found(cloud, server, stopped=False)


async def test_the_reason_is_a_fault_but_the_server_is_not_in_error(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "cable cut"
    await cloud.move(server, "node2")
    shown = (await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]
    assert shown["status"] == "ACTIVE"
    assert "fault" not in shown, "Nova shows a fault only when the status is ERROR or DELETED"
    listed = (await cloud.call("GET", "/v2.1/os-migrations")).json()["migrations"]
    assert [one["status"] for one in listed] == ["error"]
    actions = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    assert (actions[0]["action"], actions[0]["message"]) == ("migrate", "Error")


async def test_a_server_that_failed_to_move_can_be_moved_again(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "cable cut"
    await cloud.move(server, "node2")
    cloud.drivers["node1"].fails.clear()
    move = await cloud.move(server, "node2")
    assert move.state == State.AWAITS_CONFIRM
    assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_no_host_left(cloud: Cloud) -> None:
    """Every refused host with its reason."""
    server = await cloud.create(host="node1")
    await cloud.disable("node2", "old")
    await cloud.disable("node3", "older")
    move = await cloud.move(server)
    assert move.state == State.FAILED
    assert move.reasons == ("node2: it is disabled (old)", "node3: it is disabled (older)")
    await as_found(cloud, server, stopped=False)
