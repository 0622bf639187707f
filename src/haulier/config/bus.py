"""The settings of a process's connection to NATS. Times in seconds."""

from typing import Annotated

import msgspec


class BusSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`seed_file` holds the nkey seed of this process's user, as `haulier bus keys` writes it."""

    servers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("nats://127.0.0.1:4222",)
    """Any of them; `tls://` ones are checked against the system's certificate authorities."""
    seed_file: str
    connect_timeout: int = 2
    """How long one server may take to be reached before another one is tried."""
    again_after: float = 0.5
    """How long to wait before the next try."""
    ping_every: int = 5
    """A server that does not answer two pings is left: what drops packets in silence shows in no other way."""
