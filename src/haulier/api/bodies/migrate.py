"""The body of `migrate`, which is the reason for microversion 2.56.

Below it whatever is inside the action is not looked at. From it on: null or an empty object, or an object with a
host (null allowed) and perhaps force; the texts of the refusals are those that a Nova answers with.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from haulier.api.bodies.fields import boolean, host_name
from haulier.api.bodies.reader import invalid, not_of_type, unexpected
from haulier.errors import ForceNeedsHost
from haulier.model.ids import HostName


class Migrate(msgspec.Struct, frozen=True):
    """What is asked: UNSET where the microversion does not know the key (requirement 6 of the design)."""

    host: HostName | None | UnsetType = UNSET
    force: bool | UnsetType = UNSET


def unlooked(_: Any) -> Migrate:
    """Up to 2.55: neither key exists."""
    return Migrate()


def looked_at(value: Any) -> Migrate:
    """From 2.56 on.

    Raises:
        InvalidField: it is not of the form above.
        ForceNeedsHost: force is true and no host is named.
    """
    if value is not None and not isinstance(value, dict):
        raise invalid("migrate", value, not_of_type(value, "object", "null"))
    if not value:
        return Migrate(host=None, force=False)
    strange = sorted(key for key in value if key not in ("host", "force"))
    if strange:
        raise invalid("migrate", value, unexpected(strange))
    host = value.get("host")
    if host is not None:
        if not isinstance(host, str):
            raise invalid("host", host, not_of_type(host, "string", "null"))
        host = host_name("host", host)
    force = value.get("force")
    forced = False if force is None else boolean("force", force)
    if forced and host is None:
        raise ForceNeedsHost
    if "host" not in value:
        raise invalid("migrate", value, "'host' is a required property")
    return Migrate(host=None if host is None else HostName(host), force=forced)
