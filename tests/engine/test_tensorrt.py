"""Engines of TensorRT: built for real where `tensorrt_rtx` is installed, run on a GPU that is made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import MOST, WIDTH, FakeDriverLibrary, FakeTensorRt

from sensorfuse.engine import cache as cache_module
from sensorfuse.engine.cache import EngineCache, NoSpaceError
from sensorfuse.engine.cuda_driver import CudaDriver
from sensorfuse.engine.engine import WrongInput
from sensorfuse.engine.tensorrt import TensorRtEngine, engine_key, open_tensorrt
from sensorfuse.engine.tensorrt_build import BuildConfig, build_engine, compute_capabilities, load_api
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder

NETWORK = weights_folder() / "imu.onnx"


class Machine:
    """A made-up GPU with its cache."""

    def __init__(self, folder: Path, capability: tuple[int, int] = (8, 9), version: str = "1.7.1") -> None:
        self.library = FakeDriverLibrary(capability)
        self.api = FakeTensorRt(self.library, version)
        self.cache = EngineCache(folder / "engines")

    def open(self, **options: Any) -> TensorRtEngine:
        return TensorRtEngine(NETWORK, "fp32", self.api, CudaDriver(library=self.library), self.cache, **options)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def draw(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, WIDTH)).astype(np.float32)


def check(engine: TensorRtEngine, x: np.ndarray) -> dict[str, np.ndarray]:
    out = engine.run({"x": x})
    np.testing.assert_array_equal(out["double"], 2 * x)
    np.testing.assert_allclose(out["mean"], x.mean(axis=1), rtol=1e-6)
    return out


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_runs_what_it_is_given(machine: Machine, cuda_graph: bool) -> None:
    engine = machine.open(cuda_graph=cuda_graph)
    engine.warm_up()
    kept = check(engine, draw(2))["double"]
    before = kept.copy()
    for n, batch in enumerate((1, 3, 1, 3, 3, MOST)):
        check(engine, draw(batch, seed=n))
    np.testing.assert_array_equal(kept, before)  # the caller's to keep
    assert engine.input_shapes == {"x": ["batch", WIDTH]}
    assert engine.output_names == ["double", "mean"]
    assert engine.name == "tensorrt_rtx-1.7.1-Fake_GPU"


def test_more_than_an_engine_takes_goes_in_parts(machine: Machine) -> None:
    check(machine.open(), draw(2 * MOST + 1))
    assert machine.api.launched == [MOST, MOST, 1]


def test_graphs_are_recorded_once_per_batch_and_replayed(machine: Machine) -> None:
    engine = machine.open(cuda_graph=True)
    engine.warm_up()
    launched = len(machine.api.launched)
    for n in range(5):
        check(engine, draw(1, seed=n))
    assert len(machine.api.launched) == launched
    assert machine.library.calls.count("cuGraphLaunch") == 5
    assert len(machine.library.graphs) == 1


def test_buffers_are_made_once(machine: Machine) -> None:
    engine = machine.open()
    held = len(machine.library.held)
    for n in range(4):
        check(engine, draw(1 + n % 3, seed=n))
    assert len(machine.library.held) == held == 2 * 3


def test_the_second_opening_finds_it_in_the_cache(machine: Machine) -> None:
    check(machine.open(), draw(1))
    check(machine.open(), draw(1))
    assert len(machine.api.built) == 1
    assert machine.api.built[0].profiles[0].shapes == {"x": ([1, WIDTH], [1, WIDTH], [4, WIDTH])}


@pytest.mark.parametrize("other", [{"capability": (7, 5)}, {"version": "1.8.0"}])
def test_an_engine_of_another_gpu_or_version_is_built_anew(tmp_path: Path, other: dict[str, Any]) -> None:
    Machine(tmp_path).open()
    second = Machine(tmp_path, **other)
    check(second.open(), draw(1))
    assert len(second.api.built) == 1
    assert len(second.cache.entries()) == 2
    same = Machine(tmp_path)
    same.open()
    assert same.api.built == []


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_corrupt_engine_is_built_anew(machine: Machine, content: bytes | None) -> None:
    machine.open()
    (entry,) = machine.cache.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-3] if content is None else content)
    check(machine.open(), draw(1))
    assert len(machine.api.built) == 2
    assert machine.open() is not None
    assert len(machine.api.built) == 2


def test_a_whole_entry_that_the_runtime_refuses_is_built_anew(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    key = engine_key(NETWORK, "fp32", machine.api, "8.9")
    machine.cache.put(key, b'{"version": "1.6", "capability": 89}')
    check(machine.open(), draw(1))
    assert len(machine.api.built) == 1
    assert "not compatible with this version" in caplog.text


def test_without_disk_space_it_runs_from_memory(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise NoSpaceError(f"{path}: no disk space left")

    monkeypatch.setattr(cache_module, "write_private", full)
    check(machine.open(), draw(1))
    assert "no disk space left" in caplog.text


def test_a_gpu_that_it_does_not_support_is_said(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"Fake GPU \(compute capability 9\.0\); it supports 7\.5, 8\.9, 12\.0"):
        Machine(tmp_path, capability=(9, 0)).open()


def test_no_gpu_and_no_driver_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SensorfuseError, match=r"no NVIDIA GPU 0 answers; 0 are there"):
        CudaDriver(library=FakeDriverLibrary(count=0))

    def absent(_: str) -> None:
        raise OSError

    monkeypatch.setattr("ctypes.CDLL", absent)
    with pytest.raises(SensorfuseError, match="no NVIDIA driver"):
        CudaDriver()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [({}, "takes the inputs x"), ({"x": draw(1)[:, :3]}, r"\(1, 3\)"), ({"x": draw(1).astype(float)}, "float64")],
)
def test_wrong_inputs_are_the_callers_fault(machine: Machine, inputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(WrongInput, match=words):
        machine.open().run(inputs)


def test_failures_of_gpu_and_backend_are_told_apart_from_wrong_inputs(machine: Machine) -> None:
    engine = machine.open()
    machine.library.failing["cuStreamSynchronize"] = 700
    with pytest.raises(SensorfuseError, match=r"refused cuStreamSynchronize: error 700") as caught:
        engine.run({"x": draw(1)})
    assert not isinstance(caught.value, WrongInput)
    machine.library.failing = {}
    machine.api.fails = True
    with pytest.raises(SensorfuseError, match=r"imu\.onnx: tensorrt_rtx failed"):
        engine.run({"x": draw(1)})


def test_full_gpu_memory_is_said(machine: Machine) -> None:
    machine.library.failing["cuMemAlloc_v2"] = 2
    with pytest.raises(SensorfuseError, match="memory is full"):
        machine.open()


def test_a_precision_without_variant_says_how_to_make_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SensorfuseError, match=r"no fp16 variant.*sensorfuse compile"):
        engine_key(NETWORK, "fp16", machine.api, "8.9")


def test_a_backend_that_is_not_there_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("sensorfuse.engine.tensorrt_build.import_module", absent)
    with pytest.raises(SensorfuseError, match=r"pip install 'sensorfuse\[tensorrt\]'"):
        open_tensorrt(NETWORK, "tensorrt", "fp32", cuda_graph=False)
    with pytest.raises(SensorfuseError, match=r"pip install 'sensorfuse\[rtx\]'"):
        load_api("tensorrt_rtx")


@pytest.mark.parametrize("bad", [(0, 1, 2), (2, 1, 4), (1, 5, 4)])
def test_ranges_are_checked(bad: tuple[int, int, int]) -> None:
    with pytest.raises(SensorfuseError, match="range of 'batch'"):
        BuildConfig({"batch": bad})


# ---- the real builder, which needs no GPU


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install 'sensorfuse[rtx]' to build engines")


def test_engines_are_built_ahead_of_time(rtx: Any) -> None:
    assert {"7.5", "8.0", "8.6", "8.9", "12.0"} <= set(compute_capabilities(rtx))
    built = build_engine(NETWORK, rtx, "8.9", BuildConfig({"batch": (1, 2, 8)}))
    assert len(built.payload) > NETWORK.stat().st_size
    with pytest.raises(SensorfuseError, match=r"compute capability 9\.9: it builds for 7\.5"):
        build_engine(NETWORK, rtx, "9.9")


def test_an_operator_that_it_lacks_is_named(rtx: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Bernoulli", ["x"], ["y"], name="odd_one")
    values = [helper.make_tensor_value_info(n, kind, ["batch", 3]) for n in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    with pytest.raises(SensorfuseError, match=r"odd\.onnx.*Bernoulli.*odd_one"):
        build_engine(path, rtx, "8.9")


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_files_that_are_no_networks_are_refused(rtx: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorfuseError, match=r"broken\.onnx"):
        build_engine(path, rtx, "8.9")
