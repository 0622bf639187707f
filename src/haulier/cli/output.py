"""How results are printed: aligned text, with colours on a terminal, or JSON. Imports rich only for a terminal."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from haulier.cli.problem import Problem

F = TypeVar("F", bound=Callable[..., Any])

COLOURS = {
    "ACTIVE": "green",
    "VERIFY_RESIZE": "yellow",
    "RESIZE": "cyan",
    "REVERT_RESIZE": "cyan",
    "BUILD": "cyan",
    "ERROR": "red",
    "up": "green",
    "down": "red",
    "disabled": "yellow",
    "draining": "yellow",
    "error": "red",
    "finished": "yellow",
    "confirmed": "green",
    "Success": "green",
    "Error": "red",
}
"""Words that stand out on a terminal, as rich names their colours."""


def format_option(command: F) -> F:
    """`--format table|json`, passed on as `form`."""
    option = click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print the result.",
    )
    return option(command)


def as_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def text(value: Any) -> str:
    """One value in one cell."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value) or "-"
    return str(value)


def moment(value: str | None) -> str:
    """A time of the API (UTC) as the clock on this machine's wall; what is no time is given back as it is."""
    if not value:
        return "-"
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def lines(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table as text: aligned columns, no frame; columns of numbers to the right."""
    cells = [[" ".join(text(value).split()) for value in row] for row in rows]
    raw = list(zip(*cells, strict=True)) if cells else [()] * len(heads)
    widths = [max(map(len, (head, *column))) for head, column in zip(heads, raw, strict=True)]
    right = [_is_numbers(column) for column in raw]
    table = [list(heads), *cells]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in table
    ]


def _is_numbers(column: Sequence[str]) -> bool:
    return any(cell.isdigit() for cell in column) and all(cell.isdigit() or cell == "-" for cell in column)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table, or the sentence `empty` when there is no row."""
    kept = [list(row) for row in rows]
    if not kept:
        click.echo(empty)
    elif sys.stdout.isatty():
        _on_terminal(heads, kept)
    else:
        click.echo("\n".join(lines(heads, kept)))


def fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print one object: a name and a value per line."""
    kept = [(name, text(value)) for name, value in pairs]
    width = max(len(name) for name, _ in kept)
    for name, value in kept:
        first, *rest = value.splitlines() or ["-"]
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {coloured(first)}")
        for line in rest:
            click.echo(f"{'':{width}}  {line}")


def coloured(word: str) -> str:
    """The word as it stands, in its colour if it has one; click leaves colours out where there is no terminal."""
    return click.style(word, fg=COLOURS[word]) if word in COLOURS else word


def _on_terminal(heads: Sequence[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        column = [text(row[index]) for row in rows]
        number = _is_numbers(column)
        whole = head in ("ID", "NAME", "STATUS", "HOST", "STATE")
        grid.add_column(head, justify="right" if number else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in map(text, row)))
    Console().print(grid)


def one_of(found: Sequence[Mapping[str, Any]], noun: str, name: str) -> Mapping[str, Any]:
    """The only one found under that name.

    Raises:
        Problem: there is none, or more than one.
    """
    if not found:
        raise Problem(f"there is no {noun} {name}", then=f"`haulier {noun} list` shows those there are.")
    if len(found) > 1:
        ids = ", ".join(str(one["id"]) for one in found)
        raise Problem(f"{len(found)} {noun}s are called {name}", ids, "Use the id instead.")
    return found[0]
