"""What networks are given, taken down while they run."""

import numpy as np
import pytest
from sensorfuse.deploy.recordings import RecordingEngine, record_worlds

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.fusion.preprocess import INPUT_SHAPES
from sensorfuse.rig import Rig


def test_recordings_are_copies_spread_over_all_runs() -> None:
    engine = RecordingEngine(OnnxRuntimeEngine(weights_folder() / "imu.onnx"), limit=4)
    window = np.zeros((1, 14), np.float32)
    for n in range(33):
        window[:] = n
        engine.run({"window": window})
    seen = [int(one["window"][0, 0]) for one in engine.recorded]
    assert len(seen) <= 4
    assert seen == list(range(0, 33, seen[1]))
    assert engine.output_names == ["features"]


@pytest.mark.parametrize("strategy", ["hybrid"])
def test_every_network_is_recorded_in_a_world(small_rig: Rig, strategy: str) -> None:
    found = record_worlds(small_rig, strategy, None, ["town"], ticks=2)
    assert set(found) == {"camera", "lidar", "radar", "imu", "audio", "sweeps", strategy}
    for modality, shapes in INPUT_SHAPES.items():
        assert {n: a.shape[1:] for n, a in found[modality][0].items()} == shapes
    present = np.concatenate([one["present"] for one in found[strategy]])
    assert present.min() == 0  # someone is gone in one of them
    assert all(np.isfinite(a).all() for inputs in found.values() for one in inputs for a in one.values())
