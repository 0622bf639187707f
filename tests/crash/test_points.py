"""The list of points is what the saga table asks for today, and leaves no row of it out."""

import collections

import pytest

from haulier.conductor.cold_migration.steps import CancelAsked, Chosen
from haulier.conductor.machine import Row
from haulier.model.migration import State
from tests.crash import points
from tests.crash.moments import TABLES, row_name
from tests.crash.points import Point
from tests.crash.test_sweep import sweep

LISTED = points.read()
ROWS = [(name, row) for name, table in TABLES.items() for row in table]


def on_row(name: str, row: Row) -> list[Point]:
    return [point for point in LISTED if point.row == row_name(name, row)]


def test_there_are_a_thousand_points_and_each_is_there_once() -> None:
    ids = collections.Counter(point.id for point in LISTED)
    assert len(ids) >= 1000
    assert max(ids.values()) == 1


def test_the_list_is_current() -> None:
    """After a change of the table, a step or a command it is made anew: make crash ARGS=--derive"""
    told = sweep("--check")
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[row_name(name, row) for name, row in ROWS])
def test_every_row_of_the_table_has_points(name: str, row: Row) -> None:
    kinds = {point.fault.partition(":")[0] for point in on_row(name, row)}
    no_host_yet = (row.state, row.on) == (State.REQUESTED, CancelAsked)
    assert {"kill", "error"} | (set() if no_host_yet else {"reboot"}) <= kinds
    if row.failed is not None:
        acts = [p for p in on_row(name, row) if p.fault == "error" and not p.at.startswith(("conductor/", "api/"))]
        assert acts, f"the column failed of {row_name(name, row)} has no point"
    if row.silent is not None:
        asked = {"lost", "late"} if row.on is Chosen else {"lost", "late", "twice"}  # a question twice is one question
        assert asked <= kinds, f"the column silent of {row_name(name, row)} has no point"


@pytest.mark.parametrize("place", ["commit:before", "commit:after", "send:before", "send:after", "intend:after"])
def test_every_place_is_struck_by_everybody(place: str) -> None:
    """Before and after the commit, before and after it is said, and in the agent's work."""
    struck = {point.fault for point in LISTED if point.at.endswith(place)}
    assert {"kill:conductor", "kill:source", "kill:target", "reboot:source", "reboot:target", "error"} <= struck
