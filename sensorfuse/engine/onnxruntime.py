"""Networks run by ONNX Runtime, on the CPU, by CUDA or by TensorRT: named arrays in, named arrays out.

Several processes share the machine's cores, so a session takes the threads it is given, one at a time between
operators, and does not spin while it waits. A GPU provider is asked for only where a GPU answers: asking without one
prints errors.

On the CPU the session makes its own outputs: buffers bound once gain 1 to 2 % there, less than the copy costs that
features need, which are kept while later samples are encoded. On a GPU inputs and outputs are bound to device buffers,
made once per batch size, and each run's outputs are copied to the host.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sensorfuse.engine.engine import BUILDS, Precision, check_inputs, read_network, sha256, zero_inputs
from sensorfuse.errors import SensorfuseError, first_line

Provider = Literal["cpu", "cuda", "tensorrt"]
_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}
_DEVICE = 0


@lru_cache(maxsize=1)
def driver_counts_gpus() -> int:
    """How many GPUs NVIDIA's driver counts; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        answered = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return 0
    return count.value if answered else 0


def why_not(provider: Provider) -> str:
    """What a provider lacks on this machine; empty if nothing is known to be missing."""
    if provider == "cpu":
        return ""
    if _NAMES[provider] not in ort.get_available_providers():
        return f"this ONNX Runtime has no {provider} provider: pip install onnxruntime-gpu"
    if not driver_counts_gpus():
        return "no NVIDIA GPU answers"
    if provider == "tensorrt" and not _loads("libnvinfer.so.10"):
        return "TensorRT's library libnvinfer.so.10 is not found: pip install tensorrt"
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


class OnnxRuntimeEngine:
    """One network from an ONNX file.

    Args:
        path: the ONNX file.
        threads: threads within an operator.
        provider: what computes.
        cores: the cores of those threads. The first is the caller's own thread, which no session can pin; the others
            are the session's. Empty: wherever the system puts them.
        cuda_graph: record the kernels of a run, for each batch size, and replay them (not on the CPU).
        cache: folder for engines that the TensorRT provider builds.
        precision, source: where `path` is a variant, that of its heavy arithmetic, and the fp32 file it was made of.

    Raises:
        SensorfuseError: the file is absent, or is no ONNX network that this ONNX Runtime can load; the provider can't
            be had here.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        provider: Provider = "cpu",
        cores: Sequence[int] = (),
        cuda_graph: bool = False,
        cache: Path | None = None,
        precision: Precision = "fp32",
        source: Path | None = None,
    ) -> None:
        lacks = why_not(provider)
        if lacks:
            raise SensorfuseError(f"engine onnxruntime-{provider}: {lacks}")
        content = read_network(path)
        self.path = Path(path)
        self.precision: Precision = precision
        self.digest = sha256(content if source is None else read_network(source))
        settings = _provider_options(provider, cuda_graph, cache)
        if provider != "cpu" and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA's and cuDNN's libraries, where they were installed as packages
        wanted = [(_NAMES[provider], settings)] + ([("CPUExecutionProvider", {})] if provider != "cpu" else [])
        try:
            self._session = ort.InferenceSession(content, _session_options(threads, cores), providers=wanted)
        except Exception as error:  # ONNX Runtime raises a family of its own, not derived from one public class
            raise SensorfuseError(
                f"{path}: not an ONNX network that ONNX Runtime {ort.__version__} can load ({first_line(error)}); "
                "export it again, or reinstall the package"
            ) from None
        if _NAMES[provider] not in self._session.get_providers():
            raise SensorfuseError(
                f"engine onnxruntime-{provider}: the provider did not load, as its libraries are not found; "
                "pip install 'onnxruntime-gpu[cuda,cudnn]', or use engine: onnxruntime-cpu"
            )
        BUILDS[f"onnxruntime-{provider}"] += 1
        self.input_shapes: dict[str, list[Any]] = {i.name: i.shape for i in self._session.get_inputs()}
        self._input_types = {i.name: _TYPES.get(i.type) for i in self._session.get_inputs()}
        self.output_names: list[str] = [o.name for o in self._session.get_outputs()]
        self.name = f"onnxruntime-{ort.__version__}-{provider}"
        self._bound = None if provider == "cpu" else BoundBuffers(self._session, self.output_names, "cuda")

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, the caller's to keep. Inputs have the batch axis and the network's own types.

        Raises:
            WrongInput: an input is missing, unknown, or has the wrong type or shape.
        """
        check_inputs(self.path.name, inputs, self.input_shapes, self._input_types)
        if self._bound is not None:
            return self._bound.run(inputs)
        return dict(zip(self.output_names, self._session.run(self.output_names, dict(inputs)), strict=True))

    def warm_up(self) -> None:
        """Run once on zeros with batch 1, so that the first real run is not the slow one."""
        self.run(zero_inputs(self.input_shapes, self._input_types))


class BoundBuffers:
    """Inputs and outputs of a session on its device. The buffers of a batch size are made on its first run and used
    again: a recorded graph of kernels reads and writes where it did when it was recorded.
    """

    def __init__(self, session: ort.InferenceSession, output_names: list[str], device: str) -> None:
        self._session, self._output_names, self._device = session, output_names, device
        self._by_batch: dict[int, tuple[Any, dict[str, Any], dict[str, Any]]] = {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, copied to the host."""
        batch = next(iter(inputs.values())).shape[0]
        if batch not in self._by_batch:
            self._by_batch[batch] = self._bind(inputs)
        binding, given, made = self._by_batch[batch]
        for name, array in inputs.items():
            given[name].update_inplace(np.ascontiguousarray(array))
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(batch))  # each batch size has a recording of its own
        self._session.run_with_iobinding(binding, options)
        return {name: np.array(made[name].numpy()) for name in self._output_names}

    def _bind(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Buffers for such inputs, and for the outputs, whose shapes a run tells that binds none."""
        given = {n: self._value(np.ascontiguousarray(a)) for n, a in inputs.items()}
        probe, binding = self._session.io_binding(), self._session.io_binding()
        for name, value in given.items():
            probe.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_input(name, value)
        for name in self._output_names:
            probe.bind_output(name, "cpu")
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "-1")  # not to be recorded
        self._session.run_with_iobinding(probe, options)
        made = {n: self._value(v.numpy()) for n, v in zip(self._output_names, probe.get_outputs(), strict=True)}
        for name, value in made.items():
            binding.bind_ortvalue_output(name, value)
        return binding, given, made

    def _value(self, array: NDArray[Any]) -> Any:
        return ort.OrtValue.ortvalue_from_numpy(array.copy(), self._device, _DEVICE)


def _session_options(threads: int, cores: Sequence[int]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if len(cores) > 1:  # ONNX Runtime counts processors from 1, and the caller's thread is none of its own
        pinned = ";".join(str(core + 1) for core in cores[1:])
        options.add_session_config_entry("session.intra_op_thread_affinities", pinned)
    return options


def _provider_options(provider: Provider, cuda_graph: bool, cache: Path | None) -> dict[str, str]:
    if provider == "cuda":
        return {
            "device_id": str(_DEVICE),
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "enable_cuda_graph": "1" if cuda_graph else "0",
        }
    if provider == "tensorrt":
        caching = {} if cache is None else {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
        return {"device_id": str(_DEVICE), "trt_cuda_graph_enable": "1" if cuda_graph else "0", **caching}
    return {}
