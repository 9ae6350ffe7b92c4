"""How good the picture was that a consumer had when things happened.

A frame describes the world at its reference time and comes later. So at the time of every true picture the newest
frame published by then is judged, as streaming accuracy has it (Li, Wang, Ramanan, "Towards Streaming Perception",
ECCV 2020): as it is, and moved on to that time, every object with its own velocity and all of them by the robot's
motion. Before the first frame, nothing has been detected. Beside both stands what the frames would score had they taken
no time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.errors import SensorfuseError
from sensorfuse.log.detect import open_log
from sensorfuse.log.mcap_log import read_frames
from sensorfuse.messages import Detections, FusedFrame, Truth
from sensorfuse.track.scoring import Pair, ScoringConfig, score_sequence
from sensorfuse.track.timed import TimedDetections, move_detections

AT_ONCE_NS = 60_000_000
"""A frame that takes no time is judged by a true picture so near to its reference time."""


@dataclass(frozen=True)
class PublishedFrame:
    """What a consumer gets at `published_ns`: objects in base_link at `t_ref_ns`, and the robot's motion then (6,), in
    body axes, of which what is not known (inf, NaN) is taken as 0. Both times are on the clock of the truth.
    """

    published_ns: int
    t_ref_ns: int
    detections: Detections
    twist: NDArray[np.float64]


def publish(frames: Iterable[FusedFrame], latency_ns: int, tracks: bool = True) -> list[PublishedFrame]:
    """Fused frames as they would have come had each been published `latency_ns` after its reference time: their tracks,
    or this tick's detections alone.
    """
    return [
        PublishedFrame(f.t_ref_ns + latency_ns, f.t_ref_ns, f.tracks if tracks else f.detections, f.twist)
        for f in frames
    ]


def moved_to(frame: PublishedFrame, t_ns: int) -> Detections:
    """The frame's objects in base_link at another time, at constant velocities."""
    motion = BodyMotion.from_twist(frame.twist)  # about t_ns: constant, so the same at any time
    timed = TimedDetections(frame.detections, np.zeros(len(frame.detections), np.int64))
    return move_detections(timed, frame.t_ref_ns - t_ns, motion)


def newest_at(frames: Sequence[PublishedFrame], times_ns: Sequence[int]) -> list[PublishedFrame | None]:
    """For each time the frame of the latest reference time of those published by then; None before the first."""
    order = sorted(frames, key=lambda f: f.published_ns)
    published = [f.published_ns for f in order]
    newest: list[PublishedFrame] = []
    for frame in order:  # one that comes late does not replace a newer one
        newest.append(frame if not newest or frame.t_ref_ns >= newest[-1].t_ref_ns else newest[-1])
    places = [bisect_right(published, t) for t in times_ns]
    return [newest[k - 1] if k else None for k in places]


def streaming_score(
    frames: Sequence[PublishedFrame], truths: Sequence[Truth], config: ScoringConfig | None = None
) -> dict[str, Any]:
    """Scores as of `score_sequence`: `as_is`, `moved` and `at_once` (had frames taken no time; judged at the frames'
    reference times, where a truth lies near). `age_ms`: median and 99th percentile of how old a frame was by its
    reference time; `unseen`: true pictures before the first frame.
    """
    held = newest_at(frames, [t.stamp_ns for t in truths])
    as_is: list[Pair] = []
    moved: list[Pair] = []
    ages_ms = []
    for frame, truth in zip(held, truths, strict=True):
        if frame is None:
            as_is.append((Detections.empty(), truth))
            moved.append((Detections.empty(), truth))
            continue
        ages_ms.append((truth.stamp_ns - frame.t_ref_ns) / 1e6)
        as_is.append((frame.detections, truth))
        moved.append((moved_to(frame, truth.stamp_ns), truth))
    return {
        "as_is": score_sequence(as_is, config),
        "moved": score_sequence(moved, config),
        "at_once": score_sequence(_at_once(frames, truths), config),
        "age_ms": {f"p{q}": float(np.percentile(ages_ms, q)) for q in (50, 99)} if ages_ms else {},
        "unseen": len(truths) - len(ages_ms),
    }


def _at_once(frames: Sequence[PublishedFrame], truths: Sequence[Truth]) -> list[Pair]:
    """Each truth with the frame of the nearest reference time, moved the little that is left; none too far off."""
    pairs: list[Pair] = []
    times = np.array([f.t_ref_ns for f in frames], dtype=np.int64)
    for truth in truths if len(times) else ():
        frame = frames[int(np.argmin(np.abs(times - truth.stamp_ns)))]
        if abs(frame.t_ref_ns - truth.stamp_ns) <= AT_ONCE_NS:
            pairs.append((moved_to(frame, truth.stamp_ns), truth))
    return pairs


def score_log(log: Path, truth: Path | None, latencies_ms: Sequence[float]) -> dict[str, Any]:
    """A `streaming_score` of a fused log for each time from reference to publication in ms, by that time as text.
    `truth` is the log with the truth, if that is another.

    Raises:
        SensorfuseError: a log can't be read, or has no frames or no truth.
    """
    frames = list(read_frames(log))
    with open_log(truth or log) as reader:
        truths = [t for t in reader.truth() if len(t.objects)]
    if not frames or not truths:
        lacking = f"{log}: no fused frames in it" if not frames else f"{truth or log}: no truth"
        raise SensorfuseError(f"{lacking}; a run writes fused frames to fused.mcap, and truth lies in the log")
    return {f"{ms:g}": streaming_score(publish(frames, round(ms * 1e6)), truths) for ms in latencies_ms}


def table(scores: dict[str, Any]) -> str:
    """Mean average precision and detection score: a row per latency."""
    rows = ["latency ms      as it is         moved on       had it taken no time   (mAP, NDS)"]
    for latency, score in scores.items():
        cells = (f"{score[k]['mean_ap']:.3f} {score[k]['nds']:.3f}".rjust(16) for k in ("as_is", "moved", "at_once"))
        rows.append(" ".join([latency.rjust(10), *cells]))
    return "\n".join(rows)
