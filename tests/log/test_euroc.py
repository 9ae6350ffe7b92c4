"""EuRoC: a tiny sequence made here, and the real one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sensorfuse.log import open_log
from sensorfuse.log.stamps import date_to_ns, seconds_to_ns

START = 1_403_715_273_262_142_976


def make_sequence(root: Path, rows: int = 25) -> None:
    for folder in ("cam0/data", "imu0", "state_groundtruth_estimate0"):
        (root / "mav0" / folder).mkdir(parents=True)
    names = [f"{START + k * 50_000_000}" for k in range(3)]
    (root / "mav0/cam0/data.csv").write_text(
        "#timestamp [ns],filename\r\n" + "".join(f"{n},{n}.png\r\n" for n in names)
    )
    for k, name in enumerate(names[:2]):
        cv2.imwrite(str(root / f"mav0/cam0/data/{name}.png"), np.full((4, 6), 7 * k, np.uint8))
    lines = [f"{START + k * 5_000_000},0.1,0.2,{k},9.8,0,-0.5" for k in range(rows)]
    (root / "mav0/imu0/data.csv").write_text("#timestamp,w,w,w,a,a,a\n" + "\n".join(lines))
    (root / "mav0/state_groundtruth_estimate0/data.csv").write_text(
        f"#t,p,p,p,qw,qx,qy,qz,v,v,v,b,b,b,b,b,b\n{START},1,2,3,0.5,0.5,0.5,0.5,0,0,0,0,0,0,0,0,0\n"
    )


@pytest.mark.parametrize("inner", [False, True])
def test_small_sequence(tmp_path: Path, inner: bool) -> None:
    make_sequence(tmp_path)
    with open_log(tmp_path / "mav0" if inner else tmp_path, {"cam0": 5}) as reader:
        back = list(reader.samples())
        (truth,) = reader.truth()
        assert reader.rejected == {("cam0", "image missing"): 1}
    images = [s for s in back if s.modality == "camera"]
    assert [(s.stamp_ns, s.recv_ns) for s in images] == [
        (START + k * 50_000_000, START + k * 50_000_000 + 5) for k in (0, 1)
    ]
    assert images[1].arrays["image_mono"][0, 0] == 7
    imu = [s for s in back if s.modality == "imu"]
    assert [len(s.arrays["time_ns"]) for s in imu] == [10, 10, 5]
    assert imu[1].stamp_ns == START + 50_000_000
    assert imu[1].recv_ns == START + 100_000_000  # not before its last measurement
    assert np.concatenate([s.arrays["gyro_radps"] for s in imu])[:, 2].tolist() == list(range(25))
    assert imu[0].arrays["accel_mps2"][0].tolist() == [9.8, 0, -0.5]
    assert truth.pose is not None
    # w x y z = half each: x to y, y to z, z to x
    np.testing.assert_allclose(truth.pose[:3, :3], [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)
    assert truth.pose[:3, 3].tolist() == [1, 2, 3]


def test_every_row_is_a_sample_or_a_rejection(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    file = tmp_path / "mav0/imu0/data.csv"
    lines = file.read_text().split("\n")
    lines[4] = lines[4].replace("9.8", "nan")
    lines[9] = lines[9][:30]
    lines[12] = "soon" + lines[12]
    lines[15] = lines[15].replace("0.2", "x")
    file.write_text("\n".join(lines))
    with open_log(tmp_path) as reader:
        count = sum(len(s.arrays["time_ns"]) for s in reader.samples(["imu0"]))
        assert count == 21
        assert sum(reader.rejected.values()) == 4
        assert "imu0: data.csv:5: a field is NaN or infinite" in reader.rejections


def test_a_gap_ends_a_batch(tmp_path: Path) -> None:
    make_sequence(tmp_path)
    file = tmp_path / "mav0/imu0/data.csv"
    lines = file.read_text().split("\n")
    del lines[5:40:1]
    lines.append(f"{START + 10**9},0,0,0,0,0,0")
    file.write_text("\n".join(lines))
    with open_log(tmp_path) as reader:
        assert [len(s.arrays["time_ns"]) for s in reader.samples(["imu0"])] == [4, 1]


@pytest.mark.data
def test_recording(data_dir: Path) -> None:
    with open_log(data_dir / "euroc") as reader:
        norms, count, images = [], 0, 0
        for sample in reader.samples():
            if sample.modality == "camera":
                images += 1
                assert sample.arrays["image_mono"].shape == (480, 752)
            else:
                count += len(sample.arrays["time_ns"])
                norms.append(np.linalg.norm(sample.arrays["accel_mps2"], axis=1).mean())
        assert not reader.rejected
        truth = list(reader.truth())
    assert (images, count, len(truth)) == (95, 29_120, 28_712)
    assert np.median(norms) == pytest.approx(9.81, abs=0.1)
    assert 1e9 * (len(truth) - 1) / (truth[-1].stamp_ns - truth[0].stamp_ns) == pytest.approx(200, rel=1e-3)
    # the body's x axis points up at rest (the accelerometer reads +9.1 along it), so it does in the world as well
    assert truth[0].pose is not None
    assert truth[0].pose[2, 0] > 0.8


def test_exact_decimal_seconds() -> None:
    assert seconds_to_ns("1574859771.744660272") == 1_574_859_771_744_660_272
    assert seconds_to_ns("-0.5") == -500_000_000
    assert seconds_to_ns(" 7 ") == 7_000_000_000
    for text in ("", "1e9", "1.2.3", "nan", "0x10"):
        with pytest.raises(ValueError, match="no decimal number"):
            seconds_to_ns(text)


def test_dates() -> None:
    assert date_to_ns("1970-01-02 00:00:01.000000009") == 86_401_000_000_009
    assert date_to_ns("2011-09-26 13:02:25.5") == 1_317_042_145_500_000_000
    for text in ("2011-13-26 13:02:25", "yesterday", "2011-09-26"):
        with pytest.raises(ValueError, match="is no"):
            date_to_ns(text)
