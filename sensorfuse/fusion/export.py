"""Torch networks -> ONNX files: one encoder per modality, one fusion network per strategy. A recurrent one is exported
as one step, with its state among the inputs and what becomes of it among the outputs.

Exporter: torch's dynamo exporter, operator set 18, example batch 2 (a batch of 1 would be folded into a constant),
named positional inputs, batch axis free; then put into a faster form (`graph_rewrite.py`). Parity with torch is checked
at batch 1 and 3 before a file counts as written.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.graph_rewrite import rewrite
from sensorfuse.fusion.grid import FEATURE_SHAPES, FEATURES, GRID
from sensorfuse.fusion.model import OUTPUTS, FusionNetwork
from sensorfuse.fusion.network_state import next_name
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


def fusion_examples(network: FusionNetwork | OneTick, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of a fusion network, by name, and the state of a recurrent one; presence is drawn, never
    all absent.
    """
    rng = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {m: torch.rand((batch, *s), generator=rng) for m, s in FEATURE_SHAPES.items()}
    out["present"] = (torch.rand((batch, len(MODALITIES)), generator=rng) > 0.4).float()
    out["present"][:, 1] = 1.0
    for name, zeros in zip(network.state_names, network.initial_state(batch), strict=True):
        out[name] = torch.rand(zeros.shape, generator=rng) - 0.5
    return out


def export(module: nn.Module, examples: Mapping[str, Tensor], outputs: tuple[str, ...], path: Path) -> None:
    """Write one module as ONNX; `examples` are its positional inputs in order, by name, with batch 2."""
    module = module.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
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
                dynamic_shapes=_batched(module, len(examples)),
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    assert program is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(rewrite(without_traces(program.model_proto)), str(path))


def _batched(module: nn.Module, count: int) -> tuple[Any, ...]:
    """That the first axis of each of `count` inputs is the batch, laid out as `forward` takes them: what it takes as
    `*rest` in a tuple of its own.
    """
    shapes = tuple({0: torch.export.Dim("batch", min=1, max=64)} for _ in range(count))
    parameters = list(inspect.signature(module.forward).parameters.values())
    if parameters[-1].kind is not inspect.Parameter.VAR_POSITIONAL:
        return shapes
    named = len(parameters) - 1
    return (*shapes[:named], shapes[named:]) if count > named else shapes


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
    engine = OnnxRuntimeEngine(path)
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


class OneTick(nn.Module):
    """A network that remembers nothing: every tick begins anew, and what would be handed on is dropped."""

    state_names: tuple[str, ...] = ()

    def __init__(self, network: FusionNetwork) -> None:
        super().__init__()
        self.network = network

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        return ()

    def forward(
        self, camera: Tensor, lidar: Tensor, radar: Tensor, imu: Tensor, audio: Tensor, present: Tensor
    ) -> tuple[Tensor, ...]:
        """As `FusionNetwork`, without state."""
        outputs: tuple[Tensor, ...] = self.network(camera, lidar, radar, imu, audio, present)
        return outputs[: len(OUTPUTS)]


def export_fusion(network: FusionNetwork, path: Path, with_state: bool = True) -> float:
    """Write a fusion network with its heads, and with the state of a recurrent one or as one that begins anew at every
    tick; its parity error.
    """
    module = network if with_state or not network.state_names else OneTick(network)
    outputs = (*OUTPUTS, *(next_name(n) for n in module.state_names))
    export(module, fusion_examples(module, 2), outputs, path)
    return check_parity(module, path, {b: fusion_examples(module, b, seed=b) for b in (1, 3)})
