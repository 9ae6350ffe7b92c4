"""How far one engine's outputs lie from another's on the same recorded inputs, and how far they may.

An output's difference is the largest over all recordings and entries. fp32's gate is 1e-4, absolute, or that share of
the output's largest magnitude where this is above 1. The 16-bit precisions are gated by the share of the output's
largest magnitude, as their error grows with the numbers: 1e-2 for fp16, which has 11 bits; 2e-2 for bfloat16, which has
8, so that one rounding alone is 2e-3 of a number. INT8 is not gated by outputs but by what detection loses: 1 % of its
score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, shape_inference

from sensorfuse.engine.engine import Precision
from sensorfuse.errors import SensorfuseError, first_line

Arrays = Mapping[str, NDArray[Any]]
GATES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 2e-2}
"""Of the largest difference, as `Difference.share`."""
SCORE_LOSS = 0.01
"""Share of the detection score that INT8 may lose."""


class Runs(Protocol):
    """What `compare` asks of an engine."""

    def run(self, inputs: Arrays) -> Mapping[str, NDArray[Any]]:
        """Outputs by name."""


@dataclass(frozen=True)
class Difference:
    """Of one output: the largest difference as it is, and as a share of the output's largest magnitude (in fp32 only
    where that is above 1).
    """

    output: str
    absolute: float
    share: float


def compare(reference: Runs, engine: Runs, recorded: Sequence[Arrays], precision: Precision) -> list[Difference]:
    """Differences per output.

    Raises:
        SensorfuseError: nothing is recorded, or the engines have other outputs.
    """
    if not recorded:
        raise SensorfuseError("no recorded inputs to compare engines by")
    expected: dict[str, list[NDArray[Any]]] = {}
    got: dict[str, list[NDArray[Any]]] = {}
    for inputs in recorded:
        for outputs, kept in ((reference.run(inputs), expected), (engine.run(inputs), got)):
            for name, array in outputs.items():
                kept.setdefault(name, []).append(np.asarray(array, np.float64).ravel())
    if expected.keys() != got.keys():
        raise SensorfuseError(f"the engines' outputs are {', '.join(expected)} and {', '.join(got)}")
    return [_difference(n, np.concatenate(expected[n]), np.concatenate(got[n]), precision) for n in expected]


def _difference(name: str, a: NDArray[np.float64], b: NDArray[np.float64], precision: Precision) -> Difference:
    if a.shape != b.shape or not np.isfinite(b).all():
        return Difference(name, float("inf"), float("inf"))
    size, largest = float(np.abs(a).max(initial=0.0)), float(np.abs(a - b).max(initial=0.0))
    return Difference(name, largest, largest / max(size, 1.0 if precision == "fp32" else 1e-6))


def worst(differences: Iterable[Difference]) -> Difference:
    """The output that differs most."""
    return max(differences, key=lambda d: d.share)


class CpuSession:
    """A network on the CPU exactly as its file says: no rewriting, so that every rounding takes place.

    Raises:
        SensorfuseError: ONNX Runtime can't load it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        try:
            self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a family of its own
            raise SensorfuseError(f"ONNX Runtime can't load the network: {first_line(error)}") from None
        self._names = [o.name for o in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))


def emulated(model: onnx.ModelProto, low: int = TensorProto.BFLOAT16) -> onnx.ModelProto:
    """A network of a 16-bit type with the same roundings and fp32 arithmetic: CPUs have no kernels for bfloat16.

    What a node reads and writes in 16 bits is rounded to them; within a node sums are fp32, as in tensor cores.
    """
    typed = shape_inference.infer_shapes(model)
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*typed.graph.value_info, *typed.graph.input)}
    kinds |= {i.name: i.data_type for i in typed.graph.initializer}
    out = onnx.ModelProto()
    out.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        if node.op_type == "Cast":
            nodes.append(new)
            continue
        for i, name in enumerate(node.input):
            if name and kinds.get(name) == low:
                wide = f"{name}.wide.{len(nodes)}"
                nodes.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
                new.input[i] = wide
        nodes.append(new)
        for i, name in enumerate(node.output):
            if name and kinds.get(name) == low:
                new.output[i] = f"{name}.wide"
                nodes.append(helper.make_node("Cast", [new.output[i]], [name], to=low))
    del out.graph.node[:], out.graph.value_info[:]
    out.graph.node.extend(nodes)
    return out
