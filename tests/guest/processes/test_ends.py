"""Processes that are ended, killed, or left without NATS: nothing is lost, and all goes on by itself."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from haulier.model.migration import State
from tests.guest.processes.fleet import PATIENCE, Fleet, fleet
from tests.guest.real import processes_below
from tests.guest.test_move import counters, processes, said_on_console

pytestmark = pytest.mark.guest


async def test_guests_run_on_while_every_process_is_started_again(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK")
    guest = processes(cloud, server)
    await cloud.restart("api", "conductor", "scheduler", "nats", *cloud.hosts)
    assert processes(cloud, server) == guest, "the same process"
    move = await cloud.move(server, "node2")
    assert move.state == State.AWAITS_CONFIRM, move.reasons
    await said_on_console(cloud, server, "BOOT 00000002")
    endings = [[line["event"] for line in cloud.processes[name].logged()] for name in cloud.processes]
    assert all(events.count("ended") == 1 for events in endings), endings


async def test_all_may_start_at_once_and_in_any_order(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    cloud.kill(*cloud.processes, "nats")
    starting = asyncio.create_task(cloud.start(*cloud.processes))
    await cloud.start("nats")
    await starting
    assert (await cloud.move(server, "node2")).state == State.AWAITS_CONFIRM


async def test_a_request_that_was_accepted_without_nats_is_carried_out_when_it_is_back(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK")
    cloud.kill("nats")
    accepted = await cloud.action(server, {"migrate": {"host": "node2"}})
    assert accepted.status_code == 202, "the outbox row is the truth"
    assert (await cloud.newest(server)).is_live
    await cloud.start("nats")
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
    await said_on_console(cloud, server, "BOOT 00000002")
    assert counters(cloud, "node2", server).boots == 2


async def test_processes_start_without_nats_and_find_it(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop("nats", "api", "conductor", "scheduler", "node1")
    await cloud.start("api", "conductor", "scheduler", "node1", welcome=False)
    answer = await cloud.action(server, {"migrate": {"host": "node2"}})
    assert answer.status_code == 202, answer.text
    await cloud.start("nats")
    await cloud.free(server)
    assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM


@pytest.mark.parametrize("who", ["api", "conductor", "scheduler", "node1", "node2", "nats"])
async def test_a_move_goes_on_after_signal_9(cloud: Fleet, who: str) -> None:
    """At the moment the source is told to send: the crash suite has all the others."""
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK")
    killed = asyncio.Event()

    def kill(subject: str, body: bytes) -> None:
        if subject == "haulier.compute.node1" and b"resize_instance" in body:
            cloud.kill(who)
            cloud.taps.remove(kill)
            killed.set()

    cloud.taps.append(kill)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await asyncio.wait_for(killed.wait(), PATIENCE)
    await cloud.start(who)
    await cloud.free(server)
    move = await cloud.newest(server)
    found = await cloud.server(server)
    assert move.state in (State.AWAITS_CONFIRM, State.FAILED), move
    assert (found.host, found.vm_state) == (
        ("node2", "resized") if move.state == State.AWAITS_CONFIRM else ("node1", "active")
    )
    await said_on_console(cloud, server, "BOOT 00000002")
    assert len(processes(cloud, server)) == 1


async def test_the_harness_leaves_nothing_behind(tmp_path: Path) -> None:
    """Even if a test breaks while a guest runs and a process does not listen to reason."""
    pids: list[int] = []

    async def break_in_the_middle() -> None:
        async with fleet(tmp_path, ("node1",)) as cloud:
            await cloud.create(host="node1")
            pids.extend(process.pid for process in cloud.processes.values())
            assert len(processes_below(tmp_path)) == 1
            cloud.send("api", signal.SIGSTOP)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_in_the_middle()
    assert processes_below(tmp_path) == {}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
