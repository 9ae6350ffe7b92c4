"""The precisions that networks run in, and where their files lie. No `onnx` here: a robot reads this too.

A network's variant in another precision is a file of its own in the user's cache, `networks/`, named by the content of
the fp32 file that it was made of. `sensorfuse compile` writes it; whoever runs it finds it by `variant_path`.
"""

from __future__ import annotations

from pathlib import Path

from sensorfuse.engine.cache import cache_folder
from sensorfuse.engine.engine import Precision, read_network, sha256
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
    digest = sha256(read_network(onnx))
    form = "-symmetric" if precision == "int8" and symmetric else ""
    return cache_folder("networks") / f"{Path(onnx).stem}-{digest[:24]}.v{VARIANT}.{precision}{form}.onnx"


def existing_variant(onnx: Path, precision: Precision, symmetric: bool = False) -> Path:
    """As `variant_path`, of a variant that has been made.

    Raises:
        SensorfuseError: it has not, the fp32 file can't be read, or no precision is called so.
    """
    path = variant_path(onnx, precision, symmetric)
    if precision != "fp32" and not path.is_file():
        raise SensorfuseError(
            f"{Path(onnx).name} has no {precision} variant in this user's cache; make it with "
            f"`sensorfuse compile --strategy STRATEGY --precision {precision}`, or set `fusion.precision: fp32`"
        )
    return path
