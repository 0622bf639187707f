"""What the command line says when something can't be done: one line, on stderr, and exit status 1."""

import sys
from typing import IO, Any

import click


class Problem(click.ClickException):
    """`what` was refused, `why`, and what to do `next`. Newlines in any of them become spaces."""

    def __init__(self, what: str, why: str = "", then: str = "") -> None:
        parts = [" ".join(part.split()) for part in (what, why) if part.strip()]
        line = ": ".join(part.rstrip(".") for part in parts)
        super().__init__(f"{line}. {then}" if then else line)

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"haulier: {self.message}", file=file or sys.stderr)


class HttpProblem(Problem):
    """The API answered with an error `status`."""

    def __init__(self, status: int, what: str, why: str = "", then: str = "") -> None:
        self.status = status
        super().__init__(what, why, then)
