"""The move as a table that can be read aloud; `machine.py` runs it.

A row says: in this state, on this event, do that and go there. The last two columns are different things. *failed*:
the host that was asked answers that it could not, and has undone its own part; the conductor undoes the rest.
*silent*: the host does not answer at all, so nothing may be concluded; the command is sent again, and only a question
that has no effect (prep_resize) may be given up for another host. Beyond that only an operator's word helps, a fence;
the column says what it counts as: as failed, as done, or as nothing where the host's disk is needed.

A resize may also stay on its host. Then the states are the same and the steps are others, so it is a table of its own.
"""

from haulier.conductor.cold_migration import cancel, in_place, steps, undo
from haulier.conductor.cold_migration.steps import CancelAsked, Chosen, ConfirmAsked, RevertAsked
from haulier.conductor.machine import Row, Silence, Table
from haulier.model.migration import Migration, State
from haulier.wire.events import Attested, Checked, Discarded, Finished, Prepared, Received, Restored, Sealed, Stopped

S = State
ASK_AGAIN, ASK_THEN_NEXT = Silence.ASK_AGAIN, Silence.ASK_THEN_NEXT
FENCE_FAILS, FENCE_DOES = Silence.OR_FENCE_FAILS, Silence.OR_FENCE_DOES

# fmt: off
COLD_MIGRATION = Table((
    #   in state           on event      do                               go to                           failed                     silent
    Row(S.REQUESTED,       Chosen,       steps.claim_target,              (S.PREPARING, S.FAILED),        None,                      ASK_AGAIN),
    #   The source's claim moves to the migration in the transaction that leaves REQUESTED: a crash can leave a claim
    #   with a migration, never a claim without one.
    Row(S.PREPARING,       Prepared,     steps.tell_source_to_send,       (S.COPYING,),                   undo.next_alternate,       ASK_THEN_NEXT),
    #   Nothing has been touched but an empty file on the target, so a silent target may be left behind.
    Row(S.COPYING,         Sealed,       steps.tell_target_to_keep,       (S.RECEIVING,),                 undo.restore_source,       ASK_AGAIN),
    Row(S.RECEIVING,       Received,     steps.hand_over_ownership,       (S.SWITCHED, S.RESTORING),      undo.restore_source,       FENCE_FAILS),
    #   The switch. The source has sealed, the target has received and flushed: nothing before this line may start the
    #   guest on the target, and from here on undo is a second switch, after the target's tombstone.
    Row(S.SWITCHED,        Finished,     steps.open_window,               (S.AWAITS_CONFIRM,),            undo.switch_back,          FENCE_FAILS),

    Row(S.AWAITS_CONFIRM,  ConfirmAsked, steps.ask_target_for_its_word,   (S.ATTESTING,),                 None,                      None),
    Row(S.ATTESTING,       Attested,     steps.release_source,            (S.CONFIRMING,),                undo.reopen_window,        FENCE_FAILS),
    #   Only the target's word, given now, lets the source's copy go (I8). The server is free from here on.
    Row(S.CONFIRMING,      Discarded,    steps.close_confirmed,           (S.CONFIRMED,),                 undo.keep_asking,          ASK_AGAIN),

    Row(S.AWAITS_CONFIRM,  RevertAsked,  steps.ask_source_if_it_could,    (S.REVERT_CHECKING,),           None,                      None),
    Row(S.REVERT_CHECKING, Checked,      steps.tell_target_to_discard,    (S.REVERTING,),                 undo.reopen_window,        FENCE_FAILS),
    #   Only a source that could run the server lets the target's copy go (I8).
    Row(S.REVERTING,       Discarded,    steps.hand_back_ownership,       (S.RETURNING,),                 undo.keep_asking,          FENCE_DOES),
    Row(S.RETURNING,       Restored,     steps.close_reverted,            (S.REVERTED,),                  undo.end_reverted_stopped, ASK_AGAIN),

    Row(S.RESTORING,       Restored,     steps.try_elsewhere,             (S.PREPARING, S.FAILED),        undo.end_stopped,          ASK_AGAIN),
    #   The source's guest runs again before another target is asked.

    Row(S.REQUESTED,       CancelAsked,  cancel.end_unbegun,              (S.CANCELLED,),                 None,                      None),
    Row(S.PREPARING,       CancelAsked,  cancel.leave_target,             (S.CANCELLING,),                None,                      None),
    Row(S.COPYING,         CancelAsked,  cancel.leave_target,             (S.CANCELLING,),                None,                      None),
    Row(S.RECEIVING,       CancelAsked,  cancel.leave_target,             (S.CANCELLING,),                None,                      None),
    Row(S.RESTORING,       CancelAsked,  cancel.go_nowhere_else,          (S.CANCELLING,),                None,                      None),
    Row(S.CANCELLING,      Restored,     cancel.close,                    (S.CANCELLED,),                 cancel.end_stopped,        ASK_AGAIN),
    #   There is no row from SWITCHED on: the target runs the guest, and revert is the way back.
))

IN_PLACE = Table((
    #   in state           on event      do                               go to                           failed                         silent
    Row(S.PREPARING,       Checked,      in_place.tell_to_copy,           (S.COPYING,),                   in_place.next_alternate,       ASK_AGAIN),
    #   Begins where claim_target or try_elsewhere has chosen the host on which the server is. No other could help
    #   while it is silent: it has the disk.
    Row(S.COPYING,         Sealed,       in_place.hand_over_to_copy,      (S.SWITCHED,),                  in_place.restore,              ASK_AGAIN),
    #   The switch. Guest off, copy durable and compared: from here on the copy is the disk, and undo is a second switch.
    Row(S.SWITCHED,        Finished,     steps.open_window,               (S.AWAITS_CONFIRM,),            in_place.switch_back,          ASK_AGAIN),

    Row(S.AWAITS_CONFIRM,  ConfirmAsked, steps.ask_target_for_its_word,   (S.ATTESTING,),                 None,                          None),
    Row(S.ATTESTING,       Attested,     in_place.tell_to_drop_kept,      (S.CONFIRMING,),                undo.reopen_window,            FENCE_FAILS),
    Row(S.CONFIRMING,      Discarded,    steps.close_confirmed,           (S.CONFIRMED,),                 undo.keep_asking,              ASK_AGAIN),

    Row(S.AWAITS_CONFIRM,  RevertAsked,  in_place.ask_for_kept,           (S.REVERT_CHECKING,),           None,                          None),
    Row(S.REVERT_CHECKING, Checked,      in_place.tell_to_stop,           (S.REVERTING,),                 undo.reopen_window,            FENCE_FAILS),
    Row(S.REVERTING,       Stopped,      in_place.hand_back_to_kept,      (S.RETURNING,),                 undo.keep_asking,              ASK_AGAIN),
    #   Stopped and tombstoned, then the second switch, then the kept disk takes the copy's place.
    Row(S.RETURNING,       Restored,     in_place.close_reverted,         (S.REVERTED,),                  in_place.end_reverted_stopped, ASK_AGAIN),

    Row(S.RESTORING,       Restored,     in_place.try_elsewhere,          (S.PREPARING, S.FAILED),        in_place.end_stopped,          ASK_AGAIN),

    Row(S.PREPARING,       CancelAsked,  cancel.leave_copy,               (S.CANCELLING,),                None,                          None),
    Row(S.COPYING,         CancelAsked,  cancel.leave_copy,               (S.CANCELLING,),                None,                          None),
    Row(S.RESTORING,       CancelAsked,  cancel.go_nowhere_else,          (S.CANCELLING,),                None,                          None),
    Row(S.CANCELLING,      Restored,     cancel.close_in_place,           (S.CANCELLED,),                 cancel.end_stopped_in_place,   ASK_AGAIN),
))
# fmt: on


def table_of(migration: Migration) -> Table:
    """The table that the present attempt goes by."""
    return IN_PLACE if migration.in_place else COLD_MIGRATION
