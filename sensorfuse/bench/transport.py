"""What it costs to bring a payload from one process to another, one way, beside bare ZeroMQ, iceoryx2 and a queue."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse.bench.transport_ways import REFERENCE, WAYS, Queue, Receive
from sensorfuse.errors import SensorfuseError
from sensorfuse.shared_memory import ROOT, is_supported

SIZES: dict[str, int] = {
    "64 B": 64,
    "IMU batch, 4 KB": 4096,
    "64 KB": 65536,
    "picture 480 x 270, 0.4 MB": 480 * 270 * 3,
    "cloud of 128 rings, 4.1 MB": 128 * 1440 * 22,
    "picture 1920 x 1080, 6.2 MB": 1920 * 1080 * 3,
}
WARM_UP = 12  # messages of each way: connections, rings, pages
PATIENCE_S = 2.0
PERCENTILES = (50, 90, 99)


def measure(
    sizes: Sequence[str] = tuple(SIZES),
    messages: int = 200,
    pace_hz: float = 60.0,
    progress: Callable[[str, int], None] = lambda size, done: None,
) -> dict[str, Any]:
    """Per size and way the milliseconds from before a message is made until its bytes can be read in another process.

    Ways take turns message by message, in an order drawn anew each time, `pace_hz` messages a second in all, so that
    whatever else the machine does hits them alike. iceoryx2 copies in and is read in place; so does shared memory of
    this package. A queue pickles.

    Raises:
        SensorfuseError: a size is unknown.
    """
    unknown = [s for s in sizes if s not in SIZES]
    if unknown:
        raise SensorfuseError(f"--size: there is no {unknown[0]!r}; choose of {', '.join(SIZES)}")
    ways = [w.name for w in WAYS if not w.missing()]
    rows: list[dict[str, Any]] = []
    for name in sizes:
        found = _measure_size(SIZES[name], ways, messages, pace_hz, partial(progress, name))
        reference = found.get(REFERENCE)
        for way in ways:
            row: dict[str, Any] = {"size": name, "bytes": SIZES[name], "way": way, "lost": messages - len(found[way])}
            row |= {f"p{p}_ms": float(np.percentile(found[way], p)) for p in PERCENTILES if len(found[way])}
            if reference is not None and len(reference) and len(found[way]):
                for p in (50, 99):
                    row[f"p{p}_ratio"] = row[f"p{p}_ms"] / float(np.percentile(reference, p))
            rows.append(row)
    missing = {w.name: reason for w in WAYS if (reason := w.missing())}
    return {"messages": messages, "pace_hz": pace_hz, "reference": REFERENCE, "rows": rows, "left_out": missing}


def _measure_size(
    nbytes: int, ways: list[str], messages: int, pace_hz: float, progress: Callable[[int], None]
) -> dict[str, np.ndarray]:
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    ours, theirs = spawn.Pipe()
    root = ROOT if is_supported() else None
    with tempfile.TemporaryDirectory(dir=root, prefix="sensorfuse-bench-") as folder:
        sender = spawn.Process(target=_send, args=(theirs, Path(folder), nbytes, ways, queue, pace_hz), daemon=True)
        sender.start()
        try:
            receivers = {w.name: w.receiver(Path(folder), nbytes, queue) for w in WAYS if w.name in ways}
            ours.recv()
            latencies = _take(ours, ways, receivers, messages, progress)
        finally:
            ours.close()
            sender.join(5)
            sender.kill()
    return latencies


def _take(
    line: Connection, ways: list[str], receivers: dict[str, Receive], messages: int, progress: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Ask for one message after the other, way by way; the next is asked for when the last is here or given up."""
    out: dict[str, list[float]] = {way: [] for way in ways}
    rng = np.random.default_rng(0)
    for k in range(WARM_UP + messages):
        for way in rng.permutation(ways).tolist():
            line.send(way)
            taken = receivers[way](PATIENCE_S)
            now = time.monotonic_ns()
            if taken is not None and k >= WARM_UP:
                out[way].append((now - taken[0]) / 1e6)
            del taken
        progress(max(0, k + 1 - WARM_UP))
    return {way: np.array(v) for way, v in out.items()}


def _send(line: Connection, folder: Path, nbytes: int, ways: list[str], queue: Queue, pace_hz: float) -> None:
    """The other process: sends what it is asked for, no sooner than the pace allows."""
    senders = {w.name: w.sender(folder, nbytes, queue) for w in WAYS if w.name in ways}
    array = np.random.default_rng(0).integers(0, 256, nbytes, dtype=np.uint8)
    line.send("ready")
    due = time.monotonic()
    try:
        while True:
            way = line.recv()
            due = max(due + 1 / pace_hz, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            array[:8] += 1
            senders[way](array)
    except (EOFError, OSError):
        return


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A table: a row per size and way."""
    table = Table(title=f"one way between two processes, {figures['messages']} messages each, ms")
    for name in ("size", "way", "p50", "p90", "p99", f"p50 / {REFERENCE}", "p99", "lost"):
        table.add_column(name, justify="left" if name in ("size", "way") else "right")
    last = None
    for row in figures["rows"]:
        if last not in (None, row["size"]):
            table.add_section()
        cells = [f"{row[k]:.2f}" if k in row else "–" for k in ("p50_ms", "p90_ms", "p99_ms", "p50_ratio", "p99_ratio")]
        table.add_row("" if row["size"] == last else row["size"], row["way"], *cells, str(row["lost"]))
        last = row["size"]
    console.print(table)
    for name, reason in figures["left_out"].items():
        console.print(f"{name} is left out: {reason}", markup=False, highlight=False)
