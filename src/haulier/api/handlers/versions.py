"""The version documents. They answer without authentication, and the links in them are below the Host asked for."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from haulier.api.address import base_of
from haulier.api.answers import json
from haulier.api.microversion import MAXIMUM, MINIMUM


def _version(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": str(MAXIMUM),
        "min_version": str(MINIMUM),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base_of(request.scope)}/v2.1/"}],
    }


async def all_versions(request: Request) -> Response:
    """`GET /`."""
    return json({"versions": [_version(request)]})


async def one_version(request: Request) -> Response:
    """`GET /v2.1`, with or without a slash."""
    media = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]
    return json({"version": {**_version(request), "media-types": media}})


async def healthcheck(_: Request) -> Response:
    """`GET /healthcheck`: the process answers."""
    return json({"status": "ok"})
