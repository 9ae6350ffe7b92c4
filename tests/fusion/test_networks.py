"""A strategy's networks: opened once, checked, from a folder of one's own, with a fallback that frames tell of."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.engine.cache import private_folder
from sensorfuse.engine.engine import BUILDS
from sensorfuse.engine.fallback import FallbackEngine, Level
from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.engine.open import available_backends
from sensorfuse.engine.precision import variant_path
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.learned import LearnedFusion
from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder
from sensorfuse.fusion.networks import in_one_line
from sensorfuse.fusion.runner import FusionRunner
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.messages import MODALITIES, Sample, StreamTick, Tick
from sensorfuse.rig import Rig
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig
from sensorfuse.wire import envelope_of

STRATEGY = "hybrid"
MS = 1_000_000


def make_tick(rig: Rig, tick_id: int = 0) -> Tick:
    t_ns = 10**9 + tick_id * 100 * MS
    streams = [StreamTick(n, rig.sensors[n].modality, "ok", 1, [0], -30 * MS) for n in rig.fused_streams()]
    return Tick(tick_id, t_ns, t_ns, False, streams, np.eye(4), np.zeros(6), np.full(6, 0.1))


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """What `sensorfuse train` leaves: networks, cards and weights."""
    names = [*(f"{m}.onnx" for m in (*MODALITIES, "sweeps", STRATEGY)), ENCODERS_FILE, f"{STRATEGY}.json"]
    for name in names:
        shutil.copy(weights_folder() / name, tmp_path)
    return tmp_path


class LosesItsDevice(OnnxRuntimeEngine):
    """Fails from its `fails_at`-th run on."""

    fails_at, runs = 3, 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = "onnxruntime-0-cuda"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.runs += 1
        if self.runs >= self.fails_at:
            raise RuntimeError("CUDA error 719: unspecified launch failure")
        return super().run(inputs)


def test_no_subset_of_sensors_builds_an_engine(synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    fusion = LearnedFusion(synthetic_rig, STRATEGY)
    built = BUILDS.copy()
    assert built["onnxruntime-cpu"] >= len(MODALITIES) + 2
    evidence = {s: [fusion.encode(sample)] for s, sample in random_samples.items()}
    count = 0
    for n in range(1, len(MODALITIES) + 1):
        for subset in itertools.combinations(MODALITIES, n):
            held = {s: e for s, e in evidence.items() if random_samples[s].modality in subset}
            fusion.fuse(make_tick(synthetic_rig, count), held)
            count += 1
    assert count == 31
    assert built == BUILDS


def test_the_frame_tells_of_an_engine_that_was_replaced(synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    fusion = LearnedFusion(synthetic_rig, STRATEGY)
    path = weights_folder() / f"{STRATEGY}.onnx"
    rungs = [Level("cuda", lambda: LosesItsDevice(path)), Level("cpu", lambda: OnnxRuntimeEngine(path))]
    fusion._fusion = FallbackEngine(path.name, rungs, fusion.failures.append)
    runner = FusionRunner(synthetic_rig, fusion, ObjectTracker(TrackerConfig.from_rig(synthetic_rig)))
    for stream, sample in random_samples.items():
        runner.add(envelope_of(Sample(**{**vars(sample), "stream": stream, "seq": 0}), 1, 0), sample, 0)
    frames = []
    for k in range(3):
        runner.push_tick(make_tick(synthetic_rig, k), 0)
        made = runner.poll(10**12)
        assert made is not None, "no tick goes without a frame"
        frames.append(made[0])
    engines = [f.engine for f in frames]
    assert engines[0].startswith("onnxruntime-0-cuda (sweeps, camera, lidar, radar, imu, audio: onnxruntime-")
    assert engines[2] == OnnxRuntimeEngine(path).name
    assert {f.precision for f in frames} == {"fp32"}
    assert len({f.model for f in frames}) == 1
    (event,) = runner.failures
    assert "hybrid.onnx: onnxruntime-0-cuda fp32 failed: CUDA error 719" in event
    assert f"goes on by {engines[2]} fp32" in event


def test_networks_of_a_folder_of_ones_own_run(
    own_folder: Path, synthetic_rig: Rig, random_samples: dict[str, Sample]
) -> None:
    fuser = make_fuser(synthetic_rig.with_fusion(weights=str(own_folder)), STRATEGY)
    assert isinstance(fuser, LearnedFusion)
    assert fuser.weights == own_folder
    shipped = make_fuser(synthetic_rig, STRATEGY)
    a, b = (
        f.fuse(make_tick(synthetic_rig), {s: [f.encode(x)] for s, x in random_samples.items()})
        for f in (fuser, shipped)
    )
    assert np.array_equal(a.detections.center, b.detections.center)
    (own_folder / ENCODERS_FILE).write_bytes(b"other encoders")
    with pytest.raises(SensorfuseError, match="trained on other encoders"):
        make_fuser(synthetic_rig.with_fusion(weights=str(own_folder)), STRATEGY)


@pytest.mark.parametrize(
    ("file", "by", "words"),
    [
        (
            "hybrid.onnx",
            "imu.onnx",
            r"hybrid\.onnx: this network does not fit: it takes .*'camera' not at all, expected",
        ),
        ("lidar.onnx", "radar.onnx", r"lidar\.onnx: .* takes 'bev' \(6, 64, 64\), expected \(6, 128, 128\)"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    file: str, by: str, words: str, own_folder: Path, synthetic_rig: Rig
) -> None:
    shutil.copy(own_folder / by, own_folder / file)
    with pytest.raises(SensorfuseError, match=words):
        LearnedFusion(synthetic_rig, STRATEGY, own_folder)


def test_an_engine_that_this_machine_lacks_is_an_error_before_anything_runs(synthetic_rig: Rig) -> None:
    lacks = next(s for s in available_backends() if not s.usable)
    with pytest.raises(SensorfuseError, match=rf"engine {lacks.backend}: .*auto"):
        LearnedFusion(synthetic_rig.with_fusion(engine=lacks.backend), STRATEGY)


def test_what_differs_is_told_in_brackets() -> None:
    assert in_one_line({"fusion": "a", "camera": "a"}, "fusion") == "a"
    told = in_one_line({"fusion": "a", "camera": "b", "lidar": "b", "imu": "c"}, "fusion")
    assert told == "a (camera, lidar: b; imu: c)"


def test_int8_runs_the_networks_that_have_such_a_variant_and_asks_for_them_where_none_has(
    synthetic_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fusion = synthetic_rig.fusion.model_copy(update={"precision": "int8", "engine": "onnxruntime-cpu"})
    rig = synthetic_rig.model_copy(update={"fusion": fusion})
    with pytest.raises(SensorfuseError, match="sensorfuse compile --strategy hybrid --precision int8"):
        LearnedFusion(rig, "hybrid")
    variant = variant_path(weights_folder() / "lidar.onnx", "int8")
    private_folder(variant.parent)
    variant.write_bytes((weights_folder() / "lidar.onnx").read_bytes())
    assert LearnedFusion(rig, "hybrid").precision == "fp32 (lidar: int8)"
