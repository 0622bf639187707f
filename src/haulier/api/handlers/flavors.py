"""Flavors."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from haulier.api.accept import flavors as accept
from haulier.api.answers import empty, json
from haulier.api.bodies import flavor as bodies
from haulier.api.bodies import queries
from haulier.api.bodies.fields import boolean
from haulier.api.bodies.reader import invalid
from haulier.api.context import Asked
from haulier.api.microversion import handles
from haulier.api.views import flavors as views
from haulier.api.views.common import next_page
from haulier.db.store import flavors
from haulier.errors import FlavorNotFound, MarkerNotFound
from haulier.model.flavor import Flavor

SORT: dict[str, Callable[[Flavor], Any]] = {
    "flavorid": lambda flavor: flavor.flavorid,
    "id": lambda flavor: flavor.id,
    "name": lambda flavor: flavor.name,
    "memory_mb": lambda flavor: flavor.memory_mb,
    "vcpus": lambda flavor: flavor.vcpus,
    "root_gb": lambda flavor: flavor.root_gb,
    "ephemeral_gb": lambda flavor: flavor.ephemeral_gb,
    "swap": lambda flavor: flavor.swap_mb,
    "is_public": lambda flavor: flavor.is_public,
    "disabled": lambda flavor: flavor.disabled,
}


async def flavor_of(asked: Asked) -> Flavor:
    """The flavor that the URL names; a private one is only there for administrators.

    Raises:
        FlavorNotFound: there is none.
    """
    flavor = await asked.db.read(flavors.get, asked.path("flavor_id"))
    if not (flavor.is_public or asked.is_admin):
        raise FlavorNotFound(flavor.flavorid)
    return flavor


async def _listed(asked: Asked) -> tuple[list[Flavor], int]:
    wanted = _visible(asked)
    memory, disk = _least(asked, "minRam"), _least(asked, "minDisk")
    [(key, direction), *_] = _order(asked)
    limit, marker = queries.page(asked)
    found = [
        flavor
        for flavor in await asked.db.read(flavors.all_flavors)
        if wanted(flavor) and flavor.memory_mb >= memory and flavor.root_gb >= disk
    ]
    found.sort(key=SORT[key], reverse=direction == "desc")
    if marker is not None:
        found = _after(found, marker)
    return found[:limit], limit


def _order(asked: Asked) -> tuple[tuple[str, str], ...]:
    if "sort_dir" not in asked.query:
        return tuple((key, "asc") for key, _ in queries.order(asked, set(SORT), "flavorid"))
    return queries.order(asked, set(SORT), "flavorid")


def _after(found: list[Flavor], marker: str) -> list[Flavor]:
    ids = [flavor.flavorid for flavor in found]
    if marker not in ids:
        raise MarkerNotFound(marker)
    return found[ids.index(marker) + 1 :]


def _visible(asked: Asked) -> Callable[[Flavor], bool]:
    """Which flavors a list shows. `is_public` may be the word None, which asks for both kinds (clients.md)."""
    if not asked.is_admin:
        return lambda flavor: flavor.is_public and not flavor.disabled
    given = asked.query.get("is_public", "true")
    if given.lower() == "none":
        return lambda flavor: True
    public = boolean("is_public", given)
    return lambda flavor: flavor.is_public is public


def _least(asked: Asked, name: str) -> int:
    given = asked.query.get(name, "0")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise invalid(name, given, f"{given!r} does not match '^[0-9]*$'")
    return int(given)


def _with_next(asked: Asked, collection: str, shown: list[dict[str, Any]], limit: int) -> Response:
    body: dict[str, Any] = {"flavors": shown}
    following = next_page(asked, collection, [flavor["id"] for flavor in shown], limit)
    if following:
        body["flavors_links"] = following
    return json(body)


@handles("flavors.index")
async def index(asked: Asked) -> Response:
    found, limit = await _listed(asked)
    return _with_next(asked, "flavors", [views.basic(asked, flavor) for flavor in found], limit)


@handles("flavors.detail")
async def detail(asked: Asked) -> Response:
    found, limit = await _listed(asked)
    return _with_next(asked, "flavors/detail", [views.show(asked, flavor) for flavor in found], limit)


@handles("flavors.show")
async def show(asked: Asked) -> Response:
    return json({"flavor": views.show(asked, await flavor_of(asked))})


@handles("flavors.create", until="2.54", body=bodies.create_from(bodies.NewFlavor))
@handles("flavors.create", since="2.55", body=bodies.create_from(bodies.NewFlavor255))
async def create(asked: Asked, columns: dict[str, Any]) -> Response:
    asked.require("os_compute_api:os-flavor-manage:create")
    flavor = await asked.db.write(accept.create, columns)
    return json({"flavor": views.show(asked, flavor)})


@handles("flavors.update", since="2.55", body=bodies.update)
async def update(asked: Asked, description: str | None) -> Response:
    asked.require("os_compute_api:os-flavor-manage:update")
    flavor = await asked.db.write(accept.describe, asked.path("flavor_id"), description)
    return json({"flavor": views.show(asked, flavor)})


@handles("flavors.delete")
async def delete(asked: Asked) -> Response:
    asked.require("os_compute_api:os-flavor-manage:delete")
    await asked.db.write(flavors.remove, asked.path("flavor_id"))
    return empty(202)
