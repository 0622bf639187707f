"""The agent's rules, on hosts without QEMU: who is obeyed, what is repeated, what a failure leaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.bus.permissions import compute
from haulier.compute.journal import Holds, Journal
from haulier.compute.service import Agent
from haulier.compute.simulated import SimulatedDriver, SimulatedFleet
from haulier.config.compute import ComputeSettings
from haulier.model.ids import HostName, ServerId
from haulier.model.server import PowerState
from haulier.wire.events import (
    Answer,
    Attested,
    Built,
    Checked,
    Discarded,
    Failed,
    Finished,
    Heartbeat,
    Power,
    PowerChanged,
    Prepared,
    Progress,
    Received,
    Restored,
    Sealed,
    Stale,
)
from haulier.wire.to_compute import (
    AttestDisk,
    BuildGuest,
    CheckDisk,
    DiscardGuest,
    FinishResize,
    Owned,
    PauseGuest,
    PrepResize,
    RebootGuest,
    ReceiveDisk,
    ResizeInstance,
    RestoreGuest,
    StartGuest,
    StopGuest,
    UnpauseGuest,
)
from haulier.wire.to_conductor import MigrateServer
from tests.unit.compute.hand import Hand, answers, guest, move, new_server, until


class Lab:
    """Two simulated hosts, n1 and n2, each with a journal that outlives its agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hand = Hand()
        self.fleet = SimulatedFleet()
        self.drivers = {name: SimulatedDriver(name, self.fleet) for name in ("n1", "n2")}
        self.journals = {name: Journal(":memory:") for name in self.drivers}
        self.agents: dict[str, Agent] = {}
        self.server = new_server()

    async def start(self, host: str, **settings: Any) -> Agent:
        own = ComputeSettings(
            host=host, state_dir=str(self.folder / host), images_dir=str(self.folder), hello_again=0.05, **settings
        )
        bus = self.hand.broker.connect(host, compute(HostName(host)))
        agent = self.agents[host] = Agent(own, bus, self.drivers[host], self.journals[host])
        await agent.start()
        if self.hand.greets:
            await asyncio.wait_for(agent.welcomed.wait(), 5)
        return agent

    async def restart(self, host: str, **settings: Any) -> Agent:
        await self.agents.pop(host).stop()
        return await self.start(host, **settings)

    async def close(self) -> None:
        for agent in self.agents.values():
            await agent.stop()
        await self.hand.close()
        for journal in self.journals.values():
            journal.close()

    def disk(self, host: str) -> Any:
        return self.drivers[host].disks[self.server]

    def record(self, host: str) -> Any:
        return self.journals[host].record(self.server)

    async def expect(self, outcome: type, host: str, order: Any, **envelope: Any) -> Any:
        return await self.hand.expect(outcome, host, self.server, order, **envelope)

    async def build(self) -> None:
        await self.expect(Built, "n1", BuildGuest(guest()))

    async def prepare(self, **envelope: Any) -> Prepared:
        return await self.expect(Prepared, "n2", PrepResize(guest(), HostName("n1"), 4 << 20), **(move() | envelope))

    async def copy(self, prepared: Prepared, generation: int = 2) -> Sealed:
        return await self.expect(Sealed, "n1", send(prepared), **move(generation=generation))

    async def switch(self, **finish: Any) -> Finished:
        """A whole move of a running guest, to the end of FinishResize."""
        sealed = await self.copy(await self.prepare())
        await self.expect(Received, "n2", ReceiveDisk(sealed.digest), **move(generation=3))
        order = FinishResize(guest(**finish), sealed.was_running)
        return await self.expect(Finished, "n2", order, owner_epoch=2, **move(generation=4))


def send(prepared: Prepared) -> ResizeInstance:
    return ResizeInstance(prepared.address, prepared.port, prepared.export, 1.0, guest())


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.hand.start()
    yield lab
    await lab.close()
    assert lab.fleet.violations == []


@pytest.fixture
async def two(lab: Lab) -> Lab:
    await lab.start("n1")
    await lab.start("n2")
    await lab.build()
    return lab


# -- a server that stays where it is -----------------------------------------------------------------------


async def test_build_start_stop(two: Lab) -> None:
    assert (await two.expect(PowerChanged, "n1", StopGuest(1.0))).power_state == PowerState.SHUTDOWN
    assert (await two.expect(PowerChanged, "n1", StopGuest(1.0))).power_state == PowerState.SHUTDOWN
    assert (await two.expect(PowerChanged, "n1", StartGuest(guest()))).power_state == PowerState.RUNNING
    assert (await two.expect(PowerChanged, "n1", StartGuest(guest()))).power_state == PowerState.RUNNING
    assert two.disk("n1").boots == 2
    await two.expect(PowerChanged, "n1", RebootGuest(guest(), 0))
    assert two.disk("n1").boots == 3
    assert (await two.expect(PowerChanged, "n1", PauseGuest())).power_state == PowerState.PAUSED
    assert (await two.expect(PowerChanged, "n1", UnpauseGuest())).power_state == PowerState.RUNNING
    assert (await two.hand.console("n1", two.server, 1)).text == "BOOT 00000003"


async def test_pausing_what_does_not_run_fails(two: Lab) -> None:
    await two.expect(PowerChanged, "n1", StopGuest(0))
    assert "does not run" in (await two.expect(Failed, "n1", PauseGuest())).reason


@pytest.mark.parametrize("primitive", ["can_run", "fetch_base", "create_disk", "start"])
async def test_a_failed_build_leaves_nothing(lab: Lab, primitive: str) -> None:
    await lab.start("n1")
    lab.drivers["n1"].fails[primitive] = "the disk is on fire"
    assert "on fire" in (await lab.expect(Failed, "n1", BuildGuest(guest()))).reason
    assert lab.drivers["n1"].servers() == ()
    assert lab.record("n1").holds is Holds.NOTHING


async def test_a_console_that_is_not_there_is_a_problem(two: Lab) -> None:
    answer = await two.hand.console("n1", new_server())
    assert answer.problem is not None
    assert "no disk" in answer.problem


async def test_a_guest_that_powers_itself_off_is_reported_and_not_expected(two: Lab) -> None:
    two.drivers["n1"].guest_powers_off(two.server)
    power = await two.hand.wait_for(lambda message: isinstance(message, Power))
    assert (power.guest.server_id, power.guest.power_state) == (two.server, PowerState.SHUTDOWN)
    assert not two.record("n1").expected_running


async def test_an_unexpected_exception_is_a_failure_not_an_end(two: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(two.drivers["n1"], "power_off", broken)
    assert "ZeroDivisionError" in (await two.expect(Failed, "n1", StopGuest(0))).reason
    monkeypatch.undo()
    await two.expect(PowerChanged, "n1", StopGuest(0))


# -- who is obeyed -----------------------------------------------------------------------------------------


async def test_the_same_command_is_executed_once_and_answered_twice(two: Lab) -> None:
    command = two.hand.command("n1", two.server, RebootGuest(guest(), 0))
    first = await two.hand.ask(command)
    await two.hand.send(command)
    await two.hand.wait_for(lambda message: isinstance(message, Heartbeat))
    again = await two.hand.wait_for(lambda m: answers(m, command) and m is not first)
    assert again == first
    assert two.disk("n1").boots == 2


async def test_a_command_under_way_is_not_begun_again(two: Lab) -> None:
    two.drivers["n1"].latency = {"power_off": 0.05}
    command = two.hand.command("n1", two.server, RebootGuest(guest(), 0))
    for _ in range(3):
        await two.hand.send(command)
    await two.hand.ask(command)
    assert two.disk("n1").boots == 2


async def test_an_answer_outlives_the_agent(two: Lab) -> None:
    command = two.hand.command("n1", two.server, RebootGuest(guest(), 0))
    first = await two.hand.ask(command)
    two.hand.owned["n1"] = [Owned(two.server, 1)]
    agent = await two.restart("n1")
    two.hand.said.clear()
    again = await two.hand.ask(msgspec.structs.replace(command, incarnation=agent.incarnation))
    assert again == msgspec.structs.replace(first, incarnation=agent.incarnation)
    assert two.disk("n1").boots == 2


async def test_a_word_is_given_anew_each_time(two: Lab) -> None:
    command = two.hand.command("n1", two.server, AttestDisk())
    assert isinstance((await two.hand.ask(command)).outcome, Attested)
    two.hand.said.clear()
    del two.drivers["n1"].disks[two.server]
    assert isinstance((await two.hand.ask(command)).outcome, Failed)


async def test_an_old_epoch_is_stale(two: Lab) -> None:
    await two.expect(PowerChanged, "n1", StopGuest(0), owner_epoch=5)
    stale = await two.expect(Stale, "n1", StartGuest(guest()), owner_epoch=4)
    assert "below 5" in stale.reason
    assert two.disk("n1").boots == 1


async def test_what_is_about_to_be_done_is_written_down_before_it_is_done(
    two: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in the act must know afterwards at which epoch it was told to act."""
    agent = two.agents["n1"]
    power_off, seen = agent._driver.power_off, []

    async def look(server_id: ServerId, grace: float) -> None:
        seen.append(agent.journal.record(server_id).owner_epoch)
        await power_off(server_id, grace)

    monkeypatch.setattr(agent._driver, "power_off", look)
    await two.expect(PowerChanged, "n1", StopGuest(0), owner_epoch=5)
    assert seen == [5]


async def test_another_incarnation_is_stale(two: Lab) -> None:
    stale = await two.expect(Stale, "n1", StopGuest(0), incarnation="somebody-else")
    assert "incarnation" in stale.reason


async def test_an_overtaken_step_is_stale(two: Lab) -> None:
    await two.prepare(**move(7, 4))
    for number, generation in ((7, 3), (6, 9)):
        assert "overtaken" in (await two.expect(Stale, "n2", DiscardGuest(True), **move(number, generation))).reason
    await two.expect(Discarded, "n2", DiscardGuest(True), **move(7, 4))


async def test_nothing_is_taken_before_the_welcome(lab: Lab) -> None:
    lab.hand.greets = False
    agent = await lab.start("n1")
    await lab.hand.wait_for(lambda m: m is lab.hand.hellos.get("n1"))
    command = lab.hand.command("n1", lab.server, BuildGuest(guest()))
    await lab.hand.send(command)
    await lab.hand.welcome("n1")
    await agent.welcomed.wait()
    assert lab.drivers["n1"].calls == []
    await lab.hand.ask(command)
    assert lab.disk("n1").boots == 1


async def test_a_guest_that_another_host_owns_is_stopped_at_the_welcome(two: Lab) -> None:
    two.hand.owned["n1"] = []
    await two.restart("n1")
    assert two.drivers["n1"].power_state(two.server) == PowerState.SHUTDOWN


async def test_an_owned_guest_runs_on_over_a_restart(two: Lab) -> None:
    two.hand.owned["n1"] = [Owned(two.server, 1)]
    await two.restart("n1")
    assert two.drivers["n1"].power_state(two.server) == PowerState.RUNNING
    assert two.disk("n1").boots == 1


async def test_a_lost_journal_is_written_anew_from_the_welcome(two: Lab) -> None:
    two.journals.pop("n1").close()
    two.journals["n1"] = Journal(":memory:")
    two.hand.owned["n1"] = [Owned(two.server, 3)]
    await two.restart("n1")
    record = two.record("n1")
    assert (record.owner_epoch, record.holds, record.expected_running) == (3, Holds.OWNED, True)
    assert two.drivers["n1"].power_state(two.server) == PowerState.RUNNING


async def test_only_the_first_welcome_counts(two: Lab) -> None:
    await two.hand.welcome("n1")  # made before the build: this host owns nothing in it
    for order in (PauseGuest(), UnpauseGuest()):
        await two.expect(PowerChanged, "n1", order)
    assert ("power_off", two.server) not in two.drivers["n1"].calls
    assert two.drivers["n1"].power_state(two.server) == PowerState.RUNNING


# -- a move ------------------------------------------------------------------------------------------------


async def test_a_whole_move_and_its_confirmation(two: Lab) -> None:
    assert (await two.switch(root_bytes=8 << 20)).power_state == PowerState.RUNNING
    assert (two.disk("n2").boots, two.disk("n2").size) == (2, 8 << 20)
    assert two.disk("n1").boots == 1
    await two.expect(Attested, "n2", AttestDisk(), owner_epoch=2, **move(generation=5))
    await two.expect(Discarded, "n1", DiscardGuest(False), owner_epoch=2, **move(generation=6))
    assert two.drivers["n1"].servers() == ()
    assert two.record("n1").tombstone == 3
    await two.hand.wait_for(lambda message: isinstance(message, Progress))


async def test_a_move_and_its_revert(two: Lab) -> None:
    await two.switch()
    await two.expect(Checked, "n1", CheckDisk(guest()), owner_epoch=2, **move(generation=5))
    await two.expect(Discarded, "n2", DiscardGuest(True), owner_epoch=2, **move(generation=6))
    restored = await two.expect(Restored, "n1", RestoreGuest(guest(), True), owner_epoch=3, **move(generation=7))
    assert restored.power_state == PowerState.RUNNING
    assert two.disk("n1").boots == 2
    assert two.record("n1").holds is Holds.OWNED


async def test_a_server_that_was_off_stays_off(two: Lab) -> None:
    await two.expect(PowerChanged, "n1", StopGuest(0))
    assert (await two.switch()).power_state == PowerState.SHUTDOWN
    assert two.fleet.running == {}


async def test_a_move_back_over_the_tombstone(two: Lab) -> None:
    await two.switch()
    await two.expect(Discarded, "n1", DiscardGuest(False), owner_epoch=2, **move(generation=6))
    prepared = await two.expect(
        Prepared, "n1", PrepResize(guest(), HostName("n2"), 4 << 20), owner_epoch=2, **move(2, 1)
    )
    sealed = await two.expect(Sealed, "n2", send(prepared), owner_epoch=2, **move(2, 2))
    await two.expect(Received, "n1", ReceiveDisk(sealed.digest), owner_epoch=2, **move(2, 3))
    await two.expect(Finished, "n1", FinishResize(guest(), True), owner_epoch=3, **move(2, 4))
    assert two.disk("n1").boots == 3


async def test_a_sealed_server_is_not_started(two: Lab) -> None:
    await two.copy(await two.prepare())
    assert "not started" in (await two.expect(Failed, "n1", StartGuest(guest()))).reason
    assert "sealed" in (await two.expect(Failed, "n1", StartGuest(guest()), owner_epoch=9)).reason


async def test_an_arriving_disk_is_not_started(two: Lab) -> None:
    await two.prepare()
    assert "arriving" in (await two.expect(Failed, "n2", StartGuest(guest()))).reason


async def test_no_finish_below_the_tombstone(two: Lab) -> None:
    await two.expect(Discarded, "n2", DiscardGuest(True), owner_epoch=4)
    await two.prepare(owner_epoch=4)
    assert (
        "below epoch 5"
        in (await two.expect(Failed, "n2", FinishResize(guest(), True), owner_epoch=4, **move(generation=2))).reason
    )
    await two.expect(Finished, "n2", FinishResize(guest(), False), owner_epoch=5, **move(generation=3))


@pytest.mark.parametrize("primitive", ["can_run", "fetch_base", "create_disk", "open_export"])
async def test_a_failed_preparation_calls_the_conductor_back(two: Lab, primitive: str) -> None:
    two.drivers["n2"].fails[primitive] = "no"
    command = two.hand.command("n2", two.server, PrepResize(guest(), HostName("n1"), 1), **move(5, 3, 2))
    call_back = await two.hand.ask(command)
    assert isinstance(call_back, MigrateServer)
    assert (call_back.failed.host, call_back.failed.attempt, call_back.failed.reason) == ("n2", 2, "no")
    assert two.drivers["n2"].servers() == ()
    two.hand.said.clear()
    two.drivers["n2"].fails.clear()
    assert await two.hand.ask(command) == call_back


async def test_a_full_target_says_both_numbers(two: Lab) -> None:
    two.drivers["n2"].free = 1000
    command = two.hand.command("n2", two.server, PrepResize(guest(), HostName("n1"), 4096), **move())
    reason = (await two.hand.ask(command)).failed.reason
    assert "4096" in reason
    assert "1000" in reason


async def test_an_owned_disk_is_never_overwritten(two: Lab) -> None:
    command = two.hand.command("n1", two.server, PrepResize(guest(), HostName("n2"), 1), **move())
    assert "not overwritten" in (await two.hand.ask(command)).failed.reason
    assert two.disk("n1").boots == 1


async def test_a_rehearsed_failure(lab: Lab) -> None:
    await lab.start("n2", fail_at=("prep_resize@n2:error:1",))
    envelope = move() | {"step": "prep_resize"}
    command = lab.hand.command("n2", lab.server, PrepResize(guest(), HostName("n1"), 1), **envelope)
    assert "rehearsed failure at prep_resize (fail_at)" in (await lab.hand.ask(command)).failed.reason
    await lab.prepare(generation=2)


async def test_a_broken_copy_then_restore_starts_the_guest_again(two: Lab) -> None:
    prepared = await two.prepare()
    two.fleet.exports.clear()
    assert "broke" in (await two.expect(Failed, "n1", send(prepared), **move(generation=2))).reason
    assert two.fleet.running == {}
    restored = await two.expect(Restored, "n1", RestoreGuest(guest(), None), **move(generation=3))
    assert restored.power_state == PowerState.RUNNING
    assert two.disk("n1").boots == 2


async def test_a_restore_leaves_a_server_off_that_was_off(two: Lab) -> None:
    await two.expect(PowerChanged, "n1", StopGuest(0))
    prepared = await two.prepare()
    two.fleet.exports.clear()
    await two.expect(Failed, "n1", send(prepared), **move(generation=2))
    restored = await two.expect(Restored, "n1", RestoreGuest(guest(), None), **move(generation=3))
    assert restored.power_state == PowerState.SHUTDOWN


async def test_a_second_attempt_remembers_that_the_guest_ran(two: Lab) -> None:
    two.drivers["n1"].fails["send_disk"] = "the wire was cut"
    await two.expect(Failed, "n1", send(await two.prepare()), **move(generation=2))
    two.drivers["n1"].fails.clear()
    await two.expect(Discarded, "n2", DiscardGuest(True), **move(generation=3))
    prepared = await two.prepare(**move(generation=4, attempt=2))
    assert (await two.copy(prepared, generation=5)).was_running


async def test_a_restore_ends_a_copy_under_way(two: Lab) -> None:
    prepared = await two.prepare()
    two.drivers["n1"].latency = {"send_disk": 60.0}
    copying = two.hand.command("n1", two.server, send(prepared), **move(generation=2))
    await two.hand.send(copying)
    await until(lambda: ("send_disk", two.server) in two.drivers["n1"].calls)
    restored = await two.expect(Restored, "n1", RestoreGuest(guest(), None), **move(generation=3))
    assert restored.power_state == PowerState.RUNNING
    assert not any(answers(message, copying) for message in two.hand.said)
    assert isinstance((await two.hand.ask(copying)).outcome, Stale)


async def test_a_stale_discard_ends_nothing(two: Lab) -> None:
    prepared = await two.prepare()
    two.drivers["n1"].latency = {"send_disk": 0.2}
    copying = two.hand.command("n1", two.server, send(prepared), **move(generation=2))
    await two.hand.send(copying)
    await two.expect(Stale, "n1", DiscardGuest(True), **move(generation=1))
    assert isinstance((await two.hand.wait_for(lambda m: answers(m, copying))).outcome, Sealed)


async def test_a_copy_cut_short_by_a_restart_starts_over(two: Lab) -> None:
    prepared = await two.prepare()
    two.drivers["n1"].latency = {"send_disk": 60.0}
    await two.hand.send(two.hand.command("n1", two.server, send(prepared), **move(generation=2)))
    await until(lambda: ("send_disk", two.server) in two.drivers["n1"].calls)
    two.drivers["n1"].latency = 0.0
    two.hand.owned["n1"] = [Owned(two.server, 1)]
    await two.restart("n1")
    assert (await two.copy(prepared)).was_running


async def test_a_disk_that_arrived_differently_is_not_received(two: Lab) -> None:
    await two.copy(await two.prepare())
    failed = await two.expect(Failed, "n2", ReceiveDisk("f" * 64), **move(generation=3))
    assert "differs" in failed.reason


async def test_what_was_received_outlives_a_loss_of_power(two: Lab) -> None:
    sealed = await two.copy(await two.prepare())
    await two.expect(Received, "n2", ReceiveDisk(sealed.digest), **move(generation=3))
    two.drivers["n2"].lose_power()
    await two.expect(Finished, "n2", FinishResize(guest(), True), owner_epoch=2, **move(generation=4))
    assert two.disk("n2").boots == 2


async def test_a_failed_finish_is_tombstoned(two: Lab) -> None:
    sealed = await two.copy(await two.prepare())
    await two.expect(Received, "n2", ReceiveDisk(sealed.digest), **move(generation=3))
    two.drivers["n2"].fails["start"] = "QEMU died"
    finish = FinishResize(guest(), True)
    await two.expect(Failed, "n2", finish, owner_epoch=2, **move(generation=4))
    two.drivers["n2"].fails.clear()
    assert (two.record("n2").tombstone, two.record("n2").expected_running) == (3, False)
    await two.expect(Failed, "n2", finish, owner_epoch=2, **move(generation=4))
    await two.expect(Failed, "n2", StartGuest(guest()), owner_epoch=2)
    assert two.disk("n2").boots == 1


async def test_no_word_for_a_disk_that_is_not_there(two: Lab) -> None:
    assert "does not own" in (await two.expect(Failed, "n2", AttestDisk())).reason
    assert "keeps no disk" in (await two.expect(Failed, "n2", CheckDisk(guest()))).reason
    await two.expect(Attested, "n1", AttestDisk())
    assert "epoch 1, not 4" in (await two.expect(Failed, "n1", AttestDisk(), owner_epoch=4)).reason
    two.disk("n1").sound = False
    assert "damaged" in (await two.expect(Failed, "n1", CheckDisk(guest()), owner_epoch=4)).reason


async def test_no_word_for_a_guest_or_a_disk_that_is_gone(two: Lab) -> None:
    two.drivers["n1"].guest_powers_off(two.server, PowerState.CRASHED)
    assert "process is gone" in (await two.expect(Failed, "n1", AttestDisk())).reason
    del two.drivers["n1"].disks[two.server]
    assert "missing" in (await two.expect(Failed, "n1", AttestDisk())).reason


async def test_a_guest_that_runs_where_none_should_is_not_killed(two: Lab) -> None:
    assert "nothing was deleted" in (await two.expect(Failed, "n1", DiscardGuest(False))).reason
    assert two.drivers["n1"].power_state(two.server) == PowerState.RUNNING
    await two.expect(Discarded, "n1", DiscardGuest(True))
    assert two.fleet.running == {}


async def test_a_deletion_cut_short_is_finished_at_the_next_start(two: Lab) -> None:
    disk = two.disk("n1")
    await two.expect(Discarded, "n1", DiscardGuest(True))
    two.drivers["n1"].disks[two.server] = disk
    await two.restart("n1")
    assert two.drivers["n1"].servers() == ()


async def test_answers_repeat_their_envelope(two: Lab) -> None:
    command = two.hand.command("n1", two.server, StopGuest(0), step="stop", **move(3, 2, 1))
    answer: Answer = await two.hand.ask(command)
    for name in ("incarnation", "server_id", "owner_epoch", "step", "migration_id", "attempt", "generation"):
        assert getattr(answer, name) == getattr(command, name)
