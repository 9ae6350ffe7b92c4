"""A synthetic world as a log: what every sensor delivers, in the order of its receipt, and the truth beside it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path

from sensorfuse.log import LogWriter
from sensorfuse.sim.simulated_rig import SimulatedRig


def write_simulated_log(
    sim: SimulatedRig, path: Path, duration_ns: int, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write what is measured in the world's first `duration_ns` to an MCAP file, as it is received.

    Beside it goes the truth: of the world at the rig's fusion cadence, and of each message, lost ones too. `progress`
    hears how many nanoseconds are done. Returns the number of messages per stream, and of `truth`.

    Raises:
        SensorfuseError: the file can't be written.
    """
    rig = sim.rig
    end_ns = sim.epoch_ns + duration_ns
    counts = dict.fromkeys([*rig.streams(), "truth"], 0)
    streams = [sim.events(s, sim.first_due(s, end_ns)) for s in rig.streams()]
    next_truth_ns = sim.epoch_ns
    with LogWriter(path, compression=rig.recording.compression, chunk_mb=rig.recording.chunk_mb) as writer:
        writer.write_rig(rig, sim.epoch_ns)
        for event in heapq.merge(*streams, key=lambda e: e.recv_ns):
            while next_truth_ns <= event.recv_ns:
                writer.write_truth(sim.truth(next_truth_ns, visibility=True))
                counts["truth"] += 1
                next_truth_ns += rig.fusion.period_ns
            writer.write_event(event)
            if not event.lost:
                sample = sim.sample(event.stream, event.k)
                sample.seq, sample.recv_ns = event.seq, event.recv_ns
                writer.write_sample(sample)
                counts[event.stream] += 1
            if progress is not None:
                progress(min(event.recv_ns - sim.epoch_ns, duration_ns))
    return counts
