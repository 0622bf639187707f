"""What `fail_at` may say."""

import pytest

from haulier.model.rehearsal import Rehearsals, What


@pytest.mark.parametrize(
    ("entry", "what", "seconds"),
    [
        ("prep_resize:error", What.ERROR, 0.0),
        ("prep_resize@n1:error", What.ERROR, 0.0),
        ("prep_resize:delay=2.5", What.DELAY, 2.5),
        ("prep_resize:kill", What.KILL, 0.0),
        ("prep_resize:kill-after", What.KILL_AFTER, 0.0),
        ("prep_resize:drop", What.DROP, 0.0),
        ("prep_resize:double", What.DOUBLE, 0.0),
    ],
)
def test_each_kind(entry: str, what: What, seconds: float) -> None:
    found = Rehearsals((entry,), "n1").take("prep_resize", what)
    assert found is not None
    assert found.seconds == seconds


def test_only_what_is_asked_for_is_taken_and_only_so_often() -> None:
    rehearsals = Rehearsals(("a:drop:2", "b@other:error"), "n1")
    assert rehearsals.take("a", What.KILL) is None
    assert rehearsals.take("b", What.ERROR) is None
    assert [rehearsals.take("a", What.DROP) is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("entry", ["", "a", "a:b", "a:error:0", "a:delay", "a:delay=x", ":error", "a:kill:kill"])
def test_what_can_not_be_read_is_refused_with_the_form(entry: str) -> None:
    with pytest.raises(ValueError, match="is not of the form step"):
        Rehearsals((entry,))
