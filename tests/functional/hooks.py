"""What a test does to a running cloud from within: look when a host acts, hold an answer, conflict, turn a clock."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from haulier.compute.simulated import SimulatedDriver
from haulier.db.store import claims
from haulier.errors import LostRace
from tests.functional.cloud import PATIENCE, Cloud


def before(driver: SimulatedDriver, primitive: str, do: Callable[[], Awaitable[Any]]) -> Callable[[], None]:
    """Have `do` awaited each time before the host does that; call what is returned to end it."""
    act = driver._act

    async def acts(called: str, server_id: str = "") -> None:
        if called == primitive:
            await do()
        await act(called, server_id)

    driver._act = acts  # type: ignore[method-assign]
    return lambda: setattr(driver, "_act", act)


@contextmanager
def held(driver: SimulatedDriver, primitive: str) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """That primitive of a host waits, as long as it is tried inside: (it was reached, it may go on)."""
    reached, may_go = asyncio.Event(), asyncio.Event()
    act = driver._act

    async def wait_first(asked: str, server_id: str = "") -> None:
        if asked == primitive:
            reached.set()
            await may_go.wait()
        await act(asked, server_id)

    driver._act = wait_first  # type: ignore[method-assign]
    try:
        yield reached, may_go
    finally:
        driver._act = act  # type: ignore[method-assign]


def held_question(cloud: Cloud) -> tuple[asyncio.Event, asyncio.Event]:
    """The scheduler's next answer waits: (it was asked, it may answer)."""
    asked, may_answer = asyncio.Event(), asyncio.Event()
    servers = cloud.allinone.broker.servers
    subject = "haulier.scheduler.select_destinations"
    choose = servers[subject]

    async def wait(body: bytes) -> bytes:
        servers[subject] = choose
        answer = await choose(body)
        asked.set()
        await may_answer.wait()
        return answer

    servers[subject] = wait
    return asked, may_answer


@contextmanager
def conflicts(
    monkeypatch: pytest.MonkeyPatch, function: str, times: int, when: Callable[..., bool]
) -> Iterator[list[str]]:
    """The first `times` calls of a function of `claims` that `when` is true of conflict with somebody's."""
    met: list[str] = []
    does = getattr(claims, function)

    def do_or_conflict(*given: Any, **named: Any) -> None:
        does(*given, **named)
        if len(met) < times and when(*given, **named):
            met.append(f"{given} {named}")
            raise LostRace("claims")

    with monkeypatch.context() as patched:
        patched.setattr(claims, function, do_or_conflict)
        yield met


async def long_ago(cloud: Cloud, migration: int) -> None:
    """The move was last changed an hour ago, so that whoever is waited for in it is silent for that long."""
    statement = "UPDATE migrations SET updated_at = updated_at - 3600 WHERE id = ?"
    await cloud.allinone.db.write(lambda tx: tx.connection.exec_driver_sql(statement, (migration,)).rowcount)


def held_before(driver: SimulatedDriver, primitive: str) -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    """The host stops before it does that: await the first to see it there, call the second to let it go on."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    before(driver, primitive, wait)
    return lambda: asyncio.wait_for(reached.wait(), PATIENCE), go.set
