"""What the agent does for each instruction: one function that does it, and one that undoes what a failure left.

Intent and answer are journaled around each of them by `service.py`. A command is sent until it is answered, so a
process that dies before or in the act simply does it again: each function is safe to repeat, and its docstring says
how. Being parked, when the agent is told to end, is dying in the act. Dying after the act but before the answer is
durable is the same case; after that, the answer is repeated.

| instruction           | dies in the act, asked again                              | never asked again  |
|-----------------------|-----------------------------------------------------------|--------------------|
| BuildGuest            | a whole disk is used, a running guest left alone          | BUILDING remains   |
| Start, Stop and such  | compared with the process: already so is a success        | as it is           |
| PrepResize            | leftovers removed; new disk, new export                   | until a discard    |
| ResizeInstance        | `stopped_for` is remembered, guest off, copy starts over  | guest stays off    |
| ReceiveDisk           | flushed and compared again                                | disk waits         |
| FinishResize          | a running guest is left alone, else started               | one owner, waits   |
| AttestDisk, CheckDisk | looked at again                                           | nothing changes    |
| DiscardGuest          | the tombstone was first; start-up finishes the deletion   | tombstone holds    |
| RestoreGuest          | a running guest is left alone, else started               | one owner, waits   |
| PrepareInPlace        | looked at again                                           | nothing changes    |
| CopyInPlace           | `stopped_for` is remembered, guest off, copy starts over  | guest stays off    |
| FinishInPlace         | see below; a running guest is left alone, else started    | one owner, waits   |
| CheckKept             | looked at again                                           | nothing changes    |
| StopInPlace           | a guest that is off stays off, tombstone                  | guest stays off    |
| RestoreInPlace        | see below; a running guest is left alone, else started    | one owner, waits   |
| DropKept              | nothing is left to delete                                 | until a discard    |

A resize in place changes files by single renames and links, each flushed before the next. What there is of them tells
what is left to do, and the disk is there in every row:

| disk | copy | kept              | FinishInPlace goes on with          | RestoreInPlace goes on with             |
|------|------|-------------------|-------------------------------------|-----------------------------------------|
| old  | -    | -                 | fails: there is no copy             | nothing: it never began, or it is done  |
| old  | new  | -                 | link the disk as kept               | delete the copy                         |
| old  | new  | the same file     | rename the copy to the disk         | delete the copy, then the second name   |
| old  | -    | the same file     | fails: there is no copy             | delete the second name                  |
| new  | -    | old               | nothing: it is done                 | rename the kept to the disk             |

Asked twice: one under way is ignored, an answered one is answered again without doing anything, save that AttestDisk,
CheckDisk, PrepareInPlace and CheckKept look again each time.
An answered id is never executed again, a failure included: to try once more, the conductor makes a new command.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from haulier.compute.commands import (
    attest,
    build,
    discard,
    finish_resize,
    in_place,
    power,
    prep_resize,
    receive,
    resize_instance,
    restore,
)
from haulier.compute.commands.context import Context
from haulier.wire import to_compute
from haulier.wire.events import Outcome
from haulier.wire.to_compute import Command

__all__ = ["INTERRUPTED", "INTERRUPTS", "LOOKS", "STEPS", "Context", "Step"]


@dataclass(frozen=True)
class Step:
    run: Callable[[Context, Command, Any], Awaitable[Outcome]]
    undo: Callable[[Context, Command], Awaitable[None]] | None = None


STEPS: dict[type, Step] = {
    to_compute.BuildGuest: Step(build.run, build.undo),
    to_compute.StartGuest: Step(power.start),
    to_compute.StopGuest: Step(power.stop),
    to_compute.RebootGuest: Step(power.reboot),
    to_compute.PauseGuest: Step(power.pause),
    to_compute.UnpauseGuest: Step(power.unpause),
    to_compute.PrepResize: Step(prep_resize.run, prep_resize.undo),
    to_compute.ResizeInstance: Step(resize_instance.run),
    to_compute.ReceiveDisk: Step(receive.run),
    to_compute.FinishResize: Step(finish_resize.run, finish_resize.undo),
    to_compute.AttestDisk: Step(attest.attest),
    to_compute.CheckDisk: Step(attest.check),
    to_compute.DiscardGuest: Step(discard.run),
    to_compute.RestoreGuest: Step(restore.run, restore.undo),
    to_compute.PrepareInPlace: Step(in_place.prepare),
    to_compute.CopyInPlace: Step(in_place.copy),
    to_compute.FinishInPlace: Step(in_place.finish, in_place.undo_finish),
    to_compute.CheckKept: Step(in_place.check_kept),
    to_compute.StopInPlace: Step(in_place.stop),
    to_compute.RestoreInPlace: Step(in_place.restore, in_place.undo_restore),
    to_compute.DropKept: Step(in_place.drop_kept),
}

INTERRUPTS = (to_compute.DiscardGuest, to_compute.RestoreGuest, to_compute.RestoreInPlace)
"""These end what is under way for the same server instead of waiting for it..."""
INTERRUPTED = (
    to_compute.BuildGuest,
    to_compute.PrepResize,
    to_compute.ResizeInstance,
    to_compute.ReceiveDisk,
    to_compute.CopyInPlace,
)
"""...if it is one of these, which can take long and are worth nothing once the other is wanted."""
LOOKS = (to_compute.AttestDisk, to_compute.CheckDisk, to_compute.PrepareInPlace, to_compute.CheckKept)
"""These change nothing and are about now: an answer of before is never repeated, each question is a new look."""
