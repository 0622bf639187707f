"""The page about the move says what the table does."""

from pathlib import Path

from haulier.conductor.cold_migration.describe import page

PAGE = Path(__file__).parents[3] / "docs" / "cold-migration.md"


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"
