"""The tables as a page for people: `docs/cold-migration.md` is made from them, and a test holds the two together.

Run as `python -m haulier.conductor.cold_migration.describe` it prints the page.
"""

import inspect
from collections.abc import Iterator

from haulier.conductor.cold_migration.table import COLD_MIGRATION, IN_PLACE
from haulier.conductor.machine import Row, Table
from haulier.model.migration import FINAL, STATUS, State

_HEAD = """\
# The move, state by state

Made from `src/haulier/conductor/cold_migration/table.py` by `make docs`; do not edit it here.

A move is in one state at a time. An event leads on: the answer of the host that was asked, or a user's request. Each
transition is one transaction, in which the state changes by compare-and-swap together with the claims, the server's
row, the transition log and what hosts are told next. An event that comes late, twice or out of turn changes nothing.

A request to delete the server ends the move in any state: it is CANCELLED in the transaction that accepts the request.
"""
_IN_PLACE = """
# A resize on the same host

Where `allow_resize_to_same_host` is set, a resize may find the server's own host to be the best. The states are the
same, the steps are others: no disk travels, and the old one is kept until the confirm or the revert.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, *_diagram(COLD_MIGRATION), "", *_rows(COLD_MIGRATION), "", *_statuses()]
    parts += [_IN_PLACE, *_diagram(IN_PLACE), "", *_rows(IN_PLACE)]
    return "\n".join(parts) + "\n"


def _diagram(table: Table) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    for row in table:
        yield from (f"    {row.state} --> {to}: {row.on.__name__}" for to in row.to)
        yield from (f"    {row.state} --> {to}: failed" for to in (row.failed.to if row.failed else ()))
    reached = {to for row in table for to in row.to}
    yield from (f"    {state} --> [*]" for state in State if state in FINAL & reached)
    yield "```"


def _rows(table: Table) -> Iterator[str]:
    yield "| in state | on | what is done | goes to | if the host answers *failed* | if the host is *silent* |"
    yield "|---|---|---|---|---|---|"
    yield from (_line(row) for row in table)


def _line(row: Row) -> str:
    failed = f"**{_words(row.failed)}**: {_first_words(row.failed)}" if row.failed else ""
    done = f"**{_words(row.do)}**: {_first_words(row.do)}" if inspect.getdoc(row.do) else f"**{_words(row.do)}**"
    cells = (row.state, row.on.__name__, done, " or ".join(row.to), failed, row.silent or "a user is waited for")
    return f"| {' | '.join(cells)} |"


def _statuses() -> Iterator[str]:
    yield "| state | what the Compute API calls it |"
    yield "|---|---|"
    yield from (f"| {state} | `{status}` |" for state, status in STATUS.items())


def _words(function: object) -> str:
    return str(getattr(function, "__name__", "")).replace("_", " ")


def _first_words(function: object) -> str:
    """The first paragraph of its docstring, on one line."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    print(page(), end="")
