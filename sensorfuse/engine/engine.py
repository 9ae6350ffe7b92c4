"""What every backend is: named arrays in, named arrays out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError

Precision = Literal["fp32", "fp16", "bf16", "int8"]
Backend = Literal[
    "torch",
    "torch-compile",
    "torch-cuda",
    "torch-compile-cuda",
    "onnxruntime-cpu",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "tensorrt",
    "tensorrt_rtx",
]

BUILDS: Counter[str] = Counter()
"""How many engines this process has made, by backend: losing a sensor adds none."""


def read_network(path: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        SensorfuseError: it can't be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SensorfuseError(f"{path}: no readable network: {error.strerror or error}") from None


def sha256(content: bytes) -> str:
    """By which a network's file is named: in caches, variants and cards."""
    return hashlib.sha256(content).hexdigest()


def zero_inputs(shapes: Mapping[str, Sequence[Any]], types: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Arrays of zeros that a network takes, with every free axis at 1."""
    return {n: np.zeros([d if isinstance(d, int) else 1 for d in s], types[n]) for n, s in shapes.items()}


class WrongInput(SensorfuseError):
    """The caller's fault, not the engine's: an input is missing, unknown, or has the wrong type or shape."""


def check_inputs(
    network: str, inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, list[Any]], types: Mapping[str, Any]
) -> None:
    """Compare arrays with what a network takes; a free axis has a name in place of a length.

    Raises:
        WrongInput: an input is missing, unknown, or has the wrong type or shape.
    """
    if inputs.keys() != shapes.keys():
        raise WrongInput(f"{network}: takes the inputs {', '.join(shapes)}; got {', '.join(inputs) or 'none'}")
    for name, array in inputs.items():
        shape = shapes[name]
        if array.ndim != len(shape) or any(
            isinstance(d, int) and d != a for d, a in zip(shape, array.shape, strict=True)
        ):
            raise WrongInput(f"{network}: input {name!r} has shape {array.shape}, expected {tuple(shape)}")
        expected = types[name]
        if expected is not None and array.dtype != expected:
            raise WrongInput(f"{network}: input {name!r} has type {array.dtype}, expected {np.dtype(expected).name}")


class Engine(Protocol):
    """One network, ready to run."""

    @property
    def name(self) -> str:
        """Backend, its version and the device."""

    @property
    def precision(self) -> Precision:
        """Of its heavy arithmetic; geometry and products stay fp32."""

    @property
    def digest(self) -> str:
        """SHA-256 of the fp32 ONNX file that it was made of."""

    @property
    def input_shapes(self) -> dict[str, list[Any]]:
        """By name; a free axis has a name in place of a length."""

    @property
    def output_names(self) -> list[str]:
        """In the network's order."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, the caller's to keep: no later run writes into them. Inputs have the batch axis and the
        network's own types.

        Raises:
            WrongInput: an input is missing, unknown, or has the wrong type or shape. Whatever else is raised is the
                backend's own failure.
        """

    def warm_up(self) -> None:
        """Run once on zeros with batch 1, so that the first real run is not the slow one."""
