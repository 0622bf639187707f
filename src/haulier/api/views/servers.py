"""A server as the Compute API shows it, at each microversion."""

import hashlib
import re
from typing import Any

import msgspec
from sqlalchemy import Row

from haulier.api.context import Asked
from haulier.api.views.common import bookmark, iso, links, naive
from haulier.model.flavor import Flavor
from haulier.model.host import Host
from haulier.model.server import Server, VmState, public_status

WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "RESIZE", "VERIFY_RESIZE"})
WITH_FAULT = frozenset({VmState.ERROR, VmState.DELETED})


class Found(msgspec.Struct, frozen=True):
    """A server with what is shown of its surroundings. `fault` is only looked up for states that show one."""

    server: Server
    host: Host | None
    fault: Row[Any] | None


def basic(asked: Asked, server: Server) -> dict[str, Any]:
    """As in a plain list."""
    return {"id": server.id, "name": server.name, "links": links(asked, "servers", server.id)}


def show(asked: Asked, found: Found) -> dict[str, Any]:
    """With everything that the caller may see."""
    server = found.server
    status = public_status(server.vm_state, server.task_state)
    shown = {
        **basic(asked, server),
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.metadata,
        "hostId": host_id(server),
        "image": {"id": server.image_id, "links": [bookmark(asked, "images", server.image_id)]},
        "flavor": _flavor(asked, server),
        "created": iso(server.created_at),
        "updated": iso(server.updated_at),
        "addresses": {},
        "accessIPv4": "",
        "accessIPv6": "",
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": (found.host.zone if found.host else server.zone) or "",
        "config_drive": "",
        "key_name": None,
        "OS-SRV-USG:launched_at": naive(server.launched_at),
        "OS-SRV-USG:terminated_at": naive(server.terminated_at),
        "security_groups": [{"name": "default"}],
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": server.power_state,
        "os-extended-volumes:volumes_attached": [],
    }
    if status in WITH_PROGRESS:
        shown["progress"] = server.progress
    if found.fault is not None:
        shown["fault"] = _fault(asked, found.fault)
    return shown | _by_version(asked, found)


def created(asked: Asked, server_id: str, disk_config: str, password: str) -> dict[str, Any]:
    """The answer to an accepted creation."""
    return {
        "id": server_id,
        "links": links(asked, "servers", server_id),
        "OS-DCF:diskConfig": disk_config,
        "security_groups": [{"name": "default"}],
        "adminPass": password,
    }


def host_id(server: Server) -> str:
    """A project's own name for a host: the same for two of its servers there, and no help in finding the host."""
    if server.host is None:
        return ""
    return hashlib.sha224((server.project_id + server.host).encode()).hexdigest()


def host_status(host: Host | None, down_after: float) -> str:
    """Nova's word for the state of a server's host."""
    if host is None:
        return ""
    if host.forced_down:
        return "DOWN"
    if not host.is_up(down_after):
        return "UNKNOWN"
    return "UP" if host.enabled else "MAINTENANCE"


def _by_version(asked: Asked, found: Found) -> dict[str, Any]:
    server = found.server
    shown: dict[str, Any] = {}
    if asked.may("os_compute_api:os-extended-server-attributes", server.project_id):
        shown |= _extended(asked, server)
    if asked.since("2.9"):
        shown["locked"] = server.locked
    if asked.since("2.16") and asked.may("os_compute_api:servers:show:host_status", server.project_id):
        shown["host_status"] = host_status(found.host, asked.settings.down_after)
    if asked.since("2.19"):
        shown["description"] = server.description
    if asked.since("2.26"):
        shown["tags"] = []
    return shown


def _extended(asked: Asked, server: Server) -> dict[str, Any]:
    prefix = "OS-EXT-SRV-ATTR:"
    shown: dict[str, Any] = {
        f"{prefix}host": server.host,
        f"{prefix}hypervisor_hostname": server.host,
        f"{prefix}instance_name": f"haulier-{server.id}",
    }
    if asked.since("2.3"):
        shown |= {
            f"{prefix}hostname": _hostname(server),
            f"{prefix}kernel_id": "",
            f"{prefix}ramdisk_id": "",
            f"{prefix}launch_index": 0,
            f"{prefix}reservation_id": f"r-{server.id[:8]}",
            f"{prefix}root_device_name": "/dev/vda",
            f"{prefix}user_data": None,
        }
    return shown


def _hostname(server: Server) -> str:
    """The server's name as a host name (RFC 1123), as Nova makes one."""
    name = re.sub(r"[^\w.-]+", "", re.sub(r"[ _]", "-", server.name), flags=re.ASCII).lower().strip(".-")
    return name[:63] or f"server-{server.id}"


def _flavor(asked: Asked, server: Server) -> dict[str, Any]:
    flavor = server.flavor
    if not asked.since("2.47"):
        return {"id": flavor.flavorid, "links": [bookmark(asked, "flavors", flavor.flavorid)]}
    shown = embedded(flavor)
    if asked.may("os_compute_api:servers:show:flavor-extra-specs", server.project_id):
        shown["extra_specs"] = flavor.extra_specs
    return shown


def embedded(flavor: Flavor) -> dict[str, Any]:
    """A flavor as it stands inside a server from 2.47 on."""
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mb,
        "disk": flavor.root_gb,
        "ephemeral": flavor.ephemeral_gb,
        "swap": flavor.swap_mb,
    }


def _fault(asked: Asked, fault: Row[Any]) -> dict[str, Any]:
    shown = {"code": fault.code, "created": iso(fault.at), "message": fault.message}
    if fault.details and (asked.is_admin or fault.code != 500):
        shown["details"] = fault.details
    return shown
