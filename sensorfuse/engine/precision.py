"""The precisions that networks run in, and where their files lie. No `onnx` here: a robot reads this too.

A network's variant in another precision is a file of its own in the user's cache, `networks/`, named by the content of
the fp32 file that it was made of. `sensorfuse compile` writes it; whoever runs it finds it by `variant_path`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sensorfuse.engine.cache import cache_folder
from sensorfuse.engine.engine import Precision
from sensorfuse.errors import SensorfuseError

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
VARIANT = 1
"""Raised whenever variants are made differently, so that no old one is taken for a new one."""


def variant_path(onnx: Path, precision: Precision, symmetric: bool = False) -> Path:
    """Where the variant of a network in a precision lies; of fp32, the file itself. It may not have been made yet.

    Args:
        onnx: the fp32 network.
        symmetric: of int8: the form that TensorRT takes, with zero points of 0; else the one for CPUs.

    Raises:
        SensorfuseError: the fp32 file can't be read, or no precision is called so.
    """
    if precision not in PRECISIONS:
        raise SensorfuseError(f"no precision is called {precision!r}; choose one of: {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return Path(onnx)
    try:
        digest = hashlib.sha256(Path(onnx).read_bytes()).hexdigest()
    except OSError as error:
        raise SensorfuseError(f"{onnx}: no readable network: {error.strerror or error}") from None
    form = "-symmetric" if precision == "int8" and symmetric else ""
    return cache_folder("networks") / f"{Path(onnx).stem}-{digest[:24]}.v{VARIANT}.{precision}{form}.onnx"
