"""What got slower since the last run on the same machine: a short fixed set, beside a calibration in the same round.

A kernel that never changes runs before and after each item; an item's figure is its processor time over the
kernel's, so that a slower clock, a noisy neighbour or a warm machine changes both. The figure is the median over the
rounds, and its noise the spread of that median.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse import __version__
from sensorfuse.align.aligner import Aligner
from sensorfuse.bench.header_rate import START_NS, eight_streams, headers
from sensorfuse.bench.strategies import processor
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.fusion.warm_up import PERIOD_NS, TWIST, typical_sample
from sensorfuse.messages import StreamTick, Tick
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig
from sensorfuse.sample_limits import MAX_COUNT
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig
from sensorfuse.wire import decode_data, encode_data, encode_meta, envelope_of

Work = Callable[[], Any]
LEAST_CHANGE = 0.05
SIGMAS = 3.0


@dataclass(frozen=True)
class Change:
    """One item against the last run: `change` 0.1 is 10 % slower; it counts when it is beyond `noise`."""

    name: str
    ratio: float
    before: float | None
    noise: float

    @property
    def change(self) -> float:
        return 0.0 if self.before is None else self.ratio / self.before - 1.0

    @property
    def slower(self) -> bool:
        return self.before is not None and self.change > self.noise


def items(rig: Rig) -> dict[str, Work]:
    """The fixed set, ready to run; each takes some milliseconds.

    Raises:
        SensorfuseError: the rig lacks a sensor that the set needs.
    """
    lacking = sorted(set(SPATIAL) - {rig.sensors[s].modality for s in rig.fused_streams()})
    if lacking:
        raise SensorfuseError(
            f"rig {rig.name!r} fuses no {' and no '.join(lacking)}: this fixed set needs {', '.join(SPATIAL)}; "
            "take `--rig synthetic`"
        )
    samples = {s: typical_sample(rig, s) for s in rig.fused_streams()}
    work: dict[str, Work] = {}
    camera = next(s for s in samples.values() if s.modality == "camera")

    def wire() -> None:
        for _ in range(40):
            envelope = envelope_of(camera, 1, 0)
            encode_meta(envelope)
            decode_data(encode_data(envelope, camera.arrays))

    work["wire: 40 messages"] = wire
    log = headers(eight_streams(), 0.4)

    def align() -> None:
        aligner = Aligner(eight_streams(), START_NS)
        for header in log:
            aligner.push(header, header.recv_ns)
            aligner.poll(header.recv_ns)

    work["aligner: 0.4 s of eight streams"] = align
    streams = [
        StreamTick(s.stream, s.modality, "ok", 0, [0], -PERIOD_NS // 2, method="nearest") for s in samples.values()
    ]
    tick = Tick(0, PERIOD_NS, PERIOD_NS, False, streams, np.eye(4), TWIST, np.full(6, 0.1))
    for strategy in ("late", "hybrid", "cross_modal_attention"):
        fuser = make_fuser(rig, strategy)
        evidence = {n: [fuser.encode(s)] for n, s in samples.items()}
        work[f"{strategy}: tick"] = partial(fuser.fuse, tick, evidence)
        for modality in SPATIAL if strategy == "hybrid" else ():
            sample = next(s for s in samples.values() if s.modality == modality)
            work[f"{strategy}: {modality} encoder"] = partial(fuser.encode, sample)
    tracker = ObjectTracker(TrackerConfig.from_rig(rig))
    found = make_fuser(rig, "late").fuse(tick, {n: [make_fuser(rig, "late").encode(s)] for n, s in samples.items()})
    times = iter(range(PERIOD_NS, MAX_COUNT, PERIOD_NS))

    def track() -> None:
        for _ in range(10):
            tracker.update(next(times), found.sources, np.eye(4))

    work["tracker: 10 ticks"] = track
    return work


def calibration() -> Work:
    """Work that stays the same for ever: arithmetic, memory, and the interpreter."""
    rng = np.random.default_rng(0)
    a, b, numbers = rng.random((96, 96)), rng.random(200_000), list(range(20_000))

    def work() -> None:
        for _ in range(10):
            np.dot(a, a)
        np.sort(b)
        sum(n * n for n in numbers)

    return work


def measure(rig: Rig, rounds: int = 15, progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Ratios to the calibration, `median` over the rounds and `sigma`, the spread of that median, per item."""
    kernel, todo = calibration(), items(rig)
    ratios: dict[str, list[float]] = {name: [] for name in todo}
    rng = np.random.default_rng(0)
    for work in (kernel, *todo.values()):
        work()
    for k in range(rounds):
        progress(k / rounds)
        for name in rng.permutation(list(todo)).tolist():
            beside = _spent_s(kernel)
            took = _spent_s(todo[name])
            ratios[name].append(2 * took / (beside + _spent_s(kernel)))
    out = {}
    for name, values in ratios.items():
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(np.array(values) - middle)))
        out[name] = {"median": middle, "sigma": 1.2533 * spread / rounds**0.5}  # of a median of normal values
    return {
        "machine": machine_id(),
        "rig": rig.name,
        "version": __version__,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rounds": rounds,
        "items": out,
    }


def _spent_s(work: Work) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def machine_id() -> str:
    """The same for runs that can be compared: host, processor, interpreter."""
    words = "|".join((platform.node(), platform.machine(), processor(), platform.python_version()))
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def last_run(history: Path, machine: str, rig: str) -> dict[str, Any] | None:
    """The newest run on a machine of a rig; None where there is none.

    Raises:
        SensorfuseError: the history is no readable list of runs.
    """
    if not history.is_file():
        return None
    found = None
    for number, line in enumerate(history.read_text(encoding="utf-8").splitlines(), 1):
        try:
            run = read_object(line)
            if (run["machine"], run["rig"]) == (machine, rig) and isinstance(run["items"], dict):
                found = run
        except (ValueError, KeyError, TypeError):
            raise SensorfuseError(f"{history}:{number}: not a recorded run; remove the line") from None
    return found


def record(history: Path, figures: dict[str, Any]) -> None:
    """Add a run to the history.

    Raises:
        SensorfuseError: it can't be written.
    """
    try:
        history.parent.mkdir(parents=True, exist_ok=True)
        with history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
    except OSError as error:
        raise SensorfuseError(f"{history}: cannot be written: {error.strerror or error}") from None


def compare(figures: dict[str, Any], before: dict[str, Any] | None) -> list[Change]:
    """Each item against an earlier run; an item that it lacks has nothing to be compared with."""
    out = []
    for name, now in figures["items"].items():
        then = before["items"].get(name) if before is not None else None
        if then is None:
            out.append(Change(name, now["median"], None, 0.0))
            continue
        relative = np.hypot(now["sigma"] / now["median"], then["sigma"] / then["median"])
        out.append(Change(name, now["median"], then["median"], max(LEAST_CHANGE, SIGMAS * float(relative))))
    return out


def print_changes(changes: list[Change], before: dict[str, Any] | None, console: Console) -> None:
    """A row per item."""
    since = (
        f"since {before['at']}, version {before['version']}" if before else "no earlier run of this rig on this machine"
    )
    table = Table(title=f"processor time over the calibration's; {since}")
    for name in ("item", "now", "before", "change", "noise", ""):
        table.add_column(name, justify="left" if name in ("item", "") else "right")
    for c in changes:
        known = c.before is not None
        word = "SLOWER" if c.slower else "faster" if known and c.change < -c.noise else ""
        cells = (f"{c.before:.3f}", f"{c.change:+.1%}", f"±{c.noise:.1%}") if known else ("–", "–", "–")
        table.add_row(c.name, f"{c.ratio:.3f}", *cells, word)
    console.print(table)
