"""The handlers of image records, and the transactions behind them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from haulier.api import answers
from haulier.api.address import base_of
from haulier.api.context import Asked
from haulier.api.images import bodies, listing, rules, views
from haulier.api.images.data import folder_of
from haulier.db.engine import Transaction
from haulier.db.store import images
from haulier.errors import AlreadyExists, NotAllowed, TagNotFound, WrongMediaType

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


async def versions(request: Request) -> Response:
    """`GET /image`: 300, as Glance answers to its root."""
    return answers.json(views.versions(base_of(request.scope)), 300)


async def versions_again(request: Request) -> Response:
    """`GET /image/versions`: the same, 200."""
    return answers.json(views.versions(base_of(request.scope)))


async def create_image(request: Request) -> Response:
    """A record without data yet: status `queued`."""
    asked = Asked(request)
    columns = bodies.new_image(await asked.json())
    rules.allowed_values(columns, asked.caller.project_id, asked.is_admin)
    columns.setdefault("project_id", asked.caller.project_id)
    row = await asked.db.write(_create, columns)
    location = f"{base_of(request.scope)}/image/v2/images/{row.id}"
    return answers.json(views.image(row), 201, {"Location": location})


async def list_images(request: Request) -> Response:
    asked = Asked(request)
    rows = await asked.db.read(images.visible, asked.scope)
    query = asked.query.multi_items()
    limit = listing.limit_of(asked.query.get("limit"), asked.settings.max_limit)
    page = listing.choose(rows, query, asked.caller.project_id, limit)
    rest = [(key, value) for key, value in query if key != "marker"]
    following = _path([*rest, ("marker", page.rows[-1].id)]) if page.more and page.rows else None
    return answers.json(views.page(page.rows, _path(rest), following))


async def show_image(request: Request) -> Response:
    """Raises ImageNotFound, for a name too: clients look an image up by id first, and then list by name."""
    asked = Asked(request)
    row = await asked.db.read(rules.seen, asked.path("image_id"), asked.caller.project_id, asked.is_admin)
    return answers.json(views.image(row))


async def update_image(request: Request) -> Response:
    """A JSON patch of one-step paths; all of it is done, or nothing."""
    asked = Asked(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != PATCH_TYPE:
        raise WrongMediaType(PATCH_TYPE)
    patch = await asked.json()
    row = await asked.db.write(_update, asked.path("image_id"), patch, asked.caller.project_id, asked.is_admin)
    return answers.json(views.image(row))


async def delete_image(request: Request) -> Response:
    """The record is marked, the data goes unless a server rests on it; then `sweep` takes it when none does."""
    asked = Asked(request)
    image_id = asked.path("image_id")
    unneeded = await asked.db.write(_delete, image_id, asked.caller.project_id, asked.is_admin)
    if unneeded:
        await run_in_threadpool(folder_of(asked.settings).remove, image_id)
    return answers.empty(204)


async def add_tag(request: Request) -> Response:
    asked = Asked(request)
    await _change_tag(asked, add=True)
    return answers.empty(204)


async def remove_tag(request: Request) -> Response:
    """Raises TagNotFound."""
    asked = Asked(request)
    await _change_tag(asked, add=False)
    return answers.empty(204)


async def show_image_schema(request: Request) -> Response:
    return answers.json(views.image_schema())


async def show_images_schema(request: Request) -> Response:
    return answers.json(views.images_schema())


async def _change_tag(asked: Asked, *, add: bool) -> None:
    caller = asked.caller
    tag = bodies.tag(asked.path("tag"))
    await asked.db.write(_tag, asked.path("image_id"), tag, add, caller.project_id, asked.is_admin)


def _create(tx: Transaction, columns: Mapping[str, Any]) -> Row[Any]:
    if images.exists(tx, columns["id"]):
        raise AlreadyExists("Image", columns["id"])
    images.add(tx, status="queued", **columns)
    return images.get(tx, columns["id"])


def _update(tx: Transaction, image_id: str, patch: Any, project_id: str, is_admin: bool) -> Row[Any]:
    row = rules.owned(tx, image_id, project_id, is_admin, "modify_image")
    columns = bodies.changed(row.properties, patch)
    rules.allowed_values(columns, row.project_id, is_admin)
    for fixed in ("disk_format", "container_format"):
        if row.status != "queued" and columns.get(fixed, getattr(row, fixed)) != getattr(row, fixed):
            raise NotAllowed(f"Attribute {fixed!r} can't be changed: the image has data of that format.")
    images.change(tx, image_id, **columns)
    return images.get(tx, image_id)


def _delete(tx: Transaction, image_id: str, project_id: str, is_admin: bool) -> bool:
    """Whether nothing needs the data any more."""
    row = rules.owned(tx, image_id, project_id, is_admin, "delete_image")
    if row.protected:
        raise NotAllowed(f"Image {image_id} is protected and can't be deleted.")
    images.change(tx, image_id, status="deleted")
    return not images.rested_on(tx, image_id)


def _tag(tx: Transaction, image_id: str, tag: str, add: bool, project_id: str, is_admin: bool) -> None:
    row = rules.owned(tx, image_id, project_id, is_admin, "modify_image")
    if not add and tag not in row.tags:
        raise TagNotFound(tag)
    others = [other for other in row.tags if other != tag]
    tags = bodies.ATTRIBUTES["tags"].check("tags", [*others, tag] if add else others)
    images.change(tx, image_id, tags=tags)


def _path(query: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(query)}" if query else "/v2/images"
