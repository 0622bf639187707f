"""The settings of the all-in-one: where it keeps things, its hosts, and what the four processes are told."""

import msgspec

from haulier.config.api import ApiSettings
from haulier.config.compute import ComputeSettings
from haulier.config.conductor import ConductorSettings
from haulier.config.scheduler import SchedulerSettings


class AllInOneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`state_dir` holds everything: the database, the images, and one folder per host under `hosts/`."""

    state_dir: str
    api: ApiSettings = ApiSettings()
    conductor: ConductorSettings = ConductorSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    hosts: tuple[ComputeSettings, ...]
