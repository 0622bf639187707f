"""A conductor played by hand: welcomes agents, sends them commands, and collects what they say."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from haulier.bus.local import Broker
from haulier.bus.permissions import CONDUCTOR
from haulier.model.ids import CommandId, HostName, ImageId, Incarnation, MigrationId, ServerId
from haulier.wire import subjects
from haulier.wire.events import Answer, Heartbeat, Hello, Outcome, Power, Progress
from haulier.wire.to_compute import AskConsole, Command, Console, Directive, GuestSpec, ImageRef, Instruction, Owned
from haulier.wire.to_compute import Welcome as WelcomeMessage
from haulier.wire.to_conductor import MigrateServer

Out = TypeVar("Out")
IMAGE = ImageRef(ImageId("image-1"), "0" * 64, 1 << 20, "raw")


def guest(image: ImageRef = IMAGE, **changes: Any) -> GuestSpec:
    fields = {"name": "web", "vcpus": 1, "memory_mb": 16, "root_bytes": 4 << 20, "mac": "52:54:00:00:00:01"}
    return GuestSpec(image=image, **(fields | changes))


def new_server() -> ServerId:
    return ServerId(str(uuid.uuid4()))


class Hand:
    """`owned` is what each host is told that it owns; `greets` False leaves a Hello without an answer."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.bus = self.broker.connect("conductor", CONDUCTOR)
        self.greets = True
        self.owned: dict[str, list[Owned]] = {}
        self.hellos: dict[str, Hello] = {}
        self.said: list[Any] = []
        self._news = asyncio.Condition()

    async def start(self) -> None:
        kinds = {"answer": Answer, "hello": Hello, "heartbeat": Heartbeat, "power": Power, "progress": Progress}
        for kind, message_type in kinds.items():
            await self.bus.listen(f"haulier.event.*.{kind}", message_type, self._hear)
        await self.bus.listen(subjects.CALL_BACKS, MigrateServer, self._hear)

    async def close(self) -> None:
        await self.bus.close()

    async def _hear(self, subject: str, message: Any) -> None:
        if isinstance(message, Hello):
            self.hellos[message.host] = message
            if self.greets:
                await self.welcome(message.host)
        async with self._news:
            self.said.append(message)
            self._news.notify_all()

    async def welcome(self, host: str) -> None:
        word = WelcomeMessage(self.hellos[host].incarnation, tuple(self.owned.get(host, ())))
        await self.bus.tell(subjects.commands(HostName(host)), Directive(welcome=word))

    async def wait_for(self, wanted: Callable[[Any], bool], seconds: float = 30.0) -> Any:
        """The first message, said already or still to come, that `wanted` is true of."""

        async def first() -> Any:
            seen = 0
            async with self._news:
                while True:
                    for message in self.said[seen:]:
                        if wanted(message):
                            return message
                    seen = len(self.said)
                    await self._news.wait()

        return await asyncio.wait_for(first(), seconds)

    def command(self, host: str, server_id: ServerId, instruction: Instruction, **changes: Any) -> Command:
        fields: dict[str, Any] = {
            "id": CommandId(str(uuid.uuid4())),
            "incarnation": self.hellos[host].incarnation if host in self.hellos else Incarnation("none"),
            "owner_epoch": 1,
            "step": type(instruction).__name__,
            "request_id": "req-1",
        }
        return Command(host=HostName(host), server_id=server_id, instruction=instruction, **(fields | changes))

    async def send(self, command: Command) -> None:
        await self.bus.tell(subjects.commands(command.host), Directive(command=command))

    async def ask(self, command: Command, seconds: float = 30.0) -> Any:
        """Send a command; its answer, or the call back that stands for it."""
        await self.send(command)
        return await self.wait_for(lambda message: answers(message, command), seconds)

    async def order(self, host: str, server_id: ServerId, instruction: Instruction, **changes: Any) -> Any:
        """Send a new command; the outcome in its answer."""
        answer = await self.ask(self.command(host, server_id, instruction, **changes))
        assert isinstance(answer, Answer), answer
        return answer.outcome

    async def expect(
        self, outcome: type[Out], host: str, server_id: ServerId, order: Instruction, **changes: Any
    ) -> Out:
        got: Outcome = await self.order(host, server_id, order, **changes)
        assert isinstance(got, outcome), got
        return got

    async def console(self, host: str, server_id: ServerId, lines: int | None = None) -> Console:
        question = AskConsole(server_id, lines)
        return await self.bus.call(subjects.questions(HostName(host)), question, Console, 5.0)


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that no event tells."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def answers(message: Any, command: Command) -> bool:
    if isinstance(message, MigrateServer):
        failed = message.failed
        key = (command.migration_id, command.attempt, command.generation, command.host)
        return (message.migration_id, failed.attempt, failed.generation, failed.host) == key
    return isinstance(message, Answer) and message.command_id == command.id


def move(number: int = 1, generation: int = 1, attempt: int = 1) -> dict[str, Any]:
    """The fields of an envelope that say which step of which move it is."""
    return {"migration_id": MigrationId(number), "generation": generation, "attempt": attempt}
