"""Messages to bytes and back: MessagePack, the same for the in-process bus and a networked one.

A reader ignores fields it does not know, so that a newer writer may add some; a missing one that has no default is
refused. That is the one direction in which two versions may differ.
"""

from typing import TypeVar

import msgspec

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, "msgspec.msgpack.Decoder[object]"] = {}


def encode(message: object) -> bytes:
    """The bytes of a message; fields that are UNSET are not in them at all."""
    return _encoder.encode(message)


def decode(body: bytes, message_type: type[M]) -> M:
    """The message in `body`.

    Raises:
        msgspec.ValidationError: the bytes are not such a message.
    """
    decoder = _decoders.get(message_type)
    if decoder is None:
        decoder = _decoders[message_type] = msgspec.msgpack.Decoder(message_type)
    return decoder.decode(body)  # type: ignore[return-value]
