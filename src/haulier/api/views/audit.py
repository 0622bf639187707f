"""What an audit found, as haulier's own API shows it."""

from typing import Any

import msgspec

from haulier.wire.to_conductor import AuditReport


def audit(report: AuditReport) -> dict[str, Any]:
    """`clean` is true only when nothing is wrong and every host could be looked at."""
    shown: dict[str, Any] = msgspec.to_builtins(report)
    looked_at = {name: shown.pop(name) for name in ("hosts", "servers", "claims")}
    return {"clean": report.clean, "looked_at": looked_at, **shown}
