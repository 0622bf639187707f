"""NATS' user keys: Ed25519 under the names that nats-server knows. A server keeps the public half only.

The text form is NATS' own: prefix, 32 bytes, CRC-16 (XMODEM, low byte first), all in base32. Written here since the
`nkeys` package needs libsodium for what `cryptography` already does.
"""

import base64
import binascii
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from haulier.errors import InvalidField

_SEED, _USER = 18 << 3, 20 << 3
_PREFIX = bytes([_SEED | _USER >> 5, (_USER & 31) << 3])


class UserKey:
    """One user's key. Its text form is a secret, and never shows in a representation of this object."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._private = Ed25519PrivateKey.from_private_bytes(raw)

    @classmethod
    def make(cls) -> "UserKey":
        """A new one, at random."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def read(cls, path: Path) -> "UserKey":
        """The key whose seed is in that file, on a line of its own.

        Raises:
            InvalidField: there is no seed of a user in it; the text does not repeat what is.
            OSError: the file can't be read.
        """
        try:
            raw = base64.b32decode(_padded(path.read_bytes().strip()))
        except (binascii.Error, UnicodeDecodeError):
            raw = b""
        if len(raw) != 36 or raw[:2] != _PREFIX or _crc(raw[:-2]) != raw[-2:]:
            raise InvalidField("seed_file", str(path), "It holds no nkey seed of a user, which begins with SU.")
        return cls(raw[2:-2])

    @property
    def seed(self) -> str:
        """The secret half, `SU...`."""
        return _text(_PREFIX + self._raw)

    @property
    def public(self) -> str:
        """The public half, `U...`, which is what a server's configuration holds."""
        return _text(bytes([_USER]) + self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, nonce: str) -> bytes:
        """What a server wants to see of its nonce: the signature in base64."""
        return base64.b64encode(self._private.sign(nonce.encode()))


def _text(content: bytes) -> str:
    return base64.b32encode(content + _crc(content)).decode().rstrip("=")


def _padded(text: bytes) -> bytes:
    return text + b"=" * (-len(text) % 8)


def _crc(content: bytes) -> bytes:
    return binascii.crc_hqx(content, 0).to_bytes(2, "little")
