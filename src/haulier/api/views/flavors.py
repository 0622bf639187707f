"""A flavor as the Compute API shows it."""

from typing import Any

from haulier.api.context import Asked
from haulier.api.views.common import links
from haulier.model.flavor import Flavor


def basic(asked: Asked, flavor: Flavor) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": flavor.flavorid,
        "name": flavor.name,
        "links": links(asked, "flavors", flavor.flavorid),
    }
    if asked.since("2.55"):
        shown["description"] = flavor.description
    return shown


def show(asked: Asked, flavor: Flavor) -> dict[str, Any]:
    """An absent swap is an empty string, as it was until 2.75."""
    return {
        **basic(asked, flavor),
        "ram": flavor.memory_mb,
        "disk": flavor.root_gb,
        "vcpus": flavor.vcpus,
        "swap": flavor.swap_mb or "",
        "rxtx_factor": 1.0,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.is_public,
    }
