"""Conflicting requests at the same moment: eight clients, half of them asking for one thing and half for the other.

What holds after every round, whoever won (`whole`): nothing is being done to the server and nothing is still to be said
about it; it runs on its host alone or nowhere; claims and disks are where its state says and nowhere else; each request
that was accepted has one action record, which has ended, and a refused one has none. No answer is a 500.

What *one winner* means, pair by pair:

- Any two without delete: exactly one of the eight is accepted (202 or 204), the others are 409, and the server ends as
  the winner asked.
- With delete the server is gone in the end. Delete is accepted in every state, and asked twice it is the same as once
  (204; 404 when it is gone already). Of the other at most one is accepted, before the deletion, which supersedes it: it
  has no lasting effect.
- With cancel the move is under way, at full speed, and cancels are spread over it. Asked twice it is the same as once
  (202; 409 when the move has ended or its target is the owner). Either at least one is accepted, and the server ends
  as it was found; or none is, and the move is done. Of the other at most one is accepted, and none if a cancel is.
- With the clock the automatic confirm falls due among the requests. One decision leaves the window: a user's (one
  accepted, the others 409), or the clock's (all 409).
- With a dying source, the source's agent falls silent among the confirms. At most one is accepted. Accepted, the move
  is confirmed when the source is back; refused, the window is open.

Stop and start are done in a moment, and a request that comes after that meets a free server and is no rival. In those
pairs (`held`) the conductor begins when all eight have their answer.

Two rounds a pair by default; `make races` plays 200. SEED repeats the order in which the clients ask.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from haulier.db.engine import Transaction
from haulier.db.store import actions, migrations
from haulier.model.ids import ServerId
from haulier.model.migration import FINAL, State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud
from tests.functional.test_force import silence
from tests.functional.test_scenarios_window import LONG, own, sweep, time_passes

ROUNDS = int(os.environ.get("ROUNDS", "2"))
SEED = os.environ.get("SEED", "0")
CLIENTS = 8
DEATH = "source dies"
NOBODY = "nobody"
CLOCK = "clock"

Ask = Callable[[Cloud, httpx2.AsyncClient, str], Awaitable[int]]
"""Returns the status of the answer; 0 for what is no request."""


def action(body: dict[str, Any]) -> Ask:
    async def ask(cloud: Cloud, client: httpx2.AsyncClient, server: str) -> int:
        return (await cloud.action(server, body, who=client)).status_code

    return ask


async def delete(cloud: Cloud, client: httpx2.AsyncClient, server: str) -> int:
    return (await cloud.call("DELETE", f"/v2.1/servers/{server}", who=client)).status_code


async def cancel(cloud: Cloud, client: httpx2.AsyncClient, server: str) -> int:
    move = await cloud.newest(server)
    return (await cloud.call("DELETE", f"/v2.1/servers/{server}/migrations/{move.id}", who=client)).status_code


async def clock(cloud: Cloud, client: httpx2.AsyncClient, server: str) -> int:
    await time_passes(cloud, (await cloud.newest(server)).id)
    await sweep(cloud)
    return 0


async def death(cloud: Cloud, client: httpx2.AsyncClient, server: str) -> int:
    if not cloud.allinone.agents["node1"]._stopping:
        await silence(cloud, "node1")
    return 0


ASKS: dict[str, Ask] = {
    "migrate": action({"migrate": {"host": "node2"}}),
    "migrate elsewhere": action({"migrate": {"host": "node3"}}),
    "resize": action({"resize": {"flavorRef": "large"}}),
    "stop": action({"os-stop": None}),
    "start": action({"os-start": None}),
    "confirm": action({"confirmResize": None}),
    "revert": action({"revertResize": None}),
    "delete": delete,
    "cancel": cancel,
    CLOCK: clock,
    DEATH: death,
}


@dataclass(frozen=True)
class Pair:
    """`begin` is where the server is when they meet: running, stopped, on its way to node2, or in its window."""

    first: str
    second: str
    begin: str
    held: bool = False

    def __str__(self) -> str:
        return f"{self.first}-{self.second}"

    def __contains__(self, ask: str) -> bool:
        return ask in (self.first, self.second)


PAIRS = (
    Pair("migrate", "migrate elsewhere", "running"),
    Pair("migrate", "resize", "running"),
    Pair("migrate", "stop", "running", held=True),
    Pair("start", "migrate", "stopped", held=True),
    Pair("migrate", "delete", "running"),
    Pair("confirm", "confirm", "window"),
    Pair("revert", "revert", "window"),
    Pair("confirm", "revert", "window"),
    Pair("confirm", "delete", "window"),
    Pair("revert", "delete", "window"),
    Pair("confirm", CLOCK, "window"),
    Pair("revert", CLOCK, "window"),
    Pair("confirm", DEATH, "window"),
    Pair("cancel", "cancel", "moving"),
    Pair("cancel", "confirm", "moving"),
    Pair("cancel", "delete", "moving"),
    Pair("cancel", "migrate elsewhere", "moving", held=True),
)

ENDS = {
    "migrate": (State.AWAITS_CONFIRM, "node2", VmState.RESIZED),
    "migrate elsewhere": (State.AWAITS_CONFIRM, "node3", VmState.RESIZED),
    "resize": (State.AWAITS_CONFIRM, None, VmState.RESIZED),
    "stop": (None, "node1", VmState.STOPPED),
    "start": (None, "node1", VmState.ACTIVE),
    "confirm": (State.CONFIRMED, "node2", VmState.ACTIVE),
    "revert": (State.REVERTED, "node1", VmState.ACTIVE),
    "cancel": (State.CANCELLED, "node1", VmState.ACTIVE),
    CLOCK: (State.CONFIRMED, "node2", VmState.ACTIVE),
    NOBODY: (State.AWAITS_CONFIRM, "node2", VmState.RESIZED),
}
"""How it ends, by who has won: the newest move's state, the host (None: any), the server's state."""


@asynccontextmanager
async def clients(cloud: Cloud) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Eight, each with its own connection, which is open already."""
    made = [
        httpx2.AsyncClient(base_url=cloud.allinone.url, auth=("admin", cloud.password), timeout=30)
        for _ in range(CLIENTS)
    ]
    try:
        await asyncio.gather(*(client.get("/v2.1/servers") for client in made))
        yield made
    finally:
        await asyncio.gather(*(client.aclose() for client in made))


async def begun(cloud: Cloud, pair: Pair) -> str:
    server = await cloud.create(host="node1")
    if pair.begin == "stopped":
        await cloud.stop(server)
    elif pair.begin == "moving":
        assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    elif pair.begin == "window":
        assert (await own(cloud, server, {"host": "node2", "confirm_after": LONG})).status_code == 202
        await cloud.free(server)
        assert (await cloud.newest(server)).state == State.AWAITS_CONFIRM
    return server


@asynccontextmanager
async def holding(cloud: Cloud, held: bool) -> AsyncIterator[None]:
    """Where `held`, the conductor takes up no request before the end."""
    outbox, release = cloud.allinone.conductor.outbox, asyncio.Event()
    handle = outbox.handle

    async def wait_first(request: Any, row_id: str) -> None:
        await release.wait()
        await handle(request, row_id)

    if held:
        outbox.handle = wait_first
    try:
        yield
    finally:
        outbox.handle = handle
        release.set()


async def race(cloud: Cloud, pair: Pair, server: str, at: list[httpx2.AsyncClient], chance: random.Random) -> list[Any]:
    """All eight at once; (what was asked, status) of each."""
    asks = [pair.first, pair.second] * (CLIENTS // 2)
    stir = 0.15 if pair.begin == "moving" and not pair.held else chance.choice((0.004, 0.03))
    chance.shuffle(asks)
    for driver in cloud.drivers.values():
        driver.latency = chance.choice((0.0, 0.003))

    async def one(client: httpx2.AsyncClient, name: str, later: float) -> tuple[str, int]:
        await asyncio.sleep(later)  # waits for nothing: it stirs the order
        return name, await ASKS[name](cloud, client, server)

    async with holding(cloud, pair.held):
        starts = [one(client, name, chance.random() * stir) for client, name in zip(at, asks, strict=True)]
        answers = await asyncio.gather(*starts)
    if DEATH in pair:
        await cloud.allinone.restart_agent("node1")
    return answers


def judged(pair: Pair, answers: list[tuple[str, int]]) -> list[str]:
    """Who was accepted, deletions left out and cancels once; everything else was refused as it should be."""
    accepted = [name for name, status in answers if status in (202, 204) and name not in ("delete", "cancel")]
    accepted += ["cancel"] if ("cancel", 202) in answers else []
    refused = Counter(status for name, status in answers if status not in (0, 202, 204))
    if "delete" in pair:
        assert set(refused) <= {409, 404}, answers
        assert ("delete", 204) in answers, answers
        assert ("delete", 409) not in answers, answers
    else:
        assert set(refused) <= {409}, answers
    if {"delete", "cancel", CLOCK, DEATH} & {pair.first, pair.second}:
        assert len(accepted) <= 1, answers
    else:
        assert len(accepted) == 1, answers
    return accepted


async def rested(cloud: Cloud, server: str) -> None:
    """Wait until nothing is being done and nothing is still to be said."""
    await cloud.until(lambda: cloud.allinone.db.read(_rests, server))


def _rests(tx: Transaction, server: str) -> bool:
    busy = "SELECT count(*) FROM servers WHERE id = ? AND task_state IS NOT NULL"
    said = "SELECT count(*) FROM outbox WHERE server_id = ?"
    if any(tx.connection.exec_driver_sql(statement, (server,)).scalar_one() for statement in (busy, said)):
        return False
    moves = migrations.of_server(tx, ServerId(server))
    return all(move.state in (*FINAL, State.AWAITS_CONFIRM) for move in moves)


async def whole(cloud: Cloud, server: str) -> None:
    """No half state: claims, disks, guest and records fit together."""
    found = await cloud.server(server)
    moves = await cloud.allinone.db.read(migrations.of_server, found.id)
    window = [move for move in moves if move.state == State.AWAITS_CONFIRM]
    hosts, held = set(), {}
    if found.vm_state != VmState.DELETED:
        hosts, held = {found.host}, {str(found.host): dict(found.flavor.claims())}
        assert (found.vm_state == VmState.RESIZED) == bool(window)
        for move in window:
            hosts.add(move.source)
            held[f"{move.source} (migration)"] = dict(move.old_flavor.claims())
    assert await cloud.claims(server) == held
    assert {name for name, driver in cloud.drivers.items() if found.id in driver.disks} == hosts
    assert not any(driver.exported or driver.copies or driver.kept for driver in cloud.drivers.values())
    running = found.power_state == PowerState.RUNNING and found.vm_state != VmState.DELETED
    assert cloud.fleet.running.get(found.id) == (found.host if running else None)
    assert cloud.fleet.violations == []
    log = await cloud.allinone.db.read(actions.of_server, found.id)
    assert all(row.finished_at is not None for row in log), log


async def decided_by_clock(cloud: Cloud, server: str) -> bool:
    move = await cloud.newest(server)
    log = await cloud.allinone.db.read(migrations.log_of, move.id)
    [left] = [row for row in log if row.from_state == State.AWAITS_CONFIRM]
    return bool(left.actor == "automatic confirm")


async def count_actions(cloud: Cloud, server: str) -> int:
    return len(await cloud.allinone.db.read(actions.of_server, ServerId(server)))


async def play(cloud: Cloud, pair: Pair, at: list[httpx2.AsyncClient], chance: random.Random) -> None:
    server = await begun(cloud, pair)
    before = await count_actions(cloud, server)
    answers = await race(cloud, pair, server, at, chance)
    winners = judged(pair, answers)
    await rested(cloud, server)
    await whole(cloud, server)
    recorded = await count_actions(cloud, server) - before
    found = await cloud.server(server)
    if "delete" in pair:
        assert found.vm_state == VmState.DELETED
        assert recorded == len(winners) + 1, answers
        return
    if CLOCK in pair:
        assert (await decided_by_clock(cloud, server)) == (not winners), answers
        winners = winners or [CLOCK]
    records = len(winners)
    winner = winners[0] if winners else NOBODY
    move = await cloud.newest(server) if ENDS[winner][0] is not None else None
    ended = (move.state if move else None, found.host if ENDS[winner][1] else None, found.vm_state)
    assert ended == ENDS[winner], (answers, ended)
    assert recorded == records, answers
    assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
    await rested(cloud, server)
    await whole(cloud, server)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_one_wins(cloud: Cloud, pair: Pair) -> None:
    async with clients(cloud) as at:
        for number in range(ROUNDS):
            try:
                await play(cloud, pair, at, random.Random(f"{SEED} {pair} {number}"))
            except AssertionError as problem:
                raise AssertionError(f"{pair}, round {number}, SEED={SEED}: {problem}") from problem
