"""`make crash-real`: runs the points, prints how far it is, and each violation with the command that runs it again.

Exit status 0 only if no point violated anything.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.crash_real.points import Point, points, trace_all
from tests.crash_real.stage import Result, Stage

SLOWEST = 5


async def all_points() -> list[Point]:
    """Derive them, which takes some seconds."""
    with tempfile.TemporaryDirectory(prefix="haulier-crash-real-") as folder:
        return points(await trace_all(Path(folder)))


def sample(found: list[Point], number: int, seed: int) -> list[Point]:
    """So many of them, the same ones for the same seed."""
    return random.Random(seed).sample(found, min(number, len(found)))


async def run_all(chosen: list[Point], folder: Path, fleets: int) -> AsyncIterator[Result]:
    """The results, as they come. A fleet on which something went wrong is not used again."""
    todo, done = deque(chosen), asyncio.Queue[Result | BaseException]()

    async def work(take: Callable[[], Point]) -> None:
        try:
            while todo:
                async with Stage(folder) as stage:
                    clean = True
                    while todo and clean:
                        result = await stage.run(take())
                        clean = not result.wrong
                        if not clean:
                            stage.show_logs()
                        await done.put(result)
        except BaseException as problem:
            await done.put(problem)
            raise

    # From both ends, so that what one end's points need, a guest that has written much, is made on one fleet only.
    ends = (todo.popleft, todo.pop)
    workers = [asyncio.create_task(work(ends[number % 2])) for number in range(fleets)]
    try:
        for _ in chosen:
            result = await done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def show(result: Result, number: int, of: int, began: float) -> None:
    passed = time.monotonic() - began
    left = passed / number * (of - number)
    verdict = "ok" if not result.wrong else "VIOLATION"
    note = f", {result.note}" if result.note else ""
    print(
        f"{number}/{of}  {number / passed * 60:.1f} a minute, {left / 60:.1f} min left  {verdict}  {result.point.id}"
        f"  ({result.seconds:.1f} s, {result.converged:.1f} s after the restart{note})",
        flush=True,
    )
    for wrong in result.wrong:
        print(f"    {wrong}")
    if result.wrong:
        print(f"    again: make crash-real ARGS='--point {result.point.id}'", flush=True)


async def sweep(chosen: list[Point], folder: Path, fleets: int) -> list[Result]:
    began, results = time.monotonic(), []
    async for result in run_all(chosen, folder, fleets):
        results.append(result)
        show(result, len(results), len(chosen), began)
    print("slowest to converge:")
    for result in sorted(results, key=lambda one: -one.converged)[:SLOWEST]:
        print(f"  {result.converged:6.2f} s  {result.point.id}")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill real processes at every step of a move, and see it recover.")
    parser.add_argument("--point", action="append", help="run this point only; may be given more than once")
    parser.add_argument("--only", help="run the points whose id has this in it")
    parser.add_argument("--sample", type=int, help="run so many points, chosen at random")
    parser.add_argument("--seed", type=int, help="which ones --sample chooses")
    parser.add_argument("--fleets", type=int, default=2, help="how many hauliers run side by side")
    parser.add_argument("--list", action="store_true", help="print the points, and run none")
    asked = parser.parse_args()
    chosen = asyncio.run(all_points())
    if asked.point:
        chosen = [point for point in chosen if point.id in asked.point]
    if asked.only:
        chosen = [point for point in chosen if asked.only in point.id]
    if asked.sample:
        seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chosen = sample(chosen, asked.sample, seed)
    if asked.list:
        print("\n".join(point.id for point in chosen))
        return 0
    if not chosen:
        print("no such point", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with this
    with tempfile.TemporaryDirectory(prefix="haulier-crash-real-") as folder:
        os.chmod(folder, 0o711)
        results = asyncio.run(sweep(chosen, Path(folder), min(asked.fleets, len(chosen))))
    bad = sum(1 for result in results if result.wrong)
    print(f"{len(results)} points, {bad} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
