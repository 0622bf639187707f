"""Lists of images: what a query asks for, chosen and sorted among the rows that the caller may see.

There are few images, hundreds perhaps: they are all read, and everything a query can say is decided here.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row

from haulier.api.images.rules import FOR_EVERYBODY
from haulier.errors import InvalidField, MarkerNotFound

DEFAULT_LIMIT = 25
"""Glance's own."""

_COLUMNS = {
    "id": "id",
    "name": "name",
    "status": "status",
    "owner": "project_id",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "min_disk": "min_disk_gb",
    "min_ram": "min_memory_mb",
    "size": "size",
    "protected": "protected",
    "checksum": "md5",
    "os_hash_value": "sha512",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
_NOT_FILTERS = frozenset(
    {"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "os_hidden"}
)

Test = Callable[[Row[Any]], bool]


class Page(NamedTuple):
    rows: list[Row[Any]]
    more: bool


def choose(rows: Sequence[Row[Any]], query: Sequence[tuple[str, str]], project_id: str, limit: int) -> Page:
    """The rows of one page.

    Raises:
        InvalidField: a value that no image can have, or a key to sort by that is none.
        MarkerNotFound: the marker is not among what the query chooses.
    """
    values = dict(query)
    tests = [_visibility(values.get("visibility"), project_id)]
    tests += [_test(key, value) for key, value in query if key not in _NOT_FILTERS]
    if values.get("os_hidden", "false").lower() in ("true", "1"):
        return Page([], False)  # hiding is not offered, so nothing is hidden
    found = _sorted([row for row in rows if all(test(row) for test in tests)], query)
    start = _after(found, values.get("marker"))
    return Page(found[start : start + limit], len(found) > start + limit)


def limit_of(value: str | None, most: int) -> int:
    """How many a page holds: what was asked for, at most `most`.

    Raises:
        InvalidField: not a number, or below zero.
    """
    if value is None:
        return min(DEFAULT_LIMIT, most)
    return min(_whole("limit", value), most)


def _visibility(wanted: str | None, project_id: str) -> Test:
    if wanted == "all":
        return lambda row: True
    if wanted is None:
        # Others' community images are there to be asked for, not to fill everybody's list.
        return lambda row: row.visibility != "community" or row.project_id == project_id
    if wanted not in ("private", "shared", *FOR_EVERYBODY):
        raise InvalidField("visibility", ascii(wanted), "It must be one of: public, community, shared, private, all.")
    return lambda row: bool(row.visibility == wanted)


def _test(key: str, value: str) -> Test:
    if key in ("size_min", "size_max"):
        bound = _whole(key, value)
        if key == "size_min":
            return lambda row: row.size is not None and row.size >= bound
        return lambda row: row.size is not None and row.size <= bound
    if key == "tag":
        return lambda row: value in row.tags
    if key in ("created_at", "updated_at"):
        return _time_test(key, value)
    if key not in _COLUMNS:
        return lambda row: row.properties.get(key) == value
    column = _COLUMNS[key]
    wanted = frozenset(_alternatives(value))
    if key == "protected":
        wanted = frozenset(word.lower() for word in wanted)
        return lambda row: str(row.protected).lower() in wanted
    return lambda row: getattr(row, column) is not None and str(getattr(row, column)) in wanted


def _alternatives(value: str) -> list[str]:
    """`in:a,b` is a or b, each of them perhaps in quotes; anything else is itself."""
    if not value.startswith("in:"):
        return [value]
    return [word.strip('"') for word in value.removeprefix("in:").split(",")]


_COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "gt": lambda has, than: has > than,
    "gte": lambda has, than: has >= than,
    "eq": lambda has, than: has.replace(microsecond=0) == than,
    "neq": lambda has, than: has.replace(microsecond=0) != than,
    "lt": lambda has, than: has < than,
    "lte": lambda has, than: has <= than,
}


def _time_test(key: str, value: str) -> Test:
    """`gt:2026-11-24T05:00:00Z` and its like."""
    word, colon, text = value.partition(":")
    compare = _COMPARISONS.get(word) if colon else None
    if compare is None:
        compare, text = _COMPARISONS["eq"], value
    try:
        than = datetime.fromisoformat(text)
        than = than if than.tzinfo else datetime.fromisoformat(f"{text}+00:00")
    except ValueError:
        raise InvalidField(key, ascii(value), "It must be a time as in 2026-11-24T05:00:00Z.") from None
    return lambda row: compare(getattr(row, key), than)


def _sorted(rows: list[Row[Any]], query: Sequence[tuple[str, str]]) -> list[Row[Any]]:
    """The last key is sorted by first, since each sort keeps what it finds equal as it was."""
    for key, falling in reversed(_keys(query)):
        column = _COLUMNS[key]
        rows = sorted(rows, key=lambda row, c=column: _comparable(getattr(row, c)), reverse=falling)  # type: ignore[misc]
    return rows


def _comparable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _keys(query: Sequence[tuple[str, str]]) -> list[tuple[str, bool]]:
    """(key, whether from the largest down), of `sort=a:asc,b:desc` or of `sort_key` and `sort_dir` in pairs."""
    listed = [word for name, value in query if name == "sort" for word in value.split(",")]
    if listed:
        pairs = [(word.partition(":")[0].strip(), word.partition(":")[2].strip() or "desc") for word in listed]
    else:
        keys = [value for name, value in query if name == "sort_key"]
        ways = [value for name, value in query if name == "sort_dir"]
        ways += (ways[:1] or ["desc"]) * len(keys)
        pairs = list(zip(keys, ways, strict=False)) or ([("created_at", ways[0])] if ways else [])
    for key, way in pairs:
        if key not in _COLUMNS:
            raise InvalidField("sort", ascii(key), f"It must be one of: {', '.join(sorted(_COLUMNS))}.")
        if way not in ("asc", "desc"):
            raise InvalidField("sort", ascii(way), "It must be asc or desc.")
    return [(key, way == "desc") for key, way in pairs]


def _after(rows: list[Row[Any]], marker: str | None) -> int:
    if marker is None:
        return 0
    for number, row in enumerate(rows):
        if row.id == marker:
            return number + 1
    raise MarkerNotFound(marker)


def _whole(key: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise InvalidField(key, ascii(value[:64]), "It must be a whole number, 0 or more.")
    return int(value)
