"""The scheduler's decision, on values alone."""

import pytest

from haulier.config.scheduler import SchedulerSettings
from haulier.model.host import Candidate, Host
from haulier.model.ids import HostName, Incarnation, ProjectId, ServerId
from haulier.model.request import Answer, RequestSpec, Resident, Rule
from haulier.model.resources import ResourceClass, Stock, in_one_place
from haulier.scheduler.select import select_destinations


def host(name: str, *, memory: int = 4096, used: int = 0, **changed: object) -> Candidate:
    values: dict[str, object] = {
        "zone": "nova",
        "enabled": True,
        "disabled_reason": None,
        "forced_down": False,
        "draining": False,
        "silent_for": 0.0,
    }
    stock = {
        ResourceClass.VCPU: Stock(8, ratio=4.0),
        ResourceClass.MEMORY_MB: Stock(memory, reserved=512),
        ResourceClass.DISK_GB: Stock(100),
    }
    values.update(changed)
    made = Host(
        name=HostName(name),
        uuid=name,
        incarnation=Incarnation("i"),
        stock=stock,
        free_disk_bytes=1 << 40,
        **values,  # type: ignore[arg-type]
    )
    return Candidate(made, {ResourceClass.MEMORY_MB: used} if used else {}, made.why_down(30.0))


def ask(candidates: list[Candidate], count: int = 3, **asked: object) -> Answer:
    resources = {ResourceClass.VCPU: 1, ResourceClass.MEMORY_MB: 1024, ResourceClass.DISK_GB: 10}
    spec = RequestSpec(server_id=ServerId("s"), project_id=ProjectId("p"), resources=resources, **asked)  # type: ignore[arg-type]
    return select_destinations(candidates, spec, count, SchedulerSettings())


def names(answer: Answer) -> list[str]:
    return [selection.host for selection in answer.selections]


def test_the_emptiest_host_comes_first_and_equal_ones_by_name() -> None:
    fleet = [host("b"), host("a"), host("full", used=3000), host("big", memory=8192)]
    assert names(ask(fleet)) == ["big", "a", "b"]


@pytest.mark.parametrize(
    ("refused", "rule", "clause"),
    [
        (host("x", enabled=False, disabled_reason="new disk"), Rule.ENABLED, "it is disabled (new disk)"),
        (host("x", enabled=False), Rule.ENABLED, "it is disabled"),
        (host("x", silent_for=42.0), Rule.UP, "its agent has not been heard for 42 s"),
        (host("x", forced_down=True), Rule.UP, "an operator has set it down"),
        (host("x", draining=True), Rule.DRAINING, "it is being drained"),
        (host("x", zone="east"), Rule.ZONE, "it is in zone east, the server asked for nova"),
        (host("x", used=3000), Rule.ROOM, "needs 1024 MiB of memory, has 584 free"),
    ],
)
def test_each_rule_refuses_with_its_reason(refused: Candidate, rule: Rule, clause: str) -> None:
    answer = ask([refused, host("good")], zone="nova")
    assert names(answer) == ["good"]
    assert [(refusal.rule, refusal.why) for refusal in answer.refusals] == [(rule.value, clause)]


def test_A4_only_the_named_host_is_considered() -> None:
    fleet = [host("better", memory=1 << 20), host("named")]
    assert names(ask(fleet, requested_destination=HostName("named"))) == ["named"]


def test_A22_the_host_the_server_is_on_is_not_offered() -> None:
    answer = ask([host("here")], ignore_hosts=(HostName("here"),))
    assert names(answer) == []
    assert [refusal.why for refusal in answer.refusals] == ["the server is on it now"]


def test_no_more_hosts_than_were_asked_for() -> None:
    assert len(ask([host(f"h{n}") for n in range(9)], count=3).selections) == 3


def test_capacity_is_total_times_ratio_less_reserved() -> None:
    assert Stock(8, ratio=4.0, reserved=2).capacity == 30


def test_A24_where_a_server_is_what_it_holds_is_let_go_for_the_new_size() -> None:
    """3584 MiB to be had on each, 3000 of them held on "here" by the server itself."""
    fleet = [host("here", used=3000), host("full", used=3000)]
    holds = {ResourceClass.MEMORY_MB: 3000, ResourceClass.DISK_GB: 10}
    answer = ask(fleet, resident=Resident(HostName("here"), holds))
    assert names(answer) == ["here"]
    assert [refusal.why for refusal in answer.refusals] == ["needs 1024 MiB of memory, has 584 free"]


def test_A24_both_disks_must_have_room_where_it_is() -> None:
    answer = ask([host("here")], resident=Resident(HostName("here"), {ResourceClass.DISK_GB: 95}))
    assert [refusal.why for refusal in answer.refusals] == ["needs 105 GiB of disk, has 100 free"]


def test_I2_in_one_place_the_larger_one_of_what_runs_and_both_of_what_lies_there() -> None:
    old = {ResourceClass.VCPU: 4, ResourceClass.MEMORY_MB: 512, ResourceClass.DISK_GB: 10}
    new = {ResourceClass.VCPU: 1, ResourceClass.MEMORY_MB: 1024}
    wanted = {ResourceClass.VCPU: 4, ResourceClass.MEMORY_MB: 1024, ResourceClass.DISK_GB: 10}
    assert in_one_place(old, new) == wanted
