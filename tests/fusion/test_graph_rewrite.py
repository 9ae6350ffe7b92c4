"""Each rewriting computes what the graph did, at any batch, and is made where it should be and only there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine  # noqa: E402
from sensorfuse.fusion.graph_rewrite import rewrite  # noqa: E402

RNG = np.random.default_rng(0)


def model_of(nodes: list, inputs: dict[str, list], constants: dict[str, np.ndarray], output: list) -> onnx.ModelProto:
    def value(name: str, shape: list) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "g",
        [value(n, ["batch", *s]) for n, s in inputs.items()],
        [value("out", ["batch", *output])],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def same(model: onnx.ModelProto, shapes: dict[str, list], tmp_path: Path) -> tuple[Counter, Counter]:
    """Both compute the same; the kinds of nodes before and after."""
    rewritten = rewrite(model)
    engines = []
    for name, m in (("a", model), ("b", rewritten)):
        onnx.save(m, str(tmp_path / f"{name}.onnx"))
        engines.append(OnnxRuntimeEngine(tmp_path / f"{name}.onnx"))
    for batch in (1, 3):
        inputs = {n: RNG.normal(size=(batch, *s)).astype(np.float32) for n, s in shapes.items()}
        a, b = (e.run(inputs)["out"] for e in engines)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    return tuple(Counter(n.op_type for n in m.graph.node) for m in (model, rewritten))  # type: ignore[return-value]


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("channels", "padded"), [(13, True), (16, False), (3, False)])
def test_convolutions_get_whole_blocks_of_channels(channels: int, padded: bool, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["out"], pads=[1, 1, 1, 1])]
    constants = {"w": draw(8, channels, 3, 3), "b": draw(8)}
    model = model_of(nodes, {"x": [channels, 6, 6]}, constants, [8, 6, 6])
    _, after = same(model, {"x": [channels, 6, 6]}, tmp_path)
    assert after["Concat"] == int(padded)
    widths = {numpy_helper.to_array(c).shape[1] for c in rewrite(model).graph.initializer if len(c.dims) == 4}
    assert widths == {16 if padded else channels}


@pytest.mark.parametrize("rest", [[5], [2, 3]])
def test_linear_layers_become_one_product_with_a_bias(rest: list[int], tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["b", "y"], ["out"])]
    model = model_of(nodes, {"x": [*rest, 4]}, {"w": draw(4, 7), "b": draw(7)}, [*rest, 7])
    _, after = same(model, {"x": [*rest, 4]}, tmp_path)
    assert after == {"Reshape": 2, "Gemm": 1}


def test_a_product_that_others_read_too_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Add", ["y", "b"], ["z"]),
        helper.make_node("Mul", ["z", "y"], ["out"]),
    ]
    before, after = same(
        model_of(nodes, {"x": [5, 4]}, {"w": draw(4, 7), "b": draw(7)}, [5, 7]), {"x": [5, 4]}, tmp_path
    )
    assert before == after


@pytest.mark.parametrize(("n", "m", "spread"), [(5, 3, True), (40, 40, False), (1, 6, False)])
def test_products_of_small_vectors_are_spread(n: int, m: int, spread: bool, tmp_path: Path) -> None:
    inputs = {"a": [9, n, 1], "b": [9, 1, m]}
    model = model_of([helper.make_node("Mul", ["a", "b"], ["out"])], inputs, {}, [9, n, m])
    _, after = same(model, inputs, tmp_path)
    assert after["Einsum"] == (2 if spread else 0)


def test_names_and_what_is_not_touched_stay() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], group=13), helper.make_node("Relu", ["y"], ["out"])]
    model = model_of(nodes, {"x": [13, 4, 4]}, {"w": draw(13, 1, 1, 1)}, [13, 4, 4])
    assert rewrite(model).graph.node == model.graph.node
