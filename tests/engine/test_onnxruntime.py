from pathlib import Path

import numpy as np
import pytest

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine, gpu_answers
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder

NETWORK = weights_folder() / "imu.onnx"


def test_runs_named_arrays_at_any_batch() -> None:
    engine = OnnxRuntimeEngine(NETWORK, gpu=False)
    window = np.random.default_rng(0).normal(size=(3, 14)).astype(np.float32)
    three = engine.run({"window": window})["features"]
    one = engine.run({"window": window[1:2]})["features"]
    assert three.shape == (3, 24)
    assert np.allclose(three[1], one[0], atol=1e-6)
    assert engine.output_names == ["features"]
    assert engine.name.startswith("onnxruntime-")
    assert engine.name.endswith("-cpu")


def test_warm_up_needs_no_input() -> None:
    OnnxRuntimeEngine(NETWORK, gpu=False).warm_up()


def test_digest_names_the_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(NETWORK.read_bytes())
    other = OnnxRuntimeEngine(weights_folder() / "audio.onnx", gpu=False)
    assert OnnxRuntimeEngine(copy, gpu=False).digest == OnnxRuntimeEngine(NETWORK, gpu=False).digest != other.digest


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "takes the inputs window; got none"),
        ({"gyro": np.zeros((1, 14), np.float32)}, "got gyro"),
        ({"window": np.zeros((1, 13), np.float32)}, "(1, 13)"),
        ({"window": np.zeros(14, np.float32)}, "(14,)"),
        ({"window": np.zeros((1, 14))}, "float64, expected float32"),
    ],
)
def test_wrong_inputs_are_explained(inputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(SensorfuseError) as caught:
        OnnxRuntimeEngine(NETWORK, gpu=False).run(inputs)
    assert words in str(caught.value)
    assert "imu.onnx" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_corrupt_or_absent_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorfuseError, match=r"broken\.onnx"):
        OnnxRuntimeEngine(path, gpu=False)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    content = NETWORK.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SensorfuseError, match=r"half\.onnx"):
        OnnxRuntimeEngine(path, gpu=False)


def test_no_provider_is_asked_for_in_vain(capfd: pytest.CaptureFixture[str]) -> None:
    engine = OnnxRuntimeEngine(NETWORK)
    captured = capfd.readouterr()
    assert "rror" not in captured.err + captured.out
    assert engine.name.endswith("-cuda" if gpu_answers() else "-cpu")
