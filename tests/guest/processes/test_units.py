"""What the unit of an agent leaves it (packaging/systemd) is enough for guests and moves."""

import os
import signal
from pathlib import Path

import pytest

from haulier.model.migration import State
from tests.guest.processes.fleet import HOSTS, fleet
from tests.guest.real import processes_below
from tests.guest.test_move import folder, said_on_console
from tests.unit.test_systemd_units import service

pytestmark = pytest.mark.guest


def as_in_the_unit() -> tuple[str, ...]:
    """A command that leaves what it runs no more than the unit does. An ordinary user has none of it anyway."""
    unit = service("haulier-compute@.service")
    assert unit["NoNewPrivileges"] == "yes"
    limits = ["--no-new-privs", "--inh-caps=-all"]
    if os.geteuid() == 0:
        kept = [f"+{word.removeprefix('CAP_').lower()}" for word in unit["CapabilityBoundingSet"].split()]
        limits.append(f"--bounding-set={','.join(['-all', *kept])}")
    return ("setpriv", *limits)


async def test_an_agent_with_no_more_than_its_unit_leaves_it(tmp_path: Path) -> None:
    """It starts guests, moves one, is told to end, finds them again, and ends one that does not listen."""
    async with fleet(tmp_path, within=dict.fromkeys(HOSTS, as_in_the_unit())) as cloud:
        (status,) = [
            line
            for line in Path(f"/proc/{cloud.processes['node1'].pid}/status").read_text().splitlines()
            if line.startswith("NoNewPrivs")
        ]
        assert status.split()[1] == "1"
        server = await cloud.create(host="node1")
        await said_on_console(cloud, server, "TICK")
        assert (await cloud.move(server, "node2")).state == State.AWAITS_CONFIRM
        await said_on_console(cloud, server, "BOOT 00000002")
        here = folder(cloud, "node2", server)
        guest = processes_below(here)
        await cloud.restart("node1", "node2")
        assert processes_below(here) == guest, "the same process, taken up again"
        (pid,) = guest
        os.kill(pid, signal.SIGSTOP)
        assert (await cloud.revert(server)).state == State.REVERTED
        await said_on_console(cloud, server, "BOOT 00000002")
        await cloud.delete_all()
        assert cloud.errors() == []
