"""What a step function has in hand: the transaction, the move, the server, and the way to tell hosts."""

import functools

from haulier.conductor import commands
from haulier.conductor.guests import guest_spec
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Transaction
from haulier.db.store import migrations, outbox, servers
from haulier.model.flavor import Flavor
from haulier.model.ids import HostName
from haulier.model.migration import Migration
from haulier.model.server import Server
from haulier.wire.to_compute import Command, DiscardGuest, GuestSpec, Instruction

DISCARD = "discard_target"
"""The step whose answer nobody waits for."""


class Step:
    """One transition in the making. `generation` is the one that the move will have after it.

    `answered` is the command whose answer led here, None where no host was asked. A step function writes what
    belongs to the transition and tells hosts what comes next; it never waits and never sends.
    """

    def __init__(
        self,
        tx: Transaction,
        migration: Migration,
        settings: ConductorSettings,
        *,
        generation: int,
        request_id: str,
        answered: Command | None = None,
    ) -> None:
        self.tx = tx
        self.settings = settings
        self.migration = migration
        self.generation = generation
        self.request_id = request_id
        self.answered = answered

    @functools.cached_property
    def server(self) -> Server:
        return servers.get(self.tx, self.migration.server_id)

    @property
    def target(self) -> HostName:
        """The target of the current attempt."""
        assert self.migration.target is not None
        return self.migration.target

    def guest(self, flavor: Flavor) -> GuestSpec:
        return guest_spec(self.tx, self.server, flavor)

    def tell(
        self,
        host: HostName,
        step: str,
        instruction: Instruction,
        *,
        owner_epoch: int | None = None,
        attempt: int | None = None,
        after: float = 0.0,
    ) -> None:
        """Decide that `host` does something next, at the server's present epoch unless another is given."""
        discards_owner = self.migration.in_place and isinstance(instruction, DiscardGuest)
        assert not discards_owner, f"{step} would delete the server itself on {host}"
        commands.tell(
            self.tx,
            host,
            step,
            instruction,
            server_id=self.server.id,
            owner_epoch=self.server.owner_epoch if owner_epoch is None else owner_epoch,
            request_id=self.request_id,
            migration_id=self.migration.id,
            attempt=self.migration.attempt if attempt is None else attempt,
            generation=self.generation,
            after=after,
        )

    def discard_target(self, owner_epoch: int | None = None) -> None:
        """Nobody waits for this: it is said until the target answers, also after the move has ended."""
        self.tell(self.target, DISCARD, DiscardGuest(end_running=True), owner_epoch=owner_epoch)

    def discard_when_back(self, host: HostName) -> None:
        """A fenced target is to delete what it has, once it is back; nothing to add where that was said already."""
        now = servers.get(self.tx, self.migration.server_id)
        said = any(row.step == DISCARD for row in outbox.commands_to(self.tx, self.migration.id, host))
        if now.host != host and host != self.migration.source and not said:
            order = DiscardGuest(end_running=True)
            self.tell(host, DISCARD, order, owner_epoch=now.owner_epoch, attempt=self.migration.attempt)

    def keep(self, **values: object) -> None:
        """Set columns of the migration."""
        migrations.change(self.tx, self.migration.id, **values)

    def set_server(self, **values: object) -> None:
        """Set columns of the server."""
        servers.change(self.tx, self.server.id, **values)
