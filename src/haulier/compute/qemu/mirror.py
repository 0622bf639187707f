"""The sending end of a move: a disk that nobody writes to, mirrored to an NBD export over an equal base.

The daemon that sends has the disk read only, so killing it harms nothing: that is how every failure ends. There is
no reconnecting: a connection that was lost may have lost writes that were acknowledged.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener

from haulier.compute.driver import Export, HostTrouble, ProgressWatcher, Sent
from haulier.compute.qemu.child import Account
from haulier.compute.qemu.monitor import Monitor
from haulier.compute.qemu.nodes import TOP
from haulier.compute.qemu.storage_daemon import StorageDaemon, kill_leftover

_JOB = "move"
_TARGET = "target"
_LOOK_AGAIN = 0.25


async def send_disk(
    folder: Path, account: Account | None, to: Export, watcher: ProgressWatcher, stall_after: float
) -> Sent:
    """Copy the top layer; `watcher` hears how far it is.

    Raises:
        HostTrouble: the copy broke, or nothing moved for `stall_after` seconds. Nothing of it runs any more.
    """
    await kill_leftover(folder, "copy")
    daemon = await StorageDaemon.start(folder, "copy", account, read_only=True)
    try:
        with daemon.monitor.events("BLOCK_JOB_READY", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED") as events:
            await _begin(daemon.monitor, to)
            sent = await _follow(daemon, events, watcher, stall_after)
        await daemon.monitor.execute("job-dismiss", {"id": _JOB})
        await daemon.monitor.execute("blockdev-del", {"node-name": _TARGET})
        await daemon.stop()
    except HostTrouble as error:
        raise HostTrouble(f"the copy to {to.address}:{to.port} broke: {error.why}") from error
    finally:
        await daemon.kill()
    return sent


async def _begin(monitor: Monitor, to: Export) -> None:
    await monitor.execute(
        "blockdev-add",
        {
            "driver": "nbd",
            "node-name": _TARGET,
            "server": {"type": "inet", "host": to.address, "port": str(to.port)},
            "export": to.name,
            "reconnect-delay": 0,
            "discard": "unmap",
        },
    )
    await monitor.execute(
        "blockdev-mirror",
        {
            "job-id": _JOB,
            "device": TOP,
            "target": _TARGET,
            "sync": "top",
            "copy-mode": "background",
            "on-source-error": "report",
            "on-target-error": "report",
            "auto-dismiss": False,
        },
    )


async def _follow(daemon: StorageDaemon, events: EventListener, watcher: ProgressWatcher, stall_after: float) -> Sent:
    """Until the job has ended well. At READY all is there; cancelling then means: flush, and end without pivot."""
    loop = asyncio.get_running_loop()
    last, moved_at = Sent(-1, -1), loop.time()
    while True:
        event = await _next(events)
        if event is None:
            now = await _progress(daemon.monitor)
            if now != last:
                last, moved_at = now, loop.time()
                watcher(now)
            elif loop.time() - moved_at > stall_after:
                raise HostTrouble(f"nothing moved for {stall_after:g} s, at {now.done} of {now.total} bytes")
            if not daemon.child.alive:
                raise HostTrouble(f"the sending process ended: {daemon.complaint()}")
        elif event["event"] == "BLOCK_JOB_READY":
            await daemon.monitor.execute("block-job-cancel", {"device": _JOB})
        else:
            return _end_of_job(event, watcher)


def _end_of_job(event: dict[str, Any], watcher: ProgressWatcher) -> Sent:
    data = event["data"]
    if event["event"] != "BLOCK_JOB_COMPLETED" or "error" in data:
        raise HostTrouble(str(data.get("error", "the job was cancelled")))
    sent = Sent(data["offset"], data["len"])
    watcher(sent)
    return sent


async def _next(events: EventListener) -> dict[str, Any] | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_AGAIN):
            return dict(await events.get())
    return None


async def _progress(monitor: Monitor) -> Sent:
    """A job that is not listed any more has ended; its event says how."""
    for job in await monitor.execute("query-block-jobs"):
        if job["device"] == _JOB:
            return Sent(job["offset"], job["len"])
    return Sent(0, 0)
