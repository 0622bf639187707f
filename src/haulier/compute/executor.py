"""Takes commands one at a time per server, journals intent and answer around each, and says the answer.

The agent never dies of a command: whatever a step raises becomes a `Failed` with a reason for a person.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec
import structlog

from haulier.compute.admission import awaits_more, continues, heard, why_stale
from haulier.compute.commands import INTERRUPTED, INTERRUPTS, LOOKS, STEPS, Context, Step
from haulier.compute.faults import Faults
from haulier.errors import HaulierError
from haulier.model.ids import CommandId, HostName, Incarnation, ServerId
from haulier.wire.events import Answer, Failed, Outcome, Stale
from haulier.wire.to_compute import Command

log = structlog.get_logger(__name__)

Say = Callable[[Command, Answer], Awaitable[None]]


@dataclass
class Executor:
    """`say` sends an answer on its way; it is called again for a command that is asked again."""

    context: Context
    incarnation: Incarnation
    say: Say
    faults: Faults
    _under_way: dict[CommandId, tuple[Command, asyncio.Task[None]]] = field(default_factory=dict)
    _locks: "WeakValueDictionary[ServerId, asyncio.Lock]" = field(default_factory=WeakValueDictionary)
    _finishing: bool = False
    _one_ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host(self) -> HostName:
        return HostName(self.context.settings.host)

    def take(self, command: Command) -> None:
        """Carry a command out in the background; one that is under way already is ignored.

        Once this agent is to end, so is one that is new work: not journaled and not answered, it comes again.
        """
        if command.id in self._under_way:
            return
        if self._finishing and not self._goes_on(command):
            log.info("not taken up while stopping", command=command.id, step=command.step, server=command.server_id)
            return
        task = asyncio.create_task(self._handle(command), name=f"{command.step} {command.server_id}")
        self._under_way[command.id] = (command, task)
        task.add_done_callback(lambda _: self._end(command))

    def take_no_more(self) -> None:
        """From now on take only what goes on with something that is in hand."""
        self._finishing = True

    async def until_idle(self) -> None:
        """Wait until nothing is in hand."""
        while self.in_hand():
            self._one_ended.clear()
            await self._one_ended.wait()

    def in_hand(self) -> list[str]:
        """What `until_idle` waits for, in words: commands under way, and moves that this host has begun a part of."""
        commands = [command for command, _ in self._under_way.values()]
        busy = {command.server_id for command in commands}
        records = self.context.journal.records()
        idle = [one for one, record in records.items() if awaits_more(record) and one not in busy]
        return [
            *(f"{command.step} of server {command.server_id}" for command in commands),
            *(f"the next step of the move of server {server_id}" for server_id in idle),
        ]

    def busy_with(self) -> frozenset[ServerId]:
        """The servers about which something is under way."""
        return frozenset(command.server_id for command, _ in self._under_way.values())

    async def stop(self) -> None:
        """End what is under way, unanswered: it is asked again."""
        await self._cancel([task for _, task in self._under_way.values()])

    async def begin_anew(self, incarnation: Incarnation) -> None:
        """End what is under way, and take only what is meant for the new incarnation."""
        self.incarnation = incarnation
        await self.stop()

    def _goes_on(self, command: Command) -> bool:
        """Whether it belongs to what is in hand; one that was answered is only answered again."""
        answered = self.context.journal.answer(command.id) is not None
        return answered or continues(command, self.context.record(command))

    def _end(self, command: Command) -> None:
        self._under_way.pop(command.id, None)
        self._one_ended.set()

    async def _handle(self, command: Command) -> None:
        try:
            await self._answer_or_execute(command)
        except Exception:
            # Only the journal or the bus can fail out here. Unanswered means that it is asked again.
            log.exception("command not answered", command=command.id, step=command.step)

    async def _answer_or_execute(self, command: Command) -> None:
        if await self._said_before(command) or await self._refused(command):
            return
        if isinstance(command.instruction, INTERRUPTS):
            await self._interrupt(command.server_id)
        async with self._locks.setdefault(command.server_id, asyncio.Lock()):
            # Looked at again: the world may have moved on while this one waited.
            if await self._said_before(command) or await self._refused(command):
                return
            await self.context.journal.intend(command, heard(self.context.record(command), command))
            answer = self._sign(command, await self._outcome(command))
            if not isinstance(command.instruction, LOOKS):
                await self.context.journal.conclude(answer)
        for _ in range(self.faults.times_said(command.step)):
            await self.say(command, answer)

    async def _said_before(self, command: Command) -> bool:
        """Whether it is answered by the journal: in the envelope of the command that asks now."""
        answer = self.context.journal.answer(command.id)
        if answer is not None:
            await self.say(command, msgspec.structs.replace(answer, incarnation=command.incarnation))
        return answer is not None

    async def _refused(self, command: Command) -> bool:
        """A refusal is not journaled: it changes nothing, and is found again each time."""
        reason = why_stale(command, self.host, self.incarnation, self.context.record(command))
        if reason is not None:
            log.info("command refused", command=command.id, step=command.step, reason=reason)
            await self.say(command, self._sign(command, Stale(reason)))
        return reason is not None

    async def _outcome(self, command: Command) -> Outcome:
        step = STEPS[type(command.instruction)]
        try:
            await self.faults.before(command.step)
            outcome = await step.run(self.context, command, command.instruction)
            self.faults.after(command.step)
            return outcome
        except (HaulierError, OSError) as error:
            log.warning("step failed", step=command.step, server=command.server_id, reason=str(error))
            return await self._failed(step, command, str(error), getattr(error, "elsewhere", True))
        except Exception as error:
            log.exception("step broke", step=command.step, server=command.server_id)
            return await self._failed(step, command, f"{type(error).__name__}: {error}", True)

    async def _failed(self, step: Step, command: Command, reason: str, elsewhere: bool) -> Failed:
        """Undo, then say so. If the undoing itself fails there is no answer: the command is asked again."""
        if step.undo is not None:
            await step.undo(self.context, command)
        return Failed(reason, elsewhere)

    async def _interrupt(self, server_id: ServerId) -> None:
        await self._cancel(
            [
                task
                for command, task in self._under_way.values()
                if command.server_id == server_id and isinstance(command.instruction, INTERRUPTED)
            ]
        )

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _sign(self, command: Command, outcome: Outcome) -> Answer:
        return Answer(
            command_id=command.id,
            host=self.host,
            incarnation=command.incarnation,
            server_id=command.server_id,
            owner_epoch=command.owner_epoch,
            step=command.step,
            outcome=outcome,
            migration_id=command.migration_id,
            attempt=command.attempt,
            generation=command.generation,
        )
