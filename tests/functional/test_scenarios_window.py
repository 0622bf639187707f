"""Group E of the scenarios, and the automatic confirm: the window is closed by a user, by a clock, or not yet.

E1 and E13 are in test_window.py. Deadlines are made to pass in the database, whose clock is the one that counts.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.bus.local import Said
from haulier.conductor.cold_migration import moves
from haulier.db.engine import Transaction
from haulier.model.migration import Migration, State
from haulier.model.server import PowerState, VmState
from tests.functional.cloud import Cloud, running, settings
from tests.functional.conftest import HOSTS
from tests.functional.hooks import held_before
from tests.functional.test_force import silence

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
IN_WINDOW = {"node1 (migration)": ONE_SMALL, "node2": ONE_SMALL}
LONG = 5000


async def own(cloud: Cloud, server: str, body: Any, **more: Any) -> Any:
    return await cloud.call("POST", f"/haulier/v1/servers/{server}/migrate", body, **more)


async def shown(cloud: Cloud, migration: int) -> dict[str, Any]:
    document: dict[str, Any] = (await cloud.call("GET", f"/haulier/v1/migrations/{migration}")).json()["migration"]
    return document


async def moved(cloud: Cloud, server: str, **wish: Any) -> Migration:
    """On node2, in the window."""
    answer = await own(cloud, server, {"host": "node2", **wish})
    assert answer.status_code == 202, answer.text
    await cloud.free(server)
    move = await cloud.newest(server)
    assert move.state == State.AWAITS_CONFIRM, move.reasons
    return move


def _is_due(tx: Transaction, migration: int) -> None:
    statement = "UPDATE migrations SET confirms_at = confirms_at - ? WHERE id = ?"
    tx.connection.exec_driver_sql(statement, (LONG + 1, migration))


async def time_passes(cloud: Cloud, migration: int) -> None:
    """More of it than any deadline here."""
    await cloud.allinone.db.write(_is_due, migration)


async def confirms(cloud: Cloud, server: str) -> list[dict[str, Any]]:
    """The action records of its confirms, newest first."""
    listed = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    return [action for action in listed if action["action"] == "confirmResize"]


async def sweep(cloud: Cloud) -> None:
    """Every reconciler, once more than its timer has it run."""
    await cloud.allinone.conductor.driver.sweep()


async def in_state(cloud: Cloud, migration: int, state: State, times: int = 1) -> None:
    async def look() -> bool:
        found = await shown(cloud, migration)
        entered = sum(one["to"] == state for one in found["transitions"])
        return found["state"] == state and entered >= times

    await cloud.until(look)


async def test_a_window_closes_by_itself_after_the_time_that_was_set(tmp_path: Path) -> None:
    """The setting, from the moment the window opened, with the records of a user's confirm."""
    async with running(settings(tmp_path, HOSTS, confirm_after=0.3)) as cloud:
        server = await cloud.create(host="node1")
        move = await cloud.move(server, "node2")
        ended = await cloud.ended(move.id)
        assert ended.state == State.CONFIRMED
        story = await shown(cloud, move.id)
        opened, closed = [one for one in story["transitions"] if "AWAITS_CONFIRM" in (one["to"], one["from"])]
        assert (closed["event"], closed["actor"]) == ("ConfirmAsked", "automatic confirm")
        assert closed["seconds"] >= 0.3, "counted from the moment the window opened"
        assert opened["to"] == "AWAITS_CONFIRM"
        [action] = await confirms(cloud, server)
        assert (action["user_id"], action["message"]) == ("automatic confirm", None)
        assert action["project_id"] == (await cloud.server(server)).project_id
        assert await cloud.claims(server) == {"node2": ONE_SMALL}
        assert server not in cloud.drivers["node1"].disks


async def test_the_setting_counts_for_a_resize_too(tmp_path: Path) -> None:
    async with running(settings(tmp_path, HOSTS, confirm_after=0.2)) as cloud:
        server = await cloud.create(host="node1")
        assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
        assert (await cloud.ended((await cloud.newest(server)).id)).state == State.CONFIRMED


async def test_off_by_default(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    found = await shown(cloud, move.id)
    assert (found["confirm_after"], found["confirms_at"], found["next"], found["waiting_for"]) == (None, None, None, [])
    await sweep(cloud)
    assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM


async def test_not_before_its_time(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    found = await shown(cloud, move.id)
    opened = found["transitions"][-1]["at"]
    assert move.confirms_at is not None
    assert found["confirms_at"] == move.confirms_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert (move.confirms_at.timestamp() - _seconds(opened)) == pytest.approx(LONG, abs=0.001)
    assert (found["next"], found["waiting_for"]) == ("ATTESTING", [])
    await sweep(cloud)
    assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM
    await time_passes(cloud, move.id)
    assert (await cloud.ended(move.id)).state == State.CONFIRMED


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def test_a_request_may_say_never(tmp_path: Path) -> None:
    async with running(settings(tmp_path, HOSTS, confirm_after=0.05)) as cloud:
        server = await cloud.create(host="node1")
        move = await moved(cloud, server, confirm_after=0)
        assert (move.confirm_after, move.confirms_at) == (0, None)
        await sweep(cloud)
        assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM
        assert (await cloud.confirm(server)).state == State.CONFIRMED


async def test_I5_J4_what_one_move_asked_for_does_not_stick(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    first = await moved(cloud, server, confirm_after=LONG)
    await cloud.revert(server)
    second = await cloud.move(server, "node2")
    assert (first.confirm_after, second.confirm_after, second.confirms_at) == (LONG, None, None)


UNTAKEN: list[tuple[Any, str]] = [
    ({"confirm_after": -1}, "confirm_after"),
    ({"confirm_after": "soon"}, "confirm_after"),
    ({"confirm_after": 1.5}, "confirm_after"),
    ({"confirm_after": True}, "confirm_after"),
    ({"confirm_after": 1 << 40}, "confirm_after"),
    ({"host": "node2", "confirmafter": 1}, "'confirmafter' was unexpected"),
    ({"host": "node2", "precopy": True, "dry_run": True}, "dry_run, precopy in this request is not available"),
    ({"force": True}, "'force' is true but no host is named"),
    ({"host": 7}, "host"),
    ({"host": "node9"}, "node9"),
    ([], "is not of type 'object'"),
    (None, "is not of type 'object'"),
    (b"{", "Malformed"),
]


@pytest.mark.parametrize(("body", "says"), UNTAKEN, ids=[str(body) for body, _ in UNTAKEN])
async def test_what_the_native_request_does_not_take(cloud: Cloud, body: Any, says: str) -> None:
    server = await cloud.create(host="node1")
    answer = await own(cloud, server, b"null" if body is None else body)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["badRequest"]["message"]
    found = await cloud.server(server)
    assert (found.task_state, await cloud.claims(server)) == (None, {"node1": ONE_SMALL})


async def test_the_native_request_takes_novas_keys_and_novas_rights(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    assert (await own(cloud, server, {"host": "node2"}, who=cloud.member)).status_code in (403, 404)
    await cloud.disable("node2")
    refused = await own(cloud, server, {"host": "node2"})
    assert refused.status_code == 202
    assert (await cloud.ended(refused.json()["migration"]["id"])).state == State.FAILED
    forced = await own(cloud, server, {"host": "node2", "force": True})
    await cloud.free(server)
    found = await shown(cloud, forced.json()["migration"]["id"])
    assert (found["state"], found["forced"], found["target"]) == ("AWAITS_CONFIRM", True, "node2")
    assert (await own(cloud, server, {})).status_code == 409, "in the window"
    await cloud.confirm(server)
    anywhere = await own(cloud, server, {})
    await cloud.free(server)
    found = await shown(cloud, anywhere.json()["migration"]["id"])
    assert (found["state"], found["named"]) == ("AWAITS_CONFIRM", False)


@pytest.mark.parametrize("host", ["node1", "node2"], ids=["source", "target"])
async def test_E2_a_user_is_told_to_try_later(cloud: Cloud, host: str) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    await silence(cloud, host)
    answer = await cloud.action(server, {"confirmResize": None})
    assert answer.status_code == 409
    assert f"The agent of host {host} has not answered" in answer.json()["conflictingRequest"]["message"]
    assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM
    assert await confirms(cloud, server) == []
    await cloud.allinone.restart_agent(host)
    assert (await cloud.confirm(server)).state == State.CONFIRMED


@pytest.mark.parametrize("host", ["node1", "node2"], ids=["source", "target"])
async def test_E2_an_automatic_confirm_waits_for_a_silent_host_and_says_so(cloud: Cloud, host: str) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    await silence(cloud, host)
    await time_passes(cloud, move.id)
    await sweep(cloud)
    found = await shown(cloud, move.id)
    assert (found["state"], found["next"], found["reasons"]) == ("AWAITS_CONFIRM", "ATTESTING", [])
    [waits] = found["waiting_for"]
    assert (waits["host"], waits["step"]) == (host, "automatic_confirm")
    assert 0 < waits["seconds"] < 60, "since it was due, not since the host fell silent"
    assert await confirms(cloud, server) == [], "it was not tried, so it did not fail"
    assert await cloud.claims(server) == IN_WINDOW
    await cloud.allinone.restart_agent(host)
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    assert await cloud.claims(server) == {"node2": ONE_SMALL}


async def test_an_automatic_confirm_waits_for_a_fenced_host(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    await silence(cloud, "node2")
    cloud.drivers["node2"].lose_power()
    assert (await cloud.call("POST", "/haulier/v1/hosts/node2/fence", {"reason": "unplugged"})).status_code == 200
    await time_passes(cloud, move.id)
    await sweep(cloud)
    assert [one["host"] for one in (await shown(cloud, move.id))["waiting_for"]] == ["node2"]
    assert (await cloud.revert(server)).state == State.REVERTED, "the way back is open"


async def test_L5_an_automatic_confirm_without_the_targets_word_says_so_and_tries_again(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    kept = cloud.drivers["node2"].disks.pop(server)  # type: ignore[call-overload]
    await time_passes(cloud, move.id)
    await in_state(cloud, move.id, State.AWAITS_CONFIRM, times=3)
    found = await shown(cloud, move.id)
    tries = [one for one in found["transitions"] if one["from"] == "AWAITS_CONFIRM"]
    assert [one["actor"] for one in tries] == ["automatic confirm"] * len(tries)
    assert "is missing on host node2" in found["reasons"][0]
    assert "is missing on host node2" in "".join(await cloud.reasons(server))
    assert (await confirms(cloud, server))[-1]["message"] == "Error"
    assert server in cloud.drivers["node1"].disks, "the source's copy stays"
    cloud.drivers["node2"].disks[server] = kept  # type: ignore[index]
    assert (await cloud.ended(move.id)).state == State.CONFIRMED


async def test_each_wait_is_twice_as_long_as_the_one_before(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    disk = cloud.drivers["node2"].disks.pop(server)  # type: ignore[call-overload]
    await time_passes(cloud, move.id)
    await in_state(cloud, move.id, State.AWAITS_CONFIRM, times=4)
    cloud.drivers["node2"].disks[server] = disk  # type: ignore[index]
    waited = [one["seconds"] for one in (await shown(cloud, move.id))["transitions"] if one["to"] == "ATTESTING"][1:]
    assert all(seconds >= 0.05 * 2**tries for tries, seconds in enumerate(waited, start=1)), waited


async def test_after_a_revert_that_failed_no_clock_confirms(cloud: Cloud) -> None:
    """Somebody wants the server back: that the source's disk is damaged must not end in its deletion."""
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    cloud.drivers["node1"].disks[server].sound = False  # type: ignore[index]
    assert (await cloud.action(server, {"revertResize": None})).status_code == 202
    await in_state(cloud, move.id, State.AWAITS_CONFIRM, times=2)
    assert (await shown(cloud, move.id))["confirms_at"] is None
    await time_passes(cloud, move.id)
    await sweep(cloud)
    assert (await cloud.migration(move.id)).state == State.AWAITS_CONFIRM


@pytest.mark.parametrize("action", ["confirmResize", "revertResize"])
async def test_a_user_and_the_clock_at_the_same_moment(cloud: Cloud, action: str) -> None:
    """Whoever commits first has it; there is one way out of the window, and one action that closed it."""
    server = await cloud.create(host="node1")
    for _ in range(4):
        source = (await cloud.server(server)).host
        target = {"node1": "node2", "node2": "node1"}[str(source)]
        answer = await own(cloud, server, {"host": target, "confirm_after": LONG})
        await cloud.free(server)
        move = await cloud.migration(answer.json()["migration"]["id"])
        await time_passes(cloud, move.id)
        asked, _ = await asyncio.gather(cloud.action(server, {action: None}), sweep(cloud))
        ended = await cloud.ended(move.id)
        story = await shown(cloud, move.id)
        [decided] = [one for one in story["transitions"] if one["from"] == "AWAITS_CONFIRM"]
        by_clock = decided["actor"] == "automatic confirm"
        assert asked.status_code == 409 if by_clock else asked.status_code in (202, 204), asked.text
        reverted = action == "revertResize" and not by_clock
        assert ended.state == (State.REVERTED if reverted else State.CONFIRMED)
        await cloud.free(server)
        assert await cloud.claims(server) == {source if reverted else target: ONE_SMALL}


async def test_two_conductors_see_the_same_deadline(cloud: Cloud) -> None:
    """A second look at the same row, as another conductor has it, finds that it is done."""
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    await time_passes(cloud, move.id)
    ours = cloud.allinone.conductor._moves
    await asyncio.gather(*(ours.confirm_by_itself(move) for _ in range(3)), return_exceptions=True)
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    assert len(await confirms(cloud, server)) == 1


async def test_the_conductor_dies_before_or_after_the_clocks_commit(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it nothing is written, not even the action record; after it the question is asked until it is answered."""
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    fire, died, lost = moves.fire, asyncio.Event(), []

    def dies_once(*given: Any) -> bool:
        made = fire(*given)
        if not died.is_set():
            died.set()
            raise ConnectionError("killed")
        return made

    def loses(said: Said) -> bool:
        is_one = b"attest_disk" in said.body and said.subject.startswith("haulier.compute.") and len(lost) < 2
        lost.extend([said] if is_one else [])
        return is_one

    monkeypatch.setattr(moves, "fire", dies_once)
    cloud.allinone.broker.losses.append(loses)
    await time_passes(cloud, move.id)
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    assert (died.is_set(), len(lost), len(await confirms(cloud, server))) == (True, 2, 1)


async def test_E1_a_stopped_server_stays_stopped_when_the_clock_confirms(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    move = await moved(cloud, server, confirm_after=LONG)
    await time_passes(cloud, move.id)
    assert (await cloud.ended(move.id)).state == State.CONFIRMED
    found = await cloud.free(server)
    assert (found.vm_state, found.power_state) == (VmState.STOPPED, PowerState.SHUTDOWN)


async def test_E4_a_host_can_not_be_removed_in_the_window(cloud: Cloud) -> None:
    """Removing a host is not offered yet, so nobody can take the source away; the revert works."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    services = (await cloud.call("GET", "/v2.1/os-services?host=node1", version="2.53")).json()["services"]
    answer = await cloud.call("DELETE", f"/v2.1/os-services/{services[0]['id']}", version="2.53")
    assert answer.status_code == 400
    assert "not available here yet" in answer.json()["badRequest"]["message"]
    assert (await cloud.revert(server)).state == State.REVERTED
    assert await cloud.claims(server) == {"node1": ONE_SMALL}


async def test_E7_the_room_on_the_source_is_taken_as_soon_as_the_move_is_confirmed(cloud: Cloud) -> None:
    """The source is still about to delete its copy, and no heartbeat or sweep comes in between."""
    await cloud.add_flavor("whale", ram=16000)
    server = await cloud.create(host="node1", flavor="whale")
    await cloud.move(server, "node2")
    await cloud.allinone.conductor.driver.stop()
    cloud.allinone.broker.losses.append(lambda said: said.subject.endswith(".heartbeat"))
    reached, go = held_before(cloud.drivers["node1"], "delete")
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204
    await reached()
    next_one = await cloud.create("next", host="node1", flavor="whale")
    assert (await cloud.server(next_one)).host == "node1"
    go()
    assert (await cloud.ended((await cloud.newest(server)).id)).state == State.CONFIRMED


async def test_E9_the_zone_that_is_shown_goes_with_the_server_and_back(tmp_path: Path) -> None:
    made = settings(tmp_path, ("node1", "node2"))
    here, there = made.hosts
    made = msgspec.structs.replace(made, hosts=(here, msgspec.structs.replace(there, zone="other")))
    async with running(made) as cloud:
        server = await cloud.create(host=None)
        homes = {"node1": "nova", "node2": "other"}
        source = str((await cloud.server(server)).host)
        (target,) = homes.keys() - {source}

        async def zone() -> Any:
            document = (await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]
            return document["OS-EXT-AZ:availability_zone"]

        assert await zone() == homes[source]
        await cloud.move(server)
        assert await zone() == homes[target]
        await cloud.revert(server)
        assert await zone() == homes[source]


async def test_E13_a_window_that_the_clock_has_closed_is_closed(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await moved(cloud, server, confirm_after=LONG)
    await time_passes(cloud, move.id)
    await cloud.ended(move.id)
    for action in ("confirmResize", "revertResize"):
        assert (await cloud.action(server, {action: None})).status_code == 409


async def test_E15_a_move_is_followed_to_its_end_by_its_id(cloud: Cloud) -> None:
    """A client that confirms too early is told so; one that comes too late sees by the id who has confirmed."""
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].latency = {"send_disk": 0.3}
    answer = await own(cloud, server, {"host": "node2", "confirm_after": LONG})
    migration = answer.json()["migration"]["id"]
    assert answer.json()["migration"]["state"] in ("REQUESTED", "PREPARING", "COPYING")
    early = await cloud.action(server, {"confirmResize": None})
    assert early.status_code == 409
    await cloud.free(server)
    await time_passes(cloud, migration)
    await in_state(cloud, migration, State.CONFIRMED)
    late = await cloud.action(server, {"confirmResize": None})
    assert late.status_code == 409
    found = await shown(cloud, migration)
    decided = [one["actor"] for one in found["transitions"] if one["event"] == "ConfirmAsked"]
    assert (found["status"], decided, found["confirms_at"]) == ("confirmed", ["automatic confirm"], None)


async def test_E15_a_server_that_was_off_is_followed_in_the_same_way(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    answer = await own(cloud, server, {"host": "node2"})
    await in_state(cloud, answer.json()["migration"]["id"], State.AWAITS_CONFIRM)
    await cloud.confirm(server)
    assert (await shown(cloud, answer.json()["migration"]["id"]))["state"] == "CONFIRMED"
