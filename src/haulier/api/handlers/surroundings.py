"""What clients look at around servers: zones, limits, quotas, and lists of what there is none of here."""

from typing import Any

from starlette.responses import Response

from haulier.api.answers import json
from haulier.api.bodies.service import BINARY
from haulier.api.context import Asked
from haulier.api.handlers.servers import permitted
from haulier.api.microversion import handles
from haulier.api.views import hosts as views
from haulier.api.views.common import naive
from haulier.db.store import server_lists

ZONES = "os_compute_api:os-availability-zone"
UNLIMITED = -1

EXTENSIONS = {
    "os-availability-zone": "AvailabilityZone",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-lock-server": "LockServer",
    "os-migrate-server": "MigrateServer",
    "os-migrations": "Migrations",
    "os-pause-server": "PauseServer",
    "os-services": "Services",
}

NETWORKING = frozenset({"floating_ips", "fixed_ips", "security_groups", "security_group_rules", "networks"})
"""Quotas that are not shown any more from 2.36 on."""
QUOTAS = (
    "cores", "ram", "instances", "key_pairs", "metadata_items", "server_groups", "server_group_members",
    "injected_files", "injected_file_content_bytes", "injected_file_path_bytes", "floating_ips", "fixed_ips",
    "security_groups", "security_group_rules",
)  # fmt: skip
LIMITS = {
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxTotalKeypairs": "key_pairs",
    "maxServerMeta": "metadata_items",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
    "maxPersonality": "injected_files",
    "maxPersonalitySize": "injected_file_content_bytes",
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}


@handles("zones.index")
async def zones(asked: Asked) -> Response:
    asked.require(f"{ZONES}:list")
    return json({"availabilityZoneInfo": [_zone(name, seen, None) for name, seen in await _zones(asked)]})


@handles("zones.detail")
async def zones_in_detail(asked: Asked) -> Response:
    asked.require(f"{ZONES}:detail")
    shown = [
        _zone(name, seen, {each.host.name: _agent(asked, each) for each in seen}) for name, seen in await _zones(asked)
    ]
    return json({"availabilityZoneInfo": shown})


async def _zones(asked: Asked) -> list[tuple[str, list[views.Seen]]]:
    found: dict[str, list[views.Seen]] = {}
    for each in await asked.db.read(views.all_seen, with_servers=False):
        found.setdefault(each.host.zone, []).append(each)
    return sorted(found.items())


def _zone(name: str, seen: list[views.Seen], hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": any(each.host.enabled for each in seen)}, "hosts": hosts}


def _agent(asked: Asked, seen: views.Seen) -> dict[str, Any]:
    state = {"available": seen.up(asked), "active": seen.host.enabled, "updated_at": naive(seen.row.last_heard)}
    return {BINARY: state}


@handles("limits.index")
async def limits(asked: Asked) -> Response:
    """No quotas yet: every limit is -1, Nova's word for none."""
    asked.require("os_compute_api:limits")
    project_id = asked.query.get("tenant_id")
    if project_id is not None and project_id != asked.caller.project_id:
        asked.require("os_compute_api:limits:other_project")
    used = await asked.db.read(server_lists.usage, project_id or asked.caller.project_id)
    hidden = NETWORKING if asked.since("2.36") else frozenset()
    absolute = {name: UNLIMITED for name, quota in LIMITS.items() if quota not in hidden}
    absolute |= {
        "totalInstancesUsed": used["instances"],
        "totalCoresUsed": used["cores"],
        "totalRAMUsed": used["ram"],
        "totalServerGroupsUsed": 0,
    }
    if not asked.since("2.36"):
        absolute |= {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    if not asked.since("2.39"):
        absolute["maxImageMeta"] = UNLIMITED
    return json({"limits": {"rate": [], "absolute": absolute}})


@handles("quotas.show")
async def quotas(asked: Asked) -> Response:
    asked.require("os_compute_api:os-quota-sets:show", asked.path("project_id"))
    return json({"quota_set": _quotas(asked)})


@handles("quotas.defaults")
async def default_quotas(asked: Asked) -> Response:
    asked.require("os_compute_api:os-quota-sets:defaults")
    return json({"quota_set": _quotas(asked)})


def _quotas(asked: Asked) -> dict[str, Any]:
    hidden = NETWORKING if asked.since("2.36") else frozenset()
    return {"id": asked.path("project_id"), **{name: UNLIMITED for name in QUOTAS if name not in hidden}}


@handles("extensions.index")
async def extensions(asked: Asked) -> Response:
    asked.require("os_compute_api:extensions")
    shown = [
        {
            "alias": alias,
            "name": name,
            "description": "",
            "links": [],
            "namespace": "",
            "updated": "2014-12-03T00:00:00Z",
        }
        for alias, name in EXTENSIONS.items()
    ]
    return json({"extensions": shown})


@handles("aggregates.index")
async def aggregates(asked: Asked) -> Response:
    asked.require("os_compute_api:os-aggregates:index")
    return json({"aggregates": []})


@handles("server_groups.index")
async def server_groups(asked: Asked) -> Response:
    asked.require("os_compute_api:os-server-groups:index")
    return json({"server_groups": []})


@handles("keypairs.index")
async def keypairs(asked: Asked) -> Response:
    asked.require("os_compute_api:os-keypairs:index")
    return json({"keypairs": []})


@handles("volumes.index")
async def volumes(asked: Asked) -> Response:
    await permitted(asked, "os_compute_api:os-volumes-attachments:index")
    return json({"volumeAttachments": []})


@handles("interfaces.index")
async def interfaces(asked: Asked) -> Response:
    await permitted(asked, "os_compute_api:os-attach-interfaces:list")
    return json({"interfaceAttachments": []})
