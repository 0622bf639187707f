"""One question, one answer. The view is read from the database at each question and never written."""

import asyncio

import msgspec
import structlog

from haulier.bus.interface import Bus
from haulier.config.scheduler import SchedulerSettings
from haulier.db.engine import Database
from haulier.db.store import hosts
from haulier.scheduler.select import select_destinations
from haulier.wire import subjects
from haulier.wire.to_scheduler import Destinations, SelectDestinations

log = structlog.get_logger()

REMOVED = {
    "prep_resize": "removed: a failed prep_resize is sent back with conductor.migrate_server",
}
"""Methods that schedulers of this kind once had, and what took their place (requirement 3)."""


class Scheduler:
    """The scheduler process."""

    def __init__(self, settings: SchedulerSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus

    async def start(self) -> None:
        """Begin to answer."""
        await self._bus.serve(subjects.SELECT_DESTINATIONS, SelectDestinations, self.select_destinations)
        for method, text in REMOVED.items():
            await self._refuse(f"haulier.scheduler.{method}", f"no such method: {method} ({text})")
        await self._refuse(subjects.SCHEDULER_METHODS, "no such method: the scheduler answers select_destinations")

    async def finish(self) -> None:
        """Hear no more questions, and answer those that were asked, for `shutdown_timeout` seconds at most.

        One without an answer is asked again.
        """
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout):
                await self._bus.close()
        except TimeoutError:
            log.warning("stopping: a question is left without an answer", waited=self._settings.shutdown_timeout)

    async def stop(self) -> None:
        await self._bus.close()

    async def select_destinations(self, question: SelectDestinations) -> Destinations:
        """Where could this server go?"""
        candidates = await self._db.read(hosts.candidates, self._settings.down_after)
        return Destinations(select_destinations(candidates, question.request_spec, question.count, self._settings))

    async def _refuse(self, subject: str, text: str) -> None:
        async def answer(_question: msgspec.Raw) -> Destinations:
            return Destinations(no_such_method=text)

        await self._bus.serve(subject, msgspec.Raw, answer)
