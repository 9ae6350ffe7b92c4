"""A network's variants in other precisions: made, held against the fp32 file on recorded inputs, and put where
`sensorfuse.engine` looks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from sensorfuse.engine.cache import private_folder, write_private
from sensorfuse.engine.engine import Precision
from sensorfuse.engine.mixed_precision import to_mixed_precision
from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.engine.parity import GATES, CpuSession, Difference, compare, emulated, worst
from sensorfuse.engine.precision import variant_path
from sensorfuse.engine.quantize import QuantizeConfig, quantize, relative_error
from sensorfuse.errors import SensorfuseError, first_line

Arrays = dict[str, NDArray[Any]]
ISLANDS: tuple[tuple[str, ...], ...] = ((), ("Gemm",), ("Gemm", "MatMul"))
"""What stays in fp32 besides, in turn, where a 16-bit variant misses its gate."""


@dataclass(frozen=True)
class Variant:
    """A network in a precision. `difference`: the worst to the fp32 file's outputs, as a share (INT8: root mean
    square); `kept` counts the operators that stayed in fp32.
    """

    path: Path
    precision: Precision
    difference: float
    gate: float | None
    kept: dict[str, int] = field(default_factory=dict)


def make_variant(network: Path, precision: Precision, recorded: Sequence[Arrays], symmetric: bool = False) -> Variant:
    """Make a network's variant and write it; of fp32, check that ONNX Runtime runs the file as it stands.

    Args:
        network: the fp32 ONNX file.
        recorded: inputs of it.
        symmetric: of INT8: the form that TensorRT takes.

    Raises:
        SensorfuseError: the file can't be read, converted or written, or the variant misses its gate.
    """
    path = variant_path(network, precision, symmetric)
    model = _load(network)
    reference = CpuSession(model)
    if precision == "fp32":
        found = worst(compare(reference, OnnxRuntimeEngine(network), recorded, "fp32"))
        _check(network.name, precision, found)
        return Variant(path, precision, found.share, GATES["fp32"])
    if precision == "int8":
        made = quantize(model, recorded, QuantizeConfig(symmetric=symmetric))
        _write(path, made.model)
        error = relative_error(model, made.model, recorded[1::2] or recorded)
        kept = dict(sorted(Counter(made.kept.values()).items()))
        return Variant(path, precision, error, None, kept)
    for islands in ISLANDS:
        mixed = to_mixed_precision(_load(network), precision, islands)
        runnable = emulated(mixed.model) if precision == "bf16" else mixed.model
        found = worst(compare(reference, CpuSession(runnable), recorded, precision))
        if found.share <= GATES[precision] or not mixed.lowered:
            break
    _check(network.name, precision, found)
    if not mixed.lowered:
        raise SensorfuseError(
            f"{network.name}: only all in fp32 does it stay within {GATES[precision]:g}; run it in fp32"
        )
    _write(path, mixed.model)
    return Variant(path, precision, found.share, GATES[precision], mixed.kept_operators())


def _check(name: str, precision: Precision, found: Difference) -> None:
    if not found.share <= GATES[precision]:
        raise SensorfuseError(
            f"{name}: in {precision} its output {found.output!r} differs from fp32 by {found.share:.2g}, more than "
            f"{GATES[precision]:g}; run it in fp32"
        )


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's errors have no public base
        raise SensorfuseError(f"{path}: not a readable ONNX network: {first_line(error)}") from None


def _write(path: Path, model: onnx.ModelProto) -> None:
    private_folder(path.parent)
    write_private(path, model.SerializeToString())
