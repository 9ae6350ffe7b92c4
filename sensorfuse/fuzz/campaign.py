"""A run of the fuzzer over one target: a worker is watched, what it finds is kept, and one that dies or hangs is
replaced.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sensorfuse.errors import SensorfuseError
from sensorfuse.fuzz.target import Target
from sensorfuse.fuzz.worker import ENDLESS, Board, work

HANG_S = 5.0  # of processor time, on one input
STUCK_S = 120.0  # by the clock, on one input
WATCH_S = 0.2
START_S = 600.0  # by the clock, until the seeds have passed
MAX_DEATHS = 200


@dataclass
class Finding:
    """One fault: `kind` crash, death, hang or allocation. `count` inputs showed it; `file` holds the first."""

    target: str
    kind: str
    error: str
    where: str
    file: str
    count: int = 1


@dataclass
class Result:
    """What a target's run came to. `spent_s` is the worker's processor time."""

    target: str
    executions: int = 0
    spent_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def rate_hz(self) -> float:
        return self.executions / self.spent_s if self.spent_s > 0 else 0.0


def fuzz(
    target: Target, runs: int, seed: int, keep: Path, progress: Callable[[int], None] | None = None, first: int = 0
) -> Result:
    """Run `runs` inputs of a target from the `first` on; the inputs of findings go into the folder `keep`.

    Raises:
        SensorfuseError: the worker cannot begin, or dies again and again.
    """
    result = Result(target.name)
    begin, last, deaths = first, first + runs, 0
    with tempfile.TemporaryDirectory() as folder:
        while begin < last:
            death = _one_worker(result, target, seed, begin, last, Path(folder), keep, progress)
            if death is None:
                break
            deaths += 1
            begin = death + 1
            if deaths > MAX_DEATHS:
                raise SensorfuseError(f"target {target.name}: {deaths} inputs killed the process; see {keep}")
    result.executions = min(runs, last - first)
    return result


def _one_worker(
    result: Result,
    target: Target,
    seed: int,
    first: int,
    last: int,
    folder: Path,
    keep: Path,
    progress: Callable[[int], None] | None,
) -> int | None:
    """One worker to its end. The number of the input that ended it, None when it did all."""
    spawn = multiprocessing.get_context("spawn")
    board_file = folder / "board"
    board = Board(board_file)
    board.post(ENDLESS - 1, b"")
    ours, theirs = spawn.Pipe(duplex=False)
    process: Any = spawn.Process(target=work, args=(target.name, seed, first, last, str(board_file), theirs))
    process.start()
    theirs.close()
    watched = psutil.Process(process.pid)
    since: tuple[int, float, float] = (ENDLESS - 1, time.monotonic(), 0.0)  # number, clock, processor time
    spent = 0.0
    try:
        while process.is_alive():
            _collect(result, target, ours, keep)
            process.join(WATCH_S)
            number = board.number
            try:
                times = watched.cpu_times()
                spent = times.user + times.system
            except psutil.Error:
                continue
            if number != since[0]:
                since = (number, time.monotonic(), spent)
                if progress is not None and number < ENDLESS - 1:
                    progress(number)
            elif number == ENDLESS - 1:
                if time.monotonic() - since[1] > START_S:
                    raise SensorfuseError(f"target {target.name}: the worker does not begin")
            elif number != ENDLESS and (spent - since[2] > HANG_S or time.monotonic() - since[1] > STUCK_S):
                _keep(result, target, keep, "hang", f"took more than {HANG_S:g} s", "?", board.data)
                process.kill()
                process.join()
                return number
        _collect(result, target, ours, keep)
    finally:
        result.spent_s += spent
        process.kill()
        process.join()
        ours.close()
    if board.number == ENDLESS:
        return None
    if board.number == ENDLESS - 1:
        raise SensorfuseError(
            f"target {target.name}: its own seeds do not pass (exit code {process.exitcode}); run the tests"
        )
    _keep(result, target, keep, "death", f"the process ended with {process.exitcode}", "?", board.data)
    return board.number


def _collect(result: Result, target: Target, line: Any, keep: Path) -> None:
    try:
        while line.poll():
            found = json.loads(line.recv_bytes())
            data = bytes.fromhex(found["input"])
            _keep(result, target, keep, found["kind"], found["error"], found["where"], data)
    except EOFError:
        return


def _keep(result: Result, target: Target, folder: Path, kind: str, error: str, where: str, data: bytes) -> None:
    """One entry and one file per kind of fault, kind of error and place."""
    for known in result.findings:
        if (known.kind, known.where, known.error.split(":")[0]) == (kind, where, error.split(":")[0]):
            known.count += 1
            return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{target.name}-{kind}-{len(result.findings)}.bin"
    file.write_bytes(data)
    result.findings.append(Finding(target.name, kind, error, where, str(file)))
