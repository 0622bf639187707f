"""Who may ask, and for what."""

from dataclasses import dataclass

from haulier.errors.base import HaulierError


@dataclass(eq=False)
class Unauthenticated(HaulierError):
    text = "This server could not verify that you are authorized to access the document you requested."


@dataclass(eq=False)
class Forbidden(HaulierError):
    rule: str
    text = "Policy doesn't allow {rule} to be performed."


@dataclass(eq=False)
class NotAllowed(HaulierError):
    """What nobody may do as things are, whatever their role. `why` is a sentence."""

    why: str
    text = "{why}"
