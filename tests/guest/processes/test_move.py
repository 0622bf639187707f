"""A real guest, moved by real processes over NATS, each under its own permissions."""

import pytest

from haulier.model.migration import State
from tests.guest.processes.fleet import Fleet
from tests.guest.test_move import counters, folder, processes, said_on_console

pytestmark = pytest.mark.guest


async def test_a_guest_moves_to_the_host_that_was_named(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await said_on_console(cloud, server, "TICK", 2)
    before = counters(cloud, "node1", server)
    move = await cloud.move(server, "node2")
    assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node2"), move.reasons
    sealed = counters(cloud, "node1", server)
    await said_on_console(cloud, server, "BOOT")
    after = counters(cloud, "node2", server)
    assert sealed.clean == 1, "it was powered off by its own button, not killed"
    assert after.boots == before.boots + 1 == 2
    assert after.seq >= sealed.seq >= before.seq, "its last write is there"
    await cloud.confirm(server)
    assert not folder(cloud, "node1", server).exists()
    assert len(processes(cloud, server)) == 1
    assert cloud.nats.refused() == []
