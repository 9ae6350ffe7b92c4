"""INT8 variants: what is quantised, how close it comes, and the two forms of it."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from small_networks import draw, network  # noqa: E402

from sensorfuse.engine.parity import CpuSession  # noqa: E402
from sensorfuse.engine.quantize import METHODS, QuantizeConfig, quantize, relative_error  # noqa: E402
from sensorfuse.errors import SensorfuseError  # noqa: E402


def zero_points(model: onnx.ModelProto) -> dict[int, set[int]]:
    """Values of the zero points of activations, by type."""
    constants = {i.name: i for i in model.graph.initializer}
    found: dict[int, set[int]] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            held = constants[node.input[2]]
            found.setdefault(held.data_type, set()).update(np.ravel(numpy_helper.to_array(held)).tolist())
    return found


def test_layers_inside_are_quantised_and_the_outer_ones_and_islands_are_not() -> None:
    made = quantize(network(), draw(8))
    assert set(made.quantized) == {"middle"}
    assert set(made.kept) == {"first", "last", "inner", "head"}  # the inner one makes `shares`
    by_name = {n.name: n for n in made.model.graph.node}
    assert not any("square" in n or "softmax" in n or "geometry" in n for n in by_name if "Quantize" in n)
    weights = {i.data_type for i in made.model.graph.initializer if i.name.startswith("w2")}
    assert TensorProto.INT8 in weights


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_computes_nearly_the_same(symmetric: bool) -> None:
    made = quantize(network(), draw(16), QuantizeConfig(symmetric=symmetric))
    assert made.error < 0.05
    unseen = draw(6, batch=3, seed=5)
    assert 1e-4 < relative_error(network(), made.model, unseen) < 0.05
    assert set(CpuSession(made.model).run(unseen[0])) == {"seen", "shares", "score"}


def test_the_form_for_tensorrt_is_signed_around_zero() -> None:
    assert zero_points(quantize(network(), draw(4), QuantizeConfig(symmetric=True)).model) == {TensorProto.INT8: {0}}
    assert set(zero_points(quantize(network(), draw(4)).model)) == {TensorProto.UINT8}


def test_the_range_that_comes_closer_is_chosen() -> None:
    recorded = draw(12)
    recorded[0]["picture"][0, 0, 0, 0] = 300.0
    errors = {c: quantize(network(), recorded, QuantizeConfig(calibration=c)).error for c in METHODS}
    assert len(set(errors.values())) == 2
    made = quantize(network(), recorded)
    assert made.error == min(errors.values()) == errors[made.calibration]


def test_what_is_to_be_kept_is_kept() -> None:
    with pytest.raises(SensorfuseError, match="no layer that INT8 would serve"):
        quantize(network(), draw(4), QuantizeConfig(keep=frozenset({"middle"})))


def test_of_two_layers_the_first_is_quantised() -> None:
    model = network()
    del model.graph.output[1:]
    kept = [n for n in model.graph.node if n.name in ("first", "relu", "geometry", "last")]
    for node in kept:
        node.input[:] = ["b" if i == "d" else i for i in node.input]
    del model.graph.node[:], model.graph.input[2:]
    model.graph.node.extend(kept)
    recorded = [{n: a for n, a in one.items() if n != "present"} for one in draw(4)]
    assert set(quantize(model, recorded, QuantizeConfig(calibration="minmax")).quantized) == {"first"}


def test_what_can_not_be_quantised_is_said() -> None:
    with pytest.raises(SensorfuseError, match="--calibrate"):
        quantize(network(), [])
    with pytest.raises(SensorfuseError, match="recorded inputs are other, but the network takes picture"):
        quantize(network(), [{"other": np.zeros((1, 2), np.float32)}])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(SensorfuseError, match="no layer that INT8 would serve"):
        quantize(bare, [{"x": np.zeros((1, 2), np.float32)}])
    with pytest.raises(SensorfuseError, match="can't quantise"):
        quantize(network(), [{n: a[:, :1] for n, a in one.items()} for one in draw(2)])
