"""`haulier image ...`: what a new server's disk begins with."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from haulier.cli import output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.output import format_option
from haulier.cli.problem import Problem
from haulier.cli.quantities import size

HEADS = ("ID", "NAME", "STATUS", "FORMAT", "SIZE", "VISIBILITY")
QCOW2_MAGIC = b"QFI\xfb"
PIECE = 1 << 20


@click.group()
def image() -> None:
    """Images: what the disk of a new server begins with."""


@image.command("list")
@format_option
@pass_cloud
def list_images(cloud: Cloud, form: str) -> None:
    """Show all images."""
    images = cloud.client.image("GET", "/images")["images"]
    if form == "json":
        output.as_json(images)
    else:
        output.table(HEADS, [_row(one) for one in images], empty="There are no images.")


@image.command()
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The disk image.")
@click.option(
    "--disk-format", type=click.Choice(["auto", "raw", "qcow2"]), default="auto", show_default=True, help="Its format."
)
@click.option("--public/--private", default=False, show_default=True, help="Whether other projects may use it.")
@format_option
@pass_cloud
def create(cloud: Cloud, name: str, path: Path, disk_format: str, public: bool, form: str) -> None:
    """Upload a disk image."""
    try:
        with path.open("rb") as content:
            known = _format_of(content) if disk_format == "auto" else disk_format
            made = upload(cloud, name, content, known, public=public)
    except OSError as error:
        raise Problem(f"cannot read {path}", error.strerror or str(error)) from error
    if form == "json":
        output.as_json(made)
    else:
        output.table(HEADS, [_row(made)], empty="")


@image.command()
@click.argument("image")
@pass_cloud
def delete(cloud: Cloud, image: str) -> None:
    """Delete an image; servers that were made of it are not touched."""
    found = cloud.image(image)
    cloud.client.image("DELETE", f"/images/{found['id']}")
    click.echo(f"image {found.get('name') or found['id']} is deleted")


def upload(cloud: Cloud, name: str, content: BinaryIO, disk_format: str, *, public: bool) -> Found:
    """Make an image of what is left to read in `content`; a record whose bytes are refused does not stay.

    Raises:
        Problem: the API refused it.
    """
    body = {
        "name": name,
        "disk_format": disk_format,
        "container_format": "bare",
        "visibility": "public" if public else "private",
    }
    image_id = cloud.client.image("POST", "/images", body)["id"]
    try:
        cloud.client.upload(image_id, _pieces(content))
    except (Problem, KeyboardInterrupt):
        cloud.client.image("DELETE", f"/images/{image_id}")
        raise
    found: Found = cloud.client.image("GET", f"/images/{image_id}")
    return found


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    while piece := content.read(PIECE):
        yield piece


def _format_of(content: BinaryIO) -> str:
    magic = content.read(len(QCOW2_MAGIC))
    content.seek(0)
    return "qcow2" if magic == QCOW2_MAGIC else "raw"


def _row(one: Found) -> tuple[object, ...]:
    bytes_ = one.get("size")
    return (
        one["id"],
        one.get("name"),
        one["status"],
        one.get("disk_format"),
        None if bytes_ is None else size(bytes_),
        one.get("visibility"),
    )
