"""The bus between machines: core NATS. It keeps nothing: what must arrive is said again until it is answered.

A lost connection harms nobody. What is said meanwhile is lost, as it may be; what is asked finds no answer; and as
soon as a server is there again, everything is heard again. The permissions are checked here, as in `local.py`, and
by the server once more.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
from nats.aio.client import PING_PROTO, Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from haulier.bus.interface import BusError, NoAnswer, NotPermitted
from haulier.bus.listener import Listener, close
from haulier.bus.nkeys import UserKey
from haulier.bus.permissions import User, matches
from haulier.config.bus import BusSettings
from haulier.wire import codec

M = TypeVar("M")
R = TypeVar("R")

log = structlog.get_logger()

WAITING = 10_000
"""Most messages of one subscription that may wait for their handler; more are dropped."""
IN_HAND = 1_000
"""Most questions that may be worked on at once; to more there is no answer."""
GOODBYE = 2
"""Seconds that a server gets to take what was said last, and a connection to end."""
FAILED = "Haulier-Failed"
"""The header of an answer that says that there is none."""
LOST = (NatsError, OSError, TimeoutError)
"""What a connection that is breaking may raise."""


class _Heard:
    """What is heard on one subject, whichever connection brings it. `queue`: one of several processes is to hear."""

    def __init__(self, subject: str, take: Callable[[Msg], None], queue: str = "") -> None:
        self._subject = subject
        self._queue = queue
        self._take = take
        self._subscription: Subscription | None = None

    async def subscribe(self, client: Client) -> None:
        async def take(message: Msg) -> None:
            self._take(message)

        self._subscription = await client.subscribe(self._subject, queue=self._queue, cb=take)

    async def unsubscribe(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(*LOST):
                await self._subscription.unsubscribe()


class NatsBus:
    """One process's connection (see `interface.Bus`). `connected` is set while there is one."""

    def __init__(self, settings: BusSettings, user: User) -> None:
        """Nothing is connected before `start`.

        Raises:
            InvalidField: the seed file holds no seed.
            OSError: it can't be read.
        """
        self.connected = asyncio.Event()
        self._settings = settings
        self._user = user
        self._key = UserKey.read(Path(settings.seed_file))
        self._client: Client | None = None
        self._heard: list[_Heard] = []
        self._served: list[str] = []
        self._listeners: list[Listener] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._closed = False

    def start(self) -> None:
        """Begin to connect, and to connect again whenever that is needed."""
        self._keeping = asyncio.create_task(self._keep_connected(), name="bus")

    # -- the five verbs ------------------------------------------------------------------------------------

    async def call(self, subject: str, message: object, answer_type: type[R], timeout: float) -> R:
        self._check_publish(subject)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._ask(subject, codec.encode(message), timeout)
        except TimeoutError:
            raise NoAnswer(f"no answer on {subject} within {timeout:g} s") from None
        except NoRespondersError:
            raise NoAnswer(f"nobody answers on {subject}") from None
        except (NatsError, OSError) as problem:
            raise NoAnswer(f"{subject} could not be asked: {problem}") from problem
        if answer.headers and FAILED in answer.headers:
            raise NoAnswer(f"the answer on {subject} failed")
        return codec.decode(answer.data, answer_type)

    async def tell(self, subject: str, message: object) -> None:
        self._check_publish(subject)
        await self._publish(subject, codec.encode(message))

    async def publish(self, messages: Sequence[tuple[str, object]], timeout: float) -> None:
        """The server takes in order what one connection brings, so its answer to a ping says that it has all of it.

        A connection on which that answer does not come is given up: nats-py could not bear it to come later.
        """
        for subject, _ in messages:
            self._check_publish(subject)
        client, lost = self._client, self._lost
        if client is None:
            raise BusError("there is no connection to the bus")
        try:
            async with asyncio.timeout(timeout):
                await _unless_lost(_publish_all(client, messages, timeout), lost)
        except LOST as problem:
            lost.set()
            raise BusError(f"the bus did not take what was said: {_text(problem)}") from problem

    async def serve(self, subject: str, message_type: type[M], handler: Callable[[M], Awaitable[object]]) -> None:
        self._check_subscribe(subject)

        async def answer(message: Msg) -> None:
            try:
                reply = codec.encode(await handler(codec.decode(message.data, message_type)))
            except Exception:
                log.exception("a question could not be answered", subject=message.subject)
                await self._publish(message.reply, b"", {FAILED: "1"})
            else:
                await self._publish(message.reply, reply)

        def take(message: Msg) -> None:
            # Where patterns overlap, both hear a question: it belongs to the one that was served first.
            first = next(pattern for pattern in self._served if matches(pattern, message.subject))
            if first == subject and message.reply and len(self._in_hand) < IN_HAND:
                task = asyncio.create_task(answer(message))
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)

        self._served.append(subject)
        # A queue per pattern: under one name the server would deal a question to either of two that overlap.
        await self._hear(_Heard(subject, take, queue=subject))

    async def listen(self, subject: str, message_type: type[M], handler: Callable[[str, M], Awaitable[None]]) -> None:
        self._check_subscribe(subject)

        async def handle(said_on: str, body: bytes) -> None:
            await handler(said_on, codec.decode(body, message_type))

        listener = Listener(subject, handle, WAITING)
        self._listeners.append(listener)
        await self._hear(_Heard(subject, lambda message: listener.put(message.subject, message.data)))

    async def close(self) -> None:
        await asyncio.gather(*(heard.unsubscribe() for heard in self._heard))
        await close(self._listeners)
        await asyncio.gather(*(task for task in self._in_hand if task is not asyncio.current_task()))
        self._closed = True
        if self._client is not None:
            with contextlib.suppress(*LOST):
                await self._client.rtt(GOODBYE)
        if self._keeping is not None:
            self._lost.set()
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    # -- the connection ------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        """One client after the other: each is used until it is lost."""
        reachable = True
        while not self._closed:  # asked too, since nats-py may swallow a cancellation
            client = _Client(self._key.public)
            self._lost = asyncio.Event()
            try:
                await self._connect(client, self._lost)
                reachable = True
                await self._until_lost(client, self._lost)
                if not self._closed:
                    log.warning("the connection to the bus is lost; what is said meanwhile is lost too")
            except LOST as problem:
                if reachable:
                    log.warning("the bus can't be reached; trying until it can", problem=_text(problem))
                reachable = False
            finally:
                self.connected.clear()
                self._client = None
                self._lost.set()
                await client.end()
            await asyncio.sleep(self._settings.again_after)

    async def _connect(self, client: Client, lost: asyncio.Event) -> None:
        async def closed() -> None:
            lost.set()

        async def trouble(problem: Exception) -> None:
            if self.connected.is_set():
                log.warning("trouble with the bus", user=self._user.name, problem=_text(problem))

        await client.connect(
            servers=list(self._settings.servers),
            name=self._user.name,
            allow_reconnect=False,  # `_keep_connected` does that, and never gives up
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=self._settings.connect_timeout,
            flush_timeout=self._settings.connect_timeout,
            inbox_prefix=self._user.inbox,
            signature_cb=self._key.sign,
            error_cb=trouble,
            closed_cb=closed,
        )
        for heard in self._heard:
            await heard.subscribe(client)
        self._client = client
        await client.rtt(self._settings.connect_timeout)
        self.connected.set()
        log.info("connected to the bus", user=self._user.name)

    async def _until_lost(self, client: Client, lost: asyncio.Event) -> None:
        """Returns when the connection was closed; raises when a server is silent, whatever the kernel thinks of it."""
        while not lost.is_set():
            try:
                async with asyncio.timeout(self._settings.ping_every):
                    await lost.wait()
            except TimeoutError:
                await client.rtt(self._settings.ping_every)

    async def _hear(self, heard: _Heard) -> None:
        """Hear from now on; without a connection, from the next one on."""
        self._heard.append(heard)
        if self._client is not None:
            with contextlib.suppress(*LOST):
                await heard.subscribe(self._client)
                await self._client.rtt(self._settings.connect_timeout)

    async def _ask(self, subject: str, body: bytes, timeout: float) -> Msg:
        """The answer, unless the connection is lost meanwhile: it would come to nobody."""
        if self._closed:
            raise NoAnswer(f"{subject} could not be asked: this process is leaving the bus")
        await self.connected.wait()
        assert self._client is not None
        try:
            return await _unless_lost(self._client.request(subject, body, timeout), self._lost)
        except _Lost:
            raise NoAnswer(f"the connection was lost while {subject} was asked") from None

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self._client is not None:
            with contextlib.suppress(*LOST):
                await self._client.publish(subject, body, headers=headers)

    def _check_publish(self, subject: str) -> None:
        if not self._user.permissions.may_publish(subject):
            raise NotPermitted(f"{self._user.name} may not publish to {subject}")

    def _check_subscribe(self, subject: str) -> None:
        if not self._user.permissions.may_subscribe(subject):
            raise NotPermitted(f"{self._user.name} may not subscribe to {subject}")


class _Client(Client):
    """nats-py signs with a key of ours, but learns its public half only from a package that is not needed here."""

    def __init__(self, public: str) -> None:
        super().__init__()
        self._public_nkey = public

    async def _send_ping(self, future: "asyncio.Future[bool] | None" = None) -> None:
        """In line with what was said before it.

        nats-py writes a ping past what still waits to be written, so that its answer would say nothing of that: of a
        subscription, whether it is there yet; of what was published, whether the server has it.
        """
        self._pongs.append(future or asyncio.Future())
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def end(self) -> None:
        """Close, and wait for no packet that a dead network will not bring."""
        try:
            async with asyncio.timeout(GOODBYE):
                await self.close()
        except LOST:
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()


class _Lost(ConnectionError):
    """The connection was lost, which nats-py does not tell those who wait for something on it."""


async def _unless_lost(work: Coroutine[Any, Any, R], lost: asyncio.Event) -> R:
    """What `work` comes to; _Lost when `lost` is set before it has."""
    doing, losing = asyncio.ensure_future(work), asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait({doing, losing}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise _Lost("the connection was lost")
        return doing.result()
    finally:
        doing.cancel()
        losing.cancel()


async def _publish_all(client: Client, messages: Sequence[tuple[str, object]], timeout: float) -> None:
    for subject, message in messages:
        await client.publish(subject, codec.encode(message))
    await client.rtt(math.ceil(timeout))


def _text(problem: Exception) -> str:
    return str(problem) or type(problem).__name__
