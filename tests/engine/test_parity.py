"""Gates between engines: what counts as the same."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, shape_inference  # noqa: E402
from small_networks import draw, network  # noqa: E402

from sensorfuse.engine.mixed_precision import to_mixed_precision  # noqa: E402
from sensorfuse.engine.parity import GATES, CpuSession, compare, emulated, worst  # noqa: E402
from sensorfuse.errors import SensorfuseError  # noqa: E402


class Gives:
    """An engine that gives its input times `factor`, and an output that stays."""

    def __init__(self, factor: float = 1.0, **others: float) -> None:
        self.factor, self.others = factor, others

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": self.factor * inputs["x"]} | {n: np.full(3, v) for n, v in self.others.items()}


def test_differences_are_shares_of_the_largest_magnitude() -> None:
    recorded = [{"x": np.array([1.0, -200.0])}, {"x": np.array([3.0, 4.0])}]
    (found,) = compare(Gives(), Gives(1.005), recorded, "fp16")
    assert found.absolute == pytest.approx(1.0)
    assert found.share == pytest.approx(0.005)
    (small,) = compare(Gives(), Gives(1.005), [{"x": np.array([0.01])}], "fp16")
    assert small.share == pytest.approx(0.005)
    (absolute,) = compare(Gives(), Gives(1.005), [{"x": np.array([0.01])}], "fp32")
    assert absolute.share == pytest.approx(5e-5)


def test_the_worst_output_counts_and_nan_is_never_the_same() -> None:
    recorded = [{"x": np.array([1.0])}]
    found = compare(Gives(z=1.0, w=2.0), Gives(z=1.1, w=2.0), recorded, "fp16")
    assert worst(found).output == "z"
    assert worst(compare(Gives(), Gives(np.nan), recorded, "fp16")).share == np.inf


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(SensorfuseError, match="no recorded inputs"):
        compare(Gives(), Gives(), [], "fp32")
    with pytest.raises(SensorfuseError, match="outputs are y and y, z"):
        compare(Gives(), Gives(z=1.0), [{"x": np.ones(1)}], "fp32")
    with pytest.raises(SensorfuseError, match="can't load"):
        CpuSession(onnx.ModelProto())


def test_gates_are_those_of_the_design() -> None:
    assert GATES == {"fp32": 1e-4, "fp16": 1e-2, "bf16": 2e-2}


def test_emulated_rounds_where_the_file_does() -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in "xy"]
    low = TensorProto.BFLOAT16
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=low),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    x = np.array([[1.0 + 2**-7, 1.0 + 2**-9]], np.float32)  # bfloat16 has 7 bits after the point
    out = CpuSession(emulated(model)).run({"x": x})["y"]
    np.testing.assert_array_equal(out, [[2 + 2**-6, 2.0]])


def test_emulated_reads_bfloat16_in_no_node_but_casts() -> None:
    model = shape_inference.infer_shapes(emulated(to_mixed_precision(network(), "bf16").model), strict_mode=True)
    low = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.BFLOAT16}
    low |= {i.name for i in model.graph.initializer if i.data_type == TensorProto.BFLOAT16}
    assert low
    assert {n.op_type for n in model.graph.node if low & {*n.input, *n.output}} == {"Cast"}
    CpuSession(model).run(draw(1)[0])
