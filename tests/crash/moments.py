"""Where something can go wrong: each moment that a process passes through, by name, and the probe that waits at one.

A moment is `process/what it is about/what it does:when`, `when` being before, during or after, such as
`conductor/PREPARING>Prepared/commit:before`, `conductor/prep_resize/send:after` or
`target/prep_resize/create_disk:before`. A run without a fault lists them; a run with one strikes at the first moment of
that name.
"""

from typing import NamedTuple

from haulier.conductor.cold_migration import table
from haulier.conductor.machine import Row, Table
from haulier.model.migration import State

ROLES = {"node1": "source", "node2": "target", "node3": "spare"}
"""What each host of the small cloud is in a move: node1 has the server, node2 is tried first."""
HOSTS = {role: host for host, role in ROLES.items()}


class Moment(NamedTuple):
    """`row` is the row of the table that it belongs to, as `TABLE.STATE>Event`; empty outside of a move."""

    process: str
    about: str
    doing: str
    when: str
    row: str = ""

    @property
    def name(self) -> str:
        return f"{self.process}/{self.about}/{self.doing}:{self.when}"


TABLES = {name: made for name, made in vars(table).items() if isinstance(made, Table)}
"""Every table that a move can go by; a new one joins by being there."""


def row_name(table_name: str, row: Row) -> str:
    return f"{table_name}.{row.state.value}>{row.on.__name__}"


def row_of(state: str, event: str | None, *, in_place: bool) -> str:
    """The row for an event in a state, or the one whose answer is waited for; empty if there is none.

    What fails belongs to the row that was waited for.
    """
    if not state:
        return ""
    by_preference = sorted(TABLES, key=lambda name: (name == "IN_PLACE") != in_place)
    for name in by_preference:
        for row in TABLES[name]:
            waited_for = row.silent is not None and event in (None, "Failed")
            if row.state == State(state) and (waited_for or row.on.__name__ == event):
                return row_name(name, row)
    return ""


class Probe:
    """Sees every moment while it is armed. `at` names the one to strike at, once."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: dict[str, Moment] = {}
        self.at: str | None = None
        self.struck = False

    def sees(self, moment: Moment) -> bool:
        """Whether this is the moment to strike at."""
        if not self.armed:
            return False
        self.seen.setdefault(moment.name, moment)
        if self.struck or moment.name != self.at:
            return False
        self.struck = True
        return True
