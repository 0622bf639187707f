"""The saga table is complete: every state leads somewhere, and every question has an answer for failure and silence."""

import pytest

from haulier.conductor.cold_migration.steps import CancelAsked, ConfirmAsked, RevertAsked
from haulier.conductor.cold_migration.table import COLD_MIGRATION
from haulier.conductor.machine import Row, Table
from haulier.model.migration import FINAL, NEXT, ON_CANCEL, STATUS, State

FOR_A_USER = (ConfirmAsked, RevertAsked, CancelAsked)


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_every_state_that_is_not_final_leads_on(state: State) -> None:
    assert [row for row in COLD_MIGRATION if row.state == state]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_final_state_leads_nowhere(state: State) -> None:
    assert not [row for row in COLD_MIGRATION if row.state == state]


@pytest.mark.parametrize("row", COLD_MIGRATION.rows, ids=lambda row: f"{row.state}-{row.on.__name__}")
def test_failed_and_silent_are_both_said(row: Row) -> None:
    if row.on in FOR_A_USER:
        assert row.silent is None
        assert row.failed is None
    elif row.state == State.REQUESTED:
        assert row.silent is not None, "the scheduler only answers: it can't fail a move"
    else:
        assert row.silent is not None
        assert row.failed is not None


def test_every_state_can_be_reached_and_every_state_has_a_public_status() -> None:
    reached = {to for row in COLD_MIGRATION for to in row.to} | {State.REQUESTED, State.RESTORING, State.CANCELLED}
    assert reached == set(State)
    assert set(STATUS) == set(State)


def test_a_cancel_is_taken_in_every_state_before_the_switch_and_in_no_other() -> None:
    """The API makes these transitions itself, and does not look at the table."""
    assert ON_CANCEL == {row.state: row.to[0] for row in COLD_MIGRATION if row.on is CancelAsked}
    assert State.SWITCHED not in ON_CANCEL


def test_two_rows_for_one_event_are_refused() -> None:
    row = next(iter(COLD_MIGRATION))
    with pytest.raises(ValueError, match="two rows"):
        Table((row, row))


def test_what_comes_next_is_what_the_tables_say() -> None:
    said = {row.state: row.to[0] for row in COLD_MIGRATION if row.silent is not None and row.state != State.RESTORING}
    assert said == NEXT
