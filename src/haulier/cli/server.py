"""`haulier server ...`: servers, and what is done to one."""

import shlex
from collections.abc import Iterator
from typing import Any

import click

from haulier.cli import output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.output import format_option
from haulier.cli.problem import Problem
from haulier.cli.wait import only_watching, until_free, until_gone, wait_option

HOST = "OS-EXT-SRV-ATTR:host"
TASK = "OS-EXT-STS:task_state"
POWER = {0: "unknown", 1: "running", 3: "paused", 4: "off", 6: "crashed"}


@click.group()
def server() -> None:
    """Servers: the virtual machines."""


@server.command("list")
@click.option("--all-projects", is_flag=True, help="Those of every project (admin).")
@format_option
@pass_cloud
def list_servers(cloud: Cloud, all_projects: bool, form: str) -> None:
    """Show all servers and where they are."""
    everyone = {"all_tenants": "true"} if all_projects else {}
    servers = cloud.client.compute("GET", "/servers/detail", **everyone)["servers"]
    if form == "json":
        output.as_json(servers)
        return
    rows = [(one["id"], one["name"], one["status"], one.get(TASK), one.get(HOST), flavor_name(one)) for one in servers]
    output.table(("ID", "NAME", "STATUS", "TASK", "HOST", "FLAVOR"), rows, empty="There are no servers.")


@server.command()
@click.argument("server")
@format_option
@pass_cloud
def show(cloud: Cloud, server: str, form: str) -> None:
    """Show one server."""
    show_server(cloud.server(server), form)


@server.command()
@click.argument("name")
@click.option("--image", required=True, help="Id or name of the image its disk begins with.")
@click.option("--flavor", required=True, help="Id or name of the flavor, its size.")
@click.option("--zone", help="Availability zone; any without it.")
@wait_option()
@format_option
@pass_cloud
def create(cloud: Cloud, name: str, image: str, flavor: str, zone: str | None, wait: bool, form: str) -> None:
    """Make a server and boot it."""
    body = {
        "name": name,
        "imageRef": cloud.image(image)["id"],
        "flavorRef": cloud.flavor(flavor)["id"],
        "networks": "none",
        **({"availability_zone": zone} if zone else {}),
    }
    made = cloud.client.compute("POST", "/servers", {"server": body})["server"]
    _show_after(cloud, made["id"], wait, form, f"server {name} is still being made")


@server.command()
@click.argument("server")
@wait_option()
@pass_cloud
def delete(cloud: Cloud, server: str, wait: bool) -> None:
    """Delete a server and its disk, whatever is being done to it."""
    found = cloud.server(server)
    cloud.client.compute("DELETE", f"/servers/{found['id']}")
    if wait:
        with only_watching(f"server {found['name']} is still being deleted"):
            until_gone(cloud, found["id"])
    click.echo(f"server {found['name']} is {'deleted' if wait else 'being deleted'}")


@server.command()
@click.argument("server")
@wait_option()
@pass_cloud
def start(cloud: Cloud, server: str, wait: bool) -> None:
    """Power a server on."""
    _power(cloud, server, "os-start", None, wait)


@server.command()
@click.argument("server")
@wait_option()
@pass_cloud
def stop(cloud: Cloud, server: str, wait: bool) -> None:
    """Power a server off: press its button, and pull the plug if it does not react."""
    _power(cloud, server, "os-stop", None, wait)


@server.command()
@click.argument("server")
@click.option("--hard", is_flag=True, help="Pull the plug instead of asking the guest.")
@wait_option()
@pass_cloud
def reboot(cloud: Cloud, server: str, hard: bool, wait: bool) -> None:
    """Restart a server."""
    _power(cloud, server, "reboot", {"type": "HARD" if hard else "SOFT"}, wait)


@server.command()
@click.argument("server")
@click.option("--lines", type=click.IntRange(min=1), help="Only the last so many.")
@format_option
@pass_cloud
def console(cloud: Cloud, server: str, lines: int | None, form: str) -> None:
    """Print what the guest wrote to its serial console."""
    wanted = {} if lines is None else {"length": lines}
    text = cloud.act(cloud.server(server), "os-getConsoleOutput", wanted)["output"]
    if form == "json":
        output.as_json({"output": text})
    else:
        click.echo(text, nl=not text.endswith("\n"))


@server.command()
@click.argument("server")
@click.option("--last", type=click.IntRange(min=1), default=5, show_default=True, help="How many actions.")
@format_option
@pass_cloud
def events(cloud: Cloud, server: str, last: int, form: str) -> None:
    """Show what was asked of a server, each step of it, and why a step failed."""
    root = f"/servers/{cloud.server(server)['id']}/os-instance-actions"
    newest = cloud.client.compute("GET", root)["instanceActions"][:last]
    actions = [cloud.client.compute("GET", f"{root}/{one['request_id']}")["instanceAction"] for one in newest]
    if form == "json":
        output.as_json(actions)
        return
    rows = [row for action in reversed(actions) for row in _event_rows(action)]
    output.table(("TIME", "ACTION", "RESULT", "REASON"), rows, empty="Nothing was ever asked of it.")


def _event_rows(action: Found) -> Iterator[tuple[Any, ...]]:
    yield output.moment(action["start_time"]), action["action"], action.get("message"), None
    for event in action.get("events") or []:
        begun, why = output.moment(event["start_time"]), event.get("details") or event.get("traceback")
        yield begun, f"  {event['event']}", event.get("result"), why


# -- shared by the commands ----------------------------------------------------------------------------------


def flavor_name(one: Found) -> Any:
    """The name of a server's flavor, as it was when the server got it."""
    flavor = one.get("flavor") or {}
    return flavor.get("original_name") or flavor.get("id")


def show_server(one: Found, form: str) -> None:
    """Print one server, as fields or as JSON."""
    if form == "json":
        output.as_json(one)
        return
    flavor = one.get("flavor") or {}
    size = f"{flavor_name(one)} ({flavor.get('vcpus')} vCPU, {flavor.get('ram')} MiB, {flavor.get('disk')} GiB)"
    pairs: list[tuple[str, Any]] = [
        ("id", one["id"]),
        ("name", one["name"]),
        ("status", one["status"]),
        ("task", one.get(TASK)),
        ("power", POWER.get(one.get("OS-EXT-STS:power_state") or 0)),
        ("host", one.get(HOST)),
        ("flavor", size),
        ("image", (one.get("image") or {}).get("id")),
        ("zone", one.get("OS-EXT-AZ:availability_zone")),
        ("created", output.moment(one.get("created"))),
    ]
    if one.get("fault"):
        pairs.append(("fault", one["fault"].get("message")))
    if one["status"] == "VERIFY_RESIZE":
        name = shlex.quote(one["name"])
        pairs.append(("next", f"haulier server confirm {name}, or haulier server revert {name}"))
    output.fields(pairs)


def _show_after(cloud: Cloud, server_id: str, wait: bool, form: str, goes_on: str) -> None:
    if wait:
        with only_watching(goes_on):
            show_server(until_free(cloud, server_id), form)
    else:
        show_server(cloud.client.compute("GET", f"/servers/{server_id}")["server"], form)


def _power(cloud: Cloud, name: str, action: str, argument: Any, wait: bool) -> None:
    found = cloud.server(name)
    cloud.act(found, action, argument)
    if not wait:
        click.echo(f"asked for it; `haulier server show {found['name']}` tells when it is done")
        return
    with only_watching(f"what was asked of server {found['name']} is still being done"):
        now = until_free(cloud, found["id"])
    if action == "os-start" and now["status"] != "ACTIVE":
        raise Problem(f"server {now['name']} is {now['status']}", "it did not start", "See `haulier server events`.")
    click.echo(f"server {now['name']} is {output.coloured(now['status'])}")
