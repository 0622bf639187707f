"""Glance's documents: versions, an image, a page of images, the schemas that some clients ask for."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from haulier.api.images.bodies import ATTRIBUTES, READ_ONLY

VERSIONS = ("v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
"""2.7 brought os_hash_*; what came later (import from elsewhere, several stores) is not here."""


def versions(base: str) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{base}/image/v2/"}]
    return {
        "versions": [
            {"id": version, "status": "SUPPORTED" if number else "CURRENT", "links": links}
            for number, version in enumerate(VERSIONS)
        ]
    }


def image(row: Row[Any]) -> dict[str, Any]:
    """One image; its properties lie beside its attributes, which go first."""
    return {
        **row.properties,
        "id": row.id,
        "name": row.name,
        "owner": row.project_id,
        "visibility": row.visibility,
        "status": row.status,
        "disk_format": row.disk_format,
        "container_format": row.container_format,
        "min_disk": row.min_disk_gb,
        "min_ram": row.min_memory_mb,
        "size": row.size,
        "virtual_size": row.virtual_size,
        "checksum": row.md5,
        "os_hash_algo": "sha512" if row.sha512 else None,
        "os_hash_value": row.sha512,
        "os_hidden": False,
        "protected": row.protected,
        "tags": list(row.tags),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }


def page(rows: list[Row[Any]], first: str, following: str | None) -> dict[str, Any]:
    """Images, and the paths of the first page and of the one after this, None on the last."""
    body: dict[str, Any] = {"images": [image(row) for row in rows], "schema": "/v2/schemas/images", "first": first}
    if following is not None:
        body["next"] = following
    return body


def image_schema() -> dict[str, Any]:
    types = {"min_disk": "integer", "min_ram": "integer", "size": "integer", "virtual_size": "integer"}
    types |= {"protected": "boolean", "os_hidden": "boolean", "tags": "array"}
    names = sorted(set(ATTRIBUTES) | READ_ONLY)
    return {
        "name": "image",
        "properties": {
            name: {"type": types.get(name, ["null", "string"]), **({"readOnly": True} if name in READ_ONLY else {})}
            for name in names
        },
        "additionalProperties": {"type": "string"},
    }


def images_schema() -> dict[str, Any]:
    return {"name": "images", "properties": {"images": {"type": "array", "items": image_schema()}}}


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
