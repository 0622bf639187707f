"""Links and times, as the Compute API writes them."""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from haulier.api.context import Asked


def links(asked: Asked, collection: str, item: str) -> list[dict[str, str]]:
    """The two links of an item."""
    return [
        {"rel": "self", "href": f"{asked.base_url}/v2.1/{collection}/{quote(item, safe='')}"},
        bookmark(asked, collection, item),
    ]


def bookmark(asked: Asked, collection: str, item: str) -> dict[str, str]:
    """The link without a version in it."""
    return {"rel": "bookmark", "href": f"{asked.base_url}/{collection}/{quote(item, safe='')}"}


def next_page(
    asked: Asked, collection: str, ids: list[str], limit: int, root: str = "v2.1"
) -> list[dict[str, str]] | None:
    """The link to the next page; None when this one is not full."""
    if not ids or len(ids) < limit:
        return None
    query = [(key, value) for key, value in asked.query.multi_items() if key != "marker"]
    href = f"{asked.base_url}/{root}/{collection}?{urlencode([*query, ('marker', ids[-1])])}"
    return [{"rel": "next", "href": href}]


def iso(moment: datetime) -> str:
    """2026-01-31T12:00:00Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def naive(moment: datetime | None) -> str | None:
    """2026-01-31T12:00:00.000000: the zone is left out, and is UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") if moment is not None else None


def utc(moment: datetime | None) -> str | None:
    """2026-01-31T12:00:00.000000Z."""
    return f"{naive(moment)}Z" if moment is not None else None


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}
