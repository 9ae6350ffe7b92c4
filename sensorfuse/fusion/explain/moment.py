"""One tick of a log as the pipeline saw it: aligned, encoded and fused, in this process.

The log is read from `RUN_UP_S` before the tick: clock models settle, sound and tracks build up. The ticks lie where a
replay's lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sensorfuse.align.aligner import Aligner
from sensorfuse.align.signature import SignatureExtractor, is_asked_for_motion
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.fuser import Fuser, FusionResult
from sensorfuse.fusion.runner import FusionRunner
from sensorfuse.log import open_log
from sensorfuse.log.reader import LogReader
from sensorfuse.messages import FusedFrame, Sample, Tick
from sensorfuse.rig import Rig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig
from sensorfuse.wire import envelope_of

RUN_UP_S = 8.0
FUSED_RUN_UP_S = 2.0
"""Of it, the last part is fused too, so that what looks back over ticks has something to look back on."""
KEEP_NS = 4_000_000_000


@dataclass
class Moment:
    """A tick, what each stream gave for it (`evidence`, as the fuser's `encode` made it), and what came of it."""

    tick: Tick
    evidence: dict[str, list[Any]]
    result: FusionResult
    frame: FusedFrame
    samples: dict[str, Sample]
    at_s: float  # after the log's first message


class Witness:
    """A fuser that lets another do the work, and remembers the last tick that it was given."""

    def __init__(self, fuser: Fuser) -> None:
        self.fuser = fuser
        self.strategy, self.model = fuser.strategy, fuser.model
        self.engine, self.precision, self.encoders = fuser.engine, fuser.precision, fuser.encoders
        self.failures = fuser.failures
        self.last: tuple[Tick, dict[str, list[Any]], FusionResult] | None = None

    def encode(self, sample: Sample) -> Any:
        return self.fuser.encode(sample)

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        result = self.fuser.fuse(tick, evidence)
        self.last = tick, evidence, result
        return result

    def forget(self) -> None:
        self.fuser.forget()
        self.last = None


def find_moment(log: Path, rig: Rig, fuser: Fuser, at_s: float) -> Moment:
    """The first tick from `at_s` seconds after the log's first message on (or the log's last), fused by `fuser`.

    Raises:
        SensorfuseError: the log can't be read, has none of the rig's streams, or is over before `at_s`.
    """
    with open_log(log, offsets_ns=rig.clock_offsets_ns()) as reader:
        by_log_name = rig.by_log_stream()
        names = [n for n in reader.streams() if n in by_log_name]
        if not names:
            raise SensorfuseError(
                f"{log}: the rig {rig.name!r} has none of this log's streams, {', '.join(reader.streams()) or 'none'}; "
                "give the log's rig with --rig"
            )
        return _Search(rig, fuser, log, at_s).run(_received(reader, names, by_log_name))


def _received(reader: LogReader, names: list[str], by_log_name: dict[str, str]) -> Iterator[Sample]:
    for sample in reader.samples(names):
        sample.stream = by_log_name[sample.stream]
        yield sample


class _Search:
    def __init__(self, rig: Rig, fuser: Fuser, log: Path, at_s: float) -> None:
        if not at_s >= 0:
            raise SensorfuseError(f"--at {at_s}: expected seconds after the log's first message, 0 or more")
        self.rig, self.log, self.at_s = rig, log, at_s
        self.witness = Witness(fuser)
        self.runner = FusionRunner(rig, self.witness, ObjectTracker(TrackerConfig.from_rig(rig)), patient=True)
        self.signatures = {n: SignatureExtractor(s, is_asked_for_motion(rig, n)) for n, s in rig.sensors.items()}
        self.held: dict[tuple[str, int], Sample] = {}
        self.found: Moment | None = None

    def run(self, samples: Iterator[Sample]) -> Moment:
        first = next(samples, None)
        if first is None:
            raise SensorfuseError(f"{self.log}: no readable sample of the rig {self.rig.name!r}")
        self.start_ns, period = first.recv_ns, self.rig.fusion.period_ns
        self.target_ns = self.start_ns + round(self.at_s * 1e9)
        skipped = max(0, round((self.at_s - RUN_UP_S) * 1e9) // period)
        origin = self.start_ns + skipped * period
        aligner = Aligner(self.rig, origin, skipped)
        beat, now = origin, self.start_ns
        for sample in chain((first,), samples):
            now = max(now, sample.recv_ns)
            if sample.recv_ns < origin:
                continue
            while beat <= now:
                self._fuse(aligner.poll(beat))
                beat += period // 2
            self._push(aligner, sample)
            if self._found():
                break
        else:
            self._fuse(aligner.flush(now, now))
        if self.found is None or self.found.tick.t_ref_ns < self.target_ns - period:
            last_s = (now - self.start_ns) / 1e9
            raise SensorfuseError(f"{self.log}: no tick at {self.at_s:g} s; the log lasts {last_s:.1f} s")
        return self.found

    def _push(self, aligner: Aligner, sample: Sample) -> None:
        signature = self.signatures[sample.stream].measure(sample)
        envelope = envelope_of(sample, 0, sample.recv_ns, signature=signature)
        if sample.recv_ns >= self.target_ns - round(FUSED_RUN_UP_S * 1e9):
            self.runner.add(envelope, sample, sample.recv_ns)
            self.held[sample.stream, sample.seq] = sample
            for key in [k for k, s in self.held.items() if s.recv_ns < sample.recv_ns - KEEP_NS]:
                del self.held[key]
        aligner.push(envelope, sample.recv_ns, sample.arrays if sample.modality == "imu" else None)
        self._fuse(aligner.poll(sample.recv_ns))

    def _found(self) -> bool:
        return self.found is not None and self.found.tick.t_ref_ns >= self.target_ns

    def _fuse(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            if self._found() or any((s.stream, n) not in self.held for s in tick.streams for n in s.seqs):
                continue  # over, or of the run-up, which is aligned only
            self.runner.push_tick(tick, tick.emit_ns)
            out = self.runner.poll(tick.emit_ns)
            if out is not None and self.witness.last is not None:
                _, evidence, result = self.witness.last
                used = {s.stream: self.held[s.stream, s.seqs[-1]] for s in tick.streams if s.seqs}
                self.found = Moment(tick, evidence, result, out[0], used, (tick.t_ref_ns - self.start_ns) / 1e9)
