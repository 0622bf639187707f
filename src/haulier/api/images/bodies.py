"""What an image's record may say: one check for each attribute that a client may set, a string for any other."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from haulier.api.images.inspection import DISK_FORMATS
from haulier.errors import InvalidBody, InvalidField, NotAllowed, PropertyNotFound

CONTAINER_FORMATS = ("bare",)
VISIBILITIES = ("public", "community", "shared", "private")

READ_ONLY = frozenset(
    {
        "checksum", "created_at", "deleted", "deleted_at", "direct_url", "file", "id", "locations", "os_hash_algo",
        "os_hash_value", "os_hidden", "schema", "self", "size", "status", "updated_at", "virtual_size",
    }
)  # fmt: skip
"""What only the service sets. `id` may be chosen once, with the image."""

LONGEST_NAME = 255
LONGEST_VALUE = 4096
MOST = 128
"""Properties, and tags, of one image."""
LARGEST_COUNT = 2**31 - 1


def _text(key: str, value: Any, longest: int = LONGEST_NAME) -> str:
    if not isinstance(value, str):
        raise InvalidField(key, _shown(value), "It must be a string.")
    if len(value) > longest:
        raise InvalidField(key, _shown(value), f"It must not have more than {longest} characters.")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidField(key, _shown(value), "It has characters that can't be stored.")
    return value


def _name(key: str, value: Any) -> str | None:
    return None if value is None else _text(key, value)


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_COUNT:
        raise InvalidField(key, _shown(value), f"It must be a whole number from 0 to {LARGEST_COUNT}.")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(key, _shown(value), "It must be true or false.")
    return value


def _one_of(allowed: tuple[str, ...], *, null: bool = False) -> Callable[[str, Any], str | None]:
    def check(key: str, value: Any) -> str | None:
        if value is None and null:
            return None
        if isinstance(value, str) and value in allowed:
            return value
        raise InvalidField(key, _shown(value), f"It must be one of: {', '.join(allowed)}.")

    return check


def _tags(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST:
        raise InvalidField(key, _shown(value), f"It must be a list of at most {MOST} tags.")
    return tuple(dict.fromkeys(_text(key, tag) for tag in value))


class _Attribute:
    def __init__(self, column: str, check: Callable[[str, Any], Any]) -> None:
        self.column = column
        self.check = check


ATTRIBUTES: Mapping[str, _Attribute] = {
    "name": _Attribute("name", _name),
    "visibility": _Attribute("visibility", _one_of(VISIBILITIES)),
    "disk_format": _Attribute("disk_format", _one_of(DISK_FORMATS, null=True)),
    "container_format": _Attribute("container_format", _one_of(CONTAINER_FORMATS, null=True)),
    "min_disk": _Attribute("min_disk_gb", _count),
    "min_ram": _Attribute("min_memory_mb", _count),
    "protected": _Attribute("protected", _flag),
    "owner": _Attribute("project_id", _text),
    "tags": _Attribute("tags", _tags),
}
"""What a client may set, with the column that holds it. Everything else that is not READ_ONLY is a property."""


def new_image(body: Any) -> dict[str, Any]:
    """The columns that the body of `POST /v2/images` gives.

    Raises:
        InvalidField, InvalidBody: a value that can't be.
        NotAllowed: an attribute that only the service sets.
    """
    if not isinstance(body, dict):
        raise InvalidBody("The body must be an object.")
    body = dict(body)
    columns: dict[str, Any] = {"id": _id(body.pop("id", None)), "tags": (), "visibility": "shared"}
    if body.get("os_hidden") is False:
        del body["os_hidden"]
    properties: dict[str, str] = {}
    for key, value in body.items():
        _set(columns, properties, key, value)
    return {**columns, "properties": _bounded(properties)}


def changed(properties: Mapping[str, str], patch: Any) -> dict[str, Any]:
    """The columns that a JSON patch sets, given the properties as they are.

    Raises:
        InvalidField, InvalidBody: not a patch, or a value that can't be.
        NotAllowed: an attribute that only the service sets, or that can't be removed.
        PropertyNotFound: replaces or removes what is not there.
    """
    if not isinstance(patch, list):
        raise InvalidBody("The body must be a list of operations.")
    columns: dict[str, Any] = {}
    after = dict(properties)
    for operation in patch:
        _apply(columns, after, operation)
    return {**columns, "properties": _bounded(after)}


def tag(value: str) -> str:
    """A tag in the path of a request."""
    return _text("tag", value)


def _apply(columns: dict[str, Any], properties: dict[str, str], operation: Any) -> None:
    if not isinstance(operation, dict):
        raise InvalidBody("Each operation must be an object.")
    op, key = operation.get("op"), _key(operation.get("path"))
    if op not in ("add", "replace", "remove"):
        raise InvalidField("op", _shown(op), "It must be one of: add, replace, remove.")
    if op != "add" and key not in ATTRIBUTES and key not in READ_ONLY and key not in properties:
        raise PropertyNotFound(key)
    if op == "remove":
        if key in ATTRIBUTES or key in READ_ONLY:
            raise NotAllowed(f"Attribute {key!r} can't be removed.")
        del properties[key]
        return
    if "value" not in operation:
        raise InvalidBody(f"The operation on {key!r} has no value.")
    _set(columns, properties, key, operation["value"])


def _set(columns: dict[str, Any], properties: dict[str, str], key: str, value: Any) -> None:
    if key in READ_ONLY:
        raise NotAllowed(f"Attribute {key!r} is read-only.")
    attribute = ATTRIBUTES.get(key)
    if attribute is not None:
        columns[attribute.column] = attribute.check(key, value)
    else:
        properties[_text("name of a property", key)] = _text(key, value, LONGEST_VALUE)


def _key(path: Any) -> str:
    """The attribute that a JSON pointer (RFC 6901) of one step names."""
    if not isinstance(path, str) or not path.startswith("/") or "/" in path[1:] or len(path) < 2:
        raise InvalidField("path", _shown(path), "It must be a slash and the name of one attribute.")
    return path[1:].replace("~1", "/").replace("~0", "~")


def _id(value: Any) -> str:
    if value is None:
        return str(uuid.uuid4())
    text = _text("id", value)
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidField("id", _shown(value), "It must be a UUID.") from None


def _bounded(properties: dict[str, str]) -> dict[str, str]:
    if len(properties) > MOST:
        raise InvalidBody(f"An image can have at most {MOST} properties.")
    return properties


def _shown(value: Any) -> str:
    """A refused value, short enough for a sentence."""
    text = ascii(value)
    return text if len(text) <= 64 else f"{text[:64]}..."
