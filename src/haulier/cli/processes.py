"""`haulier api`, `conductor`, `scheduler` and `compute`: one process each, until SIGTERM. They log to stderr."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from haulier.cli.problem import Problem

config_option = click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Settings in TOML; docs/operate/nats.md has one of each.",
)


@click.command()
@config_option
def api(config: Path) -> None:
    """Run an API process: it answers clients and accepts what they ask for."""
    processes = _processes()
    from haulier.config.processes import ApiFile

    _run("api", processes.api, config, ApiFile)


@click.command()
@config_option
def conductor(config: Path) -> None:
    """Run a conductor: it carries out what was accepted."""
    processes = _processes()
    from haulier.config.processes import ConductorFile

    _run("conductor", processes.conductor, config, ConductorFile)


@click.command()
@config_option
def scheduler(config: Path) -> None:
    """Run a scheduler: it answers where a server could go."""
    processes = _processes()
    from haulier.config.processes import SchedulerFile

    _run("scheduler", processes.scheduler, config, SchedulerFile)


@click.command()
@config_option
def compute(config: Path) -> None:
    """Run the agent of this host. Its guests go on when it ends."""
    processes = _processes()
    from haulier.config.processes import ComputeFile

    _run("compute", processes.compute, config, ComputeFile)


def _processes() -> ModuleType:
    """The module that composes them, which needs what the all-in-one does not."""
    try:
        from haulier import processes
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise Problem(
            "a process of its own needs NATS", "its client is missing", "pip install haulier[nats]"
        ) from error
    return processes


Process = Callable[[Any], AbstractAsyncContextManager[Any]]


def _run(name: str, process: Process, config: Path, file_type: type) -> None:
    """From start to SIGTERM or SIGINT: then what is in hand is finished or parked. A second signal ends it at once.

    Raises:
        Problem: the settings can't be used, or the process can't start with them.
    """
    import asyncio

    from haulier.config.load import load
    from haulier.errors import HaulierError
    from haulier.telemetry import log

    log.configure()
    try:
        asyncio.run(_until_told(name, process, load(config, file_type)))
    except (HaulierError, OSError) as error:
        raise Problem(f"haulier {name} did not start", str(error)) from error


async def _until_told(name: str, process: Process, settings: Any) -> None:
    import structlog

    from haulier.cli.signals import told_to_end

    log = structlog.get_logger()
    told = told_to_end()
    async with process(settings) as what:
        log.info("ready", process=name, **({"url": what} if what else {}))
        _notify("READY=1")
        await told.wait()
        log.info("ending", process=name)
        _notify("STOPPING=1")
    log.info("ended", process=name)


def _notify(state: str) -> None:
    """Tell systemd, or whoever else asked to be told by NOTIFY_SOCKET (sd_notify(3), units of `Type=notify`)."""
    import os
    import socket

    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.sendto(state.encode(), address.replace("@", "\0", 1))
        except OSError as problem:
            click.echo(f"haulier: nobody was told of {state}: {problem}", err=True)
