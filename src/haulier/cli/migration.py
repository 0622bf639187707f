"""`haulier migration ...`: every move there was, and the whole story of one."""

from typing import Any

import click

from haulier.cli import narrate, output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.follow import follow, not_as_asked, read
from haulier.cli.output import format_option
from haulier.cli.quantities import duration, size
from haulier.cli.wait import wait_option


@click.group()
def migration() -> None:
    """Migrations: the moves, past and present."""


@migration.command("list")
@click.option("--server", help="Only those of this server.")
@click.option("--status", help="Only those with this status, such as error or finished.")
@click.option("--host", help="Only those from or to this host.")
@format_option
@pass_cloud
def list_migrations(cloud: Cloud, server: str | None, status: str | None, host: str | None, form: str) -> None:
    """Show the moves, the newest last."""
    wanted = {"instance_uuid": cloud.server(server)["id"] if server else None, "status": status, "host": host}
    rows = cloud.client.compute("GET", "/os-migrations", **wanted)["migrations"]
    rows.sort(key=lambda one: one["id"])
    if form == "json":
        output.as_json(rows)
        return
    heads = ("ID", "SERVER", "TYPE", "STATUS", "SOURCE", "TARGET", "ASKED FOR")
    cells = [
        (
            one["id"],
            one["instance_uuid"],
            one.get("migration_type"),
            one["status"],
            one.get("source_compute"),
            one.get("dest_compute"),
            output.moment(one.get("created_at")),
        )
        for one in rows
    ]
    output.table(heads, cells, empty="There are no migrations.")


@migration.command()
@click.argument("migration")
@format_option
@pass_cloud
def show(cloud: Cloud, migration: str, form: str) -> None:
    """Show all about one move: MIGRATION is its number, or a server, whose newest move is shown."""
    found = _found(cloud, migration)
    if form == "json":
        output.as_json(found)
        return
    output.fields(_pairs(found))
    click.echo()
    for after, sentence in narrate.Story().news(found):
        click.echo(f"{after:8.1f} s  {sentence}")


@migration.command()
@click.argument("migration")
@wait_option()
@format_option
@pass_cloud
def cancel(cloud: Cloud, migration: str, wait: bool, form: str) -> None:
    """End a move as it began: MIGRATION is its number, or a server, whose newest move is ended.

    Possible until the target takes the server over; from then on a move is confirmed or reverted. A copy under way
    ends, and a guest that was powered off for the move is started again where it was.
    """
    found = _found(cloud, migration)
    number, server = found["id"], found["server_id"]
    cloud.client.compute("DELETE", f"/servers/{server}/migrations/{number}")
    if wait:
        found = follow(cloud, number, server, form, told=len(found["transitions"]))
    elif form != "json":
        click.echo(f"accepted; `haulier migration show {number}` tells how far it is")
    if form == "json":
        output.as_json(found if wait else read(cloud, number))
    if wait and narrate.left_off(found):
        raise not_as_asked(found, f"migration {number} is cancelled, but the guest could not be started again")


def _found(cloud: Cloud, migration: str) -> Found:
    """The whole document of a move, by its number or by its server, whose newest it is then."""
    number = int(migration) if migration.isdecimal() else cloud.newest_migration(cloud.server(migration))
    return read(cloud, number)


def _pairs(one: Found) -> list[tuple[str, Any]]:
    asked = "any host"
    if one["named"]:
        asked = "this host, forced" if one["forced"] else "this host"
    pairs = [
        ("migration", one["id"]),
        ("server", one["server_id"]),
        ("type", one["type"]),
        ("status", f"{one['status']} ({one['state']})"),
        ("source", one["source"]),
        ("target", one.get("target")),
        ("asked for", f"{asked}, {output.moment(one['created_at'])}"),
    ]
    if one["skipped"]:
        pairs.append(("rules not asked", one["skipped"]))
    sent = one["progress"]
    if sent["bytes_total"]:
        pairs.append(("disk sent", f"{size(sent['bytes_done'])} of {size(sent['bytes_total'])}"))
    lasted = [f"{duration(each['seconds']):>8}  {each['from']}" for each in one["transitions"]]
    if one.get("phase_seconds") is not None:
        lasted.append(f"{duration(one['phase_seconds']):>8}  {one['state']}, so far")
    pairs.append(("time spent in", "\n".join(lasted)))
    if one.get("next"):
        pairs.append(("comes next", one["next"]))
    if one["waiting_for"]:
        pairs.append(("at present", "\n".join(narrate.waited_for(one))))
    if one["reasons"]:
        pairs.append(("reasons", "\n".join(one["reasons"])))
    return pairs
