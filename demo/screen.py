"""How the demo looks: headings, commands as a user would type them, remarks. Colours only on a terminal."""

import shlex
import sys
import textwrap
from collections.abc import Sequence

BOLD, DIM, CYAN, GREEN, RED = "1", "2", "36", "32", "31"
WIDTH = 100


def _paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text


def _write(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def heading(number: int, text: str) -> None:
    _write(_paint(BOLD, f"\n{number}. {text}"))


def say(text: str) -> None:
    """A remark, in sentences."""
    for line in textwrap.wrap(text, WIDTH):
        _write(_paint(DIM, line))


def fact(text: str) -> None:
    """Something that was seen and counts."""
    _write(_paint(CYAN, f"   {text}"))


def command(words: Sequence[str]) -> None:
    """A command that is about to run, as it could be typed."""
    _write(f"{_paint(GREEN, '$')} {_paint(BOLD, 'haulier ' + shlex.join(words))}")


def line(text: str = "") -> None:
    _write(text)


def trouble(text: str) -> None:
    _write(_paint(RED, f"\n{text}"))
