"""Rehearsed failures on a host: the setting `fail_at`, whose entries `model/rehearsal.py` explains.

Does nothing unless it is set. The names are those of the commands' steps, such as `prep_resize`.
"""

import asyncio
import os
import signal

from haulier.compute.driver import HostTrouble
from haulier.errors import InvalidField
from haulier.model.rehearsal import Rehearsals, What


class Faults:
    """What is to go wrong on one host."""

    def __init__(self, host: str, entries: tuple[str, ...]) -> None:
        """Read the entries of the setting.

        Raises:
            InvalidField: an entry has another form.
        """
        try:
            self._rehearsals = Rehearsals(entries, host)
        except ValueError as problem:
            raise InvalidField("fail_at", ", ".join(entries), f"{problem}.") from problem

    async def before(self, step: str) -> None:
        """Fail, wait or die, if this step is to.

        Raises:
            HostTrouble: the step is to fail.
        """
        if late := self._rehearsals.take(step, What.DELAY):
            await asyncio.sleep(late.seconds)
        if self._rehearsals.take(step, What.KILL):
            _die()
        if self._rehearsals.take(step, What.ERROR):
            raise HostTrouble(f"rehearsed failure at {step} (fail_at)")

    def after(self, step: str) -> None:
        """Die when the step is done and before anybody knows, if it is to be so."""
        if self._rehearsals.take(step, What.KILL_AFTER):
            _die()

    def times_said(self, step: str) -> int:
        """How often the answer to this step is to be said now."""
        return self._rehearsals.times_said(step)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
