"""Runs the reconcilers, on a timer; one that fails is logged and runs again the next time."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

log = structlog.get_logger()


class Reconciler(Protocol):
    """Finds its own work; running it twice, or when there is nothing to do, does no harm."""

    async def sweep(self) -> None: ...


class Driver:
    """`every` is in seconds."""

    def __init__(self, reconcilers: Sequence[Reconciler], every: float) -> None:
        self._reconcilers = reconcilers
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.sweep()

    async def sweep(self) -> None:
        """Run each of them once."""
        for reconciler in self._reconcilers:
            try:
                await reconciler.sweep()
            except Exception:
                log.exception("a reconciler failed", reconciler=type(reconciler).__name__)
