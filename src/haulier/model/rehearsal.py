"""Failures on purpose, so that operators can rehearse: what the setting `fail_at` may say, in every process.

An entry reads `step[@host]:what[:times]`, for instance `prep_resize@node3:error`, `finish_resize:kill` or
`resize_instance:delay=30:1`. Without `@host` it is for every host, without `times` for every time. `what` is

| error      | the step fails at its start, with a reason that says it was rehearsed                    |
| delay=S    | the step begins S seconds late                                                          |
| kill       | the process is killed (signal 9) before the step has had any effect that lasts          |
| kill-after | the process is killed when the step is done, before anybody was told                    |
| drop       | the step is done, and what is to be said about it is lost once                          |
| double     | the step is done, and what is to be said about it is said twice                         |
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_ENTRY = re.compile(
    r"(?P<step>[A-Za-z_]+)(@(?P<host>[a-zA-Z0-9._-]+))?"
    r":(?P<what>error|kill-after|kill|drop|double|delay=(?P<seconds>\d+(\.\d+)?))"
    r"(:(?P<times>[1-9]\d*))?"
)
FORM = "step[@host]:what[:times], where what is error, delay=SECONDS, kill, kill-after, drop or double"


class What(StrEnum):
    ERROR = "error"
    DELAY = "delay"
    KILL = "kill"
    KILL_AFTER = "kill-after"
    DROP = "drop"
    DOUBLE = "double"


@dataclass
class Rehearsal:
    """One entry; `left` counts how often it is still to happen, None for always."""

    step: str
    what: What
    seconds: float = 0.0
    left: int | None = None


class Rehearsals:
    """What is to go wrong in one process. `host` is None where there is none (conductor, scheduler)."""

    def __init__(self, entries: Iterable[str], host: str | None = None) -> None:
        """Read the entries; those of other hosts are left out.

        Raises:
            ValueError: an entry is not of the form; the text has it and the form.
        """
        self._left = [found for entry in entries if (found := _read(entry, host)) is not None]

    def take(self, step: str, *kinds: What) -> Rehearsal | None:
        """What of these kinds is to happen at this step now, counted as having happened; None for nothing."""
        for rehearsal in self._left:
            if rehearsal.step == step and rehearsal.what in kinds and rehearsal.left != 0:
                if rehearsal.left is not None:
                    rehearsal.left -= 1
                return rehearsal
        return None

    def times_said(self, step: str) -> int:
        """How often what this step has to say is to be said now: once, unless it is to be lost or doubled."""
        if self.take(step, What.DROP):
            return 0
        return 2 if self.take(step, What.DOUBLE) else 1


def _read(entry: str, host: str | None) -> Rehearsal | None:
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(f"{entry!r} is not of the form {FORM}")
    if found["host"] not in (None, host):
        return None
    times = int(found["times"]) if found["times"] else None
    if found["seconds"]:
        return Rehearsal(found["step"], What.DELAY, float(found["seconds"]), times)
    return Rehearsal(found["step"], What(found["what"]), left=times)
