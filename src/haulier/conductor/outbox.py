"""Says what was committed, until it is answered. A row is the truth; a message is only a nudge about it.

Any number of conductors may do this over one database: a row may be said twice, and order is not promised.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row

from haulier.bus.interface import Bus, BusError
from haulier.conductor import faults
from haulier.conductor.rounds import Rounds
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, outbox
from haulier.model.ids import HostName
from haulier.wire import codec, subjects
from haulier.wire.to_compute import Command, Directive
from haulier.wire.to_conductor import Request

log = structlog.get_logger()

AT_ONCE = 200
"""Most rows that are taken up in one round."""

Handle = Callable[[Request, str], Awaitable[None]]


class Outbox:
    """The sender. `handle` is given the rows that are for the conductor itself, decoded."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus, handle: Handle) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus
        self.handle = handle
        self._rounds = Rounds("outbox", self._round, settings.resend_after / 4)
        self._in_hand: dict[str, asyncio.Task[None]] = {}
        self._begins = True
        self.taps: list[Callable[[str, bytes], None]] = []
        """Each gets the subject and the bytes of an accepted request as the conductor takes it up, for recorders."""

    def start(self) -> None:
        self._rounds.start()

    def take_no_more(self) -> None:
        """Begin no accepted request any more: it stays in the outbox, for another conductor or a later one.

        Commands are sent as before, since what is in hand may need them.
        """
        self._begins = False

    async def finish(self, at_most: float) -> list[str]:
        """Wait for the requests in hand, `at_most` seconds; those that were not done by then."""
        if self._in_hand:
            await asyncio.wait(self._in_hand.values(), timeout=at_most)
        return self.in_hand()

    def in_hand(self) -> list[str]:
        """The requests that are being carried out, in words."""
        return [task.get_name() for task in self._in_hand.values()]

    async def stop(self) -> None:
        """Stop sending, and let the requests in hand come to their commit."""
        await self._rounds.stop()
        await asyncio.gather(*self._in_hand.values(), return_exceptions=True)

    def kick(self) -> None:
        """There is something new: look now, and not only when the next row is due."""
        self._rounds.kick()

    async def _round(self) -> None:
        if not await self._db.read(outbox.due, 1):
            return
        for row, incarnation in await self._db.write(self._take_up):
            if row.host is None:
                self._begin(row)
            elif incarnation is not None:
                await self._send(row, incarnation)

    def _take_up(self, tx: Transaction) -> list[tuple[Row[Any], str | None]]:
        """The due rows, each put off to its next time; a host that was never heard has no incarnation to speak to."""
        rows = [row for row in outbox.due(tx, AT_ONCE) if self._begins or row.host is not None]
        found = {row.host: hosts.find(tx, row.host) for row in rows if row.host is not None}
        for row in rows:
            patience = self._settings.resend_after * 2 ** min(row.sends, 10)
            outbox.mark_sent(tx, row.id, min(patience, self._settings.resend_at_most))
        return [(row, host.incarnation if (host := found.get(row.host)) is not None else None) for row in rows]

    def _begin(self, row: Row[Any]) -> None:
        if row.id in self._in_hand or not self._begins:
            return
        for tap in self.taps:
            tap(row.subject, row.body)
        task = asyncio.create_task(self._take_in_hand(row), name=f"{row.step} of server {row.server_id}")
        self._in_hand[row.id] = task
        task.add_done_callback(lambda _: self._in_hand.pop(row.id, None))

    async def _take_in_hand(self, row: Row[Any]) -> None:
        try:
            await self.handle(codec.decode(row.body, Request), row.id)  # type: ignore[arg-type]
        except BusError as problem:
            log.warning("a request waits for somebody who does not answer", row=row.id, problem=str(problem))
        except Exception:
            log.exception("a request could not be handled; it will be tried again", row=row.id, step=row.step)

    async def _send(self, row: Row[Any], incarnation: str) -> None:
        command = msgspec.structs.replace(codec.decode(row.body, Command), incarnation=incarnation)
        for _ in range(faults.of(self._settings.fail_at).times_sent(command.step)):
            await self._bus.tell(subjects.commands(HostName(row.host)), Directive(command=command))
