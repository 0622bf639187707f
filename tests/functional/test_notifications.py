"""What listeners are told of a move: everything, in order, numbered without gaps, also after the conductor died."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from haulier.bus import permissions
from haulier.bus.interface import Bus, BusError
from haulier.bus.local import Said
from haulier.conductor.notifications import Notifications
from haulier.conductor.service import Conductor
from haulier.db.store import announcements, migrations
from haulier.model.migration import FINAL, State
from haulier.wire import codec, subjects
from haulier.wire.notifications import MoveNotification, Told
from tests.functional.cloud import PATIENCE, Cloud
from tests.functional.test_delete import delete, gone
from tests.functional.test_fence import lose, reached


class Listener:
    """Hears all that is said of moves, as the user `watcher`."""

    def __init__(self) -> None:
        self.heard: list[MoveNotification] = []
        self._more = asyncio.Event()

    async def hear(self, subject: str, notification: MoveNotification) -> None:
        assert subject == subjects.notifications(notification.migration)
        self.heard.append(notification)
        self._more.set()

    async def until(self, migration: int, number: int) -> list[MoveNotification]:
        """What was heard of that move, once that number was."""
        async with asyncio.timeout(PATIENCE):
            while number not in [one.number for one in self.of(migration)]:
                self._more.clear()
                await self._more.wait()
        return self.of(migration)

    def of(self, migration: int) -> list[MoveNotification]:
        return [one for one in self.heard if one.migration == migration]


@pytest.fixture
async def listener(cloud: Cloud) -> AsyncIterator[Listener]:
    made = Listener()
    bus = cloud.allinone.broker.connect("watcher", permissions.WATCHER)
    await bus.listen(subjects.NOTIFICATIONS, MoveNotification, made.hear)
    yield made
    await bus.close()


async def told_of(cloud: Cloud, listener: Listener, migration: int) -> list[MoveNotification]:
    """All there is to be told of a move, once it was heard; it agrees with the log line by line."""
    generation = (await cloud.migration(migration)).generation
    heard = await listener.until(migration, generation)
    lines = await cloud.allinone.db.read(migrations.log_of, migration)
    assert [one.number for one in heard] == list(range(generation + 1)), "no gap, no other order, nothing twice"
    assert [(one.state, one.event, one.actor, one.target, one.attempt, one.at) for one in heard[1:]] == [
        (line.to_state, line.event, line.actor, line.target, line.attempt, line.at.timestamp()) for line in lines
    ]
    return heard


async def test_L3_a_move_is_told_from_its_start_to_its_end_in_order(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    await cloud.confirm(server)
    heard = await told_of(cloud, listener, move.id)
    assert [(one.told, one.state) for one in heard] == [
        (Told.START, State.REQUESTED),
        (Told.STEP, State.PREPARING),
        (Told.STEP, State.COPYING),
        (Told.STEP, State.RECEIVING),
        (Told.STEP, State.SWITCHED),
        (Told.STEP, State.AWAITS_CONFIRM),
        (Told.STEP, State.ATTESTING),
        (Told.STEP, State.CONFIRMING),
        (Told.END, State.CONFIRMED),
    ]
    owner = await cloud.server(server)
    for one in heard:
        assert (one.server, one.project_id, one.user_id) == (server, owner.project_id, owner.user_id)
        assert (one.source, one.uuid, one.request_id, one.reason) == ("node1", move.uuid, move.request_id, None)
    assert [one.at for one in heard] == sorted(one.at for one in heard)
    assert {(one.target, one.attempt) for one in heard} == {(None, 0), ("node2", 1)}


async def test_L3_each_failed_target_and_the_reasons_of_the_end_are_told(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        cloud.drivers[host].fails["create_disk"] = f"{host} is full of dust"
    move = await cloud.move(server)
    assert move.state == State.FAILED
    heard = await told_of(cloud, listener, move.id)
    assert [(one.told, one.attempt, one.target) for one in heard] == [
        (Told.START, 0, None),
        (Told.STEP, 1, "node2"),
        (Told.STEP, 2, "node3"),
        (Told.ERROR, 2, "node3"),
    ]
    assert "node2 is full of dust" in (heard[2].reason or "")
    assert all(f"{host} is full of dust" in (heard[3].reason or "") for host in ("node2", "node3"))


async def test_L3_a_move_that_no_host_could_take_is_an_error_with_the_reasons(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        await cloud.disable(host, "dust")
    move = await cloud.move(server)
    start, error = await told_of(cloud, listener, move.id)
    assert (start.told, error.told) == (Told.START, Told.ERROR)
    assert error.reason == "node2: it is disabled (dust); node3: it is disabled (dust)"


async def test_L3_a_deletion_ends_the_stream_of_the_move_it_supersedes(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    lose(cloud, b"resize_instance")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    move = await reached(cloud, server, State.COPYING)
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    last = (await told_of(cloud, listener, move))[-1]
    assert (last.told, last.state, last.event) == (Told.END, State.CANCELLED, "Deleted")


async def test_what_a_conductor_committed_and_died_over_is_told_by_the_next_one(
    cloud: Cloud, listener: Listener
) -> None:
    """It died between the commits and telling of them: nothing is missing, and every number is what it would be."""
    await cloud.allinone.conductor.notifications.stop()
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "full of dust"
    move = await cloud.move(server)
    assert listener.heard == []
    await restart(cloud)
    heard = await told_of(cloud, listener, move.id)
    assert [one.target for one in heard[:3]] == [None, "node2", "node3"], "each is of its own time"


async def test_what_was_told_but_not_marked_is_told_again_under_the_same_number(
    cloud: Cloud, listener: Listener
) -> None:
    """It died over it after two of six: those two come twice, word for word, and the others once."""
    await cloud.allinone.conductor.notifications.stop()
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    bus = cloud.allinone.broker.connect("conductor", permissions.CONDUCTOR)
    dying = Notifications(cloud.allinone.settings.conductor, cloud.allinone.db, Dying(bus, after=2))
    with pytest.raises(BusError):
        await dying.tell()
    await restart(cloud)
    heard = await listener.until(move.id, move.generation)
    assert [one.number for one in heard] == [0, 1, *range(move.generation + 1)]
    assert heard[:2] == heard[2:4]


async def test_two_conductors_tell_each_in_order_and_a_duplicate_shows_by_its_number(
    cloud: Cloud, listener: Listener
) -> None:
    second = cloud.allinone.broker.connect("conductor", permissions.CONDUCTOR)
    other = Notifications(cloud.allinone.settings.conductor, cloud.allinone.db, second)
    other.start()
    moves = []
    for _ in range(4):
        server = await cloud.create()
        moves.append(await cloud.move(server))
        await cloud.confirm(server)
    for move in moves:
        generation = (await cloud.migration(move.id)).generation
        heard = await listener.until(move.id, generation)
        assert {one.number for one in heard} == set(range(generation + 1))
        said_once = {one.number: one for one in heard}
        assert all(one == said_once[one.number] for one in heard), "the same number, the same content"
        highest = -1
        for one in heard:
            assert one.number <= highest + 1, "what is new comes in order"
            highest = max(highest, one.number)
    await other.stop()


async def test_a_listener_that_never_comes_to_an_end_holds_up_no_move(cloud: Cloud, listener: Listener) -> None:
    stuck, never = cloud.allinone.broker.connect("watcher", permissions.WATCHER), asyncio.Event()

    async def hang(_subject: str, _notification: MoveNotification) -> None:
        await never.wait()

    await stuck.listen(subjects.NOTIFICATIONS, MoveNotification, hang)
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    await cloud.confirm(server)
    await told_of(cloud, listener, move.id)
    never.set()
    await stuck.close()


async def test_a_bus_that_is_lost_holds_up_no_move_and_leaves_no_number_out(cloud: Cloud, listener: Listener) -> None:
    notifications = cloud.allinone.conductor.notifications
    working, notifications._bus = notifications._bus, Dying(notifications._bus, after=0)
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    assert move.state == State.AWAITS_CONFIRM
    assert listener.heard == []
    notifications._bus = working
    notifications.kick()
    await told_of(cloud, listener, move.id)


async def test_nothing_is_told_before_its_transition_is_committed(cloud: Cloud) -> None:
    """At the moment of each notification another reader of the database sees the transition it tells of."""
    early: list[MoveNotification] = []
    url = cloud.allinone.db.url

    def look(said: Said) -> None:
        if said.subject.startswith("haulier.notification."):
            one = codec.decode(said.body, MoveNotification)
            if generation_of(url, one.migration) < one.number:
                early.append(one)

    cloud.allinone.broker.taps.append(look)
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    move = await cloud.confirm(server)
    await cloud.until(lambda: all_told(cloud))
    assert move.state in FINAL
    assert early == []


async def test_only_the_conductor_tells_and_says_it_to_everybody(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    await told_of(cloud, listener, move.id)
    said = cloud.recorder.on("haulier.notification.")
    assert {one.sender for one in said} == {"conductor"}
    assert {one.verb for one in said} == {"tell"}


async def test_a_listener_finds_what_it_missed_under_the_same_numbers(cloud: Cloud, listener: Listener) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    heard = await told_of(cloud, listener, move.id)
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move.id}")).json()["migration"]
    by_number = {one.number: one for one in heard}
    for line in shown["transitions"]:
        one = by_number[line["generation"]]
        assert (line["to"], line["event"], line["target"], line["attempt"]) == (
            one.state, one.event, one.target, one.attempt,
        )  # fmt: skip
    assert all(later.number == earlier.number + 1 for earlier, later in pairwise(heard))


class Dying:
    """A bus that is lost after it took so many messages."""

    def __init__(self, bus: Bus, after: int) -> None:
        self._bus = bus
        self._left = after

    async def publish(self, messages: list[tuple[str, object]], timeout: float) -> None:
        await self._bus.publish(messages[: self._left], timeout)
        raise BusError("lost")


async def restart(cloud: Cloud) -> None:
    """The conductor ends, and another goes on from the database."""
    allinone = cloud.allinone
    await allinone.conductor.stop()
    bus = allinone.broker.connect("conductor", permissions.CONDUCTOR)
    allinone.conductor = Conductor(allinone.settings.conductor, allinone.db, bus)
    await allinone.conductor.start()


async def all_told(cloud: Cloud) -> bool:
    return not await cloud.allinone.db.read(announcements.untold, 1)


def generation_of(url: str, migration: int) -> int:
    import sqlite3

    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        row = connection.execute("SELECT generation FROM migrations WHERE id = ?", (migration,)).fetchone()
    connection.close()
    return int(row[0])
