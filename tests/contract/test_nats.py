"""What only a networked bus does: its server refuses, dies, falls silent and comes back."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from haulier.bus.interface import BusError, NoAnswer
from haulier.bus.nats import NatsBus
from haulier.bus.nkeys import UserKey
from haulier.bus.permissions import Permissions, User
from tests.contract.nats_server import NatsServer, Said
from tests.contract.test_bus import AT_MOST, Word, echo

EVERYTHING = Permissions(publish=(">",), subscribe=(">",))

Connect = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
async def connect(server: NatsServer) -> AsyncIterator[Connect]:
    """`await connect(user)`; with `trusting`, the process does not check by itself what it may."""
    async with AsyncExitStack() as stack:

        async def made(name: str, *, trusting: bool = False, **more: Any) -> NatsBus:
            user = User(name, EVERYTHING, asks=True) if trusting else None
            bus = server.bus(name, believes=user, **more)
            stack.push_async_callback(bus.close)
            await bus.connected.wait()
            return bus

        yield made


async def hear_nothing(_subject: str, _message: msgspec.Raw) -> None: ...


# -- the server's own permissions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "subject"),
    [
        ("compute.host-a", "haulier.event.host-b.answer"),
        ("compute.host-a", "haulier.compute.host-b"),
        ("compute.host-a", "haulier.scheduler.select_destinations"),
        ("compute.host-a", "haulier.conductor.migrate_server.host-b"),
        ("compute.host-a", "haulier.conductor.nudge"),
        ("compute.host-a", "haulier.conductor.console"),
        ("compute.host-a", "haulier.conductor.audit"),
        ("compute.host-a", "haulier.conductor.repair"),
        ("compute.host-a", "$JS.API.STREAM.LIST"),
        ("compute.host-a", "_INBOX.conductor.abc.def"),
        ("api", "haulier.compute.host-a"),
        ("api", "haulier.compute.host-a.ask"),
        ("api", "haulier.compute.host-a.census"),
        ("api", "haulier.scheduler.select_destinations"),
        ("api", "haulier.conductor.migrate_server.host-a"),
        ("api", "haulier.event.host-a.answer"),
        ("scheduler", "haulier.compute.host-a"),
        ("scheduler", "haulier.conductor.nudge"),
        ("scheduler", "haulier.conductor.repair"),
        ("scheduler", "haulier.conductor.migrate_server.host-a"),
        ("scheduler", "_INBOX.conductor.abc.def"),
        ("conductor", "haulier.event.host-a.answer"),
        ("conductor", "haulier.conductor.migrate_server.host-a"),
        ("compute.host-a", "haulier.notification.migration.1"),
        ("scheduler", "haulier.notification.migration.1"),
        ("api", "haulier.notification.migration.1"),
        ("watcher", "haulier.notification.migration.1"),
        ("watcher", "haulier.conductor.nudge"),
    ],
)
async def test_the_server_refuses_to_pass_on(connect: Connect, server: NatsServer, who: str, subject: str) -> None:
    bystander = await connect("x")
    heard: list[str] = []

    async def hear(said_on: str, _message: msgspec.Raw) -> None:
        heard.append(said_on)

    await bystander.listen(">", msgspec.Raw, hear)
    bus = await connect(who, trusting=True)
    await bus.tell(subject, Word("forged"))
    await server.until_logged(f'Publish Violation.*Subject "{subject.replace("$", "[$]")}"')
    await bystander.tell("end", Word(""))
    await asyncio.wait_for(asyncio.shield(_until(lambda: bool(heard))), AT_MOST)
    assert heard == ["end"]


async def _until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110 - it is looked at, not told
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("who", "subject"),
    [
        ("compute.host-a", "haulier.compute.host-b"),
        ("compute.host-a", "haulier.compute.*"),
        ("compute.host-a", "haulier.compute.>"),
        ("compute.host-a", ">"),
        ("compute.host-a", "haulier.event.>"),
        ("compute.host-a", "_INBOX.>"),
        ("api", "haulier.event.>"),
        ("api", "haulier.conductor.nudge"),
        ("api", "_INBOX.conductor.>"),
        ("scheduler", "haulier.event.>"),
        ("scheduler", "haulier.compute.host-a"),
        ("scheduler", "_INBOX.>"),
        ("conductor", "haulier.compute.>"),
        ("conductor", "_INBOX.api.>"),
        ("compute.host-a", "haulier.notification.>"),
        ("scheduler", "haulier.notification.migration.*"),
        ("watcher", "haulier.>"),
        ("watcher", "haulier.event.>"),
        ("watcher", "haulier.compute.host-a"),
        ("watcher", "_INBOX.>"),
    ],
)
async def test_the_server_refuses_to_let_hear(connect: Connect, server: NatsServer, who: str, subject: str) -> None:
    bus = await connect(who, trusting=True)
    await bus.listen(subject, msgspec.Raw, hear_nothing)
    await server.until_logged("Subscription Violation.*")
    assert any(f'Subject "{subject}"' in line for line in server.refused())


async def test_a_refusal_shows_in_the_log_of_who_was_refused(
    connect: Connect, capsys: pytest.CaptureFixture[str], server: NatsServer
) -> None:
    bus = await connect("scheduler", trusting=True)
    await bus.tell("haulier.compute.host-a", Word(""))
    await server.until_logged("Publish Violation")
    seen: list[str] = []

    def shown() -> bool:
        seen.append(capsys.readouterr().out)
        return "permissions violation for publish" in "".join(seen).lower()

    await asyncio.wait_for(_until(shown), AT_MOST)
    assert "haulier.compute.host-a" in "".join(seen)
    assert bus.connected.is_set(), "and nothing else happens"


async def test_only_one_answer_is_let_through(connect: Connect, server: NatsServer) -> None:
    """The scheduler may not publish, and yet it answers: once, to whom it was asked by."""
    conductor, scheduler = await connect("conductor"), await connect("scheduler")
    await scheduler.serve("haulier.scheduler.q", Word, echo)
    assert await conductor.call("haulier.scheduler.q", Word("a"), Word, AT_MOST) == Word("A")
    inbox = next(said.reply for said in server.who_said() if said.subject == "haulier.scheduler.q")
    assert inbox.startswith("_INBOX.conductor.")
    again = await connect("scheduler", trusting=True)
    await again.tell(inbox, Word("forged"))
    await server.until_logged("Publish Violation.*_INBOX")


async def test_a_key_that_the_server_does_not_know_is_turned_away(
    server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.seed_file("api").write_text(UserKey.make().seed)
    bus = server.bus("api")
    await server.until_logged("authentication error")
    with pytest.raises(NoAnswer):
        await bus.call("haulier.conductor.console", Word(""), Word, 0.2)
    assert not bus.connected.is_set()
    await bus.close()
    assert "Authorization Violation" in capsys.readouterr().out


async def test_the_servers_log_tells_who_said_what(connect: Connect, server: NatsServer) -> None:
    """The recorder of other tests: by the key that a connection was made with."""
    api, conductor = await connect("api"), await connect("conductor")
    await conductor.serve("haulier.conductor.console", Word, echo)
    await api.tell("haulier.conductor.nudge", Word(""))
    await api.call("haulier.conductor.console", Word(""), Word, AT_MOST)
    nudge, question, answer = server.who_said()
    assert nudge == Said("api", "haulier.conductor.nudge", "")
    assert (question.sender, question.subject) == ("api", "haulier.conductor.console")
    assert (answer.sender, answer.subject) == ("conductor", question.reply)


async def test_what_was_published_has_reached_the_server(connect: Connect, server: NatsServer) -> None:
    """All of it, though nobody listens: the process may die the moment `publish` returns."""
    x = await connect("x")
    await x.publish([(f"a.{n}", Word(str(n))) for n in range(100)], AT_MOST)
    server.send(signal.SIGSTOP)
    seen = [said.subject for said in server.who_said()]
    server.send(signal.SIGCONT)
    assert seen == [f"a.{n}" for n in range(100)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_the_server_did_not_take_was_not_published(
    connect: Connect, server: NatsServer, number: int
) -> None:
    x = await connect("x", ping_every=600)
    await x.publish([("a", Word(""))], AT_MOST)
    if number == signal.SIGKILL:
        await server.end()
    else:
        server.send(number)
        await asyncio.wait_for(_until(lambda: server.stopped), AT_MOST)
    with pytest.raises(BusError):
        await x.publish([("a", Word(""))], 0.5)
    server.send(signal.SIGCONT) if number == signal.SIGSTOP else await server.start()
    await asyncio.wait_for(published_in_the_end(x), AT_MOST)


async def published_in_the_end(x: NatsBus) -> None:
    """As the conductor does it: again until the bus takes it."""
    while True:
        await x.connected.wait()
        with contextlib.suppress(BusError):
            return await x.publish([("a", Word(""))], AT_MOST)


# -- servers that come and go -------------------------------------------------------------------------------


async def test_a_process_may_start_before_its_server(server: NatsServer) -> None:
    await server.end()
    bus = server.bus("x")
    await bus.serve("echo", Word, echo)
    await bus.tell("s", Word("lost without a word"))
    asking = asyncio.create_task(bus.call("echo", Word("a"), Word, AT_MOST))
    await server.start()
    assert await asking == Word("A")
    await bus.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_after_a_restart_everything_is_heard_again(connect: Connect, server: NatsServer, number: int) -> None:
    x, y = await connect("x"), await connect("y")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    await x.listen("s", Word, hear)
    await x.serve("echo", Word, echo)
    for turn in ("first", "second"):
        await server.end(number)
        await asyncio.wait_for(_until(lambda: not (x.connected.is_set() or y.connected.is_set())), AT_MOST)
        await y.tell("s", Word("lost"))
        with pytest.raises(NoAnswer):
            await y.call("echo", Word("a"), Word, 0.05)
        await server.start()
        await asyncio.gather(x.connected.wait(), y.connected.wait())
        assert await y.call("echo", Word("a"), Word, AT_MOST) == Word("A")
        await y.tell("s", Word(turn))
        assert await heard.get() == turn


async def test_a_question_whose_connection_is_lost_is_given_up_at_once(connect: Connect, server: NatsServer) -> None:
    x, y = await connect("x"), await connect("y")
    begun, never = asyncio.Event(), asyncio.Event()

    async def wait(word: Word) -> Word:
        begun.set()
        await never.wait()
        return word

    await y.serve("slow", Word, wait)
    asking = asyncio.create_task(x.call("slow", Word(""), Word, 600))
    await begun.wait()
    await server.end()
    with pytest.raises(NoAnswer, match="the connection was lost"):
        await asyncio.wait_for(asking, AT_MOST)
    never.set()


async def test_what_is_in_a_handlers_hands_outlives_its_connection(connect: Connect, server: NatsServer) -> None:
    x, y = await connect("x"), await connect("y")
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_subject: str, _word: Word) -> None:
        begun.set()
        await go_on.wait()
        done.set()

    await x.listen("s", Word, work)
    await y.tell("s", Word(""))
    await begun.wait()
    await server.end()
    await asyncio.wait_for(_until(lambda: not x.connected.is_set()), AT_MOST)
    go_on.set()
    await asyncio.wait_for(done.wait(), AT_MOST)


async def test_a_server_that_falls_silent_is_noticed_and_left(connect: Connect, server: NatsServer) -> None:
    """A stopped process keeps its connections open and says nothing: as a network that drops every packet."""
    x = await connect("x", ping_every=1)
    await x.serve("echo", Word, echo)
    server.send(signal.SIGSTOP)
    await asyncio.wait_for(_until(lambda: not x.connected.is_set()), 30)
    with pytest.raises(NoAnswer):
        await x.call("echo", Word("a"), Word, 0.05)
    server.send(signal.SIGCONT)
    await x.connected.wait()
    assert await x.call("echo", Word("a"), Word, AT_MOST) == Word("A")


async def test_closing_waits_for_no_server(connect: Connect, server: NatsServer) -> None:
    x = await connect("x")
    server.send(signal.SIGSTOP)
    await asyncio.wait_for(x.close(), 30)
    server.send(signal.SIGCONT)


async def test_a_listener_that_can_not_keep_up_loses_messages_not_its_process(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("haulier.bus.nats.WAITING", 10)
    x, y = await connect("x"), await connect("y")
    heard: list[str] = []
    begun, go_on, last = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hear(_subject: str, word: Word) -> None:
        begun.set()
        await go_on.wait()
        heard.append(word.text)
        if word.text == "last":
            last.set()

    await x.listen("s", Word, hear)
    await x.serve("echo", Word, echo)
    await y.tell("s", Word("0"))
    await begun.wait()
    for n in range(1, 100):
        await y.tell("s", Word(str(n)))
    await y.call("echo", Word(""), Word, AT_MOST)
    go_on.set()
    await asyncio.wait_for(_until(lambda: len(heard) == 11), AT_MOST)
    await y.tell("s", Word("last"))
    await asyncio.wait_for(last.wait(), AT_MOST)
    assert heard == [*map(str, range(11)), "last"]
    assert capsys.readouterr().out.count("messages are dropped") == 1
