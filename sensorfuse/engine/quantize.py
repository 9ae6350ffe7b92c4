"""fp32 networks -> INT8 ones, by ONNX Runtime's static quantisation on recorded inputs.

Weights have a scale per output channel; activations one per tensor, from what the network saw on the recordings. Two
forms, as processors differ: for CPUs unsigned activations with a zero point, and weights of 7 bits, as products of
8 x 8 bits overflow the 16-bit sums of processors without VNNI; for TensorRT signed activations with zero point 0.

What `mixed_precision` keeps in fp32 stays in fp32 here too. So do a network's first layers and those that make its
outputs: measured, they hold most of what INT8 loses, and the camera's first layer takes 2.7 times as long in INT8.

An activation's range is the smallest to the largest value seen, or leaves out the outermost: whichever comes closer to
fp32 on recordings that were not calibrated with.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from sensorfuse.engine.mixed_precision import HEAVY, READS_NO_VALUES, constant_inputs, to_mixed_precision
from sensorfuse.errors import SensorfuseError, first_line

Inputs = Mapping[str, NDArray[Any]]
Calibration = Literal["minmax", "percentile"]
METHODS: dict[Calibration, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
BETWEEN = frozenset({"Add", "Concat", "MaxPool", "AveragePool", "Relu", "Resize"})
"""Quantised too where it stands between quantised layers, so that nothing is converted there and back."""
PERCENTILE = 99.99


@dataclass(frozen=True)
class QuantizeConfig:
    """`symmetric`: the form that TensorRT takes. `calibration`: how an activation's range is chosen; None: by trying.
    `keep`: names of nodes or operators that stay in fp32 besides.
    """

    symmetric: bool = False
    calibration: Calibration | None = None
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True)
class QuantizedNetwork:
    """An INT8 network; `quantized` and `kept` name nodes by their operator: the layers in INT8, and those that could
    be but are not. `error` is the root mean square difference to fp32 over that of the outputs themselves, on
    recordings that were not calibrated with.
    """

    model: onnx.ModelProto
    calibration: Calibration
    error: float
    quantized: dict[str, str]
    kept: dict[str, str]


class _Recording(CalibrationDataReader):
    def __init__(self, recorded: Sequence[Inputs]) -> None:
        self._left = iter(recorded)

    def get_next(self) -> Inputs | None:  # type: ignore[override]
        return next(self._left, None)


def quantize(
    model: onnx.ModelProto, recorded: Sequence[Inputs], config: QuantizeConfig | None = None
) -> QuantizedNetwork:
    """The network in INT8.

    Args:
        model: an fp32 network; it is left as it is.
        recorded: inputs of the network, with their batch axis, from recordings of what it will see.

    Raises:
        SensorfuseError: no inputs are given, they don't fit, or ONNX Runtime can't quantise the network.
    """
    config = config or QuantizeConfig()
    if not recorded:
        raise SensorfuseError("INT8 needs recorded inputs to calibrate with; give a log with --calibrate")
    names = {i.name for i in model.graph.input}
    if set(recorded[0]) != names:
        raise SensorfuseError(
            f"recorded inputs are {', '.join(recorded[0])}, but the network takes {', '.join(sorted(names))}"
        )
    named = _copy(model)
    for number, node in enumerate(named.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    layers, kept = _choose(named, config)
    if not layers:
        raise SensorfuseError("the network has no layer that INT8 would serve; run it in fp32")
    nodes = [*layers, *_between(named, layers, config)]
    methods: list[Calibration] = [config.calibration] if config.calibration else list(METHODS)
    tried: dict[Calibration, float] = {}
    fault = ""
    for method in methods:
        try:
            half = _calibrated(named, nodes, recorded[::2], config, method)
            tried[method] = relative_error(model, half, recorded[1::2] or recorded)
        except SensorfuseError as error:  # of constant tensors there are no percentiles, for one
            fault = str(error)
    if not tried:
        raise SensorfuseError(fault)
    best = min(tried, key=lambda method: tried[method])
    return QuantizedNetwork(_calibrated(named, nodes, recorded, config, best), best, tried[best], layers, kept)


def relative_error(reference: onnx.ModelProto, model: onnx.ModelProto, recorded: Sequence[Inputs]) -> float:
    """Root mean square difference of two networks' outputs, over the root mean square of the reference's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    sessions = [
        ort.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for m in (reference, model)
    ]
    difference = size = 0.0
    for inputs in recorded:
        for expected, got in zip(*(s.run(None, dict(inputs)) for s in sessions), strict=True):
            difference += float(np.square(expected - got).mean())
            size += float(np.square(expected).mean())
    return float(np.sqrt(difference / max(size, 1e-12)))


def _calibrated(
    model: onnx.ModelProto, nodes: list[str], recorded: Sequence[Inputs], config: QuantizeConfig, method: Calibration
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="sensorfuse-int8-") as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                _copy(model),  # it is written to
                str(out),
                _Recording(recorded),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=not config.symmetric,
                activation_type=QuantType.QInt8 if config.symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=nodes,
                calibrate_method=METHODS[method],
                extra_options={
                    "ActivationSymmetric": config.symmetric,
                    "WeightSymmetric": True,
                    "QuantizeBias": not config.symmetric,
                    "CalibPercentile": PERCENTILE,
                },
            )
            return onnx.load(str(out))
        except Exception as error:  # ONNX Runtime's quantiser raises what it comes across
            raise SensorfuseError(f"ONNX Runtime can't quantise the network: {first_line(error)}") from None


def _choose(model: onnx.ModelProto, config: QuantizeConfig) -> tuple[dict[str, str], dict[str, str]]:
    """Layers with weights that become INT8, and those that could but stay."""
    lowered = to_mixed_precision(_copy(model), "fp16").lowered
    constants = constant_inputs(model.graph)
    layers = [n for n in model.graph.node if n.op_type in HEAVY and n.op_type != "ConvTranspose"]
    outer = _last_layers(model.graph) | _first_layers(model.graph)
    if outer >= {n.name for n in layers}:  # two layers: the first may, or INT8 would have nothing
        outer = _last_layers(model.graph)
    chosen: dict[str, str] = {}
    kept: dict[str, str] = {}
    for node in layers:
        product = node.input[1] not in constants  # of two computed tensors
        stays = product or node.name in outer or node.name not in lowered or {node.name, node.op_type} & config.keep
        (kept if stays else chosen)[node.name] = node.op_type
    return chosen, kept


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _first_layers(graph: onnx.GraphProto) -> set[str]:
    """Layers with weights whose data has passed no other such layer: their nodes' names."""
    found: set[str] = set()
    passed: set[str] = set()
    for node in graph.node:
        if node.op_type in HEAVY and node.input[0] not in passed:
            found.add(node.name)
        if node.op_type in HEAVY or (passed.intersection(node.input) and node.op_type not in READS_NO_VALUES):
            passed |= set(node.output)
    return found


def _last_layers(graph: onnx.GraphProto) -> set[str]:
    """The last layers with weights before the outputs: their nodes' names."""
    made_by = {o: n for n in graph.node for o in n.output}
    todo = [o.name for o in graph.output]
    found: set[str] = set()
    seen: set[str] = set()
    while todo:
        node = made_by.get(todo.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in HEAVY:
            found.add(node.name)
        else:
            todo += list(node.input)
    return found


def _between(model: onnx.ModelProto, layers: Mapping[str, str], config: QuantizeConfig) -> list[str]:
    """Nodes without weights whose data comes from INT8 layers, or from one another, only."""
    inside: set[str] = set()
    constants = {i.name for i in model.graph.initializer}
    chosen = []
    for node in model.graph.node:
        data = [i for i in node.input[: 1 if node.op_type == "Resize" else None] if i and i not in constants]
        if node.name in layers:
            inside |= set(node.output)
        elif node.op_type in BETWEEN and data and set(data) <= inside and not {node.name, node.op_type} & config.keep:
            chosen.append(node.name)
            inside |= set(node.output)
    return chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to run its own pre-processing, and its listings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        logging.disable(before)
