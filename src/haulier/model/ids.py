"""Ids are types: a server's id can't be handed where a host's name is wanted."""

import re
from typing import NewType

ServerId = NewType("ServerId", str)
"""A server's UUID, lower case with dashes."""
MigrationId = NewType("MigrationId", int)
HostName = NewType("HostName", str)
ImageId = NewType("ImageId", str)
ProjectId = NewType("ProjectId", str)
UserId = NewType("UserId", str)
RequestId = NewType("RequestId", str)
"""`req-` and a UUID: the one name under which a request is found in answers, logs and action records."""
CommandId = NewType("CommandId", str)
"""UUID of a command, which is also the id of its outbox row and of the answer to it."""
Incarnation = NewType("Incarnation", str)
"""UUID that an agent makes up each time it starts."""

HOST_NAME = re.compile(r"^[a-zA-Z0-9-._]+$")
"""What a host may be called (Nova's own pattern; at most 255 characters)."""
