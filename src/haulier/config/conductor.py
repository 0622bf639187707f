"""The settings of the conductor. Times in seconds."""

from enum import StrEnum

import msgspec


class AfterHostReboot(StrEnum):
    """What becomes of the guests that ran on a host when it lost its power or was rebooted."""

    WAIT = "wait"
    START = "start"


class ConductorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_attempts: int = 3
    """How many targets one request may try, the first included (Nova's `[scheduler]max_attempts`)."""
    allow_resize_to_same_host: bool = False
    """Whether a resize may stay on its host (Nova's setting of this name). A plain migration never may."""
    down_after: float = 30.0
    """Seconds of silence after which a host's agent counts as down."""
    resend_after: float = 2.0
    """A command that is not answered is sent again after this, then after twice as long, and so on."""
    resend_at_most: float = 30.0
    retry_after: float = 5.0
    """How long to wait before a step that must succeed, but answered failed, is tried again."""
    prepare_timeout: float = 120.0
    """A target that has not answered prep_resize for so long is given up for the next one (nothing has started)."""
    orphan_after: float = 60.0
    """How long a server must have been left alone before files of it can be orphans on a host."""
    power_off_grace: float = 60.0
    """How long a guest may take to power itself off before it is ended (Nova's `shutdown_timeout`)."""
    shutdown_timeout: float = 30.0
    """How long requests in hand get when the conductor is told to end; the rest is taken up again later."""
    confirm_after: float = 0.0
    """How long a window stays open before the move is confirmed by itself; 0 leaves it to the user (Nova's
    `resize_confirm_window`). A request may say otherwise for its own move."""
    after_host_reboot: AfterHostReboot = AfterHostReboot.WAIT
    """`start`: what ran is started again; `wait`: it is left off, and its action log says why (Nova's
    `resume_guests_state_on_host_boot`, which is false by default)."""
    fail_at: tuple[str, ...] = ()
    """Failures to rehearse, see `model/rehearsal.py`; the names are the states of a move in small letters."""
    scheduler_timeout: float = 30.0
    question_timeout: float = 10.0
    sweep_every: float = 2.0
