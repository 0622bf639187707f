"""`/haulier/v1/audit`: clean after everything that haulier does, dirty on each thing that is planted, and exactly that.

No sweep runs here: what is wrong stays wrong until the repair.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from haulier.bus.local import Said
from haulier.compute.simulated import SimulatedDisk
from haulier.db.engine import Transaction
from haulier.db.store import claims
from haulier.model.ids import HostName, MigrationId, ServerId
from haulier.model.migration import State
from haulier.model.resources import ResourceClass
from haulier.model.server import PowerState
from tests.functional.cloud import Cloud, running, settings

HOSTS = ("node1", "node2", "node3")
NOBODY = "99999999-9999-4999-8999-999999999999"
LATER = 3600.0


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(settings(tmp_path, HOSTS, sweep_every=LATER)) as made:
        made.audits = False
        yield made


async def audit(cloud: Cloud, *, repair: bool = False) -> dict[str, Any]:
    asked = ("POST", "/haulier/v1/audit/repair") if repair else ("GET", "/haulier/v1/audit")
    answer = await cloud.call(*asked)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()["audit"]
    return report


async def wrong(cloud: Cloud) -> list[tuple[str, str | None, str | None]]:
    """(kind, host, server) of each violation."""
    return [(each["kind"], each["host"], each["server_id"]) for each in (await audit(cloud))["violations"]]


async def is_clean(cloud: Cloud) -> None:
    report = await audit(cloud)
    assert report["clean"], report
    assert (report["violations"], report["unknown_hosts"], report["in_transition"]) == ([], [], [])


async def plant(cloud: Cloud, statement: str, *values: Any) -> None:
    await cloud.allinone.db.write(lambda tx: tx.connection.exec_driver_sql(statement, values).rowcount)


async def claim(cloud: Cloud, host: str, server: str, held_by: int = 0) -> None:
    def make(tx: Transaction) -> None:
        one = {ResourceClass.VCPU: 1}
        claims.set_held(tx, HostName(host), ServerId(server), one, held_by=held_by, cause="planted")

    await cloud.allinone.db.write(make)


async def gone(cloud: Cloud, server: str) -> None:
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204

    async def deleted() -> bool:
        return (await cloud.server(server)).vm_state == "deleted"

    await cloud.until(deleted)


# -- clean -----------------------------------------------------------------------------------------------------


async def test_clean_after_all_that_can_happen_to_a_server(cloud: Cloud) -> None:
    await is_clean(cloud)
    server = await cloud.create(host="node1")
    await is_clean(cloud)
    await cloud.move(server, "node2")
    await is_clean(cloud)
    await cloud.confirm(server)
    await is_clean(cloud)
    await cloud.move(server, "node3")
    await cloud.revert(server)
    await is_clean(cloud)
    await cloud.stop(server)
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
    await cloud.free(server)
    await is_clean(cloud)
    cloud.drivers["node2"].fails["start"] = "no"
    await cloud.revert(server)
    await gone(cloud, server)
    await is_clean(cloud)


async def test_it_says_what_it_has_looked_at(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    assert (await audit(cloud))["looked_at"] == {"hosts": list(HOSTS), "servers": 1, "claims": 2}


async def test_C8_clean_in_the_window_of_a_resize_on_the_same_host(tmp_path: Path) -> None:
    made = settings(tmp_path, ("node1",), allow_resize_to_same_host=True, sweep_every=LATER)
    async with running(made) as cloud:
        cloud.audits = False
        server = await cloud.create(host="node1")
        assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
        await cloud.free(server)
        await is_clean(cloud)
        cloud.drivers["node1"].kept[ServerId(server), MigrationId(77)] = SimulatedDisk(1)
        assert await wrong(cloud) == [("layer", "node1", server)], "of another move"
        cloud.drivers["node1"].kept.clear()
        assert await wrong(cloud) == [("disk_missing", "node1", server)], "the revert needs it"


async def test_B26_a_move_under_way_is_skipped_and_said_to_be(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.allinone.broker.losses.append(lambda said: said.verb == "tell" and b"resize_instance" in said.body)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202

    async def copying() -> bool:
        return (await cloud.newest(server)).state == State.COPYING

    await cloud.until(copying)
    report = await audit(cloud)
    assert report["clean"], report
    assert report["in_transition"] == [{"server_id": server, "host": None, "why": "migration 1 is COPYING"}]
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    assert await wrong(cloud) == [("files", "node3", server)], "a host that takes no part of it has no excuse"


async def test_claims_are_exact_in_the_middle_of_a_move_too(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.allinone.broker.losses.append(lambda said: said.verb == "tell" and b"receive_disk" in said.body)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202

    async def receiving() -> bool:
        return (await cloud.newest(server)).state == State.RECEIVING

    await cloud.until(receiving)
    await plant(cloud, "DELETE FROM claims WHERE host = 'node1'")
    assert await wrong(cloud) == [("claim_missing", "node1", server)]


async def test_a_deletion_that_is_not_taken_up_is_skipped_on_each_host(cloud: Cloud) -> None:
    """It has ended the window, and the host that kept the disk is not told to delete it yet."""
    server = await cloud.create()
    await cloud.move(server, "node2")
    conductor = cloud.allinone.conductor
    conductor.outbox.take_no_more()
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
    report = await audit(cloud)
    assert report["violations"] == []
    assert [each["server_id"] for each in report["in_transition"]] == [server]
    conductor.outbox._begins = True
    conductor.outbox.kick()

    async def deleted() -> bool:
        return (await cloud.server(server)).vm_state == "deleted"

    await cloud.until(deleted)
    await is_clean(cloud)


async def test_a_server_that_changes_during_the_look_is_not_judged(cloud: Cloud) -> None:
    """Its files come and go between the two readings of the database; nothing of that is a violation."""
    server = await cloud.create(host="node1")
    moved = False
    ask = cloud.drivers["node1"].census

    async def census() -> Any:
        nonlocal moved
        if not moved:
            moved = True
            here = await ask()
            await cloud.move(server, "node2")
            await cloud.confirm(server)
            return here
        return await ask()

    cloud.drivers["node1"].census = census  # type: ignore[method-assign]
    report = await audit(cloud)
    assert report["violations"] == [], report
    assert [each["why"] for each in report["in_transition"]] == ["it changed during the look"]
    await is_clean(cloud)


async def test_what_is_not_there_any_more_at_the_second_look_is_no_violation(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    driver = cloud.drivers["node3"]
    ask = driver.census
    driver.disks[ServerId(server)] = SimulatedDisk(1)

    async def census() -> Any:
        here = await ask()
        driver.disks.clear()
        return here

    driver.census = census  # type: ignore[method-assign]
    await is_clean(cloud)


# -- dirty -----------------------------------------------------------------------------------------------------


async def test_a_claim_without_a_cause(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await claim(cloud, "node2", server)
    (found,) = (await audit(cloud))["violations"]
    assert found == {
        "kind": "claim_without_cause",
        "invariant": "I2",
        "host": "node2",
        "server_id": server,
        "what": "on node2 the server holds 1 VCPU",
        "cause": "the server is on node1, and no move needs it (its cause was: planted)",
        "remedy": "release the claim: `haulier audit --repair` does it",
        "repair": True,
    }


@pytest.mark.parametrize("of", ["an ended move", "nobody", "a deleted server"])
async def test_B25_other_claims_without_a_cause(cloud: Cloud, of: str) -> None:
    server = await cloud.create(host="node1")
    if of == "an ended move":
        await cloud.move(server, "node2")
        await cloud.confirm(server)
        await claim(cloud, "node1", server, held_by=1)
    elif of == "a deleted server":
        await gone(cloud, server)
        await claim(cloud, "node1", server)
    else:
        await claim(cloud, "node1", NOBODY)
    assert await wrong(cloud) == [("claim_without_cause", "node1", NOBODY if of == "nobody" else server)]


async def test_B26_a_claim_of_a_wrong_amount(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await plant(cloud, "UPDATE claims SET amount = 63 WHERE resource_class = 'MEMORY_MB'")
    (found,) = (await audit(cloud))["violations"]
    assert (found["kind"], found["host"], found["server_id"]) == ("claim_amount", "node1", server)
    holds = "holds 1 VCPU, 63 MiB of memory, 1 GiB of disk instead of 1 VCPU, 64 MiB of memory, 1 GiB of disk"
    assert holds in found["what"]
    assert not found["repair"]


async def test_a_missing_claim(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await plant(cloud, "DELETE FROM claims")
    assert await wrong(cloud) == [("claim_missing", "node1", server)]


async def test_files_where_nobody_has_business(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    assert await wrong(cloud) == [("files", "node3", server)]


async def test_a_process_where_nobody_has_business(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node3"].guests[ServerId(server)] = PowerState.RUNNING
    assert await wrong(cloud) == [("guest", "node3", server)]


async def test_a_process_on_the_host_that_keeps_the_disk_for_a_revert(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    cloud.drivers["node1"].guests[ServerId(server)] = PowerState.RUNNING
    assert sorted(await wrong(cloud)) == [("guest", "node1", server), ("guest_twice", "node1", server)]
    cloud.drivers["node2"].guests[ServerId(server)] = PowerState.SHUTDOWN
    assert await wrong(cloud) == [("guest", "node1", server)]


@pytest.mark.parametrize("host", ["node1", "node3"])
async def test_an_export_outside_of_a_move(cloud: Cloud, host: str) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers[host].exported[ServerId(server)] = "planted"
    (found,) = (await audit(cloud))["violations"]
    assert (found["kind"], found["host"], found["server_id"]) == ("export", host, server)
    assert found["repair"] is (host == "node3"), "what would end it on the owner would delete the disk as well"


async def test_a_copy_that_no_move_needs(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].copies[ServerId(server), MigrationId(7)] = SimulatedDisk(1)
    assert await wrong(cloud) == [("layer", "node1", server)]


@pytest.mark.parametrize("host", ["node1", "node2"])
async def test_a_disk_that_is_missing(cloud: Cloud, host: str) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    await cloud.move(server, "node2")
    del cloud.drivers[host].disks[ServerId(server)]
    assert await wrong(cloud) == [("disk_missing", host, server)]


# -- hosts that do not answer ----------------------------------------------------------------------------------


async def test_a_host_that_is_down_is_unknown_and_not_called_clean(cloud: Cloud) -> None:
    await cloud.create(host="node2")
    await cloud.allinone.agents["node2"].stop()
    report = await audit(cloud)
    assert report["violations"] == []
    assert not report["clean"]
    ((host, why),) = [(each["host"], each["why"]) for each in report["unknown_hosts"]]
    assert (host, why.startswith("its agent does not answer")) == ("node2", True)
    assert report["looked_at"]["hosts"] == ["node1", "node3"]
    await cloud.allinone.restart_agent("node2")
    await is_clean(cloud)


async def test_a_host_that_can_not_look_is_unknown(cloud: Cloud) -> None:
    """An answer that leaves something out would be worse than none."""

    async def census() -> Any:
        raise OSError("input/output error")

    cloud.drivers["node2"].census = census  # type: ignore[method-assign]
    assert [each["host"] for each in (await audit(cloud))["unknown_hosts"]] == ["node2"]


async def test_B26_a_deleted_server_whose_host_is_down_leaves_what_it_may(cloud: Cloud) -> None:
    server = await cloud.create(host="node2")
    await cloud.allinone.agents["node2"].stop()
    await plant(cloud, "UPDATE hosts SET last_heard = last_heard - 1000 WHERE name = 'node2'")
    await gone(cloud, server)
    report = await audit(cloud)
    assert report["violations"] == []
    assert [each["why"] for each in report["in_transition"]] == ["node2 has not answered delete_server yet"]
    await cloud.allinone.restart_agent("node2")

    async def nothing_is_left() -> bool:
        return await cloud.claims(server) == {}

    await cloud.until(nothing_is_left)
    await is_clean(cloud)


# -- repair ----------------------------------------------------------------------------------------------------


async def test_B25_B26_repair_releases_deletes_and_has_nothing_to_do_the_second_time(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    deleted = await cloud.create("other", host="node3")
    await gone(cloud, deleted)
    await claim(cloud, "node2", server)
    await claim(cloud, "node3", deleted)
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    cloud.drivers["node3"].guests[ServerId(server)] = PowerState.RUNNING
    cloud.drivers["node2"].exported[ServerId(deleted)] = "planted"
    report = await audit(cloud, repair=True)
    told = "was told to end and delete all that it has of the server"
    assert sorted((each["kind"], each["host"], each["done"]) for each in report["repaired"]) == [
        ("claim_without_cause", "node2", "the claim was released"),
        ("claim_without_cause", "node3", "the claim was released"),
        ("export", "node2", f"node2 {told}"),
        ("files", "node3", f"node3 {told}"),
        ("guest", "node3", f"node3 {told}"),
    ]
    assert len(report["violations"]) == 5
    assert (await audit(cloud, repair=True))["repaired"] == []

    async def done() -> bool:
        return not await cloud.allinone.db.read(_outbox)

    await cloud.until(done)
    await is_clean(cloud)
    assert server not in cloud.drivers["node3"].disks
    assert server in cloud.drivers["node1"].disks
    assert cloud.drivers["node1"].power_state(ServerId(server)) == PowerState.RUNNING
    assert (await audit(cloud, repair=True))["repaired"] == []


async def test_B25_B26_repair_does_nothing_unless_it_is_asked_to(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await claim(cloud, "node2", server)
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    before = await cloud.claims(server)
    await audit(cloud)
    assert await cloud.claims(server) == before
    assert await cloud.allinone.db.read(_outbox) == []


async def test_files_of_a_server_that_the_database_never_heard_of_are_said_and_left(cloud: Cloud) -> None:
    """The database may be an older one, or the host another cloud's: that proves nothing, for the sweep neither."""
    driver = cloud.drivers["node3"]
    driver.disks[ServerId(NOBODY)] = SimulatedDisk(1)
    report = await audit(cloud, repair=True)
    (found,) = report["violations"]
    assert (found["kind"], found["server_id"], found["repair"]) == ("files", NOBODY, False)
    assert "the database older than the host" in found["remedy"]
    assert report["repaired"] == []

    async def reported() -> bool:
        guests = "SELECT guests FROM hosts WHERE name = 'node3'"
        return NOBODY in await cloud.allinone.db.read(lambda tx: tx.connection.exec_driver_sql(guests).scalar_one())

    await cloud.until(reported)
    await cloud.allinone.conductor.driver.sweep()
    assert await cloud.allinone.db.read(_outbox) == []


async def test_files_that_may_be_the_only_ones_are_left(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    cloud.drivers["node3"].disks[ServerId(server)] = cloud.drivers["node1"].disks.pop(ServerId(server))
    report = await audit(cloud, repair=True)
    assert [(each["kind"], each["repair"]) for each in report["violations"]] == [
        ("files", False),
        ("disk_missing", False),
    ]
    assert report["repaired"] == []


async def test_an_order_to_delete_leftovers_is_refused_where_something_newer_was_prepared(cloud: Cloud) -> None:
    """Another conductor has read the order from the outbox and says it after the server was moved to that host."""
    server = await cloud.create(host="node1")
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    losses, broker = cloud.allinone.broker.losses, cloud.allinone.broker
    order: list[Said] = []

    def keep(said: Said) -> bool:
        if said.verb == "tell" and b"discard_orphan" in said.body:
            order.append(said)
            return True
        return said.verb == "tell" and b"resize_instance" in said.body

    losses.append(keep)
    assert len((await audit(cloud, repair=True))["repaired"]) == 1
    assert (await cloud.action(server, {"migrate": {"host": "node3"}})).status_code == 202

    async def copying() -> bool:
        return (await cloud.newest(server)).state == State.COPYING

    await cloud.until(copying)
    answered = len([said for said in cloud.recorder.said if said.subject == "haulier.event.node3.answer"])
    losses.clear()
    broker.deliver(order[0])

    await cloud.free(server)
    move = await cloud.newest(server)
    assert (move.state, move.attempt) == (State.AWAITS_CONFIRM, 1), move.reasons
    said = [said.body for said in cloud.recorder.said if said.subject == "haulier.event.node3.answer"][answered:]
    assert any(b"Stale" in body and b"was overtaken by migration 1" in body for body in said), said
    await is_clean(cloud)


async def test_two_repairs_at_once_do_one_thing_once(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node3"].disks[ServerId(server)] = SimulatedDisk(1)
    both = await asyncio.gather(audit(cloud, repair=True), audit(cloud, repair=True))
    assert len(list(itertools.chain(*(report["repaired"] for report in both)))) == 1


# -- who may ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", "/audit"), ("POST", "/audit/repair")])
async def test_only_an_administrator_may(cloud: Cloud, method: str, path: str) -> None:
    answer = await cloud.call(method, f"/haulier/v1{path}", who=cloud.member)
    assert answer.status_code == 403
    assert f"haulier:audit:{'repair' if 'repair' in path else 'show'}" in answer.text


async def test_the_api_asks_the_conductor_and_the_conductor_asks_the_hosts(cloud: Cloud) -> None:
    cloud.recorder.said.clear()
    await audit(cloud)
    calls = [(said.sender, said.subject) for said in cloud.recorder.said if said.verb == "call"]
    assert calls == [
        ("api", "haulier.conductor.audit"),
        *(("conductor", f"haulier.compute.{host}.census") for host in HOSTS),
    ]


async def test_a_conductor_that_does_not_answer_is_a_503(cloud: Cloud) -> None:
    await cloud.allinone.conductor.stop()
    answer = await cloud.call("GET", "/haulier/v1/audit")
    assert answer.status_code == 503, answer.text
    await cloud.allinone.conductor.stop()


def _outbox(tx: Transaction) -> list[str]:
    return [str(row[0]) for row in tx.connection.exec_driver_sql("SELECT step FROM outbox")]
