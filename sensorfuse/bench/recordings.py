"""Offsets found in real recordings, where they are known: from the data alone, as `sensorfuse sync` finds them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sensorfuse.bench.goals import Goal
from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sync.stream_report import OffsetReport
from sensorfuse.sync.survey import survey

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KEPT_S = 8.0  # of EuRoC's gyro, which goes on long after the pictures
SHIFTS: tuple[tuple[float, float], ...] = ((-0.15, 0.0), (-0.05, 0.0), (0.0, 0.0), (0.15, 0.0), (0.1, 200.0))
RADIATE_INS_S, RADIATE_INS_SIGMA_S = -65.40, 0.03  # of the INS's rates, by radar and camera (see the rig)


@dataclass(frozen=True)
class Shifted:
    """A stream whose stamps lack `shift_s`, and drift by `ppm` from its first message on."""

    stream: str
    shift_s: float
    ppm: float = 0.0

    def lacking_ns(self, since_ns: int) -> int:
        return round(1e9 * self.shift_s + 1e-6 * self.ppm * since_ns)


class ShiftedLog(MergedReader):
    """A log with the stamps of one stream shifted, cut `KEPT_S` after its beginning."""

    format = "shifted"

    def __init__(self, path: Path, shifted: Shifted) -> None:
        super().__init__(path)
        self._shifted = shifted

    def streams(self) -> dict[str, StreamInfo]:
        with open_log(self.path) as log:
            return log.streams()

    def _read_stream(self, name: str) -> Iterator[Sample]:
        first_ns: int | None = None
        with open_log(self.path) as log:
            for sample in log.samples([name]):
                first_ns = sample.stamp_ns if first_ns is None else first_ns
                since_ns = sample.stamp_ns - first_ns
                if since_ns > KEPT_S * 1e9:
                    return
                lacking_ns = self._shifted.lacking_ns(since_ns) if name == self._shifted.stream else 0
                yield replace(sample, stamp_ns=sample.stamp_ns - lacking_ns)


def shift_error_ms(path: Path, shifted: Shifted) -> tuple[float, float]:
    """What is found of a EuRoC camera's shift, less the shift in the middle of its pictures; and its sigma. Infinite
    where nothing is found.
    """
    log = ShiftedLog(path, shifted)
    found = _found(survey(log, shipped_rig("euroc")).streams["camera"].content)
    if found is None:
        return float("inf"), float("inf")
    pictures = [s.stamp_ns for s in log.samples([shifted.stream])]
    truth_ns = shifted.lacking_ns((pictures[-1] - pictures[0]) // 2)
    return 1e3 * found.offset_s - truth_ns / 1e6, 1e3 * found.sigma_s


def _found(content: object) -> OffsetReport | None:
    whole = getattr(content, "whole", None)
    return whole if isinstance(whole, OffsetReport) and whole.accepted else None


def radiate_error_s(path: Path) -> tuple[float, float]:
    """By how much the INS clock, of which nothing is told, is found wrong against the LiDAR; and one sigma of that,
    with what is known of the truth. Infinite where nothing is found.
    """
    data = shipped_rig("radiate").model_dump()
    data["sensors"]["imu"].update(offset_s=0.0, offset_sigma_s=0.0)
    rig = Rig.model_validate(data)
    with open_log(path, rig.clock_offsets_ns()) as log:
        found = _found(survey(log, rig).streams["lidar"].content)
    if found is None:
        return float("inf"), float("inf")
    return -found.offset_s - RADIATE_INS_S, math.hypot(found.sigma_s, RADIATE_INS_SIGMA_S)


def gopro_offset_ms(path: Path) -> float | None:
    """What is found between camera and gyro of one media clock; None where the offset is said to be unobservable."""
    rig = shipped_rig("gopro")
    with open_log(path) as log:
        found = _found(survey(log, rig).streams["camera"].content)
    return None if found is None else 1e3 * found.offset_s


def measure() -> list[Goal]:
    """The goals on recordings. They lie where `SENSORFUSE_DATA` says, or beside the project.

    Raises:
        SensorfuseError: there are no recordings.
    """
    data = Path(os.environ.get("SENSORFUSE_DATA", DATA))
    if not data.is_dir():
        raise SensorfuseError(f"no recordings at {data}; set SENSORFUSE_DATA")
    goals = []
    for shift_s, ppm in SHIFTS:
        error_ms, _ = shift_error_ms(data / "euroc", Shifted("cam0", shift_s, ppm))
        drift = f" and {ppm:g} ppm" if ppm else ""
        goals.append(Goal(f"EuRoC camera, {1e3 * shift_s:+g} ms{drift}, 4.7 s: error", 2.0, abs(error_ms), "ms"))
    error_s, sigma_s = radiate_error_s(data / "radiate" / "tiny_foggy")
    goals.append(Goal("RADIATE INS, 65 s off, 4 s of LiDAR: error", 0.3, abs(error_s), "s"))
    share = abs(error_s) / sigma_s if math.isfinite(sigma_s) else math.inf
    goals.append(Goal("RADIATE INS, 65 s off, 4 s of LiDAR: error over sigma", 3.0, share))
    offset_ms = gopro_offset_ms(data / "gopro" / "karma.mp4")
    goals.append(Goal("GoPro, a stabilised picture: offset claimed", 20.0, abs(offset_ms or 0.0), "ms"))
    return goals
