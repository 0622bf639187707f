"""`haulier host ...`: the machines that servers run on."""

from typing import Any

import click

from haulier.cli import output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.output import format_option
from haulier.cli.problem import Problem
from haulier.cli.quantities import duration, size

RESOURCES = {"VCPU": "VCPUS", "MEMORY_MB": "RAM (MiB)", "DISK_GB": "DISK (GiB)"}


@click.group()
def host() -> None:
    """Hosts: the machines that servers run on."""


@host.command("list")
@format_option
@pass_cloud
def list_hosts(cloud: Cloud, form: str) -> None:
    """Show all hosts, whether they take servers, and how much of each is claimed."""
    hosts = _all(cloud)
    if form == "json":
        output.as_json(hosts)
        return
    heads = ("NAME", "AGENT", "TAKES SERVERS", "ZONE", *(f"{head} CLAIMED" for head in RESOURCES.values()))
    rows = [(one["name"], _agent(one), _takes(one), one["zone"], *_claimed(one)) for one in hosts]
    output.table(heads, rows, empty="There are no hosts: no agent has said hello yet.")


@host.command()
@click.argument("host")
@format_option
@pass_cloud
def show(cloud: Cloud, host: str, form: str) -> None:
    """Show one host and the servers on it."""
    found = _find(cloud, host)
    servers = cloud.client.compute("GET", "/servers/detail", host=host, all_tenants="true")["servers"]
    if form == "json":
        output.as_json({**found, "servers": [{"id": one["id"], "name": one["name"]} for one in servers]})
        return
    pairs: list[tuple[str, Any]] = [
        ("name", found["name"]),
        ("agent", f"{_agent(found)}, last heard {duration(found['silent_for'])} ago"),
        ("takes servers", _takes(found)),
        ("zone", found["zone"]),
        *((f"{head} claimed", cell) for head, cell in zip(RESOURCES.values(), _claimed(found), strict=True)),
        ("disk really free", size(found["free_disk_bytes"])),
        ("servers", "\n".join(f"{one['name']}  {one['status']}  {one['id']}" for one in servers)),
    ]
    output.fields(pairs)


@host.command()
@click.argument("host")
@click.option("--reason", help="Why; it is shown to whoever is refused.")
@pass_cloud
def disable(cloud: Cloud, host: str, reason: str | None) -> None:
    """Keep new servers and moves away from a host; what is on it stays."""
    _set(cloud, host, {"status": "disabled", **({"disabled_reason": reason} if reason else {})})
    click.echo(f"host {host} takes no new servers")


@host.command()
@click.argument("host")
@pass_cloud
def enable(cloud: Cloud, host: str) -> None:
    """Let a host take servers again."""
    _set(cloud, host, {"status": "enabled"})
    click.echo(f"host {host} takes servers")


@host.command()
@click.argument("host")
@pass_cloud
def drain(cloud: Cloud, host: str) -> None:
    """Mark a host for maintenance: it takes no new servers. Nothing is moved away by this yet."""
    cloud.client.own("POST", f"/hosts/{_find(cloud, host)['name']}/drain")
    click.echo(f"host {host} is draining: it takes no new servers, what is on it stays until you move it")


@host.command()
@click.argument("host")
@pass_cloud
def undrain(cloud: Cloud, host: str) -> None:
    """Take the mark for maintenance away."""
    cloud.client.own("POST", f"/hosts/{_find(cloud, host)['name']}/undrain")
    click.echo(f"host {host} is not draining any more")


@host.command()
@click.argument("host")
@click.option("--reason", required=True, help="How you know that it is off; kept with your name.")
@pass_cloud
def fence(cloud: Cloud, host: str, reason: str) -> None:
    """Give your word that a host is OFF, so that moves which wait for it go on without it.

    A host that is not off, only cut off, may still run its guests: fencing it then can start a guest twice. It is
    refused while the host's agent is heard. The fence ends by itself when the agent comes back.
    """
    cloud.client.own("POST", f"/hosts/{_find(cloud, host)['name']}/fence", {"reason": reason})
    click.echo(f"host {host} is fenced: what waits for it goes on without it where that is safe")


def _all(cloud: Cloud) -> list[Found]:
    hosts: list[Found] = cloud.client.own("GET", "/hosts")["hosts"]
    return hosts


def _find(cloud: Cloud, name: str) -> Found:
    for one in _all(cloud):
        if one["name"] == name:
            return one
    raise Problem(f"there is no host {name}", then="`haulier host list` shows those there are.")


def _set(cloud: Cloud, name: str, change: dict[str, str]) -> None:
    cloud.client.compute("PUT", f"/os-services/{_find(cloud, name)['uuid']}", change)


def _agent(one: Found) -> str:
    if one.get("fence"):
        return "fenced"
    if one.get("stopping"):
        return "stopping"
    return "up" if one["up"] else "down"


def _takes(one: Found) -> str:
    if not one["enabled"]:
        return f"no: disabled ({one['reason']})" if one["reason"] else "no: disabled"
    if one["draining"]:
        return "no: draining"
    return "no: set down" if one["forced_down"] else "yes"


def _claimed(one: Found) -> list[str]:
    amounts = (one["resources"].get(name, {"used": 0, "capacity": 0}) for name in RESOURCES)
    return [f"{amount['used']} of {amount['capacity']}" for amount in amounts]
