"""`haulier audit`: what it asks, what it prints, and what its exit status says."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

SERVER = "11111111-1111-4111-8111-111111111111"
CLAIM = {
    "kind": "claim_without_cause",
    "invariant": "I2",
    "host": "node2",
    "server_id": SERVER,
    "what": "on node2 the server holds 1 VCPU",
    "cause": "the server is on node1",
    "remedy": "release the claim",
    "repair": True,
}
FILE = {**CLAIM, "kind": "unknown_file", "invariant": "I7", "server_id": None, "what": "node2 has x", "repair": False}
RELEASED = {"kind": "claim_without_cause", "host": "node2", "server_id": SERVER, "done": "the claim was released"}
UNKNOWN = {"host": "node3", "why": "its agent does not answer"}
MOVING = {"server_id": SERVER, "host": None, "why": "migration 7 is COPYING"}


def report(**parts: Any) -> tuple[int, Any]:
    empty: dict[str, Any] = {"violations": [], "in_transition": [], "unknown_hosts": [], "repaired": []}
    looked_at = {"hosts": ["node1", "node2"], "servers": 3, "claims": 4}
    found = {**empty, "looked_at": looked_at, **parts}
    return 200, {"audit": {"clean": not found["violations"] and not found["unknown_hosts"], **found}}


def test_nothing_is_wrong(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/audit"] = report()
    result = run("audit")
    assert (result.exit_code, result.stdout) == (0, "no violation in 3 servers, 4 claims and 2 hosts\n")


def test_each_violation_with_its_cause_and_remedy(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/audit"] = report(violations=[CLAIM, FILE], in_transition=[MOVING])
    result = run("audit")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        f"I2 server {SERVER} on node2: on node2 the server holds 1 VCPU",
        "   cause   the server is on node1",
        "   remedy  release the claim",
        "I7 host node2: node2 has x",
        "   cause   the server is on node1",
        "   remedy  release the claim",
        f"skipped server {SERVER}: migration 7 is COPYING",
        "2 violations in 3 servers, 4 claims and 2 hosts (1 in transition)",
    ]


def test_a_host_that_was_not_seen_is_not_called_clean(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/audit"] = report(unknown_hosts=[UNKNOWN])
    result = run("audit")
    assert result.exit_code == 4
    assert "unknown host node3 could not be looked at: its agent does not answer" in result.stdout
    assert "no violation in 3 servers, 4 claims and 2 hosts (1 host unknown)" in result.stdout


@pytest.mark.parametrize(("violations", "status"), [([CLAIM], 0), ([CLAIM, FILE], 3)])
def test_repair_says_what_it_did_and_fails_for_what_is_left(
    api: FakeApi, run: Run, violations: list[Any], status: int
) -> None:
    api.answers["POST /haulier/v1/audit/repair"] = report(violations=violations, repaired=[RELEASED])
    result = run("audit", "--repair")
    assert result.exit_code == status
    assert "   done    the claim was released" in result.stdout
    assert "1 of them seen to" in result.stdout


def test_what_was_seen_to_does_not_hide_a_host_that_was_not(api: FakeApi, run: Run) -> None:
    answer = report(violations=[CLAIM], repaired=[RELEASED], unknown_hosts=[UNKNOWN])
    api.answers["POST /haulier/v1/audit/repair"] = answer
    assert run("audit", "--repair").exit_code == 4


def test_as_json_it_is_what_the_api_answered(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/audit"] = answer = report(violations=[CLAIM])
    result = run("audit", "--format", "json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == answer[1]["audit"]


def test_an_api_that_fails_is_another_status(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/audit"] = (503, {"serviceUnavailable": {"code": 503, "message": "no"}})
    assert run("audit").exit_code == 1
