"""Scenarios of group G, and M1: what becomes of a server's disk in a move, and what is refused before anything begins.

With simulated hypervisors; the same with real disks is in tests/guest.
"""

from typing import Any

import pytest

from haulier.db.store import migrations
from haulier.model.ids import ServerId
from haulier.model.migration import State
from tests.functional.cloud import Cloud
from tests.functional.hooks import before, held_before
from tests.functional.test_delete import delete, gone
from tests.functional.test_force import unmoved
from tests.functional.test_same_host import resize


async def refused(cloud: Cloud, server: str, flavor: str) -> str:
    """A resize to the flavor is a 400 that changes nothing and of which no host hears; why."""
    claims, calls = await cloud.claims(server), len(cloud.drivers["node1"].calls)
    answer = await cloud.action(server, {"resize": {"flavorRef": flavor}})
    assert answer.status_code == 400, answer.text
    assert (await cloud.server(server)).task_state is None
    assert await cloud.allinone.db.read(migrations.of_server, ServerId(server)) == []
    assert await cloud.claims(server) == claims
    assert ("power_off", server) not in cloud.drivers["node1"].calls[calls:]
    assert cloud.fleet.running == {server: "node1"}
    return str(answer.json()["badRequest"]["message"])


async def test_G12_a_smaller_root_disk_is_refused_while_the_guest_runs(cloud: Cloud) -> None:
    server = await cloud.create(host="node1", flavor="large")
    why = "Flavor small has a root disk of 1 GiB, which is smaller than the 2 GiB of its present flavor large."
    assert await refused(cloud, server, "small") == why


@pytest.mark.parametrize("flavor", [None, "wide", "large"], ids=["plain", "more memory", "more disk"])
async def test_G13_only_a_larger_root_disk_changes_the_disk(cloud: Cloud, flavor: str | None) -> None:
    """What arrives is what was sent, and one boot more; the source's copy stays as it was in any case."""
    await cloud.add_flavor("wide", vcpus=2, ram=128, disk=1)
    server = ServerId(await cloud.create(host="node1"))
    move = await (cloud.move(server) if flavor is None else resize(cloud, server, flavor))
    assert move.state == State.AWAITS_CONFIRM
    kept, arrived = (cloud.drivers[str(host)].disks[server] for host in (move.source, move.target))
    assert (kept.size, kept.content) == (1 << 30, b"B")
    assert (arrived.size, arrived.content) == ((2 if flavor == "large" else 1) << 30, b"BB")


LEAST = [("min_ram", 100, "lean", "has 96 MiB of memory, which is less than the 100 MiB that image")]
LEAST += [("min_disk", 2, "wide", "has a root disk of 1 GiB, which is smaller than the 2 GiB of image")]


@pytest.mark.parametrize(("field", "least", "flavor", "why"), LEAST, ids=[each[0] for each in LEAST])
async def test_G18_what_the_image_asks_for_at_least_counts_in_a_resize(
    cloud: Cloud, field: str, least: int, flavor: str, why: str
) -> None:
    """It was made when the image asked for less."""
    await cloud.add_flavor("lean", ram=96)
    await cloud.add_flavor("wide", ram=128, disk=1)
    server = await cloud.create(host="node1")
    await demand(cloud, field, least)
    assert why in await refused(cloud, server, flavor)
    assert (await resize(cloud, server, "large")).state == State.AWAITS_CONFIRM


async def demand(cloud: Cloud, field: str, least: int) -> None:
    answer = await cloud.admin.patch(
        f"/image/v2/images/{cloud.image}",
        json=[{"op": "replace", "path": f"/{field}", "value": least}],
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )
    assert answer.status_code == 200, answer.text


async def test_G19_a_server_that_is_deleted_while_its_move_fails_leaves_no_files_anywhere(cloud: Cloud) -> None:
    """The copy has failed, and the source is about to start the guest again: node2 has half a disk, and did not hear
    that it is to delete it. The deletion tells it, and no sweep has to.
    """
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "cable cut"
    cloud.allinone.broker.losses.append(lambda said: b"discard_target" in said.body)
    reached, go = held_before(cloud.drivers["node1"], "start")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await reached()
    assert (await cloud.newest(server)).state == State.RESTORING
    assert server in cloud.drivers["node2"].disks
    await cloud.allinone.conductor.driver.stop()
    await delete(cloud, server)
    go()
    await cloud.until(lambda: gone(cloud, server))

    async def nowhere() -> bool:
        held = [
            driver.disks.keys() | driver.guests.keys() | driver.exported.keys() for driver in cloud.drivers.values()
        ]
        return not any(server in each for each in held) and await cloud.claims(server) == {}

    await cloud.until(nowhere)
    assert (cloud.fleet.running, cloud.fleet.exports) == ({}, {})


MORE_DISKS = [{"OS-FLV-EXT-DATA:ephemeral": 1}, {"swap": 512}]


@pytest.mark.parametrize("more", MORE_DISKS, ids=["ephemeral", "swap"])
async def test_G20_a_flavor_with_more_disks_than_one_is_refused_and_not_ignored(
    cloud: Cloud, more: dict[str, Any]
) -> None:
    """They are not built; the flavor itself may be there for other clouds' sake."""
    server = await cloud.create(host="node1")
    flavor = {"id": "rich", "name": "rich", "vcpus": 1, "ram": 128, "disk": 1, **more}
    assert (await cloud.call("POST", "/v2.1/flavors", {"flavor": flavor})).status_code == 200
    why = "The swap or ephemeral disk that flavor rich asks for is not available here yet."
    assert await refused(cloud, server, "rich") == why
    assert await made(cloud, "rich") == (400, why)


async def made(cloud: Cloud, flavor: str) -> tuple[int, str]:
    server = {"name": "vm", "imageRef": cloud.image, "flavorRef": flavor, "networks": "none"}
    answer = await cloud.call("POST", "/v2.1/servers", {"server": server})
    return answer.status_code, answer.json().get("badRequest", {}).get("message", "")


async def test_M1_a_copy_that_arrived_differently_ends_the_move_and_the_server_is_as_found(cloud: Cloud) -> None:
    """The copy tool said that all was well."""
    server = ServerId(await cloud.create(host="node1"))
    node2 = cloud.drivers["node2"]

    async def damage() -> None:
        node2.disks[server].content += b"X"

    before(node2, "digest", damage)
    move = await cloud.move(server, "node2")
    assert (move.state, move.status) == (State.FAILED, "error")
    assert "differs" in move.reasons[0]
    assert ("start", server) not in node2.calls

    async def discarded() -> bool:
        return server not in node2.disks

    await cloud.until(discarded)
    await unmoved(cloud, server)
