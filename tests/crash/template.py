"""The cloud at rest that every point starts from, built once per run by haulier itself."""

import copy
import logging
from pathlib import Path

import structlog

from haulier.api.accept import servers as accept
from haulier.api.accept.power import Power
from haulier.api.accept.power import change as change_power
from haulier.api.bodies.server import Create
from haulier.db.engine import Database, Transaction
from haulier.db.store import flavors, images
from haulier.db.upgrades import upgrade
from tests.crash.cloud import LARGE, SMALL, CrashCloud, Template
from tests.crash.host import Fleet, SweptDriver
from tests.crash.moments import ROLES

IMAGE = "6e6f7468-696e-4720-8000-000000000001"


def quiet() -> None:
    """Failures are the daily bread here; only what is violated is printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


async def make_template(folder: Path, *, stopped: bool = False) -> Template:
    """A server of flavor `small` on node1, running unless `stopped`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "template.db"
    database = Database(path)
    await upgrade(database)
    await database.write(_surroundings)
    database.close()
    fleet = Fleet()
    cloud = CrashCloud(path, fleet, {host: SweptDriver(host, fleet) for host in ROLES})
    async with cloud:
        wanted = Create("vm", None, SMALL, IMAGE, "nova:node1", {}, "AUTO", None)
        cloud.server = await cloud.db.write(accept.create, cloud.asker("req-create"), wanted)
        assert await cloud.until(cloud.at_rest), "the first server was not built"
        disk = cloud.drivers["node1"].disks[cloud.server]
        if stopped:
            await cloud.ask("stop", change_power, Power.STOP)
            assert await cloud.until(cloud.at_rest)
        disk.flushed = disk.content
        return Template(
            path,
            copy.deepcopy(Fleet(running=dict(fleet.running), boots=fleet.boots)),
            {host: copy.copy(driver) for host, driver in cloud.drivers.items()},
            {host: (journal.records(), dict(journal._answers)) for host, journal in cloud.journals.items()},
            cloud.server,
        )


def _surroundings(tx: Transaction) -> None:
    for name, vcpus, memory, disk in ((SMALL, 1, 64, 1), (LARGE, 2, 128, 2)):
        flavors.add(
            tx,
            flavorid=name,
            name=name,
            vcpus=vcpus,
            memory_mb=memory,
            root_gb=disk,
            is_public=True,
            extra_specs={},
        )
    images.add(
        tx,
        id=IMAGE,
        name="tiny",
        project_id="admin",
        visibility="public",
        status="active",
        disk_format="raw",
        container_format="bare",
        size=512,
        virtual_size=512,
        sha256="00" * 32,
        properties={},
        tags=(),
    )
