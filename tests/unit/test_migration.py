"""What is said of every state is said of each of them."""

from haulier.model.migration import ACTS, FINAL, STATUS, State


def test_somebody_acts_in_every_state_until_the_move_has_ended() -> None:
    assert set(ACTS) == set(State) - FINAL


def test_every_state_has_a_word_of_the_compute_api() -> None:
    assert set(STATUS) == set(State)
