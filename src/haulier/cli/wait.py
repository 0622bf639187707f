"""Waiting for a server to get where it was sent. Ctrl-C ends the waiting, never what is waited for."""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from haulier.cli.cloud import Cloud, Found
from haulier.cli.problem import HttpProblem, Problem

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def wait_option(default: bool = True) -> Callable[[F], F]:
    """`--wait/--no-wait`, passed on as `wait`."""
    return click.option(
        "--wait/--no-wait", default=default, show_default=True, help="Stay until it is done, or only ask for it."
    )


@contextmanager
def only_watching(what_goes_on: str) -> Iterator[None]:
    """Turn Ctrl-C into a sentence that says what goes on without us, and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nhaulier: not watching any more; {what_goes_on}", err=True)
        raise SystemExit(INTERRUPTED) from None


def pauses(first: float = 0.1, longest: float = 1.0) -> Iterator[None]:
    """Sleep between two looks: short at first, since much is over soon, then longer."""
    pause = first
    while True:
        yield
        time.sleep(pause)
        pause = min(longest, pause * 1.3)


def until_free(cloud: Cloud, server_id: str) -> Found:
    """Look at a server until nothing is being done to it, and return it.

    Raises:
        Problem: it ended in ERROR; its fault says why.
    """
    for _ in pauses():
        server: Found = cloud.client.compute("GET", f"/servers/{server_id}")["server"]
        if server["status"] == "ERROR":
            fault = (server.get("fault") or {}).get("message") or "the API gives no reason"
            events = f"`haulier server events {shlex.quote(server['name'])}` shows each step."
            raise Problem(f"server {server['name']} is in ERROR", fault, events)
        if server["status"] != "BUILD" and not server.get("OS-EXT-STS:task_state"):
            return server
    raise AssertionError


def until_gone(cloud: Cloud, server_id: str) -> None:
    """Look at a server until it is not there any more."""
    for _ in pauses():
        try:
            cloud.client.compute("GET", f"/servers/{server_id}")
        except HttpProblem as problem:
            if problem.status == 404:
                return
            raise
