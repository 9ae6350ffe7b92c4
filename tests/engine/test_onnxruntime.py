"""Networks by ONNX Runtime: parity of batches, what is refused, what is kept, where threads run."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.engine.onnxruntime import BoundBuffers, OnnxRuntimeEngine, why_not
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder

NETWORK = weights_folder() / "imu.onnx"


def test_runs_named_arrays_at_any_batch() -> None:
    engine = OnnxRuntimeEngine(NETWORK)
    window = np.random.default_rng(0).normal(size=(3, 14)).astype(np.float32)
    three = engine.run({"window": window})["features"]
    one = engine.run({"window": window[1:2]})["features"]
    assert three.shape == (3, 24)
    assert np.allclose(three[1], one[0], atol=1e-6)
    assert engine.output_names == ["features"]
    assert engine.name.startswith("onnxruntime-")
    assert engine.name.endswith("-cpu")


def test_warm_up_needs_no_input() -> None:
    OnnxRuntimeEngine(NETWORK).warm_up()


def test_digest_names_the_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(NETWORK.read_bytes())
    other = OnnxRuntimeEngine(weights_folder() / "audio.onnx")
    assert OnnxRuntimeEngine(copy).digest == OnnxRuntimeEngine(NETWORK).digest != other.digest


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
        OnnxRuntimeEngine(NETWORK).run(inputs)
    assert words in str(caught.value)
    assert "imu.onnx" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_corrupt_or_absent_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorfuseError, match=r"broken\.onnx"):
        OnnxRuntimeEngine(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    content = NETWORK.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SensorfuseError, match=r"half\.onnx"):
        OnnxRuntimeEngine(path)


def test_no_provider_is_asked_for_in_vain(capfd: pytest.CaptureFixture[str]) -> None:
    if not why_not("cuda"):
        pytest.skip("a GPU answers here")
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(SensorfuseError, match=f"engine onnxruntime-{provider}: "):
            OnnxRuntimeEngine(NETWORK, provider=provider)  # type: ignore[arg-type]
    captured = capfd.readouterr()
    assert "rror" not in captured.err + captured.out


def test_what_a_run_gave_is_not_written_to_by_a_later_one() -> None:
    """Features are kept while later samples are encoded; from buffers of the session's own and from bound ones."""
    engine = OnnxRuntimeEngine(NETWORK)
    bound = BoundBuffers(engine._session, engine.output_names, "cpu")
    rng = np.random.default_rng(0)
    windows = [{"window": rng.normal(size=(n, 14)).astype(np.float32)} for n in (1, 1, 3, 1)]
    results = [[run(w)["features"] for w in windows] for run in (engine.run, bound.run)]
    for k, window in enumerate(windows):
        again = engine.run(window)["features"]
        assert np.array_equal(results[0][k], again)
        assert np.array_equal(results[1][k], again)


def test_threads_are_pinned_and_change_nothing() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        pytest.skip("needs two cores, on Linux")
    before = set(os.listdir("/proc/self/task"))
    engine = OnnxRuntimeEngine(NETWORK, threads=2, cores=cores)
    workers = [int(t) for t in set(os.listdir("/proc/self/task")) - before]
    end = time.monotonic() + 10
    while [os.sched_getaffinity(t) for t in workers] != [{cores[1]}] and time.monotonic() < end:
        time.sleep(0.01)  # a worker pins itself once it runs
    assert [os.sched_getaffinity(t) for t in workers] == [{cores[1]}]
    assert len(os.sched_getaffinity(threading.get_native_id())) >= 2, "the caller pins its own thread"
    window = {"window": np.ones((2, 14), np.float32)}
    assert np.allclose(engine.run(window)["features"], OnnxRuntimeEngine(NETWORK).run(window)["features"], atol=1e-6)


def test_a_variant_is_named_by_what_it_is_made_of() -> None:
    engine = OnnxRuntimeEngine(weights_folder() / "audio.onnx", precision="fp16", source=NETWORK)
    assert engine.precision == "fp16"
    assert engine.digest == OnnxRuntimeEngine(NETWORK).digest
