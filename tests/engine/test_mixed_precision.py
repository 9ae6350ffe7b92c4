"""16-bit variants: which nodes are lowered, which types stand in the file, and how close it comes."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper, shape_inference  # noqa: E402
from small_networks import draw, network  # noqa: E402

from sensorfuse.engine.mixed_precision import MixedNetwork, to_mixed_precision  # noqa: E402
from sensorfuse.engine.parity import CpuSession, compare, emulated, worst  # noqa: E402
from sensorfuse.errors import SensorfuseError  # noqa: E402

LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def types_at(made: MixedNetwork) -> dict[str, set[int]]:
    """Per node, the floating-point types that it reads."""
    model = shape_inference.infer_shapes(made.model, strict_mode=True)
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.input)}
    kinds |= {i.name: i.data_type for i in model.graph.initializer}
    floats = {TensorProto.FLOAT, *LOW.values()}
    return {n.name: {kinds[i] for i in n.input if kinds.get(i) in floats} for n in model.graph.node}


@pytest.mark.parametrize("precision", list(LOW))
def test_heavy_arithmetic_is_lowered_and_islands_are_not(precision: str) -> None:
    made = to_mixed_precision(network(), precision)  # type: ignore[arg-type]
    onnx.checker.check_model(made.model, full_check=True)
    found = types_at(made)
    for name in ("first", "relu", "middle", "residual", "last", "inner", "head", "scale"):
        assert found[name] == {LOW[precision]}, name
        assert name in made.lowered
    for name in ("geometry", "mean", "softmax", "square", "mask"):
        assert found[name] == {TensorProto.FLOAT}, name
        assert name in made.kept
    assert made.kept_operators() == {"GridSample": 1, "Mul": 2, "ReduceMean": 1, "Softmax": 1}


@pytest.mark.parametrize("precision", list(LOW))
def test_inputs_and_outputs_keep_names_and_types(precision: str) -> None:
    before, after = network().graph, to_mixed_precision(network(), precision).model.graph  # type: ignore[arg-type]
    for side in ("input", "output"):
        assert [v.SerializeToString() for v in getattr(after, side)] == [
            v.SerializeToString() for v in getattr(before, side)
        ]


def test_constants_are_halved_and_the_wide_ones_gone() -> None:
    made = to_mixed_precision(network(), "fp16")
    floats = [i for i in made.model.graph.initializer if i.data_type != TensorProto.INT64]
    assert {i.data_type for i in floats} == {TensorProto.FLOAT16}
    assert made.model.ByteSize() < 0.65 * network().ByteSize()


def test_islands_can_be_asked_for_by_name_and_by_operator() -> None:
    found = types_at(to_mixed_precision(network(), "fp16", islands=("middle", "MatMul")))
    assert found["first"] == {TensorProto.FLOAT16}
    assert found["middle"] == found["inner"] == found["head"] == {TensorProto.FLOAT}


def test_a_constant_beyond_half_precision_keeps_its_node_in_fp32() -> None:
    model = network()
    for i in model.graph.initializer:
        if i.name == "w5":
            i.CopyFrom(numpy_helper.from_array(np.full((4, 2), 1e5, np.float32), "w5"))
    assert types_at(to_mixed_precision(model, "fp16"))["head"] == {TensorProto.FLOAT}
    assert types_at(to_mixed_precision(model, "bf16"))["head"] == {TensorProto.BFLOAT16}  # it has fp32's range


@pytest.mark.parametrize(("precision", "rounding"), [("fp16", 2**-11), ("bf16", 2**-8)])
def test_results_differ_by_roundings_only(precision: str, rounding: float) -> None:
    model = network()
    made = to_mixed_precision(model, precision).model  # type: ignore[arg-type]
    runnable = emulated(made) if precision == "bf16" else made
    found = compare(CpuSession(network()), CpuSession(runnable), draw(3), precision)  # type: ignore[arg-type]
    assert 0.05 * rounding < worst(found).share < 8 * rounding  # rounded, and nothing else


def test_constants_made_by_nodes_and_unnamed_nodes_are_understood() -> None:
    model = network()
    held = next(i for i in model.graph.initializer if i.name == "w1")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], value=held))
    model.graph.initializer.remove(held)
    for node in model.graph.node:
        node.name = ""
    made = to_mixed_precision(model, "fp16")
    assert len(made.lowered) == 8
    CpuSession(made.model).run(draw(1)[0])


def test_what_can_not_be_rewritten_is_said() -> None:
    with pytest.raises(SensorfuseError, match="expected one of fp16, bf16"):
        to_mixed_precision(network(), "int8")
    model = network()
    model.graph.node[0].input[0] = "nobody"
    with pytest.raises(SensorfuseError, match="can't be rewritten to fp16"):
        to_mixed_precision(model, "fp16")
