"""GoPro MP4 files: picture, sound and motion on one media clock.

Stamps are media time: presentation times of the tracks in nanoseconds, from 0. A telemetry packet has one time and one
duration; its measurements are spread evenly over it. Gyroscope and accelerometer run at different rates: the `imu`
stream has the gyroscope's times, and the accelerometer is interpolated linearly to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

from sensorfuse.errors import SensorfuseError
from sensorfuse.log.gpmf import GpmfError, motion
from sensorfuse.log.reader import MergedReader, StreamInfo
from sensorfuse.messages import Sample

IMU_BATCH = 20
TELEMETRY_HANDLER = "GoPro MET"
FRAMES = {"camera": "camera_optical_frame", "microphones": "microphones_link", "imu": "imu_link"}


class GoproReader(MergedReader):
    """One MP4 file: streams `camera` (RGB frames), `microphones` (float32 blocks) and `imu`, as far as it has them."""

    format = "gopro"

    def __init__(self, path: Path, offsets_ns: Mapping[str, int] | None = None) -> None:
        super().__init__(path, offsets_ns)
        self._tracks: dict[str, int] = {}
        self._infos: dict[str, StreamInfo] = {}
        with self._opened() as container:
            self._describe(container)
        if not self._tracks:
            raise SensorfuseError(f"{path}: this MP4 file has no picture, no sound and no GoPro telemetry")

    @staticmethod
    def matches(path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(12)[4:8] == b"ftyp"

    def _opened(self) -> Any:
        try:
            return av.open(str(self.path))
        except (av.FFmpegError, OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise SensorfuseError(
                f"{self.path}: cannot be read as an MP4 video: {text}; "
                "a file cut short while recording has lost its index"
            ) from None

    def _describe(self, container: Any) -> None:
        for track in container.streams:
            if track.type == "video" and "camera" not in self._tracks:
                rate = float(track.average_rate) if track.average_rate else None
                self._add("camera", track, "camera", rate, ())
            elif track.type == "audio" and "microphones" not in self._tracks:
                about = track.codec_context  # none where no decoder knows the track
                rate = about.sample_rate / about.frame_size if about and about.frame_size else None
                said = (f"{about.sample_rate} Hz, {about.channels} channels",) if about else ()
                self._add("microphones", track, "audio", rate, said)
            elif track.type == "data" and TELEMETRY_HANDLER in track.metadata.get("handler_name", ""):
                notes = (
                    "measurements are spread evenly over each telemetry packet",
                    "accelerometer interpolated to the gyroscope's times",
                    "axes as GoPro labels them: x left, y back, z up",
                )
                self._add("imu", track, "imu", None, notes)

    def _add(self, name: str, track: Any, modality: Any, rate: float | None, notes: tuple[str, ...]) -> None:
        self._tracks[name] = track.index
        count = track.frames or None if name == "camera" else None
        self._infos[name] = StreamInfo(name, modality, rate, FRAMES[name], count, "device", notes)

    def streams(self) -> dict[str, StreamInfo]:
        return dict(self._infos)

    def _read_stream(self, name: str) -> Iterator[Sample]:
        return {"camera": self._pictures, "microphones": self._sounds, "imu": self._motions}[name](name)

    def _packets(self, name: str) -> Iterator[tuple[Any, int | None, int]]:
        """Packet, time in ns and duration in ns of a track; what the file's index lists beyond its end is rejected."""
        with self._opened() as container:
            track = container.streams[self._tracks[name]]
            seen = 0
            try:
                for packet in container.demux(track):
                    if packet.size:
                        seen += 1
                        base = packet.time_base
                        time = None if packet.pts is None else packet.pts * base.numerator * 10**9 // base.denominator
                        yield packet, time, (packet.duration or 0) * base.numerator * 10**9 // base.denominator
            except (av.FFmpegError, OSError) as error:
                self.reject(name, f"after packet {seen}", f"file damaged: {type(error).__name__}")
                seen += 1
            if track.frames > seen:
                self.reject(
                    name,
                    f"after packet {seen}",
                    "listed in the index but past the end of the file",
                    track.frames - seen,
                )

    def _decoded(self, name: str) -> Iterator[tuple[Any, int]]:
        """Decoded frames of a track and their time in ns."""
        track = None
        for number, (packet, time, _) in enumerate(self._packets(name)):
            track = packet.stream
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError) as error:
                self.reject(name, f"packet {number} at {time} ns", f"packet cannot be decoded: {type(error).__name__}")
                continue
            yield from self._timed(name, frames, track.time_base)
        if track is not None and track.codec_context is not None:
            try:
                held_back = track.codec_context.decode(None)
            except (av.FFmpegError, EOFError, ValueError):
                return
            yield from self._timed(name, held_back, track.time_base)

    def _timed(self, name: str, frames: list[Any], base: Any) -> Iterator[tuple[Any, int]]:
        for frame in frames:
            if frame.pts is None:
                self.reject(name, "a decoded frame", "frame has no time")
                continue
            yield frame, frame.pts * base.numerator * 10**9 // base.denominator

    def _pictures(self, name: str) -> Iterator[Sample]:
        for frame, stamp_ns in self._decoded(name):
            arrays = {"image": frame.to_ndarray(format="rgb24")}
            yield Sample(name, "camera", 0, stamp_ns, 0, FRAMES[name], arrays)

    def _sounds(self, name: str) -> Iterator[Sample]:
        resampler = None
        for frame, stamp_ns in self._decoded(name):
            if resampler is None:
                resampler = av.AudioResampler(format="fltp", layout=frame.layout.name, rate=frame.rate)
            blocks = [part.to_ndarray() for part in resampler.resample(frame)]
            if not blocks:
                self.reject(name, f"block at {stamp_ns} ns", "block is empty")
                continue
            pcm = np.ascontiguousarray(np.concatenate(blocks, axis=1).T, np.float32)
            yield Sample(name, "audio", 0, stamp_ns, 0, FRAMES[name], {"pcm": pcm}, {"sample_rate_hz": int(frame.rate)})

    def _motions(self, name: str) -> Iterator[Sample]:
        period_ns: dict[str, float] = {}
        for number, (packet, time, duration) in enumerate(self._packets(name)):
            where = f"telemetry packet {number}"
            try:
                data = motion(bytes(packet))
            except GpmfError as problem:
                self.reject(name, where, f"telemetry damaged: {problem}")
                continue
            if time is None or duration <= 0:
                self.reject(name, where, "telemetry packet has no time or no duration")
                continue
            if not len(data.gyro_radps) or not len(data.accel_mps2):
                self.reject(name, where, "telemetry packet has no gyroscope or no accelerometer data")
                continue
            gyro_ns = _spread(len(data.gyro_radps), duration, period_ns, "gyro")
            accel_ns = _spread(len(data.accel_mps2), duration, period_ns, "accel")
            accel = np.column_stack([np.interp(gyro_ns, accel_ns, data.accel_mps2[:, i]) for i in range(3)])
            for start in range(0, len(gyro_ns), IMU_BATCH):
                part = slice(start, start + IMU_BATCH)
                times = np.rint(gyro_ns[part]).astype(np.int64)
                arrays = {
                    "gyro_radps": data.gyro_radps[part].copy(),
                    "accel_mps2": accel[part].copy(),
                    "time_ns": times - times[0],
                }
                meta = {"accel": "interpolated to the gyroscope's times"}
                yield Sample(name, "imu", 0, time + int(times[0]), 0, FRAMES[name], arrays, meta)


def _spread(count: int, duration_ns: int, period_ns: dict[str, float], kind: str) -> np.ndarray:
    """Times in a packet, ns. The last packet of a file is shorter than it states: it keeps the period before it."""
    period = duration_ns / count
    known = period_ns.get(kind)
    if known is not None and period > 1.2 * known:
        period = known
    else:
        period_ns[kind] = period
    return np.arange(count) * period
