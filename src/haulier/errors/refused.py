"""An accepted request that can not be carried out; the reason ends up in its records."""

from dataclasses import dataclass

from haulier.errors.base import Refused


@dataclass(eq=False)
class ClaimRefused(Refused):
    """No room: `shortages` says for each resource class what was needed and what is free."""

    host: str
    shortages: str
    text = "host {host} has no room: {shortages}"


@dataclass(eq=False)
class NoValidHost(Refused):
    """`reasons` is one clause per host that was refused."""

    reasons: str
    text = "No valid host was found. {reasons}"


@dataclass(eq=False)
class StepFailed(Refused):
    """A step of a move or of a build failed on a host; `elsewhere` says whether another host could help."""

    step: str
    host: str
    why: str
    elsewhere: bool = True
    text = "{step} failed on {host}: {why}"
