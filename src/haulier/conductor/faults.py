"""Rehearsed failures in the conductor: the setting `fail_at`, whose entries `model/rehearsal.py` explains.

The names are the states of a move in small letters (`switched:kill`): what is to happen as the move goes there.
`kill` strikes before the commit, `kill-after` after it; `delay` holds the transition back; `drop` and `double` lose or
double the first message that the new state's commands are sent in; `error` is none of the conductor's.
"""

import functools
import os
import signal
import time

from haulier.db.engine import Transaction
from haulier.errors import InvalidField
from haulier.model.migration import State
from haulier.model.rehearsal import Rehearsals, What


class Faults:
    """What is to go wrong in one conductor."""

    def __init__(self, entries: tuple[str, ...]) -> None:
        """Read the entries of the setting.

        Raises:
            InvalidField: an entry has another form.
        """
        try:
            self._rehearsals = Rehearsals(entries)
        except ValueError as problem:
            raise InvalidField("fail_at", ", ".join(entries), f"{problem}.") from problem

    def on_transition(self, tx: Transaction, to: State) -> None:
        """Called in the transaction of every transition, when all of it is written."""
        step = to.value.lower()
        if late := self._rehearsals.take(step, What.DELAY):
            time.sleep(late.seconds)
        if self._rehearsals.take(step, What.KILL):
            _die()
        if self._rehearsals.take(step, What.KILL_AFTER):
            tx.afterwards.append(_die)

    def times_sent(self, step: str) -> int:
        """How often a command of this step (`prep_resize` ...) is to be sent now."""
        return self._rehearsals.times_said(step)


@functools.cache
def of(entries: tuple[str, ...]) -> Faults:
    """The one that goes with a setting: what it counts, it counts once for the whole process."""
    return Faults(entries)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
