"""The same networks run by torch, as the baseline that compiled engines are measured against.

Weights are read from the safetensors file that lies beside the ONNX file; inputs, outputs and their names are those of
the export. Torch's thread count belongs to the process, not to the engine: the last engine made sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.engine.engine import BUILDS, Precision, check_inputs, read_network, sha256, zero_inputs
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.encoders import ENCODERS, SweepPair
from sensorfuse.fusion.export import encoder_examples, fusion_examples, sweep_examples
from sensorfuse.fusion.model import OUTPUTS, FusionNetwork
from sensorfuse.fusion.model_files import ENCODERS_FILE
from sensorfuse.fusion.network_state import next_name

SWEEPS = "sweeps"


class TorchEngine:
    """One network, from the weights beside its ONNX file: `<strategy>.safetensors`, or `encoders.safetensors` for a
    modality's encoder and for `sweeps`.

    Args:
        path: the ONNX file.
        threads: threads within an operator, of the whole process.
        device: "cpu" or "cuda".
        compiled: by `torch.compile`, which compiles on the first run of each batch size.

    Raises:
        SensorfuseError: a file is absent, holds other weights, or torch sees no such device.
    """

    precision: Precision = "fp32"

    def __init__(self, path: Path, threads: int = 1, device: str = "cpu", compiled: bool = False) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise SensorfuseError("engine torch-cuda: torch sees no NVIDIA GPU, or is a build for the CPU")
        self.digest = sha256(read_network(path))
        self.path = Path(path)
        torch.set_num_threads(threads)
        module, examples, outputs = load_module(self.path)
        self._device = torch.device(device)
        self._module = module.to(self._device).eval()
        self._call: Any = torch.compile(self._module, dynamic=False) if compiled else self._module
        self.input_shapes: dict[str, list[Any]] = {n: ["batch", *x.shape[1:]] for n, x in examples.items()}
        self._types = dict.fromkeys(examples, np.float32)
        self.output_names = list(outputs)
        self.name = f"torch-{torch.__version__}-{device}{'-compiled' if compiled else ''}"
        BUILDS[self.name.split("-")[0]] += 1

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, the caller's to keep.

        Raises:
            WrongInput: an input is missing, unknown, or has the wrong type or shape.
        """
        check_inputs(self.path.name, inputs, self.input_shapes, self._types)
        given = [torch.from_numpy(np.ascontiguousarray(inputs[n])).to(self._device) for n in self.input_shapes]
        with torch.inference_mode():
            made = self._call(*given)
        tensors = made if isinstance(made, tuple) else (made,)
        return {n: t.cpu().numpy() for n, t in zip(self.output_names, tensors, strict=True)}

    def warm_up(self) -> None:
        """Run once on zeros with batch 1, so that the first real run is not the slow one."""
        self.run(zero_inputs(self.input_shapes, self._types))


def load_module(path: Path) -> tuple[nn.Module, dict[str, Tensor], tuple[str, ...]]:
    """The module that an ONNX file was exported from, with its weights; example inputs in its order, by name; the names
    of its outputs.

    Raises:
        SensorfuseError: no strategy, modality or `sweeps` is called as the file is, or the weights beside it are absent
            or of another network.
    """
    name = path.stem
    if name in ENCODERS:
        encoder = ENCODERS[name]()
        _load(encoder, path.with_name(ENCODERS_FILE), f"by_modality.{name}.")
        return encoder, encoder_examples(name, 1), ("features",)  # type: ignore[arg-type]
    if name == SWEEPS:
        pair = SweepPair()
        _load(pair, path.with_name(ENCODERS_FILE), f"{SWEEPS}.")
        return pair, sweep_examples(1), ("features",)
    network = FusionNetwork(name)
    _load(network, path.with_suffix(".safetensors"), "")
    return network, fusion_examples(network, 1), (*OUTPUTS, *(next_name(n) for n in network.state_names))


def _load(module: nn.Module, path: Path, prefix: str) -> None:
    from safetensors.torch import load_file

    try:
        state = {n.removeprefix(prefix): t for n, t in load_file(path).items() if n.startswith(prefix)}
        module.load_state_dict(state)
    except Exception as error:  # safetensors raises its own class for a bad file, torch RuntimeError for other names
        words = " ".join(str(error).split())[:200]
        raise SensorfuseError(f"{path}: not the weights of this network for torch: {words}") from None
