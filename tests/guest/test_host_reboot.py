"""A power cut with real guests: their processes are killed at once, and the host's agent comes back in another boot."""

import os
import signal
from pathlib import Path

import pytest

from haulier.compute import service
from haulier.config.conductor import AfterHostReboot
from tests.functional.cloud import Cloud, settings
from tests.guest.real import processes_below, real
from tests.guest.test_move import counters, processes, said_on_console

pytestmark = pytest.mark.guest


async def power_cut(cloud: Cloud, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the agent's guests without a word, then start the agent as in another boot of the kernel."""
    agent = cloud.allinone.agents[host]
    await agent.stop()
    for pid in processes_below(Path(agent.settings.state_dir)):
        os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(service, "_boot_id", lambda: "another boot")
    again = cloud.allinone._agent(agent.settings)
    cloud.allinone.agents[host] = again
    await again.start()
    await again.welcomed.wait()


@pytest.mark.parametrize("then", list(AfterHostReboot))
async def test_guests_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: AfterHostReboot) -> None:
    async with real(settings(tmp_path, ("node1", "node2"), after_host_reboot=then)) as cloud:
        ran, off, moved = [await cloud.create(host="node1", name=name) for name in ("ran", "off", "moved")]
        await cloud.stop(off)
        await cloud.move(moved, "node2")
        for server in (ran, moved):
            await said_on_console(cloud, server, "TICK")
        await power_cut(cloud, "node1", monkeypatch)
        if then is AfterHostReboot.START:
            await said_on_console(cloud, ran, "BOOT 00000002")
            await said_on_console(cloud, ran, "TICK", 2)
            assert (await cloud.free(ran)).vm_state == "active"
            assert len(processes(cloud, ran)) == 1
        else:
            assert (await cloud.server(ran)).vm_state == "stopped"
            assert processes(cloud, ran) == []
            assert counters(cloud, "node1", ran).boots == 1
            assert "after_host_reboot = wait" in "".join(await cloud.reasons(ran))
        assert processes(cloud, off) == []
        assert counters(cloud, "node1", off).boots == 1
        assert len(processes(cloud, moved)) == 1, "it is node2's, where nothing happened"
        await cloud.confirm(moved)
