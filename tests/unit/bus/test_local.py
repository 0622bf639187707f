"""The in-process bus behaves as a networked one: bytes travel, permissions hold."""

import asyncio

import msgspec
import pytest

from haulier.bus import permissions
from haulier.bus.interface import NoAnswer, NotPermitted
from haulier.bus.local import Broker, Said
from haulier.bus.permissions import Permissions, matches
from haulier.model.ids import HostName
from haulier.wire import subjects

ALL = Permissions(publish=(">",), subscribe=(">",))


class Word(msgspec.Struct, frozen=True):
    text: str


async def test_a_question_is_answered_and_both_travel_as_bytes() -> None:
    broker = Broker()
    heard: list[Said] = []
    broker.taps.append(heard.append)
    asker, server = broker.connect("asker", ALL), broker.connect("server", ALL)

    async def shout(word: Word) -> Word:
        return Word(word.text.upper())

    await server.serve("echo", Word, shout)
    assert await asker.call("echo", Word("hi"), Word, 1.0) == Word("HI")
    assert [(said.sender, said.verb, said.body) for said in heard] == [
        ("asker", "call", msgspec.msgpack.encode(Word("hi"))),
        ("server", "reply", msgspec.msgpack.encode(Word("HI"))),
    ]


async def test_listeners_hear_what_matches_in_order() -> None:
    broker = Broker()
    bus = broker.connect("x", ALL)
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def hear(subject: str, word: Word) -> None:
        await heard.put((subject, word.text))

    await bus.listen("event.*.up", Word, hear)
    for subject, text in (("event.a.up", "1"), ("event.a.down", "2"), ("event.b.up", "3"), ("event.b.up.now", "4")):
        await bus.tell(subject, Word(text))
    assert [await heard.get(), await heard.get()] == [("event.a.up", "1"), ("event.b.up", "3")]
    assert heard.empty()
    await bus.close()


async def test_one_bad_message_does_not_end_a_subscription(capsys: pytest.CaptureFixture[str]) -> None:
    broker = Broker()
    bus = broker.connect("x", ALL)
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    await bus.listen("s", Word, hear)
    await bus.tell("s", 7)
    await bus.tell("s", Word("good"))
    assert await heard.get() == "good"
    await bus.close()


async def test_nobody_answers() -> None:
    with pytest.raises(NoAnswer, match="nobody answers on quiet"):
        await Broker().connect("x", ALL).call("quiet", Word(""), Word, 1.0)


async def test_a_late_answer_is_no_answer() -> None:
    broker = Broker()
    bus = broker.connect("x", ALL)

    async def never(_word: Word) -> Word:
        await asyncio.Event().wait()
        return Word("")

    await bus.serve("slow", Word, never)
    with pytest.raises(NoAnswer, match="within"):
        await bus.call("slow", Word(""), Word, 0.01)


async def test_permissions_hold_in_process() -> None:
    bus = Broker().connect("scheduler", permissions.SCHEDULER)
    with pytest.raises(NotPermitted, match=r"scheduler may not publish to haulier\.compute\.node1"):
        await bus.tell("haulier.compute.node1", Word("start it"))

    async def hear(_subject: str, _word: Word) -> None: ...

    with pytest.raises(NotPermitted, match="may not subscribe"):
        await bus.listen("haulier.event.>", Word, hear)


HOST_A = permissions.compute(HostName("host-a"))


@pytest.mark.parametrize(
    ("who", "subject"),
    [
        (HOST_A, "haulier.event.host-b.answer"),
        (HOST_A, "haulier.compute.host-b"),
        (HOST_A, "haulier.scheduler.select_destinations"),
        (HOST_A, "haulier.conductor.migrate_server.host-b"),
        (HOST_A, "haulier.conductor.request"),
        (permissions.API, "haulier.compute.host-a"),
        (permissions.API, "haulier.scheduler.select_destinations"),
        (permissions.SCHEDULER, "haulier.compute.host-a"),
        (permissions.SCHEDULER, "haulier.conductor.nudge"),
        (permissions.CONDUCTOR, "haulier.event.host-a.answer"),
    ],
)
def test_what_may_not_be_said(who: Permissions, subject: str) -> None:
    assert not who.may_publish(subject)


@pytest.mark.parametrize(
    "subject", ["haulier.compute.host-b", "haulier.compute.*", "haulier.compute.>", ">", "haulier.event.>"]
)
def test_a_host_hears_its_own_commands_only(subject: str) -> None:
    assert not HOST_A.may_subscribe(subject)


def test_a_dot_in_a_host_name_does_not_make_it_hear_another() -> None:
    short, long = HostName("a"), HostName("a.example.org")
    assert not permissions.compute(short).may_subscribe(subjects.commands(long))
    assert not permissions.compute(short).may_publish(subjects.event(long, "answer"))
    assert permissions.compute(long).may_publish(subjects.migrate_server(long))
    assert matches(subjects.CALL_BACKS, subjects.migrate_server(long))


def test_what_a_host_may_do() -> None:
    assert HOST_A.may_publish("haulier.event.host-a.answer")
    assert HOST_A.may_publish("haulier.conductor.migrate_server.host-a")
    assert HOST_A.may_subscribe("haulier.compute.host-a")
    assert HOST_A.may_subscribe("haulier.compute.host-a.ask")


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.b", "a", False),
        ("*.b", "a.b", True),
    ],
)
def test_patterns(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected
