"""What agents say of themselves: hello, heartbeats, guests that changed by themselves, progress of a copy."""

import structlog

from haulier.bus.interface import Bus
from haulier.conductor.host_reboot import guests_are_gone
from haulier.conductor.servers.power import guest_changed
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, migrations, outbox, servers
from haulier.model.ids import HostName
from haulier.wire import subjects
from haulier.wire.events import Heartbeat, Hello, Inventory, Power, Progress
from haulier.wire.to_compute import Directive, Owned, Welcome

log = structlog.get_logger()


class Hosts:
    """The conductor's ear for agents."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus

    async def hello(self, hello: Hello) -> None:
        """An agent has started: keep what it says, and tell it what it owns. Until then it starts nothing."""
        owned = await self._db.write(self._register, hello)
        welcome = Welcome(hello.incarnation, owned)
        await self._bus.tell(subjects.commands(hello.host), Directive(welcome=welcome))

    def _register(self, tx: Transaction, hello: Hello) -> tuple[Owned, ...]:
        reported = {
            "zone": hello.zone,
            "incarnation": hello.incarnation,
            "boot_id": hello.boot_id,
            "journal_id": hello.journal_id,
            **_columns(hello.inventory),
        }
        if hosts.rebooted(tx, hello.host, hello.boot_id):
            log.warning("a host has rebooted", host=hello.host, guests=self._settings.after_host_reboot.value)
            guests_are_gone(tx, hello.host, self._settings.after_host_reboot)
        hosts.register(tx, hello.host, **reported)
        outbox.say_soon(tx, hello.host, self._settings.resend_after)
        return tuple(Owned(server.id, server.owner_epoch) for server in servers.owned_by(tx, hello.host))

    async def heartbeat(self, heartbeat: Heartbeat) -> None:
        """A sign of life, with what the host has left and what its guests do.

        One from a host that is fenced is none: its agent was cut off and not ended, so it is told to begin anew. So is
        an agent that is not the one known here: a hello of its predecessor came late or twice, and was believed. (If it
        is the predecessor's heartbeat that is late, nobody of that incarnation is there to hear it.)
        """
        if not await self._db.write(self._heard, heartbeat):
            await self._bus.tell(subjects.commands(heartbeat.host), Directive(begin_anew=heartbeat.incarnation))

    def _heard(self, tx: Transaction, heartbeat: Heartbeat) -> bool:
        inventory = heartbeat.inventory
        known = hosts.heard(
            tx,
            heartbeat.host,
            heartbeat.incarnation,
            inventory.stock,
            inventory.free_disk_bytes,
            heartbeat.guests,
            heartbeat.stopping,
        )
        if known:
            for guest in heartbeat.guests:
                guest_changed(tx, heartbeat.host, guest, settled_for=self._settings.resend_after)
            return True
        return hosts.find(tx, heartbeat.host) is None

    async def power(self, power: Power) -> None:
        """A guest shut itself down or crashed."""
        await self._db.write(guest_changed, power.host, power.guest)

    async def progress(self, progress: Progress) -> None:
        """How far a copy is."""
        await self._db.write(_keep_progress, progress)


def _columns(inventory: Inventory) -> dict[str, object]:
    return {
        "stock": inventory.stock,
        "free_disk_bytes": inventory.free_disk_bytes,
        "hypervisor_version": inventory.hypervisor_version,
        "cpu": inventory.cpu,
        "cores": inventory.cores,
    }


def _keep_progress(tx: Transaction, progress: Progress) -> None:
    done, total = progress.bytes_done, progress.bytes_total
    if migrations.progress(tx, progress.migration_id, progress.generation, done, total) and total > 0:
        migration = migrations.get(tx, progress.migration_id)
        servers.change(tx, migration.server_id, progress=min(99, 100 * done // total))


def is_from(subject: str, host: HostName) -> bool:
    """Whether an event came on its host's own subject, the only one on which it is believed."""
    return subject.split(".")[2] == subjects.word(host)
