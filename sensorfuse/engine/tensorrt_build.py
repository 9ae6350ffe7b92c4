"""ONNX files -> TensorRT engines, by `tensorrt` or `tensorrt_rtx`: they share their builder and parser.

Networks are strongly typed: types are those in the ONNX file. TensorRT-RTX builds for any compute capability that it
supports, with or without a GPU; TensorRT for the GPU that is there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sensorfuse.engine.engine import read_network
from sensorfuse.errors import SensorfuseError

TURING = "7.5"
"""TensorRT-RTX has no fp32 matrix products and no bfloat16 for these GPUs; fp16 runs on them."""


class UnsupportedPrecision(SensorfuseError):
    """The GPU architecture has no arithmetic of this precision for the network."""


TensorRtBackend = Literal["tensorrt", "tensorrt_rtx"]
EXTRAS: dict[TensorRtBackend, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}
Range = tuple[int, int, int]
"""Least, usual and most of a free axis."""
BATCH: Range = (1, 1, 4)
UNNAMED: Range = (1, 1, 4)


@dataclass(frozen=True)
class BuildConfig:
    """`ranges`: per free axis of the network, by its name, what lengths an engine takes; `workspace_mb`: the most
    memory that one layer may use besides, 0 for no limit.
    """

    ranges: Mapping[str, Range] = field(default_factory=lambda: {"batch": BATCH})
    workspace_mb: int = 0

    def __post_init__(self) -> None:
        for name, (least, usual, most) in self.ranges.items():
            if not 1 <= least <= usual <= most:
                raise SensorfuseError(
                    f"range of {name!r}: expected 1 <= least <= usual <= most, got {least, usual, most}"
                )

    def text(self) -> str:
        """All of it, for the cache's key."""
        ranges = " ".join(f"{n}={a},{b},{c}" for n, (a, b, c) in sorted(self.ranges.items()))
        return f"{ranges} workspace={self.workspace_mb}"


@dataclass(frozen=True)
class BuiltEngine:
    """An engine's bytes, how long it took, and what the builder warned of."""

    payload: bytes
    seconds: float
    warnings: tuple[str, ...]


def load_api(backend: TensorRtBackend) -> Any:
    """The backend's Python module.

    Raises:
        SensorfuseError: it isn't installed, or can't be loaded.
    """
    try:
        return import_module(backend)
    except ImportError as error:
        raise SensorfuseError(
            f"{backend} can't be loaded ({error}): pip install 'sensorfuse[{EXTRAS[backend]}]'"
        ) from None


def compute_capabilities(api: Any) -> list[str]:
    """What this backend can build for without the GPU, such as "8.9"; none for TensorRT."""
    members = getattr(getattr(api, "ComputeCapability", None), "__members__", {})
    numbers = [m.group(1) for n in members if (m := re.fullmatch(r"SM(\d+)", n))]
    return [f"{n[:-1]}.{n[-1]}" for n in sorted(numbers, key=int)]


def make_logger(api: Any) -> Any:
    """A logger that keeps warnings and errors, in `messages` as (is it an error, text), and prints nothing."""

    class Listener(api.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.messages: list[tuple[bool, str]] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (api.ILogger.INTERNAL_ERROR, api.ILogger.ERROR):
                self.messages.append((True, message))
            elif severity == api.ILogger.WARNING:
                self.messages.append((False, message))

        def last_error(self) -> str:
            return next((text for bad, text in reversed(self.messages) if bad), "it says no more")

    return Listener()


def build_engine(
    onnx: Path,
    api: Any,
    compute_capability: str | None,
    config: BuildConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> BuiltEngine:
    """Compile one ONNX file, in the types that stand in it.

    Args:
        onnx: the network, of any precision.
        api: see `load_api`.
        compute_capability: of the GPU it shall run on, such as "8.9"; None: the GPU that is here.
        progress: told what is being done.

    Raises:
        SensorfuseError: the file can't be read or holds what the backend doesn't support (it is named), the compute
            capability is not supported, or the build fails.
        UnsupportedPrecision: GPUs of that compute capability can't run it in this precision.
    """
    config, tell = config or BuildConfig(), progress or (lambda _: None)
    name, logger, start = Path(onnx).name, make_logger(api), time.perf_counter()
    content = read_network(onnx)
    builder = api.Builder(logger)
    if builder is None:
        raise SensorfuseError(f"{api.__name__} {api.__version__} makes no builder: {logger.last_error()}")
    strongly_typed = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = api.OnnxParser(network, logger)
    tell(f"{name}: reading")
    if not parser.parse(content):
        raise SensorfuseError(f"{name}: {api.__name__} {api.__version__} can't take it: {_faults(parser)}")
    settings = builder.create_builder_config()
    if config.workspace_mb:
        settings.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, config.workspace_mb << 20)
    if compute_capability is not None:
        settings.num_compute_capabilities = 1
        settings.set_compute_capability(_capability(api, compute_capability), 0)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shapes = [_extents(tensor, config, which) for which in range(3)]
        if any(d < 0 for d in tensor.shape):
            profile.set_shape(tensor.name, *shapes)
    settings.add_optimization_profile(profile)
    tell(f"{name}: building")
    payload = builder.build_serialized_network(network, settings)
    if payload is None:
        why = logger.last_error()
        if compute_capability == TURING and ("not supported" in why or "HW-specific datatypes" in why):
            raise UnsupportedPrecision(
                f"{name}: {api.__name__} has no arithmetic of its precision for compute capability {TURING}; "
                "fp16 runs there"
            )
        raise SensorfuseError(f"{name}: {api.__name__} {api.__version__} can't build it: {why}")
    warnings = tuple(text for bad, text in logger.messages if not bad)
    return BuiltEngine(bytes(payload), time.perf_counter() - start, warnings)


def _capability(api: Any, text: str) -> Any:
    known = compute_capabilities(api)
    if text not in known:
        told = f"it builds for {', '.join(known)}" if known else "it builds only for the GPU that is here"
        raise SensorfuseError(f"{api.__name__} {api.__version__} can't build for compute capability {text}: {told}")
    return api.ComputeCapability.__members__[f"SM{text.replace('.', '')}"]


def _extents(tensor: Any, config: BuildConfig, which: int) -> list[int]:
    """An input's shape with its free axes at their least, usual or most (`which` 0, 1, 2)."""
    out = []
    for axis, extent in enumerate(tensor.shape):
        name = tensor.get_dimension_name(axis) if extent < 0 else ""
        out.append(config.ranges.get(name, UNNAMED)[which] if extent < 0 else int(extent))
    return out


def _faults(parser: Any) -> str:
    """The parser's faults, each with the operator that it stumbled over."""
    told = []
    for n in range(parser.num_errors):
        fault = parser.get_error(n)
        operator = fault.node_operator() or "no operator"
        told.append(f"{operator} (node {fault.node_name() or '?'}): {fault.desc()}")
    return "; ".join(dict.fromkeys(told)) or "it says no more"
