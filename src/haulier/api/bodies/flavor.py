"""The bodies of flavors and of their extra specs."""

import uuid
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from haulier.api.bodies.fields import Amount, Count, Key, Name, Value, boolean, printable
from haulier.api.bodies.reader import invalid, read

_ID = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]+(?<! )\Z")]


class NewFlavor(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Memory in MiB, disks in GiB, swap in MiB. `id` null or "auto": made up here."""

    name: Name
    ram: Count
    vcpus: Count
    disk: Amount
    id: _ID | int | None = None
    swap: Amount = 0
    ephemeral: Amount = msgspec.field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    rxtx_factor: float | None = None
    is_public: Any = msgspec.field(name="os-flavor-access:is_public", default=True)


class NewFlavor255(NewFlavor, forbid_unknown_fields=True, kw_only=True):
    description: Annotated[str, Meta(max_length=65535)] | None = None


class _Whole(msgspec.Struct, forbid_unknown_fields=True):
    flavor: Any


_whole = read(_Whole)


def create_from(model: type[NewFlavor]) -> Any:
    """The reader of a create body with `model` as its flavor: the columns of a new row."""
    convert = read(model, root="flavor", lax=True)

    def body(value: Any) -> dict[str, Any]:
        flavor = convert(_whole(value).flavor)
        chosen = None if flavor.id in (None, "auto") else str(flavor.id)
        return {
            "flavorid": chosen or str(uuid.uuid4()),
            "name": printable("name", flavor.name),
            "memory_mb": flavor.ram,
            "vcpus": flavor.vcpus,
            "root_gb": flavor.disk,
            "ephemeral_gb": flavor.ephemeral,
            "swap_mb": flavor.swap,
            "is_public": boolean("os-flavor-access:is_public", flavor.is_public),
            "description": getattr(flavor, "description", None),
            "extra_specs": {},
        }

    return body


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    description: Annotated[str, Meta(max_length=65535)] | None


_update = read(_Update, root="flavor")


def update(value: Any) -> str | None:
    """The new description."""
    return _update(_whole(value).flavor).description


class _Specs(msgspec.Struct, forbid_unknown_fields=True):
    extra_specs: dict[Key, Value | int | float]


_specs = read(_Specs)
_one_spec = read(dict[Key, Value | int | float], root="extra_specs")


def specs(value: Any) -> dict[str, str]:
    """Several extra specs; numbers are kept as text."""
    return {key: str(item) for key, item in _specs(value).extra_specs.items()}


def one_spec(value: Any) -> dict[str, str]:
    """Exactly one."""
    found = _one_spec(value)
    if len(found) != 1:
        raise invalid("extra_specs", value, f"{value!r} must have exactly one key")
    return {key: str(item) for key, item in found.items()}
