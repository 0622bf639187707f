"""Every table, as SQLAlchemy Core. A change here needs a step in `upgrades/versions` (a test compares the two).

Times are seconds since 1970 UTC by the database's clock, kept as floats and read as aware datetimes.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

from haulier.model.flavor import Flavor
from haulier.model.host import Guest
from haulier.model.migration import Attempt
from haulier.model.request import RequestSpec
from haulier.model.resources import ResourceClass, Stock

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A point in time: an aware datetime here, seconds since 1970 in the table."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: datetime | float | None, dialect: Any) -> float | None:
        return value.timestamp() if isinstance(value, datetime) else value

    def process_result_value(self, value: float | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Document(TypeDecorator[Any]):
    """A small value of one known type, kept as JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.of = of
        self._decoder = msgspec.json.Decoder(of)

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else self._decoder.decode(value)

    def copy(self, **_: Any) -> "Document":
        return Document(self.of)

    def __repr__(self) -> str:
        return "Text()"


_FLAVOR = Document(Flavor)
_WORDS = Document(tuple[str, ...])
_MAP = Document(dict[str, str])

hosts = Table(
    "hosts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("zone", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("disabled_reason", Text),
    Column("forced_down", Boolean, nullable=False, default=False),
    Column("draining", Boolean, nullable=False, default=False),
    Column("incarnation", String(36), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("journal_id", String(64), nullable=False),
    Column("stock", Document(dict[ResourceClass, Stock]), nullable=False),
    Column("free_disk_bytes", BigInteger, nullable=False),
    Column("hypervisor_version", Integer, nullable=False),
    Column("cpu", Text, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("guests", Document(tuple[Guest, ...]), nullable=False, server_default="[]"),
    Column("fenced_at", Moment),
    Column("fenced_by", String(255)),
    Column("fence_reason", Text),
    Column("stopping", Boolean, nullable=False, server_default=false()),
    Column("last_heard", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

flavors = Table(
    "flavors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("flavorid", String(255), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("root_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False, default=0),
    Column("swap_mb", Integer, nullable=False, default=0),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("description", Text),
    Column("extra_specs", _MAP, nullable=False),
    Column("created_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("project_id", String(255), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("disk_format", String(16)),
    Column("container_format", String(16)),
    Column("min_disk_gb", Integer, nullable=False, default=0),
    Column("min_memory_mb", Integer, nullable=False, default=0),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("md5", String(32)),
    Column("sha256", String(64)),
    Column("sha512", String(128)),
    Column("protected", Boolean, nullable=False, default=False),
    Column("properties", Document(dict[str, Any]), nullable=False),
    Column("tags", _WORDS, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

servers = Table(
    "servers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("image_id", String(36), nullable=False),
    Column("flavor", _FLAVOR, nullable=False),
    Column("host", String(255)),
    Column("owner_epoch", Integer, nullable=False, default=0),
    Column("vm_state", String(16), nullable=False),
    Column("task_state", String(32)),
    Column("power_state", Integer, nullable=False, default=0),
    Column("locked", Boolean, nullable=False, default=False),
    Column("mac", String(17), nullable=False),
    Column("zone", String(255)),
    Column("progress", Integer, nullable=False, default=0),
    Column("metadata", _MAP, nullable=False),
    Column("request_spec", Document(RequestSpec), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("launched_at", Moment),
    Column("terminated_at", Moment),
)
Index(None, servers.c.project_id)
Index(None, servers.c.host)

builds = Table(
    "builds",
    metadata,
    Column("server_id", String(36), primary_key=True),
    Column("request_id", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("alternates", _WORDS, nullable=False),
    Column("reasons", _WORDS, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("server_id", String(36), primary_key=True),
    Column("migration_id", Integer, primary_key=True, autoincrement=False),
    Column("resource_class", String(64), primary_key=True),
    Column("amount", Integer, nullable=False),
    Column("cause", String(64), nullable=False),
)
Index(None, claims.c.server_id)

migrations = Table(
    "migrations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("server_id", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("source", String(255), nullable=False),
    Column("target", String(255)),
    Column("attempt", Integer, nullable=False),
    Column("alternates", _WORDS, nullable=False),
    Column("attempts", Document(tuple[Attempt, ...]), nullable=False),
    Column("named", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("skipped", _WORDS, nullable=False),
    Column("was_running", Boolean),
    Column("digest", String(64)),
    Column("old_flavor", _FLAVOR, nullable=False),
    Column("new_flavor", _FLAVOR, nullable=False),
    Column("reasons", _WORDS, nullable=False),
    Column("bytes_done", BigInteger, nullable=False, default=0),
    Column("bytes_total", BigInteger, nullable=False, default=0),
    Column("announced", Integer, nullable=False, server_default="-1"),
    Column("confirm_after", Float(53)),
    Column("confirms_at", Moment),
    Column("request_id", String(64), nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)
Index(None, migrations.c.server_id)
Index(None, migrations.c.state)
Index("ix_migrations_unannounced", migrations.c.id, sqlite_where=text("announced < generation"))

transitions = Table(
    "transitions",
    metadata,
    Column("migration_id", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("from_state", String(32), nullable=False),
    Column("to_state", String(32), nullable=False),
    Column("event", String(64), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("detail", Text),
    Column("target", String(255)),
    Column("attempt", Integer, nullable=False, server_default="0"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("subject", String(255), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("server_id", String(36), nullable=False),
    Column("migration_id", Integer),
    Column("host", String(255)),
    Column("step", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("sends", Integer, nullable=False, default=0),
    sqlite_autoincrement=True,
)
Index(None, outbox.c.next_at)
Index(None, outbox.c.server_id)

actions = Table(
    "actions",
    metadata,
    Column("server_id", String(36), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("action", String(64), nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("message", Text),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
)

action_events = Table(
    "action_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server_id", String(36), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("event", String(64), nullable=False),
    Column("host", String(255)),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("result", String(16)),
    Column("details", Text),
)
Index(None, action_events.c.server_id, action_events.c.request_id)

faults = Table(
    "faults",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server_id", String(36), nullable=False),
    Column("at", Moment, nullable=False),
    Column("code", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("details", Text, nullable=False),
)
Index(None, faults.c.server_id)
