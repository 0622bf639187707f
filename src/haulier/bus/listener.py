"""One subscription of a bus: a queue and a task, so that its messages are handled one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

log = structlog.get_logger()


class Listener:
    """`handle` gets the subject and the bytes of each message. At most `limit` messages wait, None for any number."""

    def __init__(self, subject: str, handle: Callable[[str, bytes], Awaitable[None]], limit: int | None = None) -> None:
        self.subject = subject
        self._handle = handle
        self._limit = limit
        self._dropping = False
        self._queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._run())

    def put(self, subject: str, body: bytes) -> None:
        """Hand a message over; one too many is dropped, and the first of a row of those is logged."""
        full = self._limit is not None and self._queue.qsize() >= self._limit
        if full and not self._dropping:
            log.warning("messages are dropped: more wait than can be kept", subject=subject, limit=self._limit)
        self._dropping = full
        if not full:
            self._queue.put_nowait((subject, body))

    def end(self) -> None:
        """Handle what was handed over, and no more."""
        self._queue.put_nowait(None)

    async def _run(self) -> None:
        while (item := await self._queue.get()) is not None:
            try:
                await self._handle(*item)
            except Exception:
                log.exception("a message could not be handled", subject=item[0])


async def close(listeners: Sequence[Listener]) -> None:
    """End them all, and wait until they have. A handler that closes its own is not waited for."""
    for listener in listeners:
        listener.end()
    here = asyncio.current_task()
    await asyncio.gather(*(listener.task for listener in listeners if listener.task is not here))
