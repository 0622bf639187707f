"""The pure parts: admission, rehearsed failures, command lines, headers, versions."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.compute import admission
from haulier.compute.driver import HostTrouble
from haulier.compute.faults import Faults
from haulier.compute.inventory import take_inventory, version_number
from haulier.compute.journal import Holds, ServerRecord
from haulier.compute.qemu import console
from haulier.compute.qemu.bases import why_refused
from haulier.compute.qemu.process import choose_accelerator, command_line
from haulier.config.compute import Accelerator, ComputeSettings
from haulier.errors import InvalidField
from haulier.guest_image import GuestState, deaf_disk_image, disk_image, last_blocks, read_state
from haulier.model.ids import CommandId, HostName, Incarnation, MigrationId, ServerId
from haulier.model.resources import ResourceClass, Stock
from haulier.wire.to_compute import Command, DiscardGuest, Owned, StopGuest
from tests.unit.compute.hand import guest, move, new_server

HOST, ME = HostName("n1"), Incarnation("me")


def command(**changes: Any) -> Command:
    fields = {"host": HOST, "incarnation": ME, "owner_epoch": 3, "server_id": ServerId("s"), "step": "stop"}
    return Command(id=CommandId("c"), **({"instruction": StopGuest(0)} | fields | changes))


@pytest.mark.parametrize(
    ("changes", "record", "reason"),
    [
        ({}, ServerRecord(), None),
        ({}, ServerRecord(3), None),
        ({}, ServerRecord(4), "below 4"),
        ({"incarnation": "other"}, ServerRecord(), "incarnation other"),
        ({"host": "n2"}, ServerRecord(), "host n2"),
        (move(5, 2), ServerRecord(3, (5, 2)), None),
        (move(5, 3), ServerRecord(3, (5, 2)), None),
        (move(5, 1), ServerRecord(3, (5, 2)), "overtaken by migration 5, generation 2"),
        (move(4, 9), ServerRecord(3, (5, 2)), "overtaken"),
        (move(6, 1), ServerRecord(3, (5, 2)), None),
        ({}, ServerRecord(3, (5, 2)), None),
        ({"instruction": DiscardGuest(True)}, ServerRecord(3, (5, 2)), None),
        ({"instruction": DiscardGuest(True, as_of=(5, 2))}, ServerRecord(3, (5, 2)), None),
        ({"instruction": DiscardGuest(True, as_of=(5, 1))}, ServerRecord(3, (5, 2)), "overtaken by migration 5"),
        ({"instruction": DiscardGuest(True, as_of=(0, 0))}, ServerRecord(3, (5, 2)), "overtaken by migration 5"),
        ({"instruction": DiscardGuest(True, as_of=(0, 0))}, ServerRecord(3), None),
    ],
)
def test_who_is_obeyed(changes: dict[str, Any], record: ServerRecord, reason: str | None) -> None:
    found = admission.why_stale(command(**changes), HOST, ME, record)
    assert (found is None) if reason is None else (found is not None and reason in found)


@pytest.mark.parametrize(
    ("record", "more"),
    [
        (ServerRecord(), False),
        (ServerRecord(holds=Holds.BUILDING), False),
        (ServerRecord(holds=Holds.ARRIVING), True),
        (ServerRecord(holds=Holds.OWNED), False),
        (ServerRecord(holds=Holds.OWNED, stopped_for=MigrationId(5)), True),
        (ServerRecord(holds=Holds.SEALED, stopped_for=MigrationId(5)), False),
        (ServerRecord(holds=Holds.NOTHING, tombstone=4), False),
    ],
)
def test_what_a_stop_waits_for(record: ServerRecord, more: bool) -> None:
    assert admission.awaits_more(record) is more
    assert admission.continues(command(), record) is more, "a deletion is the end of it"
    record = msgspec.structs.replace(record, newest_move=(5, 1))
    assert admission.continues(command(**move(5, 2)), record) is more
    assert not admission.continues(command(**move(6, 1)), record), "another move"


def test_what_was_heard_only_grows() -> None:
    record = admission.heard(ServerRecord(5, (7, 2)), command())
    assert (record.owner_epoch, record.newest_move) == (5, (7, 2))
    record = admission.heard(record, command(owner_epoch=6, **move(7, 3)))
    assert (record.owner_epoch, record.newest_move) == (6, (7, 3))


@pytest.mark.parametrize(
    ("record", "epoch", "may"),
    [
        (ServerRecord(), 1, True),
        (ServerRecord(2), 1, False),
        (ServerRecord(2, tombstone=3), 2, False),
        (ServerRecord(2, tombstone=3), 3, True),
        (ServerRecord(2, holds=Holds.SEALED), 2, False),
        (ServerRecord(2, holds=Holds.SEALED), 9, False),
        (ServerRecord(2, holds=Holds.ARRIVING), 2, False),
        (ServerRecord(2, holds=Holds.OWNED), 2, True),
    ],
)
def test_who_may_start(record: ServerRecord, epoch: int, may: bool) -> None:
    assert (admission.why_no_start(record, epoch) is None) is may


def test_a_tombstone_never_sinks() -> None:
    record = admission.buried(ServerRecord(2, tombstone=9, expected_running=True), 2)
    assert (record.tombstone, record.expected_running) == (9, False)
    assert admission.why_no_start(admission.buried(ServerRecord(2), 2), 2) is not None
    assert admission.why_no_start(admission.buried(ServerRecord(2), 2), 3) is None


def test_what_the_conductor_says_about_a_guest_that_runs() -> None:
    mine = ServerRecord(3, holds=Holds.OWNED)
    assert admission.must_stop(mine, None)
    assert admission.must_stop(mine, Owned(ServerId("s"), 4))
    assert not admission.must_stop(mine, Owned(ServerId("s"), 3))
    assert not admission.must_stop(ServerRecord(), Owned(ServerId("s"), 4))


def test_a_lost_journal_is_written_anew() -> None:
    owned = Owned(ServerId("s"), 4)
    assert admission.adopted(ServerRecord(), owned, True, True) == ServerRecord(
        4, holds=Holds.OWNED, disk_epoch=4, expected_running=True
    )
    sealed = ServerRecord(3, holds=Holds.SEALED)
    assert admission.adopted(sealed, owned, False, True) == msgspec.structs.replace(sealed, owner_epoch=4)


# -- rehearsed failures ------------------------------------------------------------------------------------


async def test_a_rehearsal_is_over_after_its_times() -> None:
    faults = Faults("n3", ("prep_resize@n3:error:2", "finish_resize@n1:error"))
    for _ in range(2):
        with pytest.raises(HostTrouble, match=r"rehearsed failure at prep_resize \(fail_at\)"):
            await faults.before("prep_resize")
    await faults.before("prep_resize")
    await faults.before("finish_resize")


async def test_a_rehearsal_without_times_goes_on() -> None:
    faults = Faults("n3", ("receive_disk:error",))
    for _ in range(5):
        with pytest.raises(HostTrouble):
            await faults.before("receive_disk")


def test_an_answer_is_lost_or_doubled_as_often_as_it_is_to_be() -> None:
    faults = Faults("n3", ("receive_disk:drop:1", "prep_resize:double:1"))
    assert [faults.times_said("receive_disk") for _ in range(2)] == [0, 1]
    assert [faults.times_said("prep_resize") for _ in range(2)] == [2, 1]


@pytest.mark.parametrize("entry", ["prep_resize", "prep_resize:error:0", "@n1:error", "a:b", "prep_resize:error:x"])
def test_an_entry_that_can_not_be_read(entry: str) -> None:
    with pytest.raises(InvalidField, match="fail_at"):
        Faults("n1", (entry,))


# -- the host ----------------------------------------------------------------------------------------------


def test_settings_replace_what_the_machine_has(tmp_path: Path) -> None:
    settings = ComputeSettings(
        host="n1", state_dir=str(tmp_path), images_dir="", vcpus=3, memory_mb=900, disk_gb=7, reserved_memory_mb=100
    )
    inventory = take_inventory(settings, 7002022)
    assert inventory.stock == {
        ResourceClass.VCPU: Stock(3, 4.0, 0),
        ResourceClass.MEMORY_MB: Stock(900, 1.0, 100),
        ResourceClass.DISK_GB: Stock(7, 1.0, 0),
    }
    assert inventory.free_disk_bytes > 0
    real = take_inventory(ComputeSettings(host="n1", state_dir=str(tmp_path), images_dir=""), 1).stock
    assert all(stock.total > 0 for stock in real.values())


def test_the_version_as_nova_writes_it() -> None:
    assert version_number("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright") == 7002022
    with pytest.raises(HostTrouble):
        version_number("no idea")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"host": "a", "state_dir": "b", "images_dir": "c", "wat": 1}, ComputeSettings)


def test_the_command_line_of_a_guest() -> None:
    server_id = new_server()
    words = command_line(server_id, guest(name="a,id=evil"), "q35", Accelerator.TCG)
    line = " ".join(words)
    assert f"-uuid {server_id}" in line
    assert "type=q35,accel=tcg" in line
    assert "spawn=deny" in line
    assert "evil" not in line
    assert '"backing": "base"' in line
    assert "-cpu" not in words
    assert "host" in command_line(server_id, guest(), "pc", Accelerator.KVM)


def test_the_accelerator_named_is_the_accelerator_used() -> None:
    assert choose_accelerator(Accelerator.KVM) is Accelerator.KVM
    assert choose_accelerator(Accelerator.AUTO) in (Accelerator.KVM, Accelerator.TCG)


# -- images ------------------------------------------------------------------------------------------------


def header(**parts: bytes) -> bytes:
    """A qcow2 version 3 header that is taken, with some bytes replaced: `at_8=...`."""
    made = bytearray(104)
    made[0:4], made[4:8] = b"QFI\xfb", (3).to_bytes(4, "big")
    for place, content in parts.items():
        start = int(place.removeprefix("at_"))
        made[start : start + len(content)] = content
    return bytes(made)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "not qcow2"),
        (header(at_0=b"KDMV"), "not qcow2"),
        (header(at_7=b"\x04"), "version 4"),
        (header(at_15=b"\x01"), "backing file"),
        (header(at_35=b"\x01"), "encrypted"),
        (header(at_79=b"\x04"), "another file"),
    ],
)
def test_headers_that_are_refused(bad: bytes, why: str) -> None:
    assert why in str(why_refused(bad))


def test_a_plain_header_is_taken() -> None:
    assert why_refused(header()) is None
    assert why_refused(header(at_7=b"\x02", at_79=b"\xff")) is None


# -- the test guest ----------------------------------------------------------------------------------------


def test_the_guest_image() -> None:
    image = disk_image(2 << 20, blocks_per_tick=3, nblocks=4)
    assert len(image) == 2 << 20
    assert image[510:512] == deaf_disk_image()[510:512] == b"\x55\xaa"
    assert read_state(image[:1024]) == GuestState(0, 0, 0)
    assert last_blocks(image) == [0] * 4


# -- the console -------------------------------------------------------------------------------------------


def test_a_long_console_is_cut_and_read_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "console.log"
    assert console.read(tmp_path, None, 100) == ""
    log.write_bytes(b"".join(b"line %02d\r\n" % number for number in range(20)))
    console.trim(tmp_path, 100)
    assert log.stat().st_size == 0
    with log.open("ab") as more:
        more.write(b"the end")
    assert console.read(tmp_path, 2, 100) == "line 19\nthe end"
    assert console.read(tmp_path, 0, 100) == ""
    assert len(console.read(tmp_path, None, 20)) <= 20
    console.trim(tmp_path, 100)
    assert log.stat().st_size == 7


def test_a_link_in_place_of_a_console_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret" * 100)
    (tmp_path / "run" / "console.log").symlink_to(secret)
    console.trim(tmp_path, 100)
    assert console.read(tmp_path, None, 100) == ""
    assert secret.stat().st_size == 600
