"""SIGTERM and SIGINT (Ctrl-C), to any process of haulier: the first asks it to end, the second ends it at once."""

import asyncio
import signal

ENDING = (signal.SIGINT, signal.SIGTERM)


def told_to_end() -> asyncio.Event:
    """An event of the running loop that the first of these signals sets.

    From then on the kernel's own answer holds again: a second one ends the process where it stands, without a word
    of Python in between. That is what kill -9 does, and what every process can be started again from.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        for number in ENDING:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        told.set()

    for number in ENDING:
        loop.add_signal_handler(number, hear)
    return told
