"""An agent that dies: in the act, or after it but before the answer is durable. Asked again, it ends up the same."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from haulier.compute.journal import JournalUnusable
from haulier.model.ids import HostName
from haulier.wire.events import Attested, Built, Discarded, Finished, Prepared, Received, Restored, Sealed
from haulier.wire.to_compute import (
    AttestDisk,
    BuildGuest,
    Command,
    DiscardGuest,
    FinishResize,
    Owned,
    PrepResize,
    ReceiveDisk,
    ResizeInstance,
    RestoreGuest,
)
from tests.unit.compute.hand import answers, guest, move, until
from tests.unit.compute.test_agent_simulated import Lab, send

MOMENTS = {
    BuildGuest: ("create_disk", "start", "answer"),
    PrepResize: ("create_disk", "open_export", "answer"),
    ResizeInstance: ("power_off", "send_disk", "digest", "answer"),
    ReceiveDisk: ("close_export", "digest", "answer"),
    FinishResize: ("grow_disk", "start", "answer"),
    DiscardGuest: ("delete", "answer"),
    RestoreGuest: ("start", "answer"),
}
POINTS = [(kind, moment) for kind, moments in MOMENTS.items() for moment in moments]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.hand.start()
    yield lab
    await lab.close()
    assert lab.fleet.violations == []


class Deaths:
    """Kills the agent once, at one moment of one instruction, and asks again."""

    def __init__(self, lab: Lab, kind: type, moment: str) -> None:
        self._lab = lab
        self._kind = kind
        self._moment = moment

    async def expect(self, outcome: type, host: str, order: Any, **envelope: Any) -> Any:
        if not isinstance(order, self._kind):
            return await self._lab.expect(outcome, host, order, **envelope)
        lab, owner_epoch = self._lab, envelope.get("owner_epoch", 1)
        command = lab.hand.command(host, lab.server, order, **envelope)
        await self._die(host, command)
        lab.hand.owned[host] = [] if isinstance(order, DiscardGuest | PrepResize) else [Owned(lab.server, owner_epoch)]
        await lab.restart(host)
        assert not any(answers(message, command) for message in lab.hand.said)
        return await lab.expect(outcome, host, order, **envelope)

    async def _die(self, host: str, command: Command) -> None:
        driver, journal = self._lab.drivers[host], self._lab.journals[host]
        if self._moment == "answer":
            died: list[bool] = []

            async def fails(*_: object) -> None:
                died.append(True)
                raise JournalUnusable("the agent died here")

            conclude, journal.conclude = journal.conclude, fails  # type: ignore[method-assign]
            await self._lab.hand.send(command)
            await until(lambda: bool(died))
            journal.conclude = conclude  # type: ignore[method-assign]
        else:
            driver.calls.clear()
            driver.latency = {self._moment: 60.0}
            await self._lab.hand.send(command)
            await until(lambda: self._moment in [call for call, _ in driver.calls])
            driver.latency = 0.0


@pytest.mark.parametrize(("kind", "moment"), POINTS, ids=[f"{kind.__name__}-{moment}" for kind, moment in POINTS])
async def test_a_move_and_its_revert_survive_a_death(lab: Lab, kind: type, moment: str) -> None:
    await lab.start("n1")
    await lab.start("n2")
    hosts = Deaths(lab, kind, moment)
    await hosts.expect(Built, "n1", BuildGuest(guest()))
    prepared = await hosts.expect(Prepared, "n2", PrepResize(guest(), HostName("n1"), 4 << 20), **move())
    sealed = await hosts.expect(Sealed, "n1", send(prepared), **move(generation=2))
    assert sealed.was_running
    await hosts.expect(Received, "n2", ReceiveDisk(sealed.digest), **move(generation=3))
    await hosts.expect(Finished, "n2", FinishResize(guest(), True), owner_epoch=2, **move(generation=4))
    assert lab.disk("n2").boots == 2
    await hosts.expect(Attested, "n2", AttestDisk(), owner_epoch=2, **move(generation=5))
    await hosts.expect(Discarded, "n2", DiscardGuest(True), owner_epoch=2, **move(generation=6))
    assert lab.drivers["n2"].servers() == ()
    await hosts.expect(Restored, "n1", RestoreGuest(guest(), True), owner_epoch=3, **move(generation=7))
    assert lab.fleet.running == {lab.server: "n1"}
    assert lab.disk("n1").boots == 2
