"""Answers that come late: of an attempt that is over, of a step that has been left."""

from haulier.bus.local import Said
from haulier.model.migration import State
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


async def waits_for(cloud: Cloud, move: int, host: str) -> bool:
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move}")).json()["migration"]
    return host in [one["host"] for one in shown["waiting_for"]]
