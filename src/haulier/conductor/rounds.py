"""What a conductor does over and over: at once when it is kicked, and otherwise after a while."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()


class Rounds:
    """Calls `go_round` every `every` seconds, and when it is kicked; whatever a round raises, the next one comes."""

    def __init__(self, name: str, go_round: Callable[[], Awaitable[None]], every: float) -> None:
        self._name = name
        self._go_round = go_round
        self._every = every
        self._kicked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def kick(self) -> None:
        """There may be something to do: look now."""
        self._kicked.set()

    async def _run(self) -> None:
        while True:
            self._kicked.clear()
            try:
                await self._go_round()
            except Exception:
                log.exception("a round failed; the next one comes", of=self._name)
            try:
                async with asyncio.timeout(self._every):
                    await self._kicked.wait()
            except TimeoutError:
                continue
