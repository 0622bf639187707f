"""What the conductor asks of the scheduler. There is one question, and it has no effect."""

import msgspec

from haulier.model.request import Answer, RequestSpec


class SelectDestinations(msgspec.Struct, frozen=True):
    """Where could this server go? `count` is how many hosts are wanted: the target and its alternates."""

    request_spec: RequestSpec
    count: int


class Destinations(msgspec.Struct, frozen=True):
    """`no_such_method` is set when the question was not one the scheduler answers, and says what to use instead."""

    answer: Answer = Answer((), ())
    no_such_method: str | None = None
