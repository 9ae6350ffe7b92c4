"""A synthetic world as a log: every sensor's samples in the order of their receipt, and the truth beside them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from sensorfuse.log import LogWriter
from sensorfuse.messages import Sample
from sensorfuse.sim.simulated_rig import SimulatedRig


def simulated_samples(sim: SimulatedRig, stream: str, duration_ns: int) -> Iterator[Sample]:
    """The samples of one stream that are ready within `duration_ns` of the epoch."""
    k = 0
    while sim.due_ns(stream, k) < sim.epoch_ns + duration_ns:
        yield sim.sample(stream, k)
        k += 1


def write_simulated_log(
    sim: SimulatedRig, path: Path, duration_ns: int, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write `duration_ns` of the world to an MCAP file, with the truth at the rig's fusion cadence.

    `progress` hears how many nanoseconds are done. Returns the number of messages per stream, and of `truth`.

    Raises:
        SensorfuseError: the file can't be written.
    """
    rig = sim.rig
    counts = dict.fromkeys([*rig.streams(), "truth"], 0)
    streams = [simulated_samples(sim, s, duration_ns) for s in rig.streams()]
    next_truth_ns = sim.epoch_ns
    with LogWriter(path, compression=rig.recording.compression, chunk_mb=rig.recording.chunk_mb) as writer:
        writer.write_rig(rig, sim.epoch_ns)
        for sample in heapq.merge(*streams, key=lambda s: s.recv_ns):
            while next_truth_ns <= sample.recv_ns:
                writer.write_truth(sim.truth(next_truth_ns))
                counts["truth"] += 1
                next_truth_ns += rig.fusion.period_ns
            writer.write_sample(sample)
            counts[sample.stream] += 1
            if progress is not None:
                progress(min(sample.recv_ns - sim.epoch_ns, duration_ns))
    return counts
