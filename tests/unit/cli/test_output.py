import pytest

from haulier.cli import output
from haulier.cli.problem import Problem


def test_columns_are_aligned_and_numbers_are_at_the_right() -> None:
    assert output.lines(("NAME", "RAM"), [("m1.tiny", 64), ("x", 2048)]) == [
        "NAME      RAM",
        "m1.tiny    64",
        "x        2048",
    ]


def test_a_table_has_no_trailing_blanks_and_no_line_breaks_in_a_cell() -> None:
    assert output.lines(("A", "B"), [("one\ntwo", "")]) == ["A        B", "one two  -"]


def test_a_table_without_rows_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("A",), [], empty="There is nothing.")
    assert capsys.readouterr().out == "There is nothing.\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("", "-"), (True, "yes"), (0, "0"), ((), "-"), (["a", "b"], "a, b"), ({"a": 1}, "a=1")],
)
def test_one_cell(value: object, text: str) -> None:
    assert output.text(value) == text


def test_times_are_shown_by_the_wall_clock() -> None:
    assert len(output.moment("2026-11-24T05:53:00Z")) == len("2026-11-24 05:53:00")
    assert output.moment(None) == "-"
    assert output.moment("soon") == "soon"


def test_fields_are_aligned_and_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields([("id", 1), ("reasons", "first\nsecond")])
    assert capsys.readouterr().out.splitlines() == ["id       1", "reasons  first", "         second"]


def test_two_of_one_name_are_told_apart_by_their_ids() -> None:
    with pytest.raises(Problem, match=r"2 servers are called a: 1, 2\. Use the id instead"):
        output.one_of([{"id": 1}, {"id": 2}], "server", "a")


def test_a_problem_is_one_line() -> None:
    problem = Problem("refused", "because\n  of this.", "Do that.")
    assert problem.message == "refused: because of this. Do that."
    assert Problem("refused").message == "refused"
