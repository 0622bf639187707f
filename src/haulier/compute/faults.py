"""Rehearsed failures: the setting `fail_at`, for demonstrations and tests. Does nothing unless it is set.

An entry is `step[@host]:error[:times]`: the step of that name fails at its start, on that host only if one is named,
as often as `times` says, else always. The names are those of the commands' steps, such as `prep_resize`.
"""

import re
from dataclasses import dataclass

from haulier.compute.driver import HostTrouble
from haulier.errors import InvalidField

_ENTRY = re.compile(r"^(?P<step>[a-z_]+)(?:@(?P<host>[a-zA-Z0-9-._]+))?:error(?::(?P<times>[1-9][0-9]*))?$")


@dataclass
class _Rehearsal:
    step: str
    left: int | None


class Faults:
    """The rehearsed failures that are left on one host."""

    def __init__(self, host: str, entries: tuple[str, ...]) -> None:
        """Read the entries of the setting.

        Raises:
            InvalidField: an entry has another form.
        """
        self._host = host
        self._rehearsals = [rehearsal for entry in entries if (rehearsal := self._read(entry))]

    def _read(self, entry: str) -> _Rehearsal | None:
        match = _ENTRY.match(entry)
        if match is None:
            raise InvalidField("fail_at", entry, "It must be step[@host]:error[:times].")
        if match["host"] not in (None, self._host):
            return None
        return _Rehearsal(match["step"], int(match["times"]) if match["times"] else None)

    def check(self, step: str) -> None:
        """Raise HostTrouble if this step is to fail now."""
        for rehearsal in self._rehearsals:
            if rehearsal.step == step and rehearsal.left != 0:
                if rehearsal.left is not None:
                    rehearsal.left -= 1
                raise HostTrouble(f"rehearsed failure at {step} (fail_at)")
