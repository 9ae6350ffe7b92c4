"""Networks run by ONNX Runtime: named arrays in, named arrays out.

Several processes share the machine's cores, so a session takes the threads it is given, one at a time between
operators, and does not spin while it waits. The CUDA provider is asked for only where a GPU answers: asking without one
prints errors.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}


@lru_cache(maxsize=1)
def gpu_answers() -> bool:
    """Whether NVIDIA's driver is here and counts at least one GPU, and this ONNX Runtime has the CUDA provider."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


class OnnxRuntimeEngine:
    """One network from an ONNX file.

    Args:
        path: the ONNX file.
        threads: threads within an operator.
        gpu: use the CUDA provider if a GPU answers.

    Raises:
        SensorfuseError: the file is absent, or is no ONNX network that this ONNX Runtime can load.
    """

    precision = "fp32"

    def __init__(self, path: Path, threads: int = 1, gpu: bool = True) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise SensorfuseError(f"{path}: no readable network: {error.strerror or error}") from None
        self.path = Path(path)
        self.digest = hashlib.sha256(content).hexdigest()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = (
            ["CUDAExecutionProvider", "CPUExecutionProvider"] if gpu and gpu_answers() else ["CPUExecutionProvider"]
        )
        try:
            self._session = ort.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime raises a family of its own, not derived from one public class
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SensorfuseError(
                f"{path}: not an ONNX network that ONNX Runtime {ort.__version__} can load ({first}); "
                "export it again, or reinstall the package"
            ) from None
        self.input_shapes: dict[str, list[Any]] = {i.name: i.shape for i in self._session.get_inputs()}
        self._input_types = {i.name: _TYPES.get(i.type) for i in self._session.get_inputs()}
        self.output_names: list[str] = [o.name for o in self._session.get_outputs()]
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.name = f"onnxruntime-{ort.__version__}-{provider}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name. Inputs have the batch axis and the network's own types.

        Raises:
            SensorfuseError: an input is missing, unknown, or has the wrong type or shape.
        """
        problem = self._problem(inputs)
        if problem:
            raise SensorfuseError(f"{self.path.name}: {problem}")
        return dict(zip(self.output_names, self._session.run(self.output_names, dict(inputs)), strict=True))

    def warm_up(self) -> None:
        """Run once on zeros with batch 1, so that the first real run is not the slow one."""
        self.run(
            {
                name: np.zeros([d if isinstance(d, int) else 1 for d in shape], self._input_types[name])
                for name, shape in self.input_shapes.items()
            }
        )

    def _problem(self, inputs: Mapping[str, NDArray[Any]]) -> str | None:
        if set(inputs) != set(self.input_shapes):
            return f"takes the inputs {', '.join(self.input_shapes)}; got {', '.join(inputs) or 'none'}"
        for name, array in inputs.items():
            shape = self.input_shapes[name]
            if array.ndim != len(shape) or any(
                isinstance(d, int) and d != a for d, a in zip(shape, array.shape, strict=True)
            ):
                return f"input {name!r} has shape {array.shape}, expected {tuple(shape)}"
            expected = self._input_types[name]
            if expected is not None and array.dtype != expected:
                return f"input {name!r} has type {array.dtype}, expected {np.dtype(expected).name}"
        return None
