"""The files of processes that run on their own: each has its bus, its own settings, and the database if it has one."""

import msgspec

from haulier.config.api import ApiSettings
from haulier.config.bus import BusSettings
from haulier.config.compute import ComputeSettings
from haulier.config.conductor import ConductorSettings
from haulier.config.database import DatabaseSettings
from haulier.config.scheduler import SchedulerSettings


class ApiFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `haulier api --config` reads."""

    bus: BusSettings
    database: DatabaseSettings = DatabaseSettings()
    api: ApiSettings = ApiSettings()


class ConductorFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `haulier conductor --config` reads."""

    bus: BusSettings
    database: DatabaseSettings = DatabaseSettings()
    conductor: ConductorSettings = ConductorSettings()


class SchedulerFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `haulier scheduler --config` reads."""

    bus: BusSettings
    database: DatabaseSettings = DatabaseSettings()
    scheduler: SchedulerSettings = SchedulerSettings()


class ComputeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `haulier compute --config` reads. An agent has no database."""

    bus: BusSettings
    compute: ComputeSettings
