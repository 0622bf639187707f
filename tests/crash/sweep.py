"""`make crash`: runs the points, prints how far it is, and every violation with the command that runs that point again.

Exit status 0 only if no point violated anything.
"""

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import os
import queue
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.crash import points as listed
from tests.crash.points import Point
from tests.crash.run import Result, make_templates, run_point
from tests.crash.scenarios import Scenario

SLOWEST = 5
EVERY = 10.0
"""Seconds between two lines of progress."""


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """In memory where there is such a place: a point is about order, not about the disk's speed."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="haulier-crash-", dir=shared if os.access(shared, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def end_on_sigterm() -> None:
    """Being told to end is an end like any other: nothing is left behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class Worker:
    """One process that runs points, one after the other, in `folder`. Its templates are made once."""

    def __init__(self, folder: Path, scenarios: dict[str, Scenario]) -> None:
        self.folder = folder
        self.scenarios = scenarios
        self.templates = asyncio.run(make_templates(folder))

    def run(self, point: Point) -> Result:
        return asyncio.run(run_point(self.templates, self.folder, self.scenarios[point.scenario], point))


def _work(todo: Any, done: Any, folder: Path, scenarios: dict[str, Scenario]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it ends it
    worker = Worker(folder, scenarios)
    while (point := todo.get()) is not None:
        done.put(worker.run(point))
        gc.collect(1)


def run_all(points: list[Point], jobs: int) -> Iterator[Result]:
    """The results, as they come.

    Raises:
        RuntimeError: a worker has died.
    """
    scenarios = listed.scenarios(listed.read())
    kind = multiprocessing.get_context("fork")
    todo, done = kind.Queue(), kind.Queue()
    for point in [*points, *[None] * jobs]:
        todo.put(point)
    with work_folder() as folder:
        arguments = [(todo, done, folder / str(number), scenarios) for number in range(jobs)]
        workers = [kind.Process(target=_work, args=given, daemon=True) for given in arguments]
        try:
            for worker in workers:
                worker.start()
            for _ in points:
                yield _next(done, workers)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()


def _next(done: Any, workers: list[Any]) -> Result:
    while True:
        try:
            return done.get(timeout=5.0)
        except queue.Empty:
            if any(worker.exitcode not in (None, 0) for worker in workers):
                raise RuntimeError("a worker of the sweep has died") from None


def command(point: Point) -> str:
    return f"make crash ARGS=\"--point '{point.id}'\""


def show(result: Result) -> None:
    print(f"VIOLATION {result.point.id}", flush=True)
    for wrong in result.wrong:
        print(f"    {wrong}")
    print(f"    again: {command(result.point)}", flush=True)


def sweep(points: list[Point], jobs: int) -> int:
    """Run them all; the number of points that violated something."""
    started = told = time.monotonic()
    results: list[Result] = []
    for result in run_all(points, jobs):
        results.append(result)
        if result.wrong:
            show(result)
        now = time.monotonic()
        if now - told >= EVERY or len(results) == len(points):
            told = now
            rate = len(results) / (now - started)
            left = (len(points) - len(results)) / rate
            bad = sum(1 for one in results if one.wrong)
            print(
                f"{len(results)}/{len(points)} points, {rate:.1f} a second, {left / 60:.1f} min left, {bad} violations",
                flush=True,
            )
    print("slowest:")
    for result in sorted(results, key=lambda one: -one.seconds)[:SLOWEST]:
        print(f"  {result.seconds:6.2f} s  {result.point.id}")
    return sum(1 for result in results if result.wrong)


def sample(points: list[Point], number: int, seed: int) -> list[Point]:
    """So many of them, the same ones for the same seed."""
    return random.Random(seed).sample(points, min(number, len(points)))


def check() -> int:
    """Say how the list differs from what the table, the steps and the commands of today lead to."""
    made, kept = {point.id for point in listed.make()}, {point.id for point in listed.read()}
    for title, ids in (("missing", made - kept), ("no longer a point", kept - made)):
        for point_id in sorted(ids)[:20]:
            print(f"{title}: {point_id}")
    if made != kept:
        print(f"{len(made - kept)} points are missing, {len(kept - made)} are none: make crash ARGS=--derive")
    return int(made != kept)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill haulier at every point of a move, and see that it recovers.")
    parser.add_argument("--point", action="append", help="run this point only; may be given more than once")
    parser.add_argument("--only", help="run the points whose id has this in it")
    parser.add_argument("--sample", type=int, help="run so many points, chosen at random")
    parser.add_argument("--seed", type=int, default=None, help="which ones --sample chooses")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--derive", action="store_true", help="write the list of points anew, and run none")
    parser.add_argument("--check", action="store_true", help="compare the list with what would be derived; run none")
    asked = parser.parse_args()
    end_on_sigterm()
    if asked.check:
        return check()
    if asked.derive:
        listed.FILE.write_text(listed.encode(found := listed.make()))
        print(f"{len(found)} points in {listed.FILE}")
        return 0
    chosen = listed.read()
    if asked.point:
        chosen = [point for point in chosen if point.id in asked.point]
    if asked.only:
        chosen = [point for point in chosen if asked.only in point.id]
    if asked.sample:
        seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chosen = sample(chosen, asked.sample, seed)
    if not chosen:
        print("no such point", file=sys.stderr)
        return 2
    bad = sweep(chosen, min(asked.jobs, len(chosen)))
    print(f"{len(chosen)} points, {bad} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
