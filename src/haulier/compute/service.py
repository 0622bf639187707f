"""The agent itself: hears its own subject, says hello and heartbeats, reports power changes, answers questions.

What a command does is in `commands/`, when it is taken in `executor.py`. Until the conductor has welcomed this
incarnation, no command is taken and nothing is started.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import structlog

from haulier.bus.interface import Bus, BusError
from haulier.compute import admission
from haulier.compute.commands import Context
from haulier.compute.driver import HAS_PROCESS, Driver, HostTrouble, Sent
from haulier.compute.executor import Executor
from haulier.compute.faults import Faults
from haulier.compute.journal import Holds, Journal
from haulier.config.compute import ComputeSettings
from haulier.errors import HaulierError
from haulier.model.host import Guest
from haulier.model.ids import HostName, Incarnation, RequestId, ServerId
from haulier.model.server import PowerState
from haulier.wire import subjects
from haulier.wire.events import Answer, Failed, Heartbeat, Hello, Power, Progress
from haulier.wire.to_compute import (
    AskCensus,
    AskConsole,
    Census,
    Command,
    Console,
    Directive,
    Owned,
    PrepareInPlace,
    PrepResize,
    Presence,
    Welcome,
)
from haulier.wire.to_conductor import FailedAttempt, MigrateServer

log = structlog.get_logger(__name__)


async def run(settings: ComputeSettings, bus: Bus) -> None:
    """Run an agent with QEMU until cancelled; its guests go on without it."""
    from haulier.compute.qemu.driver import QemuDriver

    agent = Agent(settings, bus, QemuDriver(settings))
    await agent.start()
    try:
        await asyncio.Event().wait()
    finally:
        await agent.stop()


class Agent:
    """`journal` is opened in the state folder unless one is given, which then stays open at `stop`.

    `bus` is the agent's own connection: `stop` closes it.
    """

    def __init__(self, settings: ComputeSettings, bus: Bus, driver: Driver, journal: Journal | None = None) -> None:
        """Nothing is heard, said or opened before `start`, except the journal.

        Raises:
            JournalUnusable: the journal is damaged or another agent has it.
            InvalidField: `fail_at` has an entry that can't be read.
        """
        faults = Faults(settings.host, settings.fail_at)
        self.settings = settings
        self.host = HostName(settings.host)
        self.incarnation = _new_incarnation()
        self._bus = bus
        self._driver = driver
        self._own_journal = journal is None
        self.journal = journal or Journal(_journal_path(settings))
        self.executor = Executor(
            Context(settings, driver, self.journal, self._tell_progress), self.incarnation, self._say_answer, faults
        )
        self.welcomed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing = False
        self._stopping = False

    async def start(self) -> None:
        """Find the guests that outlived the last agent, then hear and say hello."""
        await self._driver.open(self._power_changed)
        await self._finish_deletions()
        await self._bus.serve(subjects.questions(self.host), AskConsole, self._answer_question)
        await self._bus.serve(subjects.census(self.host), AskCensus, self._take_census)
        await self._bus.listen(subjects.commands(self.host), Directive, self._hear)
        self._spawn(self._say_hello())

    async def finish(self, *, alone: bool = True) -> None:
        """Take up nothing new, and wait `shutdown_timeout` seconds at most for what is in hand. `stop` parks the rest.

        `alone`: the others go on, so the conductor is told, and gives this host nothing new until an agent says hello
        from it. Where all of them end together, the conductor begins nothing new by itself: then all that comes
        belongs to something in hand, and a move that looks for another target must not find every host stopping.

        Dying here is as dying anywhere: commands under way are not answered, and come again.
        """
        if alone:
            self._finishing = True
            self.executor.take_no_more()
            if self.welcomed.is_set():
                await self._say_alive()
        waits_for, at_most = self.executor.in_hand(), self.settings.shutdown_timeout
        if waits_for and self.welcomed.is_set():  # one that was never welcomed is told nothing more
            log.info("stopping: finishing what is in hand", host=self.host, waits_for=waits_for, at_most=at_most)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(at_most):
                    await self.executor.until_idle()
            waits_for = self.executor.in_hand()
        if waits_for:
            log.warning("stopping: parked, it goes on when the agent is back", host=self.host, parked=waits_for)
        else:
            log.info("stopping: nothing is in hand", host=self.host)

    async def stop(self) -> None:
        """Stop hearing, leave commands under way unanswered, let the guests go on."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.executor.stop()
        await self._bus.close()
        await self._driver.close()
        if self._own_journal:
            self.journal.close()

    # -- hearing -------------------------------------------------------------------------------------------

    async def _hear(self, subject: str, directive: Directive) -> None:
        if self._stopping:
            return
        if directive.welcome is not None:
            self._spawn(self._take_welcome(directive.welcome))
        if directive.begin_anew == self.incarnation:
            await self._begin_anew()
        if directive.command is not None and self.welcomed.is_set():
            self.executor.take(directive.command)

    async def _begin_anew(self) -> None:
        """This host was fenced while it was cut off, or the conductor takes an agent that ended for the present one:
        nothing it was told before counts, and it owns what it is told.

        As after a restart: a new incarnation, what is under way is left where it is, and nothing starts until the
        welcome, which stops first the guests that another host owns by now.
        """
        log.warning(
            "fenced while cut off, or not known as the present agent: beginning anew", incarnation=self.incarnation
        )
        self.welcomed.clear()
        self.incarnation = _new_incarnation()
        await self.executor.begin_anew(self.incarnation)
        self._spawn(self._say_hello())

    async def _take_welcome(self, welcome: Welcome) -> None:
        """Learn what this host owns; stop first what it does not own any more.

        Only the first welcome of an incarnation counts. A later one was made before commands that have been carried
        out since, and would call their guests stale.
        """
        if welcome.incarnation != self.incarnation or self.welcomed.is_set():
            return
        owned = admission.welcome_list(welcome.owned)
        await asyncio.gather(*(self._stop_if_stale(server_id, owned) for server_id in self._driver.servers()))
        for server_id, entry in owned.items():
            await self._adopt(server_id, entry)
        if not self.welcomed.is_set():
            await self._report_missing()  # before anything is started, which it would take for missing
            self.welcomed.set()
            self._spawn(self._beat())

    async def _stop_if_stale(self, server_id: ServerId, owned: dict[ServerId, Owned]) -> None:
        if not self._runs(server_id):
            return
        record = self.journal.record(server_id)
        if admission.must_stop(record, owned.get(server_id)):
            log.warning("stopping a guest that another host owns", server=server_id, epoch=record.owner_epoch)
            await self.journal.write(server_id, msgspec.structs.replace(record, expected_running=False))
            await self._driver.power_off(server_id, self.settings.power_off_grace)

    async def _adopt(self, server_id: ServerId, entry: Owned) -> None:
        record = self.journal.record(server_id)
        has_disk = await self._driver.has_disk(server_id)
        adopted = admission.adopted(record, entry, self._runs(server_id), has_disk)
        if adopted != record:
            await self.journal.write(server_id, adopted)

    async def _answer_question(self, question: AskConsole) -> Console:
        try:
            return Console(await self._driver.console(question.server_id, question.lines))
        except HaulierError as error:
            return Console(problem=str(error))

    async def _take_census(self, _question: AskCensus) -> Census:
        """What the world has; the journal adds the epoch, and what is in hand before or after the look is busy."""
        before = self.executor.busy_with()
        here = await self._driver.census()
        busy = before | self.executor.busy_with()
        absent = (Presence(server_id=server_id) for server_id in busy - {each.server_id for each in here.servers})
        servers = tuple(
            msgspec.structs.replace(
                each, owner_epoch=self.journal.record(each.server_id).owner_epoch, busy=each.server_id in busy
            )
            for each in (*here.servers, *absent)
        )
        return Census(self.host, self.incarnation, servers, here.unknown, here.trash, here.unused_bases)

    # -- saying --------------------------------------------------------------------------------------------

    async def _say_hello(self) -> None:
        while not self.welcomed.is_set():
            inventory = await self._driver.inventory()
            await self._tell(
                "hello",
                Hello(self.host, self.incarnation, _boot_id(), self.journal.journal_id, self.settings.zone, inventory),
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.hello_again):
                    await self.welcomed.wait()

    async def _beat(self) -> None:
        incarnation = self.incarnation
        while self.incarnation == incarnation:
            await self._say_alive()
            await asyncio.sleep(self.settings.heartbeat)

    async def _say_alive(self) -> None:
        try:
            guests = tuple(self._guest(server_id) for server_id in self._driver.servers())
            inventory = await self._driver.inventory()
            await self._tell("heartbeat", Heartbeat(self.host, self.incarnation, inventory, guests, self._finishing))
        except (HaulierError, OSError):
            # A host that can't say what it has must not fall silent for good: the next beat tries again.
            log.exception("no heartbeat")

    async def _say_answer(self, command: Command, answer: Answer) -> None:
        """A failed preparation is not answered: the conductor is called back to move the server elsewhere."""
        if isinstance(command.instruction, PrepResize | PrepareInPlace) and isinstance(answer.outcome, Failed):
            assert command.migration_id is not None
            failed = FailedAttempt(
                command.attempt, command.generation, self.host, answer.outcome.reason, answer.outcome.elsewhere
            )
            message = MigrateServer(
                command.migration_id, command.server_id, RequestId(command.request_id), failed=failed
            )
            await self._bus.tell(subjects.migrate_server(self.host), message)
        else:
            await self._tell("answer", answer)

    def _tell_progress(self, command: Command, sent: Sent) -> None:
        if command.migration_id is not None and not self._stopping:
            progress = Progress(self.host, command.migration_id, command.generation, sent.done, sent.total)
            self._spawn(self._tell("progress", progress))

    def _power_changed(self, server_id: ServerId, power_state: PowerState) -> None:
        if not self._stopping:
            self._spawn(self._report_power(server_id, power_state))

    async def _report_power(self, server_id: ServerId, power_state: PowerState) -> None:
        """A guest that powered itself off is not expected to run; one that crashed still is."""
        record = self.journal.record(server_id)
        if power_state == PowerState.SHUTDOWN and record.expected_running:
            await self.journal.write(server_id, msgspec.structs.replace(record, expected_running=False))
        guest = Guest(server_id, record.owner_epoch, power_state)
        await self._tell("power", Power(self.host, self.incarnation, guest))

    async def _report_missing(self) -> None:
        """Guests whose process ended while no agent watched; nothing is started here by itself."""
        for server_id, record in self.journal.records().items():
            if record.expected_running and record.holds is Holds.OWNED and not self._runs(server_id):
                await self._report_power(server_id, PowerState.SHUTDOWN)

    async def _tell(self, kind: str, message: object) -> None:
        try:
            await self._bus.tell(subjects.event(self.host, kind), message)
        except BusError as error:
            log.warning("event not delivered", kind=kind, problem=str(error))

    # -- the rest ------------------------------------------------------------------------------------------

    def _guest(self, server_id: ServerId) -> Guest:
        return Guest(server_id, self.journal.record(server_id).owner_epoch, self._driver.power_state(server_id))

    def _runs(self, server_id: ServerId) -> bool:
        return self._driver.power_state(server_id) in HAS_PROCESS

    async def _finish_deletions(self) -> None:
        """What a discard journaled and a crash kept: the tombstone is there, the files are still to go."""
        records = self.journal.records()
        for server_id in self._driver.servers():
            record = records.get(server_id)
            if record is not None and record.holds is Holds.NOTHING and not self._runs(server_id):
                with contextlib.suppress(HostTrouble):
                    await self._driver.delete(server_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the agent broke", exc_info=error)


def _journal_path(settings: ComputeSettings) -> str:
    folder = Path(settings.state_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    return str(folder / "journal.sqlite3")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _new_incarnation() -> Incarnation:
    return Incarnation(str(uuid.uuid4()))
