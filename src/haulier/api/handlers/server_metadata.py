"""The metadata of a server."""

from typing import Any

import msgspec
from starlette.responses import Response

from haulier.api.accept import servers as accept
from haulier.api.answers import empty, json
from haulier.api.bodies.fields import Key, Value
from haulier.api.bodies.reader import invalid, read
from haulier.api.context import Asked
from haulier.api.handlers.servers import asker_of, permitted
from haulier.api.microversion import handles
from haulier.errors import MetadataItemNotFound

RULE = "os_compute_api:server-metadata"


class Items(msgspec.Struct, forbid_unknown_fields=True):
    metadata: dict[Key, Value]


class Item(msgspec.Struct, forbid_unknown_fields=True):
    meta: dict[Key, Value]


@handles("metadata.index")
async def index(asked: Asked) -> Response:
    return json({"metadata": (await permitted(asked, f"{RULE}:index")).metadata})


@handles("metadata.create", body=read(Items))
async def create(asked: Asked, items: Items) -> Response:
    return await _set(asked, f"{RULE}:create", items.metadata, replace=False)


@handles("metadata.update_all", body=read(Items))
async def update_all(asked: Asked, items: Items) -> Response:
    return await _set(asked, f"{RULE}:update_all", items.metadata, replace=True)


@handles("metadata.show")
async def show(asked: Asked) -> Response:
    server, key = await permitted(asked, f"{RULE}:show"), asked.path("key")
    if key not in server.metadata:
        raise MetadataItemNotFound(key)
    return json({"meta": {key: server.metadata[key]}})


@handles("metadata.update", body=read(Item))
async def update(asked: Asked, item: Item) -> Response:
    if list(item.meta) != [asked.path("key")]:
        raise invalid("meta", item.meta, "Request body and URI mismatch")
    await _set(asked, f"{RULE}:update", item.meta, replace=False)
    return json({"meta": item.meta})


@handles("metadata.delete")
async def delete(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:delete")
    await asked.db.write(accept.remove_metadata, asker_of(asked), server.id, asked.path("key"))
    return empty(204)


async def _set(asked: Asked, rule: str, items: dict[str, Any], *, replace: bool) -> Response:
    server = await permitted(asked, rule)
    now = await asked.db.write(accept.set_metadata, asker_of(asked), server.id, items, replace=replace)
    return json({"metadata": now})
