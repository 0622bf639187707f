"""What is asked of the cloud while something goes wrong: a move, its confirm, its revert, a deletion in each state."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from haulier.bus.local import Said
from haulier.conductor.cold_migration.step import DISCARD
from haulier.db.engine import Transaction
from haulier.db.store import hosts, outbox
from haulier.model.ids import HostName
from haulier.model.migration import State
from haulier.wire import codec
from haulier.wire.to_compute import Directive
from tests.crash.cloud import PATIENCE, CrashCloud

Ask = Callable[[CrashCloud], Awaitable[str]]
S = State


@dataclass(frozen=True)
class Scenario:
    """`first` brings the cloud to where `ask` is what goes wrong. `ends` are the states it may end in without a fault
    that is an error: what is killed, lost, late or said twice must not make a move fail.
    """

    name: str
    ask: Ask
    ends: frozenset[State]
    first: Ask | None = None
    stopped: bool = False
    fails: tuple[str, str] | None = None
    """A host and its primitive, which fails once."""
    deletes_in: State | None = None
    cancels_in: State | None = None
    follows: str = ""
    """The scenario that it is until its step fails."""
    variant: bool = False
    """It passes through the same rows of the table as another one."""

    @property
    def cuts_in(self) -> bool:
        """Whether it comes in the middle of a move; `first` has begun that move then."""
        return self.deletes_in is not None or self.cancels_in is not None


async def _nothing(_cloud: CrashCloud) -> str:
    return ""


async def to_window(cloud: CrashCloud) -> str:
    await cloud.migrate("node2")
    return await _rest(cloud)


async def resized(cloud: CrashCloud) -> str:
    await cloud.resize()
    return await _rest(cloud)


async def _rest(cloud: CrashCloud) -> str:
    assert await cloud.until(cloud.at_rest), "the cloud did not come to rest before the fault"
    cloud.committed("")
    return ""


async def only_node1(cloud: CrashCloud) -> str:
    """A resize may stay where it is, and no other host takes it."""
    cloud.conductor_settings = msgspec.structs.replace(cloud.conductor_settings, allow_resize_to_same_host=True)
    cloud.kill("conductor")
    for host in ("node2", "node3"):
        await cloud.db.write(hosts.change, HostName(host), enabled=False)
    return ""


async def resized_in_place(cloud: CrashCloud) -> str:
    await only_node1(cloud)
    return await resized(cloud)


def _move(name: str, ask: Ask, end: State = S.AWAITS_CONFIRM, **more: object) -> Scenario:
    return Scenario(name, ask, frozenset({end}), **more)  # type: ignore[arg-type]


def unnamed(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.migrate()


def named(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.migrate("node2")


def forced(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.migrate("node2", force=True)


def resize(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.resize()


def confirm(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.confirm()


def revert(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.revert()


def delete(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.delete()


def cancel(cloud: CrashCloud) -> Awaitable[str]:
    return cloud.cancel()


MOVES = (
    _move("migrate", unnamed),
    _move("migrate-named", named),
    _move("migrate-forced", forced, variant=True),
    _move("migrate-stopped", unnamed, stopped=True, variant=True),
    _move("resize", resize, variant=True),
    _move("prep-fails", unnamed, fails=("node2", "create_disk"), follows="migrate"),
    _move("copy-fails", unnamed, fails=("node1", "send_disk"), follows="migrate"),
    _move("receive-fails", unnamed, fails=("node2", "make_durable"), follows="migrate"),
    _move("start-fails", unnamed, fails=("node2", "start"), follows="migrate"),
    _move("named-copy-fails", named, S.FAILED, fails=("node1", "send_disk"), follows="migrate-named"),
    _move("named-start-fails", named, S.FAILED, fails=("node2", "start"), follows="migrate-named"),
    _move("confirm", confirm, S.CONFIRMED, first=to_window),
    _move("confirm-resize", confirm, S.CONFIRMED, first=resized, variant=True),
    _move("revert", revert, S.REVERTED, first=to_window),
    _move("revert-resize", revert, S.REVERTED, first=resized, variant=True),
    _move("in-place", resize, first=only_node1),
    _move("in-place-stopped", resize, first=only_node1, stopped=True, variant=True),
    _move("in-place-copy-fails", resize, S.FAILED, first=only_node1, fails=("node1", "copy_disk"), follows="in-place"),
    _move("in-place-start-fails", resize, S.FAILED, first=only_node1, fails=("node1", "start"), follows="in-place"),
    _move("confirm-in-place", confirm, S.CONFIRMED, first=resized_in_place),
    _move("revert-in-place", revert, S.REVERTED, first=resized_in_place),
    _move("revert-stopped", revert, S.REVERTED, first=to_window, stopped=True, variant=True),
)


def held_in(base: Scenario, state: State, still_heard: str = "") -> Ask:
    """Bring the move of `base` to `state` and keep it there: what hosts are told for it is not heard, save the step
    `still_heard`; what supersedes it is.

    They come when all is over: see `CrashCloud.deliver_held`."""

    async def first(cloud: CrashCloud) -> str:
        if base.first is not None:
            await base.first(cloud)
            if cloud.state == state.value:  # it begins there
                return ""

        def loses(said: Said) -> bool:
            cloud.committed("")  # the message may be ahead of the news of its commit
            if not (cloud.holds(state.value) and said.subject.startswith("haulier.compute.")):
                return False
            command = codec.decode(said.body, Directive).command
            of_move = command is not None and command.migration_id is not None  # not a deletion, nor a reboot's start
            held = of_move and command.generation <= (cloud.held_from or 0) and command.step != still_heard
            cloud.held.extend([said] if held else [])
            return held

        cloud.holding = loses
        cloud.broker.losses.append(loses)
        if base.fails is not None:
            cloud.drivers[base.fails[0]].fails_once.add(base.fails[1])
        if state == S.REQUESTED:
            cloud.scheduler_may_answer.clear()
        await base.ask(cloud)

        async def there() -> bool:
            return cloud.holds(state.value)

        assert await cloud.until(there, PATIENCE), f"the move did not come to {state}"
        await cloud.db.write(_say_no_more, still_heard)

        async def answered() -> bool:
            return not await cloud.db.read(outbox.about_server, cloud.server, still_heard)

        assert await cloud.until(answered, PATIENCE), f"{still_heard} is not answered"
        return ""

    return first


def _say_no_more(tx: Transaction, but: str) -> None:
    """What is held back is not said again at some moment or other: each run passes through the same moments."""
    later = "UPDATE outbox SET next_at = next_at + 3600 WHERE host IS NOT NULL AND step != ?"
    tx.connection.exec_driver_sql(later, (but,))


def deletion(base: Scenario, state: State, *, in_place: bool) -> Scenario:
    """The server is deleted while its move is in `state`."""
    name = f"delete-in-{'place-' if in_place else ''}{state.value}"
    return Scenario(
        name,
        delete,
        frozenset({S.CANCELLED}),
        held_in(base, state),
        stopped=base.stopped,
        deletes_in=state,
    )


def cancellation(base: Scenario, state: State, *, in_place: bool) -> Scenario:
    """The move is cancelled while it is in `state`."""
    name = f"cancel-in-{'place-' if in_place else ''}{state.value}"
    return Scenario(
        name, cancel, frozenset({S.CANCELLED}), held_in(base, state, DISCARD), stopped=base.stopped, cancels_in=state
    )


DELETE_AT_REST = Scenario("delete-at-rest", delete, frozenset(), deletes_in=S.CANCELLED)
