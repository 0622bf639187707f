"""Watching a move until it is settled, on a terminal with one line that is rewritten, elsewhere line by line."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from haulier.cli import narrate
from haulier.cli.cloud import Cloud, Found
from haulier.cli.problem import Problem
from haulier.cli.wait import only_watching, pauses

SAY_PRESENT_EVERY = 2.0
"""Seconds between two lines on the progress of a copy where a line can't be rewritten."""


class Screen(Protocol):
    """Where a move is told."""

    def say(self, after: float, sentence: str) -> None:
        """Something happened, `after` seconds after the request."""
        ...

    def present(self, words: str) -> None:
        """What goes on at this moment."""
        ...


class Lines:
    """Each event as a line; the present now and then."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def say(self, after: float, sentence: str) -> None:
        click.echo(f"{after:6.1f} s  {sentence}")

    def present(self, words: str) -> None:
        if words and time.monotonic() - self._said_at >= SAY_PRESENT_EVERY:
            self._said_at = time.monotonic()
            click.echo(f"{'':8}  {words}")


class Silence:
    """For `--format json`: only the result is printed."""

    def say(self, after: float, sentence: str) -> None: ...

    def present(self, words: str) -> None: ...


class Live:
    """Each event as a line, and the present below them with a spinner."""

    def __init__(self, status: Any) -> None:
        self._status = status

    def say(self, after: float, sentence: str) -> None:
        from rich.text import Text

        line = Text.assemble((f"{after:6.1f} s  ", "dim"), sentence)
        self._status.console.print(line, soft_wrap=True)

    def present(self, words: str) -> None:
        self._status.update(words or "...")


@contextmanager
def screen(form: str) -> Iterator[Screen]:
    """The right screen for stdout and `--format`."""
    if form == "json":
        yield Silence()
    elif not sys.stdout.isatty():
        yield Lines()
    else:
        from rich.console import Console

        with Console().status("...") as status:
            yield Live(status)


def follow(cloud: Cloud, migration_id: int, name: str, form: str, *, told: int = 0) -> Found:
    """Tell a move of server `name` until it is settled, and return its last document; `told` as in `Story`."""
    story = narrate.Story(told=told)
    goes_on = f"the move goes on; `haulier migration show {migration_id}` tells how far it is"
    with only_watching(goes_on), screen(form) as shown:
        for _ in pauses():
            document = read(cloud, migration_id)
            for after, sentence in story.news(document):
                shown.present("")
                shown.say(after, sentence)
            if document["state"] in narrate.SETTLED:
                return document
            shown.present(story.present(document, time.monotonic()))
    raise AssertionError


def read(cloud: Cloud, migration_id: int) -> Found:
    """All that haulier knows of a move."""
    document: Found = cloud.client.own("GET", f"/migrations/{migration_id}")["migration"]
    return document


def not_as_asked(document: Found, what: str) -> Problem:
    """The error line of a move that ended elsewhere than it should have."""
    why = "; ".join(narrate.reasons(document)) or f"it is {document['status']}"
    return Problem(what, why, f"`haulier migration show {document['id']}` has the whole story.")
