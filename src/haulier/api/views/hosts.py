"""A host as the Compute API shows it: as a service, and as a hypervisor."""

from typing import Any

import msgspec
from sqlalchemy import Row

from haulier.api.bodies.service import BINARY
from haulier.api.context import Asked
from haulier.api.views.common import naive
from haulier.db.engine import Transaction
from haulier.db.store import claims, hosts, servers
from haulier.model.host import Host
from haulier.model.resources import Amounts, ResourceClass
from haulier.model.server import PowerState, Server

CLASSES = {"vcpus": ResourceClass.VCPU, "memory_mb": ResourceClass.MEMORY_MB, "local_gb": ResourceClass.DISK_GB}


class Seen(msgspec.Struct, frozen=True):
    """A host with its row, what is claimed on it and, where they are asked for, its servers."""

    row: Row[Any]
    host: Host
    used: Amounts
    servers: list[Server]

    def up(self, asked: Asked) -> bool:
        return self.host.is_up(asked.settings.down_after)


def all_seen(tx: Transaction, *, with_servers: bool) -> list[Seen]:
    """Every host, by number."""
    used = claims.all_used(tx)
    found = []
    for row in hosts.all_rows(tx):
        host = hosts.to_host(row, tx.now)
        found.append(Seen(row, host, used.get(host.name, {}), servers.owned_by(tx, host.name) if with_servers else []))
    return found


def public_id(asked: Asked, seen: Seen) -> int | str:
    """The number up to 2.52, the UUID from 2.53 on."""
    return str(seen.host.uuid) if asked.since("2.53") else int(seen.row.id)


def service(asked: Asked, seen: Seen) -> dict[str, Any]:
    shown = {
        "id": public_id(asked, seen),
        "binary": BINARY,
        "host": seen.host.name,
        "zone": seen.host.zone,
        "status": "enabled" if seen.host.enabled else "disabled",
        "state": "up" if seen.up(asked) else "down",
        "updated_at": naive(seen.row.last_heard),
        "disabled_reason": seen.host.disabled_reason,
    }
    if asked.since("2.11"):
        shown["forced_down"] = seen.host.forced_down
    return shown


def hypervisor(asked: Asked, seen: Seen) -> dict[str, Any]:
    """As in a plain list; the servers are named where they were looked for and there are some."""
    shown: dict[str, Any] = {
        "id": public_id(asked, seen),
        "hypervisor_hostname": seen.host.name,
        "state": "up" if seen.up(asked) else "down",
        "status": "enabled" if seen.host.enabled else "disabled",
    }
    if seen.servers and asked.since("2.53"):
        shown["servers"] = named(seen)
    return shown


def named(seen: Seen) -> list[dict[str, str]]:
    return [{"name": server.name, "uuid": server.id} for server in seen.servers]


def hypervisor_detail(asked: Asked, seen: Seen) -> dict[str, Any]:
    cpu = {"model": seen.row.cpu, "topology": {"sockets": 1, "cores": seen.row.cores, "threads": 1}, "features": []}
    return {
        **hypervisor(asked, seen),
        **counts(seen),
        "hypervisor_type": "QEMU",
        "hypervisor_version": seen.row.hypervisor_version,
        "host_ip": "0.0.0.0",  # noqa: S104 - agents are reached by name; the field must hold an address
        "service": {
            "id": public_id(asked, seen),
            "host": seen.host.name,
            "disabled_reason": seen.host.disabled_reason,
        },
        "cpu_info": cpu if asked.since("2.28") else msgspec.json.encode(cpu).decode(),
    }


def counts(seen: Seen) -> dict[str, int]:
    """Totals and claims; `disk_available_least` is what the file system really has left, in GiB."""
    totals = {name: _total(seen, resource_class) for name, resource_class in CLASSES.items()}
    used = {f"{name}_used": seen.used.get(resource_class, 0) for name, resource_class in CLASSES.items()}
    return {
        **totals,
        **used,
        "free_ram_mb": totals["memory_mb"] - used["memory_mb_used"],
        "free_disk_gb": totals["local_gb"] - used["local_gb_used"],
        "disk_available_least": seen.host.free_disk_bytes >> 30,
        "running_vms": sum(server.power_state == PowerState.RUNNING for server in seen.servers),
        "current_workload": sum(server.task_state is not None for server in seen.servers),
    }


def _total(seen: Seen, resource_class: ResourceClass) -> int:
    stock = seen.host.stock.get(resource_class)
    return stock.total if stock else 0
