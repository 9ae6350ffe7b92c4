"""fp32 networks -> the same with 16-bit arithmetic where it is safe: casts stand in the graph, nothing is left to a
builder's choice (strongly typed, which is all that TensorRT-RTX takes). Inputs and outputs stay fp32.

Convolutions and matrix products run in 16 bits. What only moves or adds numbers runs in the type that it is given, the
wider one where they differ. All the rest stays in fp32, whatever it is called: sampling by geometry, products of what
is computed (outer products, powers, gates), exponentials and their sums, norms and their statistics, presence masks.
So does a node with a constant that fp16 can't hold. This is the rule of automatic mixed precision (Micikevicius et al.,
ICLR 2018), decided once, in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

from sensorfuse.engine.precision import Precision
from sensorfuse.errors import SensorfuseError, first_line

SIXTEEN_BITS: dict[Precision, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
BFLOAT16_OPSET = 22
"""First operator set whose convolutions take bfloat16."""
HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# fmt: off
CARRIES = frozenset((
    "Add", "AveragePool", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Neg", "Pad", "Relu", "Reshape", "Resize", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
))
# fmt: on
FIRST_ONLY = frozenset({"Resize"})
"""Of their floating-point inputs only the first is data."""
READS_NO_VALUES = frozenset({"Shape", "Size"})
NO_ARITHMETIC = CARRIES | {"Cast"}
LARGEST_FP16 = 65504.0


@dataclass(frozen=True)
class MixedNetwork:
    """A converted network; `lowered` and `kept` name the nodes in 16 bits and in fp32, by their operator."""

    model: onnx.ModelProto
    lowered: dict[str, str]
    kept: dict[str, str]

    def kept_operators(self) -> dict[str, int]:
        """How many nodes of each operator stayed in fp32."""
        return dict(sorted(Counter(self.kept.values()).items()))


def to_mixed_precision(model: onnx.ModelProto, precision: Precision, islands: Iterable[str] = ()) -> MixedNetwork:
    """The network in a 16-bit precision.

    Args:
        model: an fp32 network; it is left as it is.
        islands: further nodes or operators, by name, that stay in fp32.

    Raises:
        SensorfuseError: the precision has no 16 bits, or the network is none that can be rewritten.
    """
    if precision not in SIXTEEN_BITS:
        raise SensorfuseError(f"precision {precision!r}: expected one of {', '.join(SIXTEEN_BITS)}")
    try:
        if precision == "bf16" and _opset(model) < BFLOAT16_OPSET:
            model = version_converter.convert_version(model, BFLOAT16_OPSET)
        model = shape_inference.infer_shapes(model, strict_mode=True)
    except Exception as error:  # onnx raises a family of its own, and RuntimeError
        raise SensorfuseError(f"the network can't be rewritten to {precision}: {first_line(error)}") from None
    return _Rewriter(model, SIXTEEN_BITS[precision], frozenset(islands)).rewrite()


def _opset(model: onnx.ModelProto) -> int:
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def constant_inputs(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """The graph's constants by name, its Constant nodes turned into initializers."""
    for node in [n for n in graph.node if n.op_type == "Constant"]:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if value is not None:
            graph.initializer.add().CopyFrom(value)
            graph.initializer[-1].name = node.output[0]
            graph.node.remove(node)
    return {i.name: i for i in graph.initializer}


class _Rewriter:
    def __init__(self, model: onnx.ModelProto, low: int, islands: frozenset[str]) -> None:
        self.model = model
        self.low = low
        self.islands = islands
        self.graph = model.graph
        self.constants = constant_inputs(self.graph)
        self.types = _float_tensors(self.graph, self.constants)
        self.home: dict[str, int] = {}  # of every computed floating-point tensor: its type
        self.made: dict[tuple[str, int], str] = {}  # casts and 16-bit copies of constants
        self.nodes: list[onnx.NodeProto] = []

    def rewrite(self) -> MixedNetwork:
        outputs = {o.name for o in self.graph.output}
        lowered, kept = {}, {}
        for number, node in enumerate(list(self.graph.node)):
            node.name = node.name or f"{node.op_type}_{number}"
            results = [o for o in node.output if o in self.types]
            data = [] if node.op_type in READS_NO_VALUES else self._data(node)
            if not results and not data:
                self.nodes.append(node)
                continue
            wanted = self._type_of(node, data) if results else TensorProto.FLOAT
            for i in data:
                node.input[i] = self._as(node.input[i], wanted)
            self.nodes.append(node)
            for name in results:
                self.home[name] = wanted
            self._keep_outputs(node, outputs)
            if wanted == self.low:
                lowered[node.name] = node.op_type
            elif node.op_type not in NO_ARITHMETIC:
                kept[node.name] = node.op_type
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        used = {i for n in self.nodes for i in n.input} | outputs
        constants = [c for c in self.graph.initializer if c.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(constants)
        return MixedNetwork(self.model, lowered, kept)

    def _data(self, node: onnx.NodeProto) -> list[int]:
        """Which of a node's inputs are floating-point data."""
        found = [i for i, name in enumerate(node.input) if name in self.types]
        return [i for i in found if i == 0] if node.op_type in FIRST_ONLY else found

    def _type_of(self, node: onnx.NodeProto, data: list[int]) -> int:
        if {node.name, node.op_type} & self.islands or not self._constants_fit(node, data):
            return TensorProto.FLOAT
        if node.op_type in HEAVY:
            return self.low
        computed = [node.input[i] for i in data if node.input[i] not in self.constants]
        scales = node.op_type == "Mul" and len(computed) == 1
        if (node.op_type in CARRIES or scales) and computed:
            return self.low if all(self.home.get(c) == self.low for c in computed) else TensorProto.FLOAT
        return TensorProto.FLOAT

    def _constants_fit(self, node: onnx.NodeProto, data: list[int]) -> bool:
        if self.low != TensorProto.FLOAT16:
            return True
        held = [self.constants[node.input[i]] for i in data if node.input[i] in self.constants]
        return all(float(np.abs(numpy_helper.to_array(c)).max(initial=0.0)) <= LARGEST_FP16 for c in held)

    def _as(self, name: str, wanted: int) -> str:
        """The tensor in a type: itself, a copy of a constant, or a cast that stands before its first use."""
        is_constant = name in self.constants
        if (TensorProto.FLOAT if is_constant else self.home.get(name, TensorProto.FLOAT)) == wanted:
            return name
        if (name, wanted) not in self.made:
            new = f"{name}.{TensorProto.DataType.Name(wanted).lower()}"
            self.made[name, wanted] = new
            if is_constant:
                self.graph.initializer.append(_converted(self.constants[name], wanted, new))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [new], name=f"cast {new}", to=wanted))
        return self.made[name, wanted]

    def _keep_outputs(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        """A graph's output is fp32 and keeps its name; what computes it in 16 bits gets another."""
        for i, name in enumerate(node.output):
            if name in outputs and self.home.get(name) == self.low:
                inner = f"{name}.{TensorProto.DataType.Name(self.low).lower()}"
                node.output[i] = inner
                self.home[inner], self.home[name] = self.low, TensorProto.FLOAT
                self.made[name, self.low] = inner
                to_float = helper.make_node("Cast", [inner], [name], name=f"cast {name}", to=TensorProto.FLOAT)
                self.nodes.append(to_float)


def _float_tensors(graph: onnx.GraphProto, constants: Mapping[str, TensorProto]) -> set[str]:
    """Names of all fp32 tensors."""
    known = (*graph.input, *graph.value_info, *graph.output)
    found = {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {n for n, c in constants.items() if c.data_type == TensorProto.FLOAT}


def _converted(constant: TensorProto, wanted: int, name: str) -> TensorProto:
    values = numpy_helper.to_array(constant).astype(helper.tensor_dtype_to_np_dtype(wanted))
    return numpy_helper.from_array(values, name)
