"""Weights as a file for torch, beside the ONNX file that a robot runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a module's state, to be read by whoever may read the other files of its folder."""
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    path.chmod(0o644)  # safetensors makes files that only their owner can read
