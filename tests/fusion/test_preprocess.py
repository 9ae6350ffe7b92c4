import cv2
import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.preprocess import INPUT_SHAPES, Preprocessor
from sensorfuse.messages import Sample, sample_problem
from sensorfuse.rig import Rig


def test_every_modality_gives_the_shapes_its_encoder_takes(
    synthetic_rig: Rig, random_samples: dict[str, Sample]
) -> None:
    preprocess = Preprocessor(synthetic_rig)
    for sample in random_samples.values():
        assert sample_problem(sample) is None
        inputs = preprocess.inputs(sample)
        assert {n: a.shape for n, a in inputs.items()} == INPUT_SHAPES[sample.modality]
        assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in inputs.values())


def test_image_codings_agree(synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    preprocess = Preprocessor(synthetic_rig)
    camera = random_samples["camera"]
    smooth = cv2.GaussianBlur(camera.arrays["image"], (0, 0), 8)
    coded = cv2.imencode(".png", cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))[1]
    camera.arrays = {"image": smooth}
    raw = preprocess.inputs(camera)["image"]
    camera.arrays = {"jpeg": coded}
    assert np.array_equal(preprocess.inputs(camera)["image"], raw)
    camera.arrays = {"image_mono": np.ascontiguousarray(smooth[..., 1])}
    mono = preprocess.inputs(camera)["image"]
    assert np.array_equal(mono[0], raw[1])
    assert np.array_equal(mono[0], mono[2])
    assert 0 <= raw.min() < raw.max() <= 1


def test_broken_jpeg_is_named(synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    random_samples["camera"].arrays = {"jpeg": np.zeros(100, np.uint8)}
    with pytest.raises(SensorfuseError, match=r"camera, seq 0.*jpeg"):
        Preprocessor(synthetic_rig).inputs(random_samples["camera"])


def test_imu_is_turned_into_base_axes_and_ins_speed_is_used(
    synthetic_rig: Rig, random_samples: dict[str, Sample]
) -> None:
    data = synthetic_rig.model_dump()
    data["sensors"]["imu"]["T_base_sensor"] = {"xyz": (0, 0, 0.5), "rpy_deg": (0, 0, 90)}
    turned = Preprocessor(Rig.model_validate(data))
    imu = random_samples["imu"]
    straight = Preprocessor(synthetic_rig).inputs(imu)["window"]
    assert straight[:3] == pytest.approx(imu.arrays["gyro_radps"].mean(axis=0))
    gyro = imu.arrays["gyro_radps"].mean(axis=0)
    assert turned.inputs(imu)["window"][:3] == pytest.approx([-gyro[1], gyro[0], gyro[2]])
    assert straight[12:].tolist() == [0, 0]
    imu.arrays["velocity_mps"] = np.tile([10.0, 0, 0], (10, 1))
    assert Preprocessor(synthetic_rig).inputs(imu)["window"][12:] == pytest.approx([0.5, 1.0])


def test_polar_scan_shows_where_its_peak_is(synthetic_rig: Rig) -> None:
    power = np.full((400, 500), 10, np.uint8)
    power[50, 100] = 250  # 45 degrees to the right where azimuths are not given, 20.1 m away
    scan = Sample("radar", "radar", 3, 0, 0, "radar_link", {"polar": power}, {"range_resolution_m": 0.2})
    bev = Preprocessor(synthetic_rig).inputs(scan)["bev"]
    (i,), (j,) = np.nonzero(bev[0])
    assert i > 32 > j
    del scan.meta["range_resolution_m"]
    with pytest.raises(SensorfuseError, match=r"radar, seq 3.*range_resolution_m"):
        Preprocessor(synthetic_rig).inputs(scan)


def test_streams_that_are_not_fused_are_refused(synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    rig = synthetic_rig.with_fusion(modalities=("lidar", "imu"))
    with pytest.raises(SensorfuseError, match="camera"):
        Preprocessor(rig).inputs(random_samples["camera"])
