"""`haulier migrate`, and the three requests that follow a move: confirm, revert, resize."""

import shlex

import click

from haulier.cli import narrate, output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.follow import follow, not_as_asked, read
from haulier.cli.output import format_option
from haulier.cli.problem import Problem
from haulier.cli.wait import wait_option

NEXT = "Keep it there with `haulier server confirm {name}`, or go back with `haulier server revert {name}`."


@click.command()
@click.option("--force", type=bool, default=None, metavar="True|False", help="Move to HOST although a rule refuses it.")
@click.option(
    "--confirm-after", type=click.IntRange(min=0), metavar="SECONDS", help="Confirm by itself after so long; 0: never."
)
@wait_option()
@format_option
@click.argument("server")
@click.argument("host", required=False)
@pass_cloud
def migrate(
    cloud: Cloud, force: bool | None, confirm_after: int | None, wait: bool, form: str, server: str, host: str | None
) -> None:
    """Move SERVER to HOST while it is off, or to the host that suits it best.

    A running guest is powered off, moved and started again. Afterwards the move is either confirmed or reverted:
    the server's old copy is kept until then.

    --force True does not ask the scheduler: a disabled, draining or wrong host is taken all the same. The host's
    agent must still be alive, and what the server needs must still be free there.

    --confirm-after says for this move when it is confirmed without anybody's asking, counted from the moment it is
    done; without it the cloud's own setting counts.
    """
    if force and not host:
        raise Problem("--force True needs a host", then="Say where: haulier migrate --force True SERVER HOST")
    found = cloud.server(server)
    argument = None if host is None else {"host": host} if force is None else {"host": host, "force": force}
    if confirm_after is None:
        cloud.act(found, "migrate", argument)
    else:
        cloud.act_own(found, "migrate", {**(argument or {}), "confirm_after": confirm_after})
    _after_request(cloud, found, wait, form)


@click.command()
@click.argument("server")
@click.argument("flavor")
@wait_option()
@format_option
@pass_cloud
def resize(cloud: Cloud, server: str, flavor: str, wait: bool, form: str) -> None:
    """Give SERVER another flavor: a move with a new size, to be confirmed or reverted like any other."""
    found = cloud.server(server)
    cloud.act(found, "resize", {"flavorRef": cloud.flavor(flavor)["id"]})
    _after_request(cloud, found, wait, form)


@click.command()
@click.argument("server")
@wait_option()
@format_option
@pass_cloud
def confirm(cloud: Cloud, server: str, wait: bool, form: str) -> None:
    """Keep a moved server where it is now; the old copy is deleted."""
    _close(cloud, server, "confirmResize", "CONFIRMED", wait, form)


@click.command()
@click.argument("server")
@wait_option()
@format_option
@pass_cloud
def revert(cloud: Cloud, server: str, wait: bool, form: str) -> None:
    """Take a moved server back to where it was; what it wrote since the move is lost."""
    _close(cloud, server, "revertResize", "REVERTED", wait, form)


def _after_request(cloud: Cloud, server: Found, wait: bool, form: str) -> None:
    name, migration_id = server["name"], cloud.newest_migration(server)
    if not wait:
        _print_accepted(cloud, migration_id, form)
        return
    ended = follow(cloud, migration_id, name, form)
    if form == "json":
        output.as_json(ended)
    if ended["state"] != "AWAITS_CONFIRM":
        raise not_as_asked(ended, f"server {name} was not moved")
    if form != "json":
        click.echo(narrate.outcome(ended, name))
        click.echo(NEXT.format(name=shlex.quote(name)))
        if ended.get("confirms_at"):
            click.echo(f"Otherwise it is confirmed by itself at {output.moment(ended['confirms_at'])}.")


def _close(cloud: Cloud, server: str, action: str, wanted: str, wait: bool, form: str) -> None:
    found = cloud.server(server)
    name = found["name"]
    known = _known(cloud, found)
    cloud.act(found, action)
    migration_id = cloud.newest_migration(found)
    if not wait:
        _print_accepted(cloud, migration_id, form)
        return
    ended = follow(cloud, migration_id, name, form, told=known)
    if form == "json":
        output.as_json(ended)
    if ended["state"] != wanted:
        verb = "confirmed" if wanted == "CONFIRMED" else "reverted"
        raise not_as_asked(ended, f"the move of server {name} was not {verb}")
    if form != "json":
        click.echo(narrate.outcome(ended, name))


def _known(cloud: Cloud, server: Found) -> int:
    """How many transitions the newest move has already; 0 without a move, so that the API may refuse the request."""
    try:
        return len(read(cloud, cloud.newest_migration(server))["transitions"])
    except Problem:
        return 0


def _print_accepted(cloud: Cloud, migration_id: int, form: str) -> None:
    if form == "json":
        output.as_json(read(cloud, migration_id))
    else:
        click.echo(f"accepted as migration {migration_id}; `haulier migration show {migration_id}` tells how far it is")
