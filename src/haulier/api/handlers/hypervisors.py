"""Hypervisors: the same hosts, as what carries servers."""

from typing import Any

from starlette.responses import Response

from haulier.api.answers import json
from haulier.api.bodies import queries
from haulier.api.context import Asked, is_uuid
from haulier.api.microversion import handles
from haulier.api.views import hosts as views
from haulier.api.views.common import next_page
from haulier.errors import HypervisorNotFound, InvalidBody, InvalidId, MarkerNotFound, NoHypervisorMatches, NotSupported

RULE = "os_compute_api:os-hypervisors"


async def _listed(asked: Asked, rule: str, *, counted: bool) -> tuple[list[views.Seen], int, bool]:
    """The hosts asked for, the limit of a page, and whether there are pages (from 2.33 on, and not in a search)."""
    asked.require(rule)
    wanted = asked.query.get("hypervisor_hostname_pattern") if asked.since("2.53") else None
    with_servers = asked.since("2.53") and bool(queries.flag(asked, "with_servers"))
    limit, marker = queries.page(asked)
    seen = await asked.db.read(views.all_seen, with_servers=with_servers or counted)
    if wanted is not None:
        if "limit" in asked.query or marker is not None:
            why = "with the hypervisor_hostname_pattern query parameter is not supported."
            raise InvalidBody(f"Paging over hypervisors {why}")
        return _matching(seen, wanted), limit, False
    if not asked.since("2.33"):
        return seen, limit, False
    if marker is not None:
        seen = _after(asked, seen, marker)
    return seen[:limit], limit, True


def _matching(seen: list[views.Seen], wanted: str) -> list[views.Seen]:
    """A part of the name, with `%` for anything, as in the SQL that Nova looks with."""
    parts = [part.lower() for part in wanted.split("%") if part]
    found = [each for each in seen if _in_order(parts, each.host.name.lower())]
    if not found:
        raise NoHypervisorMatches(wanted)
    return found


def _in_order(parts: list[str], name: str) -> bool:
    at = 0
    for part in parts:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _after(asked: Asked, seen: list[views.Seen], marker: str) -> list[views.Seen]:
    ids = [str(views.public_id(asked, each)) for each in seen]
    if marker not in ids:
        raise MarkerNotFound(marker)
    return seen[ids.index(marker) + 1 :]


def _answer(asked: Asked, path: str, shown: list[dict[str, Any]], limit: int, *, pages: bool) -> Response:
    body: dict[str, Any] = {"hypervisors": shown}
    following = next_page(asked, path, [str(each["id"]) for each in shown], limit) if pages else None
    if following:
        body["hypervisors_links"] = following
    return json(body)


def _with_servers(asked: Asked) -> bool:
    return asked.since("2.53") and bool(queries.flag(asked, "with_servers"))


@handles("hypervisors.index")
async def index(asked: Asked) -> Response:
    seen, limit, pages = await _listed(asked, f"{RULE}:list", counted=False)
    return _answer(asked, "os-hypervisors", [views.hypervisor(asked, each) for each in seen], limit, pages=pages)


@handles("hypervisors.detail")
async def detail(asked: Asked) -> Response:
    seen, limit, pages = await _listed(asked, f"{RULE}:list-detail", counted=True)
    shown = [_detail(asked, each) for each in seen]
    return _answer(asked, "os-hypervisors/detail", shown, limit, pages=pages)


@handles("hypervisors.show")
async def show(asked: Asked) -> Response:
    asked.require(f"{RULE}:show")
    return json({"hypervisor": _detail(asked, await _hypervisor_of(asked))})


def _detail(asked: Asked, seen: views.Seen) -> dict[str, Any]:
    shown = views.hypervisor_detail(asked, seen)
    if not _with_servers(asked):
        shown.pop("servers", None)
    return shown


@handles("hypervisors.search", until="2.52")
async def search(asked: Asked) -> Response:
    asked.require(f"{RULE}:search")
    seen = await asked.db.read(views.all_seen, with_servers=False)
    return json(
        {"hypervisors": [views.hypervisor(asked, each) for each in _matching(seen, asked.path("hypervisor_id"))]}
    )


@handles("hypervisors.servers", until="2.52")
async def servers(asked: Asked) -> Response:
    asked.require(f"{RULE}:servers")
    seen = _matching(await asked.db.read(views.all_seen, with_servers=True), asked.path("hypervisor_id"))
    shown = [
        {**views.hypervisor(asked, each), **({"servers": views.named(each)} if each.servers else {})} for each in seen
    ]
    return json({"hypervisors": shown})


@handles("hypervisors.statistics")
async def statistics(asked: Asked) -> Response:
    asked.require(f"{RULE}:statistics")
    seen = await asked.db.read(views.all_seen, with_servers=True)
    total = dict.fromkeys(
        (
            "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "free_ram_mb",
            "free_disk_gb", "disk_available_least", "running_vms", "current_workload",
        ),
        0,
    )  # fmt: skip
    for each in seen:
        if each.host.enabled:
            for name, count in views.counts(each).items():
                total[name] += count
    count = sum(each.host.enabled for each in seen)
    return json({"hypervisor_statistics": {"count": count, **total}})


@handles("hypervisors.uptime")
async def uptime(asked: Asked) -> Response:
    asked.require(f"{RULE}:uptime")
    await _hypervisor_of(asked)
    raise NotSupported("The uptime of a host")  # stock clients take a 501 here, and nothing else


async def _hypervisor_of(asked: Asked) -> views.Seen:
    wanted = asked.path("hypervisor_id")
    if asked.since("2.53") and not is_uuid(wanted):
        raise InvalidId(wanted)
    for seen in await asked.db.read(views.all_seen, with_servers=True):
        if str(views.public_id(asked, seen)) == wanted:
            return seen
    raise HypervisorNotFound(wanted)
