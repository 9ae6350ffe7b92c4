"""Whether a sensor's content can be right: looked at in the sensor's process, sample by sample, before it is published.

Each modality has its check, which says what is wrong with one sample; a fault counts when it has lasted. What cannot be
used gives the message a problem, so that it never votes; what is odd but usable makes it suspect. Content that comes
once more under a new stamp makes it a repeat from the first time on: it does not vote either, but is no trouble yet.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sensorfuse.health.audio_check import AudioCheck
from sensorfuse.health.cloud_check import CloudCheck
from sensorfuse.health.image_check import ImageCheck
from sensorfuse.health.imu_check import ImuCheck
from sensorfuse.health.radar_check import RadarCheck
from sensorfuse.messages import Modality, Sample
from sensorfuse.sensor_config import ContentFault, SensorConfig


@dataclass(frozen=True)
class Fault:
    """What a fault of content comes to: whether the sample can be used, and how long it has to last to count."""

    meaning: str
    usable: bool
    after_s: float
    least: int = 2  # samples in a row, whatever their rate


FAULTS: dict[ContentFault, Fault] = {
    "frozen": Fault("new stamps, the same content", False, 0.0, 1),  # which is counted by itself
    "duplicate": Fault("the same measurement again and again", True, 0.0, 1),
    "uniform": Fault("a picture or a scan of one brightness: black, white, covered", False, 0.1),
    "empty": Fault("a cloud without any point", False, 0.0),
    "constant": Fault("rates and forces that never change", False, 0.0, 1),
    "silent": Fault("digital silence", False, 0.25, 5),
    "dark": Fault("hardly anything but black", True, 1.0),
    "overexposed": Fault("more than half of the picture is white", True, 1.0),
    "blurred": Fault("far less detail than is typical: out of focus, dirty, covered", True, 1.5),
    "sparse": Fault("far fewer points than are typical", True, 1.0),
    "beams": Fault("rings without points between rings that have them", True, 0.5, 3),
    "sectors": Fault("directions without points at any height", True, 1.0, 5),
    "no_detections": Fault("no detections where there used to be some", True, 2.0),
    "saturated": Fault("rates or forces at the end of the range", True, 0.1),
    "clipped": Fault("much of the sound at full scale", True, 0.3),
    "dead_channel": Fault("a microphone that hears nothing while others do", True, 0.5),
}
OVER_S, OVER = 0.3, 3  # so long and so many samples without a usable fault, until it is over

FROZEN_AFTER = 3  # times the same content once more
FROZEN_IMU_SAMPLES = 20
NEVER_ALIKE: frozenset[Modality] = frozenset(("camera", "lidar", "radar"))
"""Whose noise makes no two measurements alike. Silence, and rates and forces of what stands still, may well be."""
COMPARED = 4096  # values of an array, before all of them are
DUPLICATE_WINDOW, DUPLICATE_SHARE = 32, 0.25


class _Check(Protocol):
    def faults(self, sample: Sample) -> dict[ContentFault, str]: ...


CHECKS: dict[Modality, type[Any]] = {
    "camera": ImageCheck,
    "lidar": CloudCheck,
    "radar": RadarCheck,
    "imu": ImuCheck,
    "audio": AudioCheck,
}


@dataclass(frozen=True)
class Verdict:
    """Of one sample: why it cannot be used, or what is odd of it though it can; "" where nothing is. `repeat`: its
    content is that of the sample before, so it says nothing of its own time.
    """

    problem: str = ""
    suspect: str = ""
    repeat: bool = False


SOUND = Verdict()
REPEATED = Verdict(repeat=True)


class ContentCheck:
    """The check of one stream. `examine` every sample that follows its modality's contract, in order."""

    def __init__(self, config: SensorConfig) -> None:
        check: _Check = CHECKS[config.modality](config)
        self._check = check
        self._repetition = Repetition(config)
        self._ignored = set(config.health.ignore)
        self._never_alike = config.modality in NEVER_ALIKE and "frozen" not in self._ignored
        rate = config.message_rate_hz
        self._needed = {kind: max(f.least, math.ceil(f.after_s * rate)) for kind, f in FAULTS.items()}
        self._over = max(OVER, math.ceil(OVER_S * rate))
        self._run: dict[ContentFault, int] = {}  # samples in a row with the fault
        self._standing: dict[ContentFault, tuple[str, int]] = {}  # usable faults: in words, and samples until over

    def examine(self, sample: Sample) -> Verdict:
        """What to think of the stream's next sample."""
        found = self._repetition.faults(sample) | self._check.faults(sample)
        # pictures of one brightness are alike and are told as that
        repeat = self._never_alike and self._repetition.repeats and "uniform" not in found
        if not found and not self._run and not self._standing:
            return REPEATED if repeat else SOUND
        found = {kind: words for kind, words in found.items() if kind not in self._ignored}
        self._run = {kind: self._run.get(kind, 0) + 1 for kind in found}
        lasting = {kind: words for kind, words in found.items() if self._run[kind] >= self._needed[kind]}
        standing = {kind: (words, left - 1) for kind, (words, left) in self._standing.items() if left > 1}
        standing |= {kind: (words, self._over) for kind, words in lasting.items() if FAULTS[kind].usable}
        self._standing = standing
        problem = "; ".join(words for kind, words in lasting.items() if not FAULTS[kind].usable)
        return Verdict(problem, "; ".join(words for words, _ in standing.values()), repeat)


class Repetition:
    """Content that comes again: with new stamps it `repeats`, and is frozen when it does so again and again; with the
    same stamp it is a duplicate.

    Compared is a thinned copy, and where that is the same a digest of everything.
    """

    def __init__(self, config: SensorConfig) -> None:
        self._samples_needed = FROZEN_IMU_SAMPLES if config.modality == "imu" else 0
        self._thinned: list[NDArray[Any]] = []
        self._digest = b""  # of the last content, where it was taken
        self._times = 0  # that it came again
        self.repeats = False  # the last sample, of content with another stamp
        self._stamp_ns: int | None = None
        self._copies: deque[bool] = deque(maxlen=DUPLICATE_WINDOW)

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """Whether the stream's next sample only repeats."""
        content = [a for name, a in sample.arrays.items() if name not in ("time_ns", "azimuths_rad") and a.size]
        thinned = [_thin(a) for a in content]
        same = bool(content) and len(thinned) == len(self._thinned)
        same = same and all(
            a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            for a, b in zip(thinned, self._thinned, strict=True)
        )
        digest = b""
        if same:
            digest = _digest(content)
            same = not self._digest or digest == self._digest
        self._digest = digest
        self._thinned = thinned
        copied = same and sample.stamp_ns == self._stamp_ns
        self._stamp_ns = sample.stamp_ns
        self._copies.append(copied)
        if not same:
            self._times = 0
        elif not copied:
            self._times += 1
        self.repeats = self._times > 0
        found: dict[ContentFault, str] = {}
        length = max(1, len(sample.arrays.get("gyro_radps", ())))
        if self._times >= max(FROZEN_AFTER, math.ceil(self._samples_needed / length)):
            found["frozen"] = "frozen: new stamps, the same content"
        if len(self._copies) == DUPLICATE_WINDOW and sum(self._copies) >= DUPLICATE_SHARE * DUPLICATE_WINDOW:
            found["duplicate"] = "many measurements come more than once"
        return found


def _thin(array: NDArray[Any]) -> NDArray[Any]:
    """Some `COMPARED` values, spread over the array, as a copy: the sender may use the memory again."""
    if array.ndim == 1 or array.size <= COMPARED or not array.flags.c_contiguous:
        return array[:: max(1, len(array) // max(1, COMPARED * len(array) // array.size))].copy()
    return array.reshape(-1)[:: max(1, array.size // COMPARED)].copy()


def _digest(arrays: list[NDArray[Any]]) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for array in arrays:
        whole.update(np.ascontiguousarray(array).data)
    return whole.digest()
