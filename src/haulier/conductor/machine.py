"""Runs a table: one event, one transaction, one transition. Knows nothing of what the steps do.

A transition is a compare-and-swap on the migration's generation together with all that the step wrote: claims, the
server, the log, the outbox. An event that comes late, twice, or out of turn finds no row and changes nothing.
"""

import functools
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from haulier.conductor import faults
from haulier.db.store import migrations
from haulier.model.migration import Migration, State
from haulier.wire.events import Failed

if TYPE_CHECKING:
    from haulier.conductor.cold_migration.step import Step


class Silence(StrEnum):
    """What to do about a host that does not answer.

    Nothing may be concluded from silence. An operator's word that the host is off, a fence, is something else: then
    no guest runs there, and none will before the host has been told what it owns.
    """

    ASK_AGAIN = "ask again, and wait"
    ASK_THEN_NEXT = "ask again, then try the next alternate; a fence counts as failed"
    OR_FENCE_FAILS = "ask again, and wait; a fence counts as failed"
    OR_FENCE_DOES = "ask again, and wait; a fence counts as done"


class Undo:
    """What is done when the host answers *failed*, and where that may lead; called like the function it is made of."""

    def __init__(self, function: "Callable[[Step, Any], State]", to: tuple[State, ...]) -> None:
        self.to = to
        self._function = function
        functools.update_wrapper(self, function)

    def __call__(self, step: "Step", failed: Any) -> State:
        return self._function(step, failed)


def leads_to(*states: State) -> "Callable[[Callable[[Step, Any], State]], Undo]":
    """Says where a function of the `failed` column may lead; nothing means that the state stays."""
    return lambda function: Undo(function, states)


class Row(NamedTuple):
    """In `state`, on an event of type `on`, `do` it and go to one of `to`; `do` says which when there are several."""

    state: State
    on: type
    do: "Callable[[Step, Any], State | None]"
    to: tuple[State, ...]
    failed: Undo | None
    silent: Silence | None


class Table:
    """The rows, found by state and event. Two rows for one pair are refused when the table is made."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self._by_event = {(row.state, row.on): row for row in rows}
        self._by_state = {row.state: row for row in rows if row.silent is not None}
        if len(self._by_event) != len(rows):
            raise ValueError("two rows for the same state and event")

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def on(self, state: State, event: object) -> Row | None:
        """The row for an event in a state, None when it means nothing there."""
        return self._by_event.get((state, type(event)))

    def waiting_in(self, state: State) -> Row | None:
        """The row whose answer is waited for in a state; None where a user is waited for, or nobody."""
        return self._by_state.get(state)


def fire(table: Table, step: "Step", event: object, actor: str) -> bool:
    """Make the transition that `event` calls for in the move's present state; False when it calls for none.

    `step` must have been made for the generation after the present one.

    Raises:
        LostRace: the move went on meanwhile; the caller's whole transaction is to be given up.
    """
    migration = step.migration
    if isinstance(event, Failed):
        return _fail(table, step, event, actor)
    row = table.on(migration.state, event)
    if row is None:
        return False
    to = row.do(step, event) or row.to[0]
    _advance(step, migration, to, type(event).__name__, actor)
    return True


def _fail(table: Table, step: "Step", failed: Failed, actor: str) -> bool:
    row = table.waiting_in(step.migration.state)
    if row is None or row.failed is None:
        return False
    _advance(step, step.migration, row.failed(step, failed), "Failed", actor, failed.reason)
    return True


def _advance(step: "Step", migration: Migration, to: State, event: str, actor: str, detail: str | None = None) -> None:
    migrations.advance(step.tx, migration, to, event=event, actor=actor, detail=detail)
    faults.of(step.settings.fail_at).on_transition(step.tx, to)
