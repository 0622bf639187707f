"""What a process may rely on, whichever bus it is on."""

import asyncio

import msgspec
import pytest

from haulier.bus.interface import NoAnswer, NotPermitted
from haulier.model.migration import State
from haulier.wire.to_conductor import MigrateServer, Nudge
from tests.contract.conftest import Buses

AT_MOST = 20.0


class Word(msgspec.Struct, frozen=True):
    text: str


async def echo(word: Word) -> Word:
    return Word(word.text.upper())


async def test_a_question_is_answered(buses: Buses) -> None:
    asker, server = await buses("x"), await buses("y")
    await server.serve("echo", Word, echo)
    assert await asker.call("echo", Word("hi"), Word, AT_MOST) == Word("HI")


async def test_a_hundred_questions_at_once(buses: Buses) -> None:
    asker, server = await buses("x"), await buses("y")
    await server.serve("echo", Word, echo)
    answers = await asyncio.gather(*(asker.call("echo", Word(f"w{n}"), Word, AT_MOST) for n in range(100)))
    assert answers == [Word(f"W{n}") for n in range(100)]


async def test_questions_do_not_wait_for_each_other(buses: Buses) -> None:
    asker, server = await buses("x"), await buses("y")
    second = asyncio.Event()

    async def first_waits_for_second(word: Word) -> Word:
        if word.text == "second":
            second.set()
        await second.wait()
        return word

    await server.serve("wait", Word, first_waits_for_second)
    first = asyncio.create_task(asker.call("wait", Word("first"), Word, AT_MOST))
    assert await asker.call("wait", Word("second"), Word, AT_MOST) == Word("second")
    assert await first == Word("first")


async def test_a_message_is_read_as_it_was_written(buses: Buses) -> None:
    """UNSET stays absent, None stays None, enumerations and optional structs come back."""
    x = await buses("x")
    heard: asyncio.Queue[MigrateServer] = asyncio.Queue()

    async def hear(_subject: str, message: MigrateServer) -> None:
        await heard.put(message)

    await x.listen("moves", MigrateServer, hear)
    for sent in (
        MigrateServer(1, "s", "r"),  # type: ignore[arg-type]
        MigrateServer(1, "s", "r", host=None, force=True),  # type: ignore[arg-type]
    ):
        await x.tell("moves", sent)
        assert await heard.get() == sent


async def test_a_large_message_arrives_whole(buses: Buses) -> None:
    """A console log of a mebibyte is an answer."""
    asker, server = await buses("x"), await buses("y")
    await server.serve("echo", Word, echo)
    assert len((await asker.call("echo", Word("x" * (1 << 20)), Word, AT_MOST)).text) == 1 << 20


async def test_listeners_hear_what_matches_in_order(buses: Buses) -> None:
    x = await buses("x")
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def hear(subject: str, word: Word) -> None:
        await heard.put((subject, word.text))

    await x.listen("event.*.up", Word, hear)
    for subject, text in (("event.a.up", "1"), ("event.a.down", "2"), ("event.b.up", "3"), ("event.b.up.now", "4")):
        await x.tell(subject, Word(text))
    assert [await heard.get(), await heard.get()] == [("event.a.up", "1"), ("event.b.up", "3")]
    await x.close()
    assert heard.empty()


async def test_one_message_at_a_time_reaches_a_listener(buses: Buses) -> None:
    x, done = await buses("x"), asyncio.Event()
    inside: list[str] = []
    most: list[int] = []

    async def hear(_subject: str, word: Word) -> None:
        inside.append(word.text)
        most.append(len(inside))
        await asyncio.sleep(0)
        inside.remove(word.text)
        if word.text == "9":
            done.set()

    await x.listen("s", Word, hear)
    for n in range(10):
        await x.tell("s", Word(str(n)))
    await done.wait()
    assert most == [1] * 10


async def test_a_slow_listener_holds_up_nobody_else(buses: Buses) -> None:
    x = await buses("x")
    go_on, heard = asyncio.Event(), asyncio.Event()

    async def slow(_subject: str, _word: Word) -> None:
        await go_on.wait()

    async def quick(_subject: str, _word: Word) -> None:
        heard.set()

    await x.listen("slow", Word, slow)
    await x.listen("quick", Word, quick)
    await x.tell("slow", Word(""))
    await x.tell("quick", Word(""))
    await heard.wait()
    go_on.set()


async def test_everybody_who_listens_hears_it(buses: Buses) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    x, y, z = await buses("x"), await buses("y"), await buses("z")
    await x.listen("s", Word, hear)
    await y.listen("s", Word, hear)
    await z.tell("s", Word("hear"))
    assert [await heard.get(), await heard.get()] == ["hear", "hear"]


async def test_what_is_published_is_heard_in_order(buses: Buses) -> None:
    x, y = await buses("x"), await buses("y")
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def hear(subject: str, word: Word) -> None:
        await heard.put((subject, word.text))

    await y.listen("a.>", Word, hear)
    said = [(f"a.{n % 3}", Word(str(n))) for n in range(50)]
    await x.publish(said, AT_MOST)
    await x.publish([("nobody.listens", Word(""))], AT_MOST)
    assert [await heard.get() for _ in said] == [(subject, word.text) for subject, word in said]


async def test_what_may_not_be_published_is_not_published_in_part(buses: Buses) -> None:
    conductor, watcher = await buses("conductor"), await buses("watcher")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    await watcher.listen("haulier.notification.>", Word, hear)
    allowed, refused = "haulier.notification.migration.1", "haulier.event.host-a.answer"
    with pytest.raises(NotPermitted):
        await conductor.publish([(allowed, Word("in part")), (refused, Word(""))], AT_MOST)
    await conductor.publish([(allowed, Word("whole"))], AT_MOST)
    assert await heard.get() == "whole"


async def test_only_the_conductor_tells_what_becomes_of_a_move(buses: Buses) -> None:
    subject = "haulier.notification.migration.1"
    for name in ("api", "scheduler", "compute.host-a", "watcher"):
        with pytest.raises(NotPermitted):
            await (await buses(name)).publish([(subject, Word("forged"))], AT_MOST)

    async def hear(_subject: str, _word: Word) -> None: ...

    for name in ("api", "watcher"):
        await (await buses(name)).listen("haulier.notification.>", Word, hear)
    for name in ("scheduler", "compute.host-a"):
        with pytest.raises(NotPermitted):
            await (await buses(name)).listen("haulier.notification.migration.*", Word, hear)


async def test_what_nobody_hears_is_lost_without_a_word(buses: Buses) -> None:
    await (await buses("x")).tell("nobody", Word(""))


async def test_one_bad_message_does_not_end_a_subscription(buses: Buses, capsys: pytest.CaptureFixture[str]) -> None:
    x = await buses("x")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    await x.listen("s", Word, hear)
    await x.tell("s", 7)
    await x.tell("s", Word("good"))
    assert await heard.get() == "good"


async def test_nobody_answers(buses: Buses) -> None:
    with pytest.raises(NoAnswer, match="nobody answers on quiet"):
        await (await buses("x")).call("quiet", Word(""), Word, AT_MOST)


async def test_a_late_answer_is_no_answer(buses: Buses) -> None:
    x, never = await buses("x"), asyncio.Event()

    async def wait(_word: Word) -> Word:
        await never.wait()
        return Word("")

    await x.serve("slow", Word, wait)
    with pytest.raises(NoAnswer, match=r"no answer on slow within 0\.05 s"):
        await x.call("slow", Word(""), Word, 0.05)
    never.set()


async def test_a_server_that_fails_is_no_answer_at_once(buses: Buses, capsys: pytest.CaptureFixture[str]) -> None:
    x = await buses("x")

    async def fail(_word: Word) -> Word:
        raise ValueError("no")

    await x.serve("bad", Word, fail)
    for _ in range(2):
        with pytest.raises(NoAnswer, match="the answer on bad failed"):
            await x.call("bad", Word(""), Word, AT_MOST)
    with pytest.raises(NoAnswer, match="the answer on bad failed"):
        await x.call("bad", State.AWAITS_CONFIRM, Word, AT_MOST)


async def test_of_overlapping_servers_the_first_answers(buses: Buses) -> None:
    """As in the scheduler: its one question, and a refusal for whatever else is asked."""
    asker, server = await buses("x"), await buses("y")

    async def refuse(_word: Word) -> Word:
        return Word("no such method")

    await server.serve("scheduler.question", Word, echo)
    await server.serve("scheduler.>", Word, refuse)
    for _ in range(20):
        assert await asker.call("scheduler.question", Word("a"), Word, AT_MOST) == Word("A")
    assert await asker.call("scheduler.other", Word("a"), Word, AT_MOST) == Word("no such method")


async def test_who_may_not_speak_or_hear_is_told_at_once(buses: Buses) -> None:
    scheduler = await buses("scheduler")
    with pytest.raises(NotPermitted, match=r"scheduler may not publish to haulier\.compute\.host-a"):
        await scheduler.tell("haulier.compute.host-a", Word("start it"))
    with pytest.raises(NotPermitted, match="may not publish"):
        await scheduler.call("haulier.conductor.console", Word(""), Word, AT_MOST)

    async def hear(_subject: str, _word: Word) -> None: ...

    with pytest.raises(NotPermitted, match="may not subscribe"):
        await scheduler.listen("haulier.event.>", Word, hear)
    with pytest.raises(NotPermitted, match="may not subscribe"):
        await scheduler.serve("haulier.compute.host-a.ask", Word, echo)


async def test_everything_that_haulier_says_may_be_said(buses: Buses) -> None:
    """Each line of the table in ARCHITECTURE.md, by the user who says it to the one who hears it."""
    names = ("conductor", "api", "scheduler", "compute.host-a", "watcher")
    conductor, api, scheduler, host, watcher = [await buses(name) for name in names]
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(subject: str, _message: msgspec.Raw) -> None:
        await heard.put(subject)

    await conductor.listen("haulier.conductor.nudge", msgspec.Raw, hear)
    await conductor.listen("haulier.event.>", msgspec.Raw, hear)
    await conductor.listen("haulier.conductor.migrate_server.*", msgspec.Raw, hear)
    await conductor.serve("haulier.conductor.console", Word, echo)
    await scheduler.serve("haulier.scheduler.select_destinations", Word, echo)
    await host.listen("haulier.compute.host-a", msgspec.Raw, hear)
    await watcher.listen("haulier.notification.>", msgspec.Raw, hear)
    await host.serve("haulier.compute.host-a.ask", Word, echo)
    for who, subject in (
        (api, "haulier.conductor.nudge"),
        (host, "haulier.event.host-a.answer"),
        (host, "haulier.conductor.migrate_server.host-a"),
        (conductor, "haulier.compute.host-a"),
        (conductor, "haulier.notification.migration.1"),
    ):
        await who.tell(subject, Nudge())
        assert await asyncio.wait_for(heard.get(), AT_MOST) == subject
    for who, subject in (
        (api, "haulier.conductor.console"),
        (conductor, "haulier.scheduler.select_destinations"),
        (conductor, "haulier.compute.host-a.ask"),
    ):
        assert await who.call(subject, Word("a"), Word, AT_MOST) == Word("A")


async def test_closing_finishes_what_is_in_hand(buses: Buses) -> None:
    x, y = await buses("x"), await buses("y")
    begun, go_on = asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def hear(_subject: str, word: Word) -> None:
        begun.set()
        await go_on.wait()
        finished.append(word.text)

    await x.listen("s", Word, hear)
    await y.tell("s", Word("in hand"))
    await begun.wait()
    closing = asyncio.create_task(x.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    go_on.set()
    await closing
    await y.tell("s", Word("too late"))
    assert finished == ["in hand"]


async def test_what_is_in_hand_may_still_speak_while_the_bus_closes(buses: Buses) -> None:
    x, y = await buses("x"), await buses("y")
    begun, go_on = asyncio.Event(), asyncio.Event()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def work(_subject: str, _word: Word) -> None:
        begun.set()
        await go_on.wait()
        await x.tell("done", await x.call("echo", Word("done"), Word, AT_MOST))

    async def hear(_subject: str, word: Word) -> None:
        await heard.put(word.text)

    await x.listen("s", Word, work)
    await y.serve("echo", Word, echo)
    await y.listen("done", Word, hear)
    await y.tell("s", Word(""))
    await begun.wait()
    closing = asyncio.create_task(x.close())
    await asyncio.sleep(0.01)
    go_on.set()
    await closing
    assert await asyncio.wait_for(heard.get(), AT_MOST) == "DONE"


async def test_a_handler_may_close_its_own_bus(buses: Buses) -> None:
    x, closed = await buses("x"), asyncio.Event()

    async def leave(_subject: str, _word: Word) -> None:
        await x.close()
        closed.set()

    await x.listen("s", Word, leave)
    await x.tell("s", Word(""))
    await asyncio.wait_for(closed.wait(), AT_MOST)


async def test_a_closed_bus_answers_and_hears_nothing(buses: Buses) -> None:
    x, y = await buses("x"), await buses("y")
    await y.serve("echo", Word, echo)
    await y.close()
    with pytest.raises(NoAnswer):
        await x.call("echo", Word(""), Word, AT_MOST)
