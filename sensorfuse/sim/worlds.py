"""Many synthetic worlds, each made into one file, several at a time. What is there already is not made again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from sensorfuse.errors import SensorfuseError

World = tuple[str, int]  # scenario and seed


def world_file(folder: Path, scenario: str, seed: int, suffix: str) -> Path:
    """Where a world is kept: the scenario's name and the seed."""
    return folder / f"{Path(scenario).stem}_{seed}{suffix}"


def make_worlds(
    make: Callable[[str, int, Path], object], worlds: Sequence[World], folder: Path, suffix: str, jobs: int
) -> Iterator[Path]:
    """Call `make(scenario, seed, file)` for every world whose file is not there; yields each file once it is.

    A file appears whole or not at all: it is written beside its place and then put there. With several `jobs`, `make`
    runs in other processes and is pickled; a file depends on its world alone, so their number changes nothing.

    Raises:
        SensorfuseError: two worlds would share a file, a process died, or what `make` raises.
    """
    files = {world_file(folder, scenario, seed, suffix): (scenario, seed) for scenario, seed in worlds}
    if len(files) != len(worlds):
        raise SensorfuseError(
            f"{folder}: two worlds of one file: name each scenario once, and give scenario files different names"
        )
    folder.mkdir(parents=True, exist_ok=True)
    todo = {file: world for file, world in files.items() if not file.exists()}
    yield from (file for file in files if file not in todo)
    if jobs == 1:
        for file, (scenario, seed) in todo.items():
            yield _make_one(make, scenario, seed, file)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        futures = [pool.submit(_make_one, make, scenario, seed, file) for file, (scenario, seed) in todo.items()]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise SensorfuseError(
            f"{folder}: a process that made a world died (out of memory?); start again to go on, with fewer jobs"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is the caller's matter: the worlds under way are brought to their end."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_one(make: Callable[[str, int, Path], object], scenario: str, seed: int, file: Path) -> Path:
    partial = file.with_name(f".partial-{file.name}")
    make(scenario, seed, partial)
    partial.replace(file)
    return file
