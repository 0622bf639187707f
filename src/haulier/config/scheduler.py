"""The settings of the scheduler."""

import msgspec


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`down_after`: seconds of silence after which a host's agent counts as down."""

    down_after: float = 30.0
    shutdown_timeout: float = 10.0
    """Seconds that questions which were asked get when the scheduler is told to end; the rest is asked again."""
    vcpu_weight: float = 1.0
    memory_weight: float = 1.0
    disk_weight: float = 1.0
