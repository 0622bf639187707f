"""Where a host is cut off, and what is to become of the move: one row for each step and each of the two hosts.

Read a row as: the command `at` has just been said to its host; now `cut` is cut off. Until it is healed the move waits
for it to answer `waits`, None if it has no need of it; the guest runs on `runs`, and is started nowhere else. Healed,
the move comes to `ends`.
"""

from dataclasses import dataclass

from haulier.model.migration import State

SOURCE, TARGET = "node1", "node2"


@dataclass(frozen=True)
class Case:
    at: str
    host: str
    cut: str
    waits: str | None
    runs: str | None
    ends: tuple[State, ...]

    @property
    def lives_on(self) -> str:
        """Where the guest is in the end, when there is one end only."""
        return TARGET if self.ends[0] in (State.AWAITS_CONFIRM, State.CONFIRMED) else SOURCE

    def __str__(self) -> str:
        return f"{self.at}-{'source' if self.cut == SOURCE else 'target'}"


DONE, CONFIRMED, REVERTED, FAILED = (State.AWAITS_CONFIRM,), (State.CONFIRMED,), (State.REVERTED,), (State.FAILED,)

# fmt: off
CASES = (
    #    at                      said to  cut     waits                   runs    ends
    Case("prep_resize",          TARGET,  TARGET, "prep_resize",          SOURCE, DONE),
    Case("prep_resize",          TARGET,  SOURCE, "resize_instance",      SOURCE, DONE),
    #    The copy finds no way: `test_copy.py` has those that break on the way. The source says so when it can.
    Case("resize_instance",      SOURCE,  SOURCE, "resize_instance",      None,   (*FAILED, *DONE)),
    Case("resize_instance",      SOURCE,  TARGET, None,                   SOURCE, FAILED),
    Case("receive_disk",         TARGET,  TARGET, "receive_disk",         None,   DONE),
    Case("receive_disk",         TARGET,  SOURCE, None,                   TARGET, DONE),
    #    The target owns it, and may start it while nobody hears from there.
    Case("finish_resize",        TARGET,  TARGET, "finish_resize",        TARGET, DONE),
    Case("finish_resize",        TARGET,  SOURCE, None,                   TARGET, DONE),

    Case("attest_disk",          TARGET,  TARGET, "attest_disk",          TARGET, CONFIRMED),
    Case("attest_disk",          TARGET,  SOURCE, "confirm_resize",       TARGET, CONFIRMED),
    Case("confirm_resize",       SOURCE,  SOURCE, "confirm_resize",       TARGET, CONFIRMED),
    Case("confirm_resize",       SOURCE,  TARGET, None,                   TARGET, CONFIRMED),

    Case("check_disk",           SOURCE,  SOURCE, "check_disk",           TARGET, REVERTED),
    Case("check_disk",           SOURCE,  TARGET, "revert_resize",        TARGET, REVERTED),
    #    It has been told to give the guest up, and nobody knows whether it has.
    Case("revert_resize",        TARGET,  TARGET, "revert_resize",        None,   REVERTED),
    Case("revert_resize",        TARGET,  SOURCE, "finish_revert_resize", None,   REVERTED),
    Case("finish_revert_resize", SOURCE,  SOURCE, "finish_revert_resize", SOURCE, REVERTED),
    Case("finish_revert_resize", SOURCE,  TARGET, None,                   SOURCE, REVERTED),
)
# fmt: on
