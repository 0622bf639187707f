"""`haulier flavor ...`: the sizes a server can have."""

import click

from haulier.cli import output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.output import format_option

HEADS = ("ID", "NAME", "VCPUS", "RAM (MiB)", "DISK (GiB)", "PUBLIC")


@click.group()
def flavor() -> None:
    """Flavors: the sizes that a server can have."""


@flavor.command("list")
@format_option
@pass_cloud
def list_flavors(cloud: Cloud, form: str) -> None:
    """Show all flavors, the smallest first."""
    flavors = cloud.client.compute("GET", "/flavors/detail", is_public="None")["flavors"]
    if form == "json":
        output.as_json(flavors)
    else:
        smallest_first = sorted(flavors, key=lambda one: (one["ram"], one["vcpus"], one["disk"], one["name"]))
        output.table(HEADS, [_row(one) for one in smallest_first], empty="There are no flavors.")


@flavor.command()
@click.argument("name")
@click.option("--vcpus", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--ram", type=click.IntRange(min=1), required=True, help="Memory in MiB.")
@click.option("--disk", type=click.IntRange(min=0), required=True, help="Root disk in GiB; 0 is the image's own size.")
@click.option("--id", "flavor_id", default="auto", show_default=True, help="The public id.")
@format_option
@pass_cloud
def create(cloud: Cloud, name: str, vcpus: int, ram: int, disk: int, flavor_id: str, form: str) -> None:
    """Make a flavor (admin)."""
    wanted_id = None if flavor_id == "auto" else flavor_id
    body = {"name": name, "vcpus": vcpus, "ram": ram, "disk": disk, "id": wanted_id}
    made = cloud.client.compute("POST", "/flavors", {"flavor": body})["flavor"]
    if form == "json":
        output.as_json(made)
    else:
        output.table(HEADS, [_row(made)], empty="")


@flavor.command()
@click.argument("flavor")
@pass_cloud
def delete(cloud: Cloud, flavor: str) -> None:
    """Delete a flavor (admin); servers that have it keep it."""
    found = cloud.flavor(flavor)
    cloud.client.compute("DELETE", f"/flavors/{found['id']}")
    click.echo(f"flavor {found['name']} is deleted")


def _row(one: Found) -> tuple[object, ...]:
    public = one.get("os-flavor-access:is_public", True)
    return (one["id"], one["name"], one["vcpus"], one["ram"], one["disk"], public)
