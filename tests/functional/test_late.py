"""Answers that come late: of an attempt that is over, of a step that has been left."""

from haulier.bus.local import Said
from haulier.conductor import commands
from haulier.conductor.reconcile.orphaned_files import STEP as DISCARD_ORPHAN
from haulier.db.engine import Transaction
from haulier.db.store import hosts, outbox
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import State
from haulier.wire.to_compute import DiscardGuest
from tests.functional.cloud import Cloud


async def test_a_late_answer_of_an_earlier_attempt_counts_for_nothing(cloud: Cloud) -> None:
    """node2 fails and is to discard; it does so, and says so, while the move to node3 waits for node3's discard."""
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["make_durable"] = "bad disk"
    losses = cloud.allinone.broker.losses

    def to_node2(said: Said) -> bool:
        return said.subject == "haulier.compute.node2" and b"discard_target" in said.body

    def to_node3(said: Said) -> bool:
        return said.subject == "haulier.compute.node3" and b"revert_resize" in said.body

    losses.extend((to_node2, to_node3))
    move = await cloud.move(server)
    assert (move.target, move.attempt) == ("node3", 2)
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202

    async def reverting() -> bool:
        return (await cloud.migration(move.id)).state == State.REVERTING

    await cloud.until(reverting)
    losses.remove(to_node2)

    async def discarded() -> bool:
        return server not in cloud.drivers["node2"].disks and not await waits_for(cloud, move.id, "node2")

    await cloud.until(discarded)
    assert (await cloud.migration(move.id)).state == State.REVERTING, "it was not node3 that answered"
    assert server in cloud.drivers["node3"].disks
    losses.clear()
    assert (await cloud.ended(move.id)).state == State.REVERTED


async def test_I7_an_order_from_before_a_move_to_delete_leftovers_never_takes_the_disk_that_arrives(
    cloud: Cloud,
) -> None:
    """node2 was to delete what an earlier move left, and did not hear it; then the server is moved to it again."""
    server = ServerId(await cloud.create(host="node1"))
    db, losses = cloud.allinone.db, cloud.allinone.broker.losses
    epoch = (await cloud.server(server)).owner_epoch

    def to_node1(said: Said) -> bool:
        return said.subject == "haulier.compute.node1" and b"resize_instance" in said.body

    def to_node2(said: Said) -> bool:
        return said.subject == "haulier.compute.node2" and DISCARD_ORPHAN.encode() in said.body

    def order(tx: Transaction) -> None:
        what = DiscardGuest(end_running=True)
        commands.tell(tx, HostName("node2"), DISCARD_ORPHAN, what, server_id=server, owner_epoch=epoch, request_id="")

    losses.extend((to_node1, to_node2))
    await db.write(order)
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202

    async def copying() -> bool:
        return (await cloud.newest(server)).state == State.COPYING

    await cloud.until(copying)
    losses.remove(to_node2)

    async def nothing_left() -> bool:
        return not await db.read(outbox.about_server, server, DISCARD_ORPHAN)

    await cloud.until(nothing_left)
    losses.clear()
    await cloud.free(server)
    move = await cloud.newest(server)
    assert move.state == State.AWAITS_CONFIRM, move.reasons


async def waits_for(cloud: Cloud, move: int, host: str) -> bool:
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move}")).json()["migration"]
    return host in [one["host"] for one in shown["waiting_for"]]


async def test_a_hello_of_an_agent_that_has_ended_does_not_make_its_host_deaf(cloud: Cloud) -> None:
    """It comes again after its successor's: the conductor takes it, and the successor's next heartbeat mends that."""
    hello = next(said for said in cloud.recorder.on("haulier.event.node1.hello"))
    await cloud.allinone.restart_agent("node1")
    agent = cloud.allinone.agents["node1"]
    cloud.allinone.broker.deliver(hello)

    async def known() -> bool:
        host = await cloud.allinone.db.read(hosts.get, "node1")
        return host.incarnation == agent.incarnation and agent.welcomed.is_set()

    async def deceived() -> bool:
        return not await known()

    await cloud.until(deceived)
    server = await cloud.create(host="node1")
    await cloud.until(known)
    assert cloud.fleet.running[ServerId(server)] == "node1"
