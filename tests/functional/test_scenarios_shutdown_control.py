"""Scenarios F2, F5 and F6 for a conductor, an API and an all-in-one that are told to end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec

from haulier.bus import permissions
from haulier.conductor.service import Conductor
from haulier.model.migration import State
from tests.functional.cloud import Cloud, running, settings
from tests.functional.conftest import HOSTS
from tests.functional.hooks import held, held_question
from tests.functional.test_scenarios_shutdown import migrate, reach, window_opens

OCTETS = {"Content-Type": "application/octet-stream"}


async def test_F5_a_conductor_finishes_its_request_and_begins_neither_another_nor_a_sweep(cloud: Cloud) -> None:
    first, second = [await cloud.create(name, host="node1") for name in ("a", "b")]
    conductor, swept = cloud.allinone.conductor, asyncio.Event()

    class Sweep:
        async def sweep(self) -> None:
            swept.set()

    conductor.driver._reconcilers = [Sweep()]
    await reach(swept)
    asked, may_answer = held_question(cloud)
    assert (await cloud.action(first, {"migrate": None})).status_code == 202
    await reach(asked)
    taken = len(cloud.recorder.taken)
    ending = asyncio.create_task(conductor.finish())
    await asyncio.sleep(0)
    swept.clear()
    assert (await cloud.action(second, {"migrate": None})).status_code == 202, "accepted, and kept"
    assert not ending.done()
    may_answer.set()
    await asyncio.wait_for(ending, 30)
    assert (await cloud.newest(first)).state != State.REQUESTED
    assert (await cloud.newest(second)).state == State.REQUESTED
    assert len(cloud.recorder.taken) == taken
    assert not swept.is_set()
    await conductor.stop()

    await another_conductor(cloud)
    for server in (first, second):
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM


async def another_conductor(cloud: Cloud) -> None:
    """The one that is started after the other has ended."""
    broker, made = cloud.allinone.broker, cloud.allinone.settings
    connection = broker.connect("conductor", permissions.CONDUCTOR)
    cloud.allinone.conductor = Conductor(made.conductor, cloud.allinone.db, connection)
    await cloud.allinone.conductor.start()


async def test_F6_a_conductor_that_can_not_wait_leaves_its_request_to_the_next(tmp_path: Path) -> None:
    """The scheduler has the question and does not answer."""
    async with running(settings(tmp_path, HOSTS, shutdown_timeout=0.1)) as cloud:
        server = await cloud.create(host="node1")
        first = cloud.allinone.conductor
        asked, may_answer = held_question(cloud)
        assert (await cloud.action(server, {"migrate": None})).status_code == 202
        await reach(asked)
        await asyncio.wait_for(first.finish(), 10)
        assert first.outbox.in_hand() == [f"migrate_server of server {server}"]
        assert (await cloud.newest(server)).state == State.REQUESTED
        await another_conductor(cloud)
        await cloud.free(server)
        move = await cloud.newest(server)
        assert (move.state, move.attempt) == (State.AWAITS_CONFIRM, 1)
        may_answer.set()  # to the first, which finds the move elsewhere by now
        await asyncio.wait_for(first.stop(), 10)
        assert (await cloud.newest(server)).generation == move.generation


async def answers(client: httpx2.AsyncClient) -> bool:
    try:
        await client.get("/")
    except httpx2.TransportError:
        return False
    return True


async def test_F5_an_api_finishes_the_requests_in_hand_and_takes_no_more(cloud: Cloud) -> None:
    image = await new_image(cloud)
    sent, rest = asyncio.Event(), asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield bytes(512)
        sent.set()
        await rest.wait()
        yield bytes(512)

    upload = asyncio.create_task(cloud.admin.put(image, content=content(), headers=OCTETS))
    await reach(sent)
    ending = asyncio.create_task(cloud.allinone.api.finish())
    async with asyncio.timeout(30), httpx2.AsyncClient(base_url=cloud.allinone.url) as other:
        while await answers(other):  # it closes its door in a moment
            pass
    assert not ending.done()
    rest.set()
    assert (await upload).status_code == 204
    await asyncio.wait_for(ending, 30)


async def test_F6_an_api_that_can_not_wait_closes_the_connection_and_nothing_is_half_done(tmp_path: Path) -> None:
    made = settings(tmp_path, HOSTS)
    api = msgspec.structs.replace(made.api, shutdown_timeout=0.5)
    async with running(msgspec.structs.replace(made, api=api)) as cloud:
        image = await new_image(cloud)
        sent = asyncio.Event()

        async def content() -> AsyncIterator[bytes]:
            yield bytes(512)
            sent.set()
            await asyncio.Event().wait()

        upload = asyncio.create_task(cloud.admin.put(image, content=content(), headers=OCTETS))
        await reach(sent)
        await asyncio.wait_for(cloud.allinone.api.finish(), 10)
        upload.cancel()  # the end of the process ends its connection
        await cloud.allinone.stop()
        await cloud.allinone.start()
        async with httpx2.AsyncClient(base_url=cloud.allinone.url, auth=("admin", cloud.password)) as admin:
            assert (await admin.get(image.removesuffix("/file"))).json()["status"] == "queued"


async def new_image(cloud: Cloud) -> str:
    """Where its content goes."""
    about = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    made = await cloud.admin.post("/image/v2/images", json=about)
    return f"/image/v2/images/{made.json()['id']}/file"


async def test_F2_an_all_in_one_completes_the_moves_in_hand(tmp_path: Path) -> None:
    """From prep_resize to the window, though every agent and the conductor were told to end."""
    async with running(settings(tmp_path, HOSTS)) as cloud:
        server = await cloud.create(host="node1")
        with held(cloud.drivers["node2"], "create_disk") as (reached, may_go):
            await migrate(cloud, server)
            await reach(reached)
            ending = asyncio.create_task(cloud.allinone.finish())
            may_go.set()
            await asyncio.wait_for(ending, 30)
        await window_opens(cloud, server)
        assert cloud.fleet.violations == []


async def test_F6_an_all_in_one_that_can_not_wait_goes_on_at_its_next_start(tmp_path: Path) -> None:
    """One move in the middle of its copy, another that had not begun."""
    made = settings(tmp_path, HOSTS, shutdown_timeout=0.2)
    hosts = tuple(msgspec.structs.replace(host, shutdown_timeout=0.2) for host in made.hosts)
    async with running(msgspec.structs.replace(made, hosts=hosts)) as cloud:
        server, second = [await cloud.create(name, host="node1") for name in ("a", "b")]
        with held(cloud.drivers["node1"], "send_disk") as (copying, _):
            await migrate(cloud, server)
            await reach(copying)
            cloud.allinone.conductor.outbox.take_no_more()
            await migrate(cloud, second)
            await asyncio.wait_for(cloud.allinone.finish(), 30)
            await cloud.allinone.stop()
        await cloud.allinone.start()
        for one in (server, second):
            await window_opens(cloud, one)
        assert cloud.fleet.violations == []
