"""What a network asks of a machine, and what the machine gives: arithmetic, memory traffic, operators.

After the roofline model (Williams, Waterman, Patterson, CACM 2009), with a third roof: the time that a backend takes
to start an operator whatever its size.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError

SIDE = 512  # of the matrices whose product measures arithmetic
CHAIN = 200  # operators on one number each
COPIED_BYTES = 64 << 20
FREE = frozenset({"Constant", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Shape", "Cast"})
"""Operators that move next to nothing."""


@dataclass(frozen=True)
class NetworkCost:
    """Of one run with batch 1: floating-point operations, bytes read and written by its operators, and how many of
    those there are.
    """

    operations: float
    bytes: float
    operators: int


@dataclass(frozen=True)
class Machine:
    """Measured by the same threads: operations and bytes a second, and seconds to start an operator."""

    operations_per_s: float
    bytes_per_s: float
    start_s: float

    def seconds(self, cost: NetworkCost) -> dict[str, float]:
        """What each limit alone would take."""
        return {
            "dispatch": cost.operators * self.start_s,
            "memory": cost.bytes / self.bytes_per_s,
            "arithmetic": cost.operations / self.operations_per_s,
        }


def network_cost(path: Path) -> NetworkCost:
    """Count a network's work from its graph.

    Raises:
        SensorfuseError: `onnx` is not installed (extra `train`), or the file is no network.
    """
    onnx = _onnx()
    try:
        model = onnx.load(str(path))
        for value in model.graph.input:
            for axis in value.type.tensor_type.shape.dim:
                if axis.dim_param:
                    axis.dim_value = 1
        del model.graph.value_info[:]
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:
        raise SensorfuseError(f"{path}: its work cannot be counted: {error}") from None
    sizes: dict[str, tuple[int, ...]] = {i.name: tuple(i.dims) for i in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        sizes[value.name] = tuple(a.dim_value or 1 for a in value.type.tensor_type.shape.dim)
    operations = moved = 0.0
    nodes = [n for n in graph.node if n.op_type not in FREE]
    for node in nodes:
        given = [sizes.get(n, ()) for n in node.input if n]
        made = [sizes.get(n, ()) for n in node.output if n]
        moved += 4.0 * sum(math.prod(s) for s in (*given, *made))
        operations += _operations(node.op_type, given, made)
    return NetworkCost(operations, moved, len(nodes))


def _operations(kind: str, given: list[tuple[int, ...]], made: list[tuple[int, ...]]) -> float:
    out = math.prod(made[0]) if made else 0
    if kind == "Conv":  # weights (out, in / groups, *kernel)
        return 2.0 * out * math.prod(given[1][1:])
    if kind == "ConvTranspose":  # weights (in, out / groups, *kernel)
        return 2.0 * math.prod(given[0]) * math.prod(given[1][1:])
    if kind in ("MatMul", "Gemm", "Einsum") and given and given[0]:
        return 2.0 * out * given[0][-1]
    return float(out)


def measure_machine(threads: int) -> Machine:
    """The best of several rounds of a matrix product, a copy, and a chain of operators on one number."""
    onnx = _onnx()
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def engine(nodes: list[Any], shape: list[int], inputs: tuple[str, ...]) -> Callable[[], Any]:
        def value(name: str) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        graph = helper.make_graph(nodes, "probe", [value(n) for n in inputs], [value("out")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probe.onnx"
            onnx.save(model, str(path))
            made = OnnxRuntimeEngine(path, threads)
        arrays = {n: np.full(shape, 0.5, np.float32) for n in inputs}
        return lambda: made.run(arrays)

    product = engine([helper.make_node("MatMul", ["a", "b"], ["out"])], [SIDE, SIDE], ("a", "b"))
    names = ["a", *(f"t{k}" for k in range(CHAIN - 1)), "out"]
    steps = [helper.make_node("Sin", [i], [o]) for i, o in itertools.pairwise(names)]
    chain = engine(steps, [1], ("a",))
    one = engine([helper.make_node("Sin", ["a"], ["out"])], [1], ("a",))
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros_like(source)
    start_s = max(0.0, _best_s(chain) - _best_s(one)) / (CHAIN - 1)
    copied = _best_s(lambda: np.copyto(target, source), 10)
    return Machine(2.0 * SIDE**3 / _best_s(product), 2.0 * COPIED_BYTES / copied, start_s)


def _best_s(work: Callable[[], Any], rounds: int = 30) -> float:
    spent = []
    for _ in range(rounds):
        before = time.perf_counter()
        work()
        spent.append(time.perf_counter() - before)
    return min(spent)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.shape_inference
    except ImportError:
        raise SensorfuseError("counting a network's work needs onnx: pip install 'sensorfuse[train]'") from None
    return onnx
