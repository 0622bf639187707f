"""docs/scenarios.md and the tests agree: what a row names is there, and what carries an id has a row that names tests.

Test files are read, not imported: some need QEMU or a NATS server.
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "scenarios.md"
ROW = re.compile(r"^\| (?P<id>[A-Z]\d+) \| (?P<scenario>[^|]+) \| (?P<answer>[^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
ID = re.compile(r"(?<=_)[A-GJ-M]\d+(?=_)")
WHY_NONE = ("Not built yet: ", "Does not apply: ")


def listed() -> list[tuple[str, str]]:
    """(id, test or why there is none) of every row."""
    return [(row["id"], row["answer"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def those_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_line_of_a_table_is_a_row_and_no_id_comes_twice() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heads = [line for line in lines if line.startswith(("| id |", "|---|"))]
    ids = [scenario for scenario, _ in listed()]
    assert len(ids) == len(lines) - len(heads)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("scenario", "answer"), listed(), ids=[scenario for scenario, _ in listed()])
def test_a_row_names_tests_that_carry_its_id_or_says_why_there_is_none(scenario: str, answer: str) -> None:
    named = NAMED.findall(answer)
    assert bool(named) != answer.startswith(WHY_NONE)
    for path, test in named:
        assert test in those_in(TESTS / path)
        assert scenario in ID.findall(test)


def test_whatever_carries_an_id_has_a_row_that_names_tests() -> None:
    with_tests = {scenario for scenario, answer in listed() if NAMED.search(answer)}
    carried = {
        found: f"{path.relative_to(TESTS)}::{test}"
        for path in TESTS.rglob("test_*.py")
        for test in those_in(path)
        for found in ID.findall(test)
    }
    assert {found: test for found, test in carried.items() if found not in with_tests} == {}
