"""The in-process bus carries bytes, and who may say what; what every bus does is in tests/contract."""

import msgspec
import pytest

from haulier.bus import permissions
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
