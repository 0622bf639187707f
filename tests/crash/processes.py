"""Processes that can be killed: what each of haulier's processes says, writes and does passes through here.

A killed process runs no code of its own any more: its tasks are cancelled, its connection to the bus is gone, and
whatever it still tries (a `finally`, a thread that comes back) reaches neither database, journal, host nor bus.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from haulier.bus.interface import BusError
from haulier.bus.local import LocalBus, Said
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import JournalUnusable
from haulier.db.engine import Database, Transaction
from haulier.wire import codec
from haulier.wire.events import Answer, Heartbeat, Hello, Progress
from haulier.wire.to_compute import Directive
from haulier.wire.to_conductor import MigrateServer, Nudge, Request
from tests.crash.moments import ROLES, Moment

if TYPE_CHECKING:
    from tests.crash.cloud import CrashCloud

PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)
SMALL_TALK = (Heartbeat, Progress)
"""What is said all the time and decides nothing: no moment of a move."""


@dataclass(eq=False)
class Process:
    """One run of one process. `role` is api, conductor, scheduler, source, target or spare."""

    role: str
    cloud: "CrashCloud"
    alive: bool = True
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)
    listeners: list[Any] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)

    def context(self) -> contextvars.Context:
        made = contextvars.copy_context()
        made.run(PROCESS.set, self)
        return made

    def kill(self) -> None:
        """kill -9: from here on it does nothing."""
        self.alive = False
        broker = self.cloud.broker
        for listener in self.listeners:
            if listener in broker.listeners:
                broker.listeners.remove(listener)
        for subject in self.subjects:
            broker.servers.pop(subject, None)
        for task in list(self.tasks):
            task.cancel()

    def must_live(self) -> None:
        if not self.alive:
            raise asyncio.CancelledError

    async def passes(self, about: str, doing: str, when: str, error: Callable[[str], BaseException]) -> None:
        """One moment: strike if it is the one; `error` makes what this process sees when the fault is an error."""
        self.must_live()
        if self.cloud.probe.sees(self.cloud.moment(self.role, about, doing, when)):
            await self.cloud.fault.strike(self.cloud, self, error)
        self.must_live()


def watch_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Note for each task which process it belongs to."""

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **more)
        context = more.get("context")
        process = context.get(PROCESS) if context is not None else PROCESS.get()
        if process is not None:
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    loop.set_task_factory(factory)


class KilledInTransaction(Exception):
    """Carries the death of a process out of the writer's thread: the transaction is rolled back."""


class ProcessDatabase:
    """The database as one process sees it."""

    def __init__(self, inner: Database, process: Process) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, function: Any, /, *args: Any, **more: Any) -> Any:
        self._process.must_live()
        value = await self._inner.read(function, *args, **more)
        self._process.must_live()
        return value

    async def write(self, function: Any, /, *args: Any, **more: Any) -> Any:
        process, cloud = self._process, self._process.cloud
        process.must_live()
        found: list[str] = []

        def whole(tx: Transaction) -> Any:
            before = _mark(tx)
            value = function(tx, *args, **more)
            about = _about(tx, before, args, process)
            if about is not None:
                found.append(about)
                if cloud.probe.sees(cloud.moment(process.role, about, "commit", "before")):
                    cloud.fault.strike_in_transaction(cloud, process)
            return value

        small = any(isinstance(given, SMALL_TALK) for given in args)
        with contextlib.nullcontext() if small else cloud.writing():
            try:
                value = await self._inner.write(whole)
            except KilledInTransaction:
                process.kill()
                raise asyncio.CancelledError from None
            if found:
                cloud.committed(found[0])
                await process.passes(found[0], "commit", "after", lambda why: RuntimeError(f"after the commit: {why}"))
        process.must_live()
        return value


_LAST = "SELECT rowid, from_state, event FROM transitions ORDER BY rowid DESC LIMIT 1"


def _mark(tx: Transaction) -> tuple[int, int]:
    row = tx.connection.exec_driver_sql(_LAST).one_or_none()
    return (row[0] if row else 0), tx.connection.connection.total_changes  # type: ignore[attr-defined]


def _about(tx: Transaction, before: tuple[int, int], args: tuple[Any, ...], process: Process) -> str | None:
    """What a transaction was about: its transition, or the message that it took in; None if it changed no row."""
    row = tx.connection.exec_driver_sql(_LAST).one_or_none()
    if row is not None and row[0] != before[0]:
        return f"{row[1]}>{row[2]}"
    if tx.connection.connection.total_changes == before[1]:  # type: ignore[attr-defined]
        return None
    if process.role == "api":
        return "accept"
    for given in args:
        if isinstance(given, Answer):
            return f"answer_{given.step}"
        if isinstance(given, Request):
            return type(given).__name__
    return None


class ProcessBus:
    """A connection to the bus as one process has it."""

    def __init__(self, inner: LocalBus, process: Process) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def call(self, subject: str, message: object, answer_type: Any, timeout: float) -> Any:
        self._process.must_live()
        answer = await self._inner.call(subject, message, answer_type, timeout)
        self._process.must_live()
        return answer

    async def tell(self, subject: str, message: object) -> None:
        about = self._about(message)
        if about is None:
            self._process.must_live()
            await self._inner.tell(subject, message)
            return
        said = Said(self._process.role, "tell", subject, codec.encode(message))
        self._process.cloud.fault.said = said
        await self._process.passes(about, "send", "before", lambda why: BusError(why))
        if self._process.cloud.fault.withholds(said):
            return
        await self._inner.tell(subject, message)
        await self._process.passes(about, "send", "after", lambda why: BusError(why))

    def _about(self, message: object) -> str | None:
        if isinstance(message, Directive):
            return message.command.step if message.command is not None else None
        if isinstance(message, Answer):
            return message.step
        if isinstance(message, MigrateServer):
            return "migrate_server"
        if isinstance(message, Nudge):
            return "nudge"
        assert isinstance(message, (*SMALL_TALK, Hello)) or type(message).__name__ == "Power", message
        return None

    async def serve(self, subject: str, message_type: Any, handler: Callable[[Any], Awaitable[object]]) -> None:
        about = subject.rsplit(".", 1)[-1]

        async def answer(question: Any) -> object:
            """In its own task, as in a process of its own: the one that asks does not die with it."""
            return await asyncio.shield(
                asyncio.get_running_loop().create_task(work(question), context=self._process.context())
            )

        async def work(question: Any) -> object:
            error = RuntimeError
            try:
                await self._process.cloud.scheduler_may_answer.wait()
                await self._process.passes(about, "answer", "before", error)
                value = await handler(question)
                await self._process.passes(about, "answer", "after", error)
            except asyncio.CancelledError:
                if self._process.alive:
                    raise
                await asyncio.get_running_loop().create_future()  # nobody will ever answer
                raise
            return value

        await self._inner.serve(subject, message_type, answer)
        self._process.subjects.append(subject)

    async def listen(self, subject: str, message_type: Any, handler: Any) -> None:
        broker = self._process.cloud.broker
        before = list(broker.listeners)
        await self._inner.listen(subject, message_type, handler)
        self._process.listeners += [listener for listener in broker.listeners if listener not in before]


def step_in_hand() -> tuple[str, bool]:
    """The step that the running task carries out, and whether there is one: the executor names its tasks so."""
    task = asyncio.current_task()
    words = (task.get_name() if task is not None else "").split()
    return (words[0], True) if len(words) == 2 else ("", False)


class Counted:
    """What an agent does for one command, numbered where it does the same thing again."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.count: dict[tuple[str, str], int] = {}

    def begin(self, step: str) -> None:
        """A step begins, once more perhaps: count from one again."""
        self.count = {key: number for key, number in self.count.items() if key[0] != step}

    async def around(
        self, doing: str, work: Callable[[], Awaitable[Any]], error: Callable[[str], BaseException]
    ) -> Any:
        """`work` with a moment before and one after."""
        step, known = step_in_hand()
        if not known:
            self.process.must_live()
            return await work()
        number = self.count[step, doing] = self.count.get((step, doing), 0) + 1
        label = doing if number == 1 else f"{doing}.{number}"
        await self.process.passes(step, label, "before", error)
        value = await work()
        await self.process.passes(step, label, "after", error)
        return value


class ProcessJournal:
    """The host's journal, written by one run of its agent."""

    def __init__(self, inner: Any, counted: Counted) -> None:
        self._inner = inner
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, *args: Any) -> None:
        await self._counted.around("note", lambda: self._inner.write(*args), JournalUnusable)

    async def intend(self, command: Any, record: Any) -> None:
        self._counted.begin(command.step)
        await self._counted.around("intend", lambda: self._inner.intend(command, record), JournalUnusable)

    async def conclude(self, answer: Any) -> None:
        await self._counted.around("conclude", lambda: self._inner.conclude(answer), JournalUnusable)


QUIET = frozenset({"open", "close", "inventory", "has_disk", "has_kept", "free_bytes", "console", "census"})
"""What changes nothing on the host."""


class ProcessDriver:
    """The host's hypervisor, driven by one run of its agent."""

    def __init__(self, inner: Any, counted: Counted) -> None:
        self._inner = inner
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def act(*args: Any, **more: Any) -> Any:
            if name in QUIET:
                self._counted.process.must_live()
                return await found(*args, **more)
            return await self._counted.around(name, lambda: found(*args, **more), HostTrouble)

        return act


def role_of(host: str) -> str:
    return ROLES[host]


__all__ = ["Moment"]
