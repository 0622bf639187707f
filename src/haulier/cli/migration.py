"""`haulier migration ...`: every move there was, and the whole story of one."""

from collections.abc import Iterator
from itertools import islice
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
@click.option("--owner", metavar="ID", help="Only those of servers of this project or user.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the N newest.")
@format_option
@pass_cloud
def list_migrations(cloud: Cloud, server: str | None, last: int | None, form: str, **wanted: str | None) -> None:
    """Show the moves, the newest last: whose server it is, who asked, and who acts now."""
    server_id = cloud.server(server)["id"] if server else None
    rows = list(islice(_newest_first(cloud, limit=last, server=server_id, **wanted), last))[::-1]
    if form == "json":
        output.as_json(rows)
        return
    heads = ("ID", "SERVER", "TYPE", "STATUS", "SOURCE", "TARGET", "TRIED", "OWNER", "ASKED BY", "ACTS NOW", "AGE")
    output.table(heads, [_cells(one) for one in rows], empty="There are no migrations.")


def _newest_first(cloud: Cloud, **wanted: Any) -> Iterator[Found]:
    """All of them, page by page."""
    marker = None
    while True:
        page = cloud.client.own("GET", "/migrations", marker=marker, **wanted)
        yield from page["migrations"]
        if not page.get("migrations_links"):
            return
        marker = page["migrations"][-1]["id"]


def _cells(one: Found) -> tuple[Any, ...]:
    return (
        one["id"],
        one["server_id"],
        one["type"],
        one["status"],
        one["source"],
        one["target"],
        one["attempt"],
        one["owner"]["project_id"],
        one["asked_by"]["user_id"],
        one["acts_now"],
        duration(one["age_seconds"]),
    )


@migration.command()
@click.argument("migration")
@format_option
@pass_cloud
def watch(cloud: Cloud, migration: str, form: str) -> None:
    """Tell a move from its beginning, and go on until it is settled: MIGRATION is as for `show`."""
    document = follow(cloud, _found(cloud, migration)["id"], migration, form)
    if form == "json":
        output.as_json(document)
    if document["state"] == "FAILED":
        raise not_as_asked(document, f"server {document['server_id']} was not moved")


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
        ("asked by", f"user {one['asked_by']['user_id']} in request {one['asked_by']['request_id']}"),
        ("owner", f"project {one['owner']['project_id']}, user {one['owner']['user_id']}"),
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
    if one.get("confirms_at"):
        pairs.append(("confirms by itself", output.moment(one["confirms_at"])))
    if one.get("next"):
        pairs.append(("comes next", one["next"]))
    if one["waiting_for"]:
        pairs.append(("at present", "\n".join(narrate.waited_for(one))))
    if one["reasons"]:
        pairs.append(("reasons", "\n".join(one["reasons"])))
    return pairs
