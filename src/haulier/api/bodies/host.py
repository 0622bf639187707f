"""The body of `POST /haulier/v1/hosts/{name}/fence`."""

import msgspec

from haulier.api.bodies.fields import Reason
from haulier.api.bodies.reader import read


class Fence(msgspec.Struct, forbid_unknown_fields=True):
    """`reason` is kept with who gave their word: how they know that the host is off."""

    reason: Reason


fence = read(Fence)
