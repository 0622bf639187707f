"""Tells those who listen what became of each move, in the order of its log; nobody has to listen.

What is told is not written anywhere of its own: it is the transition log, and a mark in the move's row says how far it
was told. Killed before the commit of a transition, there is nothing to tell. Killed after it, before or while it is
told or before the mark is written, the next conductor tells it, again perhaps, under the same number with the same
content. Two conductors may both tell it: each in order, so what a listener hears from either goes up by one.
The mark moves only when the bus has what was said, so no number is left out however often the bus is lost.

Moves do not wait for this: it is a task of its own, and the bus keeps nothing for a listener that is slow or absent.
"""

from typing import Any

import structlog
from sqlalchemy import Row

from haulier.bus.interface import Bus, BusError
from haulier.conductor.rounds import Rounds
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database
from haulier.db.store import announcements
from haulier.model.ids import HostName, MigrationId, ProjectId, ServerId, UserId
from haulier.model.migration import FINAL, STATUS, Kind, State
from haulier.wire import subjects
from haulier.wire.notifications import MoveNotification, Told

log = structlog.get_logger()

AT_ONCE = 100
"""Most moves that are told about in one round."""


class Notifications:
    """The teller of one conductor."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus
        self._rounds = Rounds("notifications", self._round, settings.resend_after / 4)
        self._waits = False

    def start(self) -> None:
        self._rounds.start()

    async def stop(self) -> None:
        """Tell no more; what was not told is told by the next conductor."""
        await self._rounds.stop()

    def kick(self) -> None:
        """Something may have happened: look now, and not only after a while."""
        self._rounds.kick()

    async def _round(self) -> None:
        try:
            await self.tell()
            self._waits = False
        except BusError as problem:
            if not self._waits:
                log.warning("notifications wait for the bus", problem=str(problem))
            self._waits = True

    async def tell(self) -> None:
        """Tell all that is to be told now.

        Raises:
            BusError: the bus did not take it; it is to be told again.
        """
        while found := await self._db.read(announcements.untold, AT_ONCE):
            news = [one for move, lines in found for one in _notifications(move, lines)]
            said = [(subjects.notifications(one.migration), one) for one in news]
            await self._bus.publish(said, self._settings.question_timeout)
            await self._db.write(announcements.told, {one.migration: one.number for one in news})
            if len(found) < AT_ONCE:
                return


def _notifications(move: Row[Any], lines: list[Row[Any]]) -> list[MoveNotification]:
    accepted = [_start(move)] if move.announced < 0 else []
    return [*accepted, *(_line(move, line) for line in lines)]


def _start(move: Row[Any]) -> MoveNotification:
    asked = {"event": "Accepted", "actor": move.asker_id, "at": move.created_at.timestamp()}
    return _notification(move, 0, Told.START, State.REQUESTED, target=None, attempt=0, reason=None, **asked)


def _line(move: Row[Any], line: Row[Any]) -> MoveNotification:
    state = State(line.to_state)
    caused = {"event": line.event, "actor": line.actor, "at": line.at.timestamp()}
    where = {"target": line.target, "attempt": line.attempt}
    return _notification(move, line.generation, _told(state), state, reason=_reason(move, line), **where, **caused)


def _told(state: State) -> Told:
    if state == State.FAILED:
        return Told.ERROR
    return Told.END if state in FINAL else Told.STEP


def _reason(move: Row[Any], line: Row[Any]) -> str | None:
    """Those of the whole move where it failed: nothing is added to them afterwards."""
    return "; ".join(move.reasons) if line.to_state == State.FAILED else line.detail


def _notification(
    move: Row[Any],
    number: int,
    told: Told,
    state: State,
    *,
    target: str | None,
    attempt: int,
    reason: str | None,
    event: str,
    actor: str,
    at: float,
) -> MoveNotification:
    return MoveNotification(
        migration=MigrationId(move.id),
        number=number,
        told=told,
        uuid=move.uuid,
        server=ServerId(move.server_id),
        kind=Kind(move.kind),
        project_id=ProjectId(move.owner_project_id),
        user_id=UserId(move.owner_user_id),
        request_id=move.request_id,
        state=state,
        status=STATUS[state],
        event=event,
        actor=actor,
        source=HostName(move.source),
        target=HostName(target) if target is not None else None,
        attempt=attempt,
        reason=reason,
        at=at,
    )
