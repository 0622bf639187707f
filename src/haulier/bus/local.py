"""The in-process bus, the default: every message is encoded and decoded, and permissions hold, as over a network."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from haulier.bus.interface import NoAnswer, NotPermitted
from haulier.bus.listener import Listener, close
from haulier.bus.permissions import Permissions, matches
from haulier.wire import codec

M = TypeVar("M")
R = TypeVar("R")

log = structlog.get_logger()


class Said(msgspec.Struct, frozen=True):
    """One message as a recorder sees it. `verb` is tell, call or reply."""

    sender: str
    verb: str
    subject: str
    body: bytes


class Broker:
    """What the connections of one process meet in."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.servers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self.taps: list[Callable[[Said], None]] = []
        """Each is told of every message, for recorders."""
        self.losses: list[Callable[[Said], bool]] = []
        """Each may lose a message that is told, as a network may: delivery is not promised."""

    def connect(self, user: str, permissions: Permissions) -> "LocalBus":
        """A connection that says and hears what `permissions` allow; `user` names it for recorders and logs."""
        return LocalBus(self, user, permissions)

    def record(self, said: Said) -> None:
        for tap in self.taps:
            tap(said)

    def deliver(self, said: Said) -> None:
        """Hand a message that was told to everybody who listens."""
        if any(loses(said) for loses in self.losses):
            return
        for listener in self.listeners:
            if matches(listener.subject, said.subject):
                listener.put(said.subject, said.body)


class LocalBus:
    """One process's connection to the broker (see `interface.Bus`)."""

    def __init__(self, broker: Broker, user: str, permissions: Permissions) -> None:
        self._broker = broker
        self._user = user
        self._permissions = permissions
        self._listeners: list[Listener] = []
        self._served: list[str] = []

    async def call(self, subject: str, message: object, answer_type: type[R], timeout: float) -> R:
        body = self._say("call", subject, message).body
        server = next((serve for pattern, serve in self._broker.servers.items() if matches(pattern, subject)), None)
        if server is None:
            raise NoAnswer(f"nobody answers on {subject}")
        try:
            async with asyncio.timeout(timeout):
                answer = await server(body)
        except TimeoutError:
            raise NoAnswer(f"no answer on {subject} within {timeout:g} s") from None
        except Exception as problem:
            log.exception("a question could not be answered", subject=subject)
            raise NoAnswer(f"the answer on {subject} failed") from problem
        return codec.decode(answer, answer_type)

    async def tell(self, subject: str, message: object) -> None:
        self._broker.deliver(self._say("tell", subject, message))

    async def publish(self, messages: Sequence[tuple[str, object]], timeout: float) -> None:
        for subject, _ in messages:
            self._check_publish(subject)
        for subject, message in messages:
            await self.tell(subject, message)

    async def serve(self, subject: str, message_type: type[M], handler: Callable[[M], Awaitable[object]]) -> None:
        self._check_subscribe(subject)

        async def answer(body: bytes) -> bytes:
            reply = codec.encode(await handler(codec.decode(body, message_type)))
            self._broker.record(Said(self._user, "reply", subject, reply))
            return reply

        self._broker.servers[subject] = answer
        self._served.append(subject)

    async def listen(self, subject: str, message_type: type[M], handler: Callable[[str, M], Awaitable[None]]) -> None:
        self._check_subscribe(subject)

        async def handle(said_on: str, body: bytes) -> None:
            await handler(said_on, codec.decode(body, message_type))

        listener = Listener(subject, handle)
        self._broker.listeners.append(listener)
        self._listeners.append(listener)

    async def close(self) -> None:
        for subject in self._served:
            self._broker.servers.pop(subject, None)
        for listener in self._listeners:
            self._broker.listeners.remove(listener)
        await close(self._listeners)
        self._listeners.clear()
        self._served.clear()

    def _say(self, verb: str, subject: str, message: Any) -> Said:
        self._check_publish(subject)
        said = Said(self._user, verb, subject, codec.encode(message))
        self._broker.record(said)
        return said

    def _check_publish(self, subject: str) -> None:
        if not self._permissions.may_publish(subject):
            raise NotPermitted(f"{self._user} may not publish to {subject}")

    def _check_subscribe(self, subject: str) -> None:
        if not self._permissions.may_subscribe(subject):
            raise NotPermitted(f"{self._user} may not subscribe to {subject}")
