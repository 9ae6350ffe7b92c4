"""GoPro MP4: a real recording, and a small file made here without telemetry."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.log import open_log
from sensorfuse.log.gopro import GoproReader


def make_mp4(path: Path, frames: int = 12) -> None:
    """Grey frames that get brighter, 10 Hz, and a 440 Hz tone in stereo."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="stereo")
        for k in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * k % 250, np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        tone = np.sin(2 * np.pi * 440 * np.arange(8192) / 8000).astype(np.float32)
        for k in range(8):
            block = av.AudioFrame.from_ndarray(np.stack([tone[k * 1024 : (k + 1) * 1024]] * 2), "fltp", "stereo")
            block.rate, block.pts = 8000, k * 1024
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def test_plain_mp4(tmp_path: Path) -> None:
    make_mp4(tmp_path / "a.mp4")
    with open_log(tmp_path / "a.mp4") as reader:
        assert set(reader.streams()) == {"camera", "microphones"}
        pictures = list(reader.samples(["camera"]))
        sounds = list(reader.samples(["microphones"]))
        assert not reader.rejected
    assert [s.stamp_ns for s in pictures] == [k * 100_000_000 for k in range(12)]
    assert [round(float(s.arrays["image"].mean()), -1) for s in pictures] == [10 * k for k in range(12)]
    pcm = np.concatenate([s.arrays["pcm"] for s in sounds])
    assert pcm.shape[1] == 2
    spectrum = np.abs(np.fft.rfft(pcm[1024:5120, 0]))
    assert np.argmax(spectrum) * 8000 / 4096 == pytest.approx(440, abs=4)
    assert all(s.meta["sample_rate_hz"] == 8000 for s in sounds)


def test_cut_mp4_is_explained(tmp_path: Path) -> None:
    make_mp4(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(SensorfuseError, match=r"cut.mp4: cannot be read as an MP4 video: .*lost its index"):
        open_log(tmp_path / "cut.mp4")


def test_index_past_the_end_is_counted(tmp_path: Path) -> None:
    """A file with its index in front, cut inside the data: what the index lists and the file lacks is rejected."""
    make_mp4(tmp_path / "a.mp4", frames=40)
    front = tmp_path / "front.mp4"
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(front), "w", options={"movflags": "faststart"}) as target,
    ):
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    data = front.read_bytes()
    front.write_bytes(data[: int(len(data) * 0.85)])
    with open_log(front) as reader:
        count = sum(1 for _ in reader.samples())
        lost = sum(reader.rejected.values())
    assert lost > 0
    assert 36 <= count + lost <= 41


@pytest.mark.data
def test_recording(data_dir: Path) -> None:
    with open_log(data_dir / "gopro" / "karma.mp4") as reader:
        assert isinstance(reader, GoproReader)
        streams = reader.streams()
        assert streams["imu"].stamp_source == "device"
        assert streams["camera"].count == 362
        motion = list(reader.samples(["imu"]))
        sounds = list(reader.samples(["microphones"]))
        camera = [s.stamp_ns for s in reader.samples(["camera"])]
        assert not reader.rejected
    times = np.concatenate([s.stamp_ns + s.arrays["time_ns"] for s in motion])
    accel = np.concatenate([s.arrays["accel_mps2"] for s in motion])
    assert len(times) == 4795  # TSMP of the last packet
    assert (np.diff(times) > 0).all()
    assert 1e9 / np.median(np.diff(times)) == pytest.approx(400, rel=0.03)
    assert np.diff(times).max() < 4e6
    norm = np.linalg.norm(accel, axis=1)
    assert np.median(norm) == pytest.approx(9.8, abs=0.2)
    assert np.median(accel[:, 2]) == pytest.approx(9.7, abs=0.3)  # z is up on a hovering drone
    # it speeds up forward in the first three seconds: y points back, so y falls (from 1 to 7 m/s in its own telemetry)
    early = accel[times < 3e9, 1].mean() - accel[(times > 5e9) & (times < 10e9), 1].mean()
    assert -3.0 < early < -1.2
    assert len(camera) == 362
    assert np.allclose(np.diff(camera), 1e9 / 29.97, atol=1e4)
    assert sum(len(s.arrays["pcm"]) for s in sounds) == 566 * 1024
    assert abs(camera[-1] - times[-1]) < 0.1e9  # one clock, ends together
