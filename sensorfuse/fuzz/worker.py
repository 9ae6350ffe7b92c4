"""The process that runs inputs: what it is at stands in a file that both sides have mapped, so that an input that kills
or hangs it is known.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import struct
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from sensorfuse.fuzz.mutation import MAX_INPUT_BYTES, Mutator
from sensorfuse.fuzz.table import find_target

HEAD = struct.Struct("<QQ")  # number of the input, its length
BOARD_BYTES = HEAD.size + MAX_INPUT_BYTES
MAX_ADDRESSES = 1 << 30  # that an input may make the process ask for, in bytes
MAX_GROWTH_KB = 600 << 10  # of memory touched
ENDLESS = 1 << 62


class Board:
    """The input under way, in memory that outlives the process."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(BOARD_BYTES))
        with file.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), BOARD_BYTES)

    def post(self, number: int, data: bytes) -> None:
        self._memory[HEAD.size : HEAD.size + len(data)] = data
        HEAD.pack_into(self._memory, 0, number, len(data))

    @property
    def number(self) -> int:
        return int(HEAD.unpack_from(self._memory)[0])

    @property
    def data(self) -> bytes:
        return self._memory[HEAD.size : HEAD.size + HEAD.unpack_from(self._memory)[1]]


def where_of(trace: TracebackType | None) -> str:
    """The innermost line of this package that an error passed through."""
    own = [f for f in traceback.extract_tb(trace) if "sensorfuse" in f.filename and "/fuzz/" not in f.filename]
    frame = own[-1] if own else (traceback.extract_tb(trace) or [None])[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" if frame else "?"


def work(name: str, seed: int, first: int, last: int, board_file: str, line: Connection) -> None:
    """Run the inputs `first` to `last` of a target; send what was found, as JSON, and at the end nothing."""
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    _quiet_libraries()
    board = Board(Path(board_file))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        harness = find_target(name).open(Path(scratch))
        mutator = Mutator(harness.seeds, harness.structure, seed)
        for data in harness.seeds:  # loads and compiles what is needed, and shows that the seeds are sound
            harness.run(data)
        _limit_memory()
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        parent = os.getppid()
        for number in range(first, last):
            if number % 256 == 0 and os.getppid() != parent:
                return  # nobody is left to tell
            data = mutator.make(number)
            board.post(number, data)
            try:
                harness.run(data)
            except harness.expected:
                pass
            except (Exception, RecursionError) as error:
                kind = "allocation" if isinstance(error, MemoryError) else "crash"
                _tell(line, kind, f"{type(error).__name__}: {error}", where_of(error.__traceback__), data)
            now_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if now_kb > peak_kb + MAX_GROWTH_KB:
                _tell(line, "allocation", f"{(now_kb - peak_kb) >> 10} MiB more in memory", "process", data)
            peak_kb = max(peak_kb, now_kb)
    board.post(ENDLESS, b"")


def _tell(line: Connection, kind: str, error: str, where: str, data: bytes) -> None:
    found = {"kind": kind, "error": error[:300], "where": where, "input": data.hex()}
    line.send_bytes(json.dumps(found).encode())


def _quiet_libraries() -> None:
    """Libraries print what they think of damaged files, and use threads: neither is wanted here."""
    import av
    import cv2

    av.logging.set_level(av.logging.PANIC)
    cv2.setNumThreads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MAX_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
