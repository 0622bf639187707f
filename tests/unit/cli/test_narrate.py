from haulier.cli import narrate
from haulier.model.migration import FINAL, State
from tests.unit.cli.moves import FORWARD, move

REHEARSED = "prep_resize failed on node3: rehearsed"
MIB = 1 << 20


def test_every_state_is_told() -> None:
    assert set(narrate.TOLD) == {state.value for state in State} - {"REQUESTED"}
    assert {state.value for state in FINAL} == narrate.ENDS


def test_a_resize_in_place_tells_of_no_other_host() -> None:
    here = {"target": "node1", "attempts": [{"number": 1, "host": "node1", "failed": None}]}
    states = ("PREPARING", "COPYING", "SWITCHED", "AWAITS_CONFIRM")
    told = [sentence for _, sentence in narrate.Story().news(move(*states, **here))]
    assert told[1:3] == [
        "node1 powers the guest off and copies its disk",
        "the copy is the disk from here on; node1 starts the guest if it ran",
    ]
    assert narrate.outcome(move(*states, **here), "vm").startswith("server vm stays on node1 in its new size, its old")
    for end, size in (("CONFIRMED", "new"), ("REVERTED", "old")):
        assert narrate.outcome(move(*states, end, **here), "vm") == f"server vm on node1 has its {size} size"


def test_each_event_is_told_once_and_in_order() -> None:
    story = narrate.Story()
    assert story.news(move()) == []
    first = story.news(move("PREPARING", "COPYING"))
    assert [after for after, _ in first] == [0.5, 1.0]
    assert first[0][1].startswith("node2 is chosen")
    assert first[1][1] == "node1 powers the guest off and sends its disk to node2"
    assert story.news(move("PREPARING", "COPYING")) == []
    rest = story.news(move(*FORWARD))
    assert [sentence.split()[0] for _, sentence in rest] == ["node2", "node2", "node2"]


def test_a_confirm_that_nobody_asked_for_says_so() -> None:
    confirmed = move(*FORWARD, "ATTESTING", "CONFIRMING")
    confirmed["transitions"][-2]["actor"] = "automatic confirm"
    told = [sentence for _, sentence in narrate.Story(told=5).news(confirmed)]
    assert told[0] == "nobody has decided in time: node2 is asked whether it holds the disk, now"
    assert told[1].startswith("node2 holds it")


def test_what_is_known_already_is_left_out() -> None:
    story = narrate.Story(told=6)
    document = move("PREPARING", *FORWARD, "ATTESTING", "CONFIRMING", "CONFIRMED")
    document["attempts"].insert(0, {"number": 0, "host": "node3", "failed": REHEARSED})
    told = story.news(document)
    assert [after for after, _ in told] == [0.0, 0.5, 1.0], "from the later request on"
    assert [sentence for _, sentence in told] == [
        "node2 is asked whether it holds the disk, now",
        "node2 holds it; node1 deletes its copy",
        "the server is on node2 for good",
    ]


def test_a_target_that_refuses_is_told_with_its_reason_before_the_next() -> None:
    document = move("PREPARING", "PREPARING", "COPYING")
    document["attempts"] = [
        {"number": 1, "host": "node3", "failed": REHEARSED},
        {"number": 2, "host": "node2", "failed": None},
    ]
    document["transitions"][1]["detail"] = "rehearsed"
    told = [sentence for _, sentence in narrate.Story().news(document)]
    assert told[0].startswith("node3 is chosen")
    assert told[1] == REHEARSED
    assert told[2].startswith("node2 is chosen")
    assert REHEARSED not in told[2]


def test_a_failed_move_says_how_the_server_was_left() -> None:
    assert narrate.Story().news(move("FAILED"))[-1][1] == "the server stays on node1, as it was"
    document = move("PREPARING", "COPYING", "RESTORING", "FAILED")
    assert "but off" in narrate.Story().news(document)[-1][1]
    document["transitions"][-1]["event"] = "Restored"
    assert "as it was" in narrate.Story().news(document)[-1][1]


def test_M17_a_copy_shows_bytes_rate_and_time_left() -> None:
    story = narrate.Story()
    copying = move("PREPARING", "COPYING", progress={"bytes_done": 0, "bytes_total": 64 * MIB})
    assert story.present(copying, 1.0) == "0 B of 64.0 MiB"
    copying["progress"]["bytes_done"] = 32 * MIB
    assert story.present(copying, 2.0) == "32.0 MiB of 64.0 MiB, 32.0 MiB/s, 1.0 s left"


def test_who_is_waited_for_is_said_when_it_takes_long() -> None:
    waiting = [{"host": "node2", "step": "prep_resize", "seconds": 12.0}]
    said = narrate.Story().present(move("PREPARING", waiting_for=waiting), 0.0)
    assert said == "waiting for node2 (prep_resize) for 12 s"
    waiting[0]["seconds"] = 0.2
    assert narrate.Story().present(move("PREPARING", waiting_for=waiting), 0.0) == ""


def test_outcomes() -> None:
    moved = move(*FORWARD)
    assert narrate.outcome(moved, "a") == (
        "server a is on node2 now, its old copy is kept on node1; the guest was off for at most 1.5 s"
    )
    assert "off for" not in narrate.outcome({**moved, "was_running": False}, "a")
    assert narrate.outcome(move(*FORWARD, "CONFIRMED"), "a").startswith("server a stays on node2")
    assert narrate.outcome(move(*FORWARD, "REVERTED"), "a").startswith("server a is back on node1")


def test_reasons_are_said_once() -> None:
    document = move(
        "PREPARING",
        "FAILED",
        reasons=["node1: it is disabled", REHEARSED],
        attempts=[{"number": 1, "host": "node3", "failed": REHEARSED}],
    )
    assert narrate.reasons(document) == ["node1: it is disabled", REHEARSED]
    document["attempts"].append({"number": 2, "host": "node4", "failed": "no room"})
    assert narrate.reasons(document)[-1] == "node4: no room"
