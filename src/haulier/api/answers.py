"""Responses: JSON, and the bare ones."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder()


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON."""
    return Response(_encoder.encode(value), status, headers, media_type="application/json")


def empty(status: int) -> Response:
    """No body: 202 for an accepted request, 204 for a deletion and a confirm."""
    return Response(status_code=status)
