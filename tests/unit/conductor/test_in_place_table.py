"""The table of a resize on one host: complete like the other, and nothing in it can reach the server's own files."""

import inspect
import re

import pytest

from haulier.conductor.cold_migration import in_place
from haulier.conductor.cold_migration.steps import CancelAsked, ConfirmAsked, RevertAsked
from haulier.conductor.cold_migration.table import COLD_MIGRATION, IN_PLACE
from haulier.conductor.machine import Row, Silence
from haulier.model.migration import FINAL, ON_CANCEL, State

BEFORE_A_TARGET = {State.REQUESTED}
NOT_NEEDED = {State.RECEIVING}
"""The copy is made and compared in one step."""


def test_it_leads_on_from_every_state_that_it_can_be_in() -> None:
    leads_on = {row.state for row in IN_PLACE}
    assert leads_on == set(State) - FINAL - BEFORE_A_TARGET - NOT_NEEDED
    reached = {to for row in IN_PLACE for to in row.to} | {State.PREPARING, State.RESTORING, State.CANCELLED}
    assert reached == set(State) - BEFORE_A_TARGET - NOT_NEEDED


@pytest.mark.parametrize("row", IN_PLACE.rows, ids=lambda row: f"{row.state}-{row.on.__name__}")
def test_failed_and_silent_are_both_said(row: Row) -> None:
    waits_for_a_user = row.on in (ConfirmAsked, RevertAsked, CancelAsked)
    assert (row.failed is None, row.silent is None) == (waits_for_a_user, waits_for_a_user)


def test_what_a_user_asks_for_leads_to_the_same_state_in_both() -> None:
    """The API makes these two transitions itself, and does not look at the table."""
    asked = [
        [(row.on, row.to) for row in table if row.state == State.AWAITS_CONFIRM] for table in (COLD_MIGRATION, IN_PLACE)
    ]
    assert asked[0] == asked[1]
    cancelled = {row.state: row.to[0] for row in IN_PLACE if row.on is CancelAsked}
    assert cancelled.items() <= ON_CANCEL.items()


def test_a_host_that_has_the_disk_is_never_given_up() -> None:
    """Silence leads to nothing; a fence only closes a question that has no effect."""
    questions = {State.ATTESTING, State.REVERT_CHECKING}
    for row in IN_PLACE:
        allowed = (None, Silence.OR_FENCE_FAILS) if row.state in questions else (None, Silence.ASK_AGAIN)
        assert row.silent in allowed, row


def test_no_step_of_it_can_tell_the_host_to_discard_the_guest() -> None:
    for row in IN_PLACE:
        for step in (row.do, row.failed):
            if step is not None:
                assert not re.search(r"DiscardGuest|discard_\w+\(", inspect.getsource(step)), step
    assert not hasattr(in_place, "DiscardGuest")
