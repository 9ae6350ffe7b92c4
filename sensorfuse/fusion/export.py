"""Torch networks -> ONNX files: one encoder per modality, one fusion network per strategy.

Exporter: torch's dynamo exporter, operator set 18, example batch 2 (a batch of 1 would be folded into a constant),
named positional inputs, batch axis free. Parity with torch is checked at batch 1 and 3 before a file counts as written.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.encoders import FEATURES
from sensorfuse.fusion.grid import GRID
from sensorfuse.fusion.model import OUTPUTS, SPATIAL, FusionNetwork
from sensorfuse.fusion.preprocess import INPUT_SHAPES
from sensorfuse.messages import MODALITIES, Modality

OPSET = 18
PARITY = 1e-4


def encoder_examples(modality: Modality, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of an encoder, by name."""
    rng = torch.Generator().manual_seed(seed)
    out = {n: torch.rand((batch, *shape), generator=rng) for n, shape in INPUT_SHAPES[modality].items()}
    if "lift" in out:
        out["lift"] = 3 * out["lift"] - 1.5  # some of it outside the picture
    return out


def fusion_examples(batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of a fusion network, by name; presence is drawn, never all absent."""
    rng = torch.Generator().manual_seed(seed)
    map_shape = (FEATURES, GRID.cells, GRID.cells)
    out: dict[str, Tensor] = {
        m: torch.rand((batch, *(map_shape if m in SPATIAL else (FEATURES,))), generator=rng) for m in MODALITIES
    }
    out["present"] = (torch.rand((batch, len(MODALITIES)), generator=rng) > 0.4).float()
    out["present"][:, 1] = 1.0
    return out


def export(module: nn.Module, examples: Mapping[str, Tensor], outputs: tuple[str, ...], path: Path) -> None:
    """Write one module as ONNX; `examples` are its positional inputs in order, by name, with batch 2."""
    module = module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    batch = torch.export.Dim("batch", min=1, max=64)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(examples.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(examples),
                output_names=list(outputs),
                dynamic_shapes=tuple({0: batch} for _ in examples),
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    assert program is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(without_traces(program.model_proto), str(path))


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes (source lines and file names of whoever exported it)."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def largest_difference(module: nn.Module, engine: OnnxRuntimeEngine, inputs: Mapping[str, Tensor]) -> float:
    """Largest absolute difference between torch's outputs and the engine's on the same inputs."""
    with torch.no_grad():
        expected = module.eval()(*inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    arrays: dict[str, NDArray[np.float32]] = {n: t.numpy() for n, t in inputs.items()}
    got = engine.run(arrays)
    pairs = zip(expected, engine.output_names, strict=True)
    return max(float(np.abs(e.numpy() - got[name]).max()) for e, name in pairs)


def check_parity(module: nn.Module, path: Path, batches: Mapping[int, Mapping[str, Tensor]]) -> float:
    """Compare a written file with its module on each batch; the largest difference.

    Raises:
        SensorfuseError: it exceeds 1e-4.
    """
    engine = OnnxRuntimeEngine(path, gpu=False)
    worst = max(largest_difference(module, engine, inputs) for inputs in batches.values())
    if not worst <= PARITY:
        raise SensorfuseError(f"{path}: ONNX Runtime and torch differ by {worst:.2g}, more than {PARITY:g}; not usable")
    return worst


def sweep_examples(batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of what makes one map of two sweeps, by name."""
    rng = torch.Generator().manual_seed(seed)
    maps = (batch, FEATURES, GRID.cells, GRID.cells)
    return {
        "now": torch.rand(maps, generator=rng),
        "before": torch.rand(maps, generator=rng),
        "has_before": (torch.rand((batch, 1), generator=rng) > 0.5).float(),
    }


def export_sweeps(module: nn.Module, path: Path) -> float:
    """Write what makes one map of two sweeps; its parity error."""
    export(module, sweep_examples(2), ("features",), path)
    return check_parity(module, path, {b: sweep_examples(b, seed=b) for b in (1, 3)})


def export_encoder(module: nn.Module, modality: Modality, path: Path) -> float:
    """Write an encoder; its parity error."""
    export(module, encoder_examples(modality, 2), ("features",), path)
    return check_parity(module, path, {b: encoder_examples(modality, b, seed=b) for b in (1, 3)})


def export_fusion(network: FusionNetwork, path: Path) -> float:
    """Write a fusion network with its heads; its parity error."""
    export(network, fusion_examples(2), OUTPUTS, path)
    return check_parity(network, path, {b: fusion_examples(b, seed=b) for b in (1, 3)})
