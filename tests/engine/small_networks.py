"""A small network with a convolution, attention's products, a softmax, geometry and a mask; and inputs for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

CHANNELS, CELLS = 8, 6


def network(scale: float = 1.0) -> ModelProto:
    """`picture` (B, 8, 6, 6), `where` (B, 6, 6, 2) and `present` (B, 1) -> `seen`, `shares`, `score`."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((scale * 0.3 * rng.normal(size=shape)).astype(np.float32), name)

    constants = [
        weights("w1", 8, 8, 3, 3),
        weights("w2", 8, 8, 3, 3),
        weights("w3", 8, 8, 3, 3),
        weights("w4", 8, 4),
        weights("w5", 4, 2),
        numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        numpy_helper.from_array(np.float32(0.5), "half"),
    ]
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["picture", "w1"], ["a"], name="first", **pads),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="middle", **pads),
        helper.make_node("Add", ["b", "c"], ["d"], name="residual"),
        helper.make_node("GridSample", ["d", "where"], ["sampled"], name="geometry"),
        helper.make_node("Conv", ["sampled", "w3"], ["seen"], name="last", **pads),
        helper.make_node("ReduceMean", ["d", "axes"], ["mean"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["mean", "w4"], ["hidden"], name="inner"),
        helper.make_node("Mul", ["hidden", "half"], ["scaled"], name="scale"),
        helper.make_node("Softmax", ["scaled"], ["shares"], name="softmax", axis=-1),
        helper.make_node("Mul", ["hidden", "hidden"], ["square"], name="square"),
        helper.make_node("Mul", ["square", "present"], ["masked"], name="mask"),
        helper.make_node("MatMul", ["masked", "w5"], ["score"], name="head"),
    ]
    shapes: dict[str, list[Any]] = {
        "picture": ["batch", CHANNELS, CELLS, CELLS],
        "where": ["batch", CELLS, CELLS, 2],
        "present": ["batch", 1],
        "seen": ["batch", CHANNELS, CELLS, CELLS],
        "shares": ["batch", 4],
        "score": ["batch", 2],
    }
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()}
    graph = helper.make_graph(
        nodes, "small", [values[n] for n in list(shapes)[:3]], [values[n] for n in list(shapes)[3:]], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def draw(count: int, batch: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Inputs of the network."""
    rng = np.random.default_rng(seed)
    return [
        {
            "picture": rng.random((batch, CHANNELS, CELLS, CELLS), dtype=np.float32),
            "where": (2.4 * rng.random((batch, CELLS, CELLS, 2)) - 1.2).astype(np.float32),
            "present": np.ones((batch, 1), np.float32),
        }
        for _ in range(count)
    ]
