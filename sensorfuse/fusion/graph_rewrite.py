"""Exported graphs put into a form that runtimes compute faster; what they compute stays the same to rounding.

- A convolution whose inputs are not a whole number of blocks of 8 channels is given more of them, with weights of
  zero: blocked kernels (ONNX Runtime's NCHWc) take only whole blocks, and fall back to one half as fast.
- A linear layer on tokens becomes one `Gemm` with its bias, in place of a product and a pass over its result.
- A product of two small vectors per token, each with each, becomes two products with constant matrices of zeros and
  ones that spread them, and one plain product: broadcasting over short axes costs several times as much. They are
  written as `Einsum`, which no conversion to another precision takes for a layer: spreading is exact, and stays so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

BLOCK = 8
"""Channels in a block of the widest kernels for common CPUs that divide all of this project's layers."""
LONGEST_SPREAD = 256
"""Numbers per token of a product of vectors, at most, for spreading to pay."""


def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, faster; names of inputs and outputs stay."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = _Graph(inferred)
    graph.whole_blocks()
    graph.linear_layers()
    graph.vector_products()
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph.write(out)
    onnx.checker.check_model(out)
    return out


class _Graph:
    """Nodes in order, constants, and the shapes of what flows between them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.nodes = list(graph.node)
        self.constants = {c.name: c for c in graph.initializer}
        self.outputs = {o.name for o in graph.output}
        self.shapes: dict[str, list[int | None]] = {c.name: list(c.dims) for c in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                self.shapes[value.name] = [d.dim_value if d.HasField("dim_value") else None for d in dims]
        self._made = 0

    def write(self, model: onnx.ModelProto) -> None:
        """Put nodes and constants, as far as they are used, into a model."""
        del model.graph.node[:]
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        kept = [c for name, c in self.constants.items() if name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        alive = {name for node in self.nodes for name in node.output}
        values = [v for v in model.graph.value_info if v.name in alive]
        del model.graph.value_info[:]
        model.graph.value_info.extend(values)

    # ---- the three forms

    def whole_blocks(self) -> None:
        """Convolutions of whole blocks of input channels."""
        for node in list(self.nodes):
            if node.op_type != "Conv" or node.input[1] not in self.constants or _group(node) != 1:
                continue
            weights = self._array(node.input[1])
            lacking = -weights.shape[1] % BLOCK
            if lacking == 0 or weights.shape[1] <= BLOCK:
                continue
            more = self._node(
                "Slice", [node.input[0], *(self._constant(np.array([k])) for k in (0, lacking, 1))], before=node
            )
            joined = self._node("Concat", [node.input[0], more], before=node, axis=1)
            padding = np.zeros((weights.shape[0], lacking, *weights.shape[2:]), weights.dtype)
            node.input[0] = joined
            node.input[1] = self._constant(np.concatenate([weights, padding], axis=1))

    def linear_layers(self) -> None:
        """Products with a constant matrix whose result, and nothing else, has a constant vector added."""
        for add in list(self.nodes):
            if add.op_type != "Add":
                continue
            product = self._only_maker(add, "MatMul")
            if product is None:
                continue
            bias = next(n for n in add.input if n != product.output[0])
            matrix, rows = self.constants.get(product.input[1]), self.shapes.get(product.input[0])
            vector = self.constants.get(bias)
            if matrix is None or vector is None or rows is None or len(matrix.dims) != 2 or len(rows) < 3:
                continue
            if list(vector.dims) != [matrix.dims[1]] or None in rows[1:]:
                continue
            flat = self._node("Reshape", [product.input[0], self._lengths([-1, matrix.dims[0]])], before=add)
            made = self._node("Gemm", [flat, product.input[1], bias], before=add)
            self._replace(add, "Reshape", [made, self._lengths([-1, *rows[1:-1], matrix.dims[1]])])
            self.nodes.remove(product)

    def vector_products(self) -> None:
        """(B, T, n, 1) times (B, T, 1, m)."""
        for node in list(self.nodes):
            shapes = [self.shapes.get(n) for n in node.input] if node.op_type == "Mul" else []
            if len(shapes) != 2 or any(s is None or len(s) != 4 or None in s[1:] for s in shapes):
                continue
            (_, t, n, one), (_, t2, uno, m) = ([d or 0 for d in s or []] for s in shapes)
            if t != t2 or one != 1 or uno != 1 or min(n, m) == 1 or n * m > LONGEST_SPREAD:
                continue
            spread = []
            for name, count, matrix in (
                (node.input[0], n, np.repeat(np.eye(n, dtype=np.float32), m, axis=1)),
                (node.input[1], m, np.tile(np.eye(m, dtype=np.float32), (1, n))),
            ):
                flat = self._node("Reshape", [name, self._lengths([-1, count])], before=node)
                spread.append(self._node("Einsum", [flat, self._constant(matrix)], before=node, equation="ij,jk->ik"))
            made = self._node("Mul", spread, before=node)
            self._replace(node, "Reshape", [made, self._lengths([-1, t, n, m])])

    # ---- pieces

    def _only_maker(self, node: NodeProto, op_type: str) -> NodeProto | None:
        """The node of a kind that makes one of the inputs, if nobody else reads what it makes."""
        for maker in self.nodes:
            if maker.op_type == op_type and maker.output[0] in node.input and maker.output[0] not in self.outputs:
                readers = sum(list(n.input).count(maker.output[0]) for n in self.nodes)
                return maker if readers == 1 else None
        return None

    def _node(self, op_type: str, inputs: list[str], before: NodeProto, **attributes: Any) -> str:
        name = self._new_name()
        self.nodes.insert(self.nodes.index(before), helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def _replace(self, node: NodeProto, op_type: str, inputs: list[str]) -> None:
        self.nodes[self.nodes.index(node)] = helper.make_node(op_type, inputs, list(node.output), node.name)

    def _constant(self, array: NDArray[np.generic]) -> str:
        name = self._new_name()
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _lengths(self, lengths: list[int | None]) -> str:
        return self._constant(np.array(lengths, np.int64))

    def _array(self, name: str) -> NDArray[np.generic]:
        return numpy_helper.to_array(self.constants[name])

    def _new_name(self) -> str:
        self._made += 1
        return f"rewritten_{self._made}"


def _group(node: NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "group"), 1)
