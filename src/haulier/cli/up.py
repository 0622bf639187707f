"""`haulier up` and `haulier down`: the whole control plane on this machine, in one process, in the foreground.

Guests outlive it, as they outlive the agent of a host; `down` ends them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from haulier.cli.credentials import LOCAL_CLOUD, state_dir
from haulier.cli.problem import Problem

if TYPE_CHECKING:
    from haulier.cli.local import StateDirectory
    from haulier.config.allinone import AllInOneSettings

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="HAULIER_STATE",
    help="Where everything is kept.  [default: /var/lib/haulier for root, else ~/.local/state/haulier]",
)


def _address(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """`HOST:PORT`; port 0 takes a free one."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value} is not of the form HOST:PORT", context, parameter)
    return host.strip("[]"), int(port)


@click.command()
@state_option
@click.option(
    "--listen",
    callback=_address,
    metavar="HOST:PORT",
    default="127.0.0.1:8774",
    show_default=True,
    help="Where the API answers; port 0 takes a free one.",
)
@click.option("--hosts", type=click.IntRange(1, 50), default=3, show_default=True, help="How many hosts.")
@click.option(
    "--fail-at",
    multiple=True,
    metavar="STEP[@HOST]:WHAT[:TIMES]",
    help="Rehearse a failure: error, delay=S, kill, kill-after, drop, double.",
)
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings in TOML that replace the defaults."
)
def up(state: Path | None, listen: tuple[str, int], hosts: int, fail_at: tuple[str, ...], config: Path | None) -> None:
    """Run haulier on this machine until Ctrl-C: the API, the scheduler, the conductor and a few hosts."""
    import asyncio

    from haulier.cli.local import StateDirectory

    directory = StateDirectory(state or state_dir())
    directory.hold()
    settings = directory.settings(listen, hosts, fail_at, config)
    first = not directory.clouds_yaml.exists()
    password = directory.make_admin()
    directory.keep_settings(settings)
    asyncio.run(_run(directory, settings, password, first))


async def _run(directory: "StateDirectory", settings: "AllInOneSettings", password: str, first: bool) -> None:
    """From start to Ctrl-C. The log goes to a file, so that what is on the screen is for reading."""
    import asyncio

    from haulier.allinone import AllInOne
    from haulier.cli.cloud import Cloud
    from haulier.cli.seed import seed
    from haulier.cli.signals import told_to_end
    from haulier.errors import HaulierError
    from haulier.telemetry import log

    log.configure(directory.log)
    told = told_to_end()
    cloud = AllInOne(settings)
    try:
        await cloud.start()
    except (HaulierError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        where = f"{settings.api.host}:{settings.api.port}"
        raise Problem(f"haulier did not start, to listen on {where}", why, f"Its log is {directory.log}.") from error
    try:
        content = directory.write_clouds_yaml(cloud.url, password)
        await asyncio.to_thread(seed, Cloud.at(directory.clouds_yaml))
        _greet(directory, settings, cloud.url, content if first else None)
        await told.wait()
        limit = f"at most {cloud.shutdown_timeout:g} s"
        click.echo(f"\nEnding: what is in hand is finished first, {limit}. Ctrl-C again ends it at once.")
        await cloud.finish()
    finally:
        await cloud.stop()
    _part(directory, settings)


def _greet(directory: "StateDirectory", settings: "AllInOneSettings", url: str, content: str | None) -> None:
    names = ", ".join(host.host for host in settings.hosts)
    click.echo(f"haulier answers at {url} with the hosts {names}; its log is {directory.log}\n")
    if content is None:
        click.echo(f"Credentials: cloud {LOCAL_CLOUD} of {directory.clouds_yaml}\n")
    else:
        click.echo(f"{directory.clouds_yaml} (shown this once, readable by you alone):\n")
        click.echo("".join(f"    {line}\n" for line in content.splitlines()))
    from haulier.cli.seed import FLAVORS, IMAGE

    click.echo("Try in another terminal:\n")
    for command in (
        f"haulier server create --image {IMAGE} --flavor {FLAVORS[0].name} demo",
        "haulier migrate demo",
        "haulier server confirm demo",
    ):
        click.echo(f"    {_prefix(directory)}{command}")
    click.echo("\nCtrl-C ends haulier; guests go on running until `haulier down`.")


def _prefix(directory: "StateDirectory") -> str:
    """What has to stand before a command so that it finds this cloud."""
    return "" if directory.path == state_dir().absolute() else f"HAULIER_STATE={directory.path} "


def _part(directory: "StateDirectory", settings: "AllInOneSettings") -> None:
    running = sum(len(_processes(Path(host.state_dir))) for host in settings.hosts)
    if running:
        guests = "1 guest goes" if running == 1 else f"{running} guests go"
        again = "`haulier up` takes them up again"
        click.echo(f"{guests} on running: {again}, `{_prefix(directory)}haulier down` ends them.")


def _processes(host_dir: Path) -> list[int]:
    """The ids of all processes that work in a server's folder of that host."""
    from haulier.compute.qemu.child import processes_in

    servers = host_dir / "servers"
    folders = list(servers.iterdir()) if servers.is_dir() else []
    return [pid for folder in folders for pid, _ in processes_in(folder)]


@click.command()
@state_option
@click.option("--grace", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to power off in.")
def down(state: Path | None, grace: float) -> None:
    """End the `haulier up` of this machine and every guest that it left running; disks stay."""
    import asyncio

    from haulier.cli.local import StateDirectory

    directory = StateDirectory(state or state_dir())
    settings = directory.kept_settings()
    _end_up(directory)
    directory.hold()
    ended = sum(asyncio.run(_end_guests(settings, grace)))
    guests = {0: "no guest was running", 1: "ended 1 guest"}.get(ended, f"ended {ended} guests")
    click.echo(f"{guests}; all disks are kept in {directory.path}")


def _end_up(directory: "StateDirectory") -> None:
    """Ask a running `haulier up` to end, and wait until it has."""
    import os
    import signal

    from haulier.cli.wait import pauses

    asked = directory.holder()
    if asked is None:
        return
    click.echo(f"ending the haulier with process id {asked}; it finishes what it has in hand")
    os.kill(asked, signal.SIGTERM)
    for _ in pauses():
        if directory.holder() != asked:
            return


async def _end_guests(settings: "AllInOneSettings", grace: float) -> list[int]:
    """Power every guest off, all at once; how many there were on each host."""
    import asyncio

    from haulier.compute.driver import HAS_PROCESS, HostTrouble
    from haulier.compute.qemu.driver import QemuDriver

    async def end_on(driver: QemuDriver) -> int:
        await driver.open(lambda server_id, power_state: None)
        running = [one for one in driver.servers() if driver.power_state(one) in HAS_PROCESS]
        await asyncio.gather(*(driver.power_off(one, grace) for one in running))
        for server_id in driver.servers():
            await driver.close_export(server_id)
        await driver.close()
        return len(running)

    try:
        return await asyncio.gather(*(end_on(QemuDriver(host)) for host in settings.hosts))
    except HostTrouble as error:
        raise Problem("not every guest could be ended", str(error)) from error
