"""The body of `migrate`, which is the reason for microversion 2.56.

Below it whatever is inside the action is not looked at. From it on: null or an empty object, or an object with a
host (null allowed) and perhaps force; the texts of the refusals are those that a Nova answers with.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from haulier.api.bodies.fields import Amount, boolean, host_name
from haulier.api.bodies.reader import invalid, not_of_type, read, unexpected
from haulier.errors import ForceNeedsHost, InvalidBody, NotOffered
from haulier.model.ids import HostName

NOVAS = ("host", "force")
OWN = ("confirm_after",)
LATER = ("max_downtime", "precopy", "bandwidth", "dry_run")
"""Keys of haulier's own request that have their meaning already and can't be had yet."""


class Migrate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked: UNSET where the microversion does not know the key (requirement 6 of the design).

    `confirm_after` is haulier's own: seconds, 0 for never, None for what the conductor's setting says.
    """

    host: HostName | None | UnsetType = UNSET
    force: bool | UnsetType = UNSET
    confirm_after: int | None = None


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
    strange = sorted(key for key in value if key not in NOVAS)
    if strange:
        raise invalid("migrate", value, unexpected(strange))
    wanted = _host_and_force(value)
    if "host" not in value:
        raise invalid("migrate", value, "'host' is a required property")
    return wanted


def own(value: Any) -> Migrate:
    """The body of `POST /haulier/v1/servers/{id}/migrate`: Nova's two keys and haulier's own, each may be left out.

    Raises:
        InvalidField, InvalidBody: it is not of that form.
        NotOffered: a key that is known and can't be had yet.
        ForceNeedsHost: force is true and no host is named.
    """
    if not isinstance(value, dict):
        raise InvalidBody(not_of_type(value, "object"))
    strange = sorted(key for key in value if key not in (*NOVAS, *OWN, *LATER))
    if strange:
        raise InvalidBody(unexpected(strange))
    later = sorted(key for key in value if key in LATER)
    if later:
        raise NotOffered(f"{', '.join(later)} in this request")
    patience = _own(value).confirm_after
    return msgspec.structs.replace(_host_and_force(value), confirm_after=patience)


class _Own(msgspec.Struct):
    confirm_after: Amount | None = None


_own = read(_Own)


def _host_and_force(value: dict[str, Any]) -> Migrate:
    host = value.get("host")
    if host is not None:
        if not isinstance(host, str):
            raise invalid("host", host, not_of_type(host, "string", "null"))
        host = host_name("host", host)
    force = value.get("force")
    forced = False if force is None else boolean("force", force)
    if forced and host is None:
        raise ForceNeedsHost
    return Migrate(host=None if host is None else HostName(host), force=forced)
