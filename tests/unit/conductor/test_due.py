"""What follows from the database: claims by state, and what business a host has with a server. All pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from haulier.conductor.audit.books import Entry, Holder, Told
from haulier.conductor.audit.due import (
    HELD_BY_BOTH,
    HELD_BY_ONE,
    Business,
    business,
    claims_due,
    may_discard,
    why_unsettled,
)
from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, MigrationId, ProjectId, ServerId, UserId
from haulier.model.migration import FINAL, Kind, Migration, State
from haulier.model.resources import ResourceClass
from haulier.model.server import TaskState, VmState

A, B, C = HostName("a"), HostName("b"), HostName("c")
SERVER = ServerId("s")
OLD, NEW = Flavor(1, "old", "old", 2, 64, 1), Flavor(2, "new", "new", 1, 128, 2)
VCPU, MEMORY, DISK = ResourceClass.VCPU, ResourceClass.MEMORY_MB, ResourceClass.DISK_GB
OLD_CLAIMS, NEW_CLAIMS = {VCPU: 2, MEMORY: 64, DISK: 1}, {VCPU: 1, MEMORY: 128, DISK: 2}
NOW = datetime(2026, 11, 24, tzinfo=UTC)
HELD_BEFORE_THE_SWITCH = {State.PREPARING, State.COPYING, State.RECEIVING}


def move(state: State, target: HostName | None = B, number: int = 7) -> Migration:
    return Migration(
        id=MigrationId(number),
        uuid="u",
        server_id=SERVER,
        kind=Kind.RESIZE,
        state=state,
        generation=3,
        source=A,
        target=target,
        attempt=1,
        alternates=(),
        attempts=(),
        named=False,
        forced=False,
        skipped=(),
        was_running=None,
        digest=None,
        old_flavor=OLD,
        new_flavor=NEW,
        reasons=(),
        bytes_done=0,
        bytes_total=0,
        request_id="r",
        project_id=ProjectId("p"),
        user_id=UserId("u"),
        created_at=NOW,
        updated_at=NOW,
    )


def server(*moves: Migration, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": SERVER,
        "host": A,
        "owner_epoch": 3,
        "vm_state": VmState.ACTIVE,
        "task_state": None,
        "flavor": OLD,
        "updated_at": 0.0,
        "moves": moves,
    }
    return Entry(**(fields | changes))


def due(*moves: Migration, **changes: Any) -> dict[tuple[str, int], dict[ResourceClass, int]] | None:
    found = claims_due(server(*moves, **changes))
    return None if found is None else {(key.host, key.migration_id): dict(held) for key, held in found.items()}


def test_every_state_is_known() -> None:
    """A state that is in neither set is never judged: whoever adds one says here what is claimed in it."""
    assert set(State) == FINAL | HELD_BY_BOTH | HELD_BY_ONE
    assert not HELD_BY_BOTH & HELD_BY_ONE


@pytest.mark.parametrize("state", sorted(HELD_BY_BOTH))
def test_source_and_target_while_both_are_needed(state: State) -> None:
    owner = {"host": A, "flavor": OLD} if state in HELD_BEFORE_THE_SWITCH else {"host": B, "flavor": NEW}
    assert due(move(state), **owner) == {("a", 7): OLD_CLAIMS, ("b", 0): NEW_CLAIMS}


@pytest.mark.parametrize("state", sorted(HELD_BY_BOTH))
def test_on_one_host_the_larger_of_each_and_both_disks(state: State) -> None:
    flavor = OLD if state in HELD_BEFORE_THE_SWITCH else NEW
    found = due(move(state, A), flavor=flavor)
    assert found == {("a", 0): NEW_CLAIMS, ("a", 7): {VCPU: 1, DISK: 1}}


@pytest.mark.parametrize(
    ("state", "target", "owner", "expected"),
    [
        (State.REQUESTED, None, (A, OLD), {("a", 0): OLD_CLAIMS}),
        (State.RESTORING, B, (A, OLD), {("a", 7): OLD_CLAIMS}),
        (State.CANCELLING, B, (A, OLD), {("a", 7): OLD_CLAIMS}),
        (State.RETURNING, B, (A, OLD), {("a", 0): OLD_CLAIMS}),
        (State.CONFIRMING, B, (B, NEW), {("b", 0): NEW_CLAIMS, ("a", 7): {DISK: 1}}),
        (State.RESTORING, A, (A, OLD), {("a", 0): {DISK: 2}, ("a", 7): OLD_CLAIMS}),
        (State.CANCELLING, A, (A, OLD), {("a", 0): {DISK: 2}, ("a", 7): OLD_CLAIMS}),
        (State.RETURNING, A, (A, OLD), {("a", 0): OLD_CLAIMS, ("a", 7): {DISK: 2}}),
        (State.CONFIRMING, A, (A, NEW), {("a", 0): NEW_CLAIMS, ("a", 7): {DISK: 1}}),
    ],
)
def test_on_the_way_back_and_at_the_end(state: State, target: HostName, owner: Any, expected: Any) -> None:
    assert due(move(state, target), host=owner[0], flavor=owner[1]) == expected


def test_a_second_move_may_begin_while_the_first_copy_is_deleted() -> None:
    second = Migration(**{**_fields(move(State.COPYING, C, 8)), "source": B, "old_flavor": NEW, "new_flavor": OLD})
    found = due(move(State.CONFIRMING), second, host=B, flavor=NEW)
    assert found == {("a", 7): {DISK: 1}, ("b", 8): NEW_CLAIMS, ("c", 0): OLD_CLAIMS}


def _fields(move: Migration) -> dict[str, Any]:
    return {name: getattr(move, name) for name in move.__struct_fields__}


def test_without_a_host_and_after_the_end_there_is_nothing() -> None:
    assert due() == {("a", 0): OLD_CLAIMS}
    assert due(host=None, vm_state=VmState.ERROR) == {}
    assert due(host=None, vm_state=VmState.DELETED) == {}
    assert due(flavor=Flavor(3, "none", "none", 0, 0, 0)) == {}


def test_what_can_not_be_said_is_not_said() -> None:
    assert due(task_state=TaskState.DELETING) is None
    request = Told("1", None, "cancel_migration")
    assert due(move(State.COPYING), told=(request,)) is None
    assert why_unsettled(server(told=(Told("1", A, "start_server"),))) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (server(), {A: Business.OWNS, B: Business.NONE}),
        (server(move(State.AWAITS_CONFIRM), host=B), {A: Business.KEEPS, B: Business.OWNS, C: Business.NONE}),
        (server(move(State.COPYING)), {A: Business.BUSY, B: Business.BUSY, C: Business.NONE}),
        (server(move(State.CONFIRMING), host=B), {A: Business.BUSY, B: Business.OWNS}),
        (server(move(State.CONFIRMING), host=C), {A: Business.BUSY, B: Business.NONE, C: Business.OWNS}),
        (server(move(State.AWAITS_CONFIRM, A)), {A: Business.OWNS, B: Business.NONE}),
        (server(task_state=TaskState.REBOOTING), {A: Business.BUSY, B: Business.NONE}),
        (server(told=(Told("1", C, "discard_target"),)), {A: Business.OWNS, C: Business.BUSY}),
        (server(vm_state=VmState.DELETED, host=None), {A: Business.NONE}),
        (
            server(vm_state=VmState.DELETED, host=None, told=(Told("1", A, "delete_server"),)),
            {A: Business.BUSY, B: Business.NONE},
        ),
    ],
)
def test_what_business_a_host_has(entry: Entry, expected: dict[HostName, Business]) -> None:
    assert {host: business(entry, host) for host in expected} == expected


def test_files_may_go_only_where_the_servers_row_proves_it() -> None:
    assert may_discard(server(), B, {A, B})
    assert not may_discard(server(), B, {B}), "the owner does not say that it has the disk"
    assert not may_discard(server(), A, {A, B})
    assert may_discard(server(vm_state=VmState.DELETED, host=None), B, {B})
    assert not may_discard(None, B, {A, B}), "the database never heard of it"
    assert not may_discard(server(host=None, vm_state=VmState.ERROR), B, {B})


def test_holders_are_told_apart_by_host_server_and_migration() -> None:
    assert Holder(A, SERVER, 0) != Holder(A, SERVER, 7)
