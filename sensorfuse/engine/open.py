"""Which ways there are to run a network, which of them this machine has, and opening one, or the best.

One table says per backend how it is opened and what it needs. Modules are imported when they are used: a robot has no
torch, and most machines no TensorRT.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sensorfuse.engine.cache import cache_folder, private_folder
from sensorfuse.engine.engine import Backend, Engine, Precision
from sensorfuse.engine.fallback import FallbackEngine, Level
from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine, Provider, driver_counts_gpus, why_not
from sensorfuse.engine.precision import existing_variant
from sensorfuse.errors import SensorfuseError

Choice = Literal["auto", Backend]

LADDER: tuple[Backend, ...] = ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda", "onnxruntime-cpu")
"""Best first, the surest last. What is not in it is used only where it is asked for."""


@dataclass(frozen=True)
class EngineOptions:
    """How engines are opened: threads within an operator; the cores of those threads (none: wherever the system puts
    them); whether runs are recorded as CUDA graphs, where the backend can.
    """

    threads: int = 1
    cores: tuple[int, ...] = ()
    cuda_graph: bool = False


@dataclass(frozen=True)
class BackendState:
    """Whether a backend can be used here: its version, or what is missing and what to do about it."""

    backend: Backend
    version: str
    missing: str

    @property
    def usable(self) -> bool:
        return not self.missing


def open_engine(
    path: Path,
    backend: Backend = "onnxruntime-cpu",
    precision: Precision = "fp32",
    threads: int = 1,
    cores: Sequence[int] = (),
    cuda_graph: bool = False,
) -> Engine:
    """One network by one backend, without a fallback.

    Args:
        path: the fp32 ONNX file; other precisions are variants of it that `sensorfuse compile` made.
        threads, cores, cuda_graph: see `EngineOptions`.

    Raises:
        SensorfuseError: no such backend, something that it needs is missing here, or the file can't be used.
    """
    if backend not in OPENERS:
        raise SensorfuseError(f"no engine is called {backend!r}; choose one of: auto, {', '.join(OPENERS)}")
    state = backend_state(backend)
    if not state.usable:
        raise SensorfuseError(f"engine {backend}: {state.missing}; `engine: auto` takes the best that there is")
    return OPENERS[backend](Path(path), precision, EngineOptions(threads, tuple(cores), cuda_graph))


def open_best(
    path: Path, engine: Choice, precision: Precision, options: EngineOptions, report: Callable[[str], None]
) -> FallbackEngine:
    """One network by the best backend that works here, with the ones below it as a fallback in the run.

    A backend that is named has to open at the start; `auto` takes the first of `LADDER` that does.

    Raises:
        SensorfuseError: the named backend can't be used, or none can.
    """
    path = Path(path)

    def level(backend: Backend, at: Precision) -> Level:
        return Level(
            f"{backend} {at}",
            lambda: open_engine(path, backend, at, options.threads, options.cores, options.cuda_graph),
        )

    rungs = [level(b, p) for b, p in levels(engine, precision)]
    return FallbackEngine(path.name, rungs, report, insist=engine != "auto")


def levels(engine: Choice, precision: Precision) -> list[tuple[Backend, Precision]]:
    """What to try, best first; it ends with ONNX Runtime on the CPU in fp32.

    Half precisions are not tried on the CPU unless it is named: it computes them in fp32, with conversions.
    """
    rungs: list[Backend] = [b for b in LADDER if backend_state(b).usable]
    if engine != "auto":
        below = LADDER[LADDER.index(engine) + 1 :] if engine in LADDER else LADDER[-1:]
        rungs = [engine, *(b for b in rungs if b in below)]
    out: list[tuple[Backend, Precision]] = []
    for backend in rungs:
        emulated = backend == LADDER[-1] and backend != engine and precision in ("fp16", "bf16")
        out += [] if emulated else [(backend, precision)]
        out += [(backend, "fp32")] if precision != "fp32" and backend.startswith("onnxruntime") else []
    return out


def available_backends() -> list[BackendState]:
    """Every backend, and whether it can be used here."""
    return [backend_state(b) for b in OPENERS]


def backend_state(backend: Backend) -> BackendState:
    """Whether a backend can be used here. Nothing heavy is imported to find out."""
    if backend.startswith("torch"):
        version = _version("torch")
        return BackendState(backend, version, _torch_lacks(backend, version))
    if backend.startswith("onnxruntime"):
        version = _version("onnxruntime-gpu") or _version("onnxruntime")
        return BackendState(backend, version, why_not(_provider(backend)))
    version = _version(backend.replace("_", "-"))
    return BackendState(backend, version, _tensorrt_lacks(backend, version))


def pin_caller(cores: Sequence[int]) -> None:
    """Keep the calling thread, which computes too, on the first of the cores; with none, leave it to the system.

    Raises:
        SensorfuseError: this machine gives the process no such core.
    """
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise SensorfuseError("fusion.cores: threads can be pinned on Linux only; leave it out")
    allowed = os.sched_getaffinity(0)
    absent = sorted(set(cores) - allowed)
    if absent:
        raise SensorfuseError(f"fusion.cores: this process has the cores {sorted(allowed)}, but not {absent}")
    os.sched_setaffinity(0, {cores[0]})


# ---- the table


def _open_torch(device: str, compiled: bool) -> Callable[[Path, Precision, EngineOptions], Engine]:
    def opener(path: Path, precision: Precision, options: EngineOptions) -> Engine:
        from sensorfuse.engine.torch_eager import TorchEngine

        if precision != "fp32":
            raise SensorfuseError(f"engine torch runs fp32, not {precision}")
        return TorchEngine(path, options.threads, device, compiled)

    return opener


def _open_onnxruntime(path: Path, precision: Precision, options: EngineOptions, provider: Provider) -> Engine:
    file = existing_variant(path, precision)
    cache = private_folder(cache_folder("onnxruntime-tensorrt")) if provider == "tensorrt" else None
    return OnnxRuntimeEngine(
        file, options.threads, provider, options.cores, options.cuda_graph, cache, precision, source=path
    )


def _onnxruntime(provider: Provider) -> Callable[[Path, Precision, EngineOptions], Engine]:
    return lambda path, precision, options: _open_onnxruntime(path, precision, options, provider)


def _open_tensorrt(backend: Literal["tensorrt", "tensorrt_rtx"]) -> Callable[[Path, Precision, EngineOptions], Engine]:
    def opener(path: Path, precision: Precision, options: EngineOptions) -> Engine:
        from sensorfuse.engine.tensorrt import open_tensorrt

        return open_tensorrt(path, backend, precision, options.cuda_graph)

    return opener


OPENERS: dict[Backend, Callable[[Path, Precision, EngineOptions], Engine]] = {
    "torch": _open_torch("cpu", compiled=False),
    "torch-compile": _open_torch("cpu", compiled=True),
    "torch-cuda": _open_torch("cuda", compiled=False),
    "torch-compile-cuda": _open_torch("cuda", compiled=True),
    "onnxruntime-cpu": _onnxruntime("cpu"),
    "onnxruntime-cuda": _onnxruntime("cuda"),
    "onnxruntime-tensorrt": _onnxruntime("tensorrt"),
    "tensorrt": _open_tensorrt("tensorrt"),
    "tensorrt_rtx": _open_tensorrt("tensorrt_rtx"),
}


def _provider(backend: Backend) -> Provider:
    providers: dict[str, Provider] = {"onnxruntime-cuda": "cuda", "onnxruntime-tensorrt": "tensorrt"}
    return providers.get(backend, "cpu")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _torch_lacks(backend: Backend, version: str) -> str:
    if not version:
        return "torch is not installed: pip install 'sensorfuse[train]'"
    if not backend.endswith("cuda"):
        return ""
    if version.endswith("+cpu"):
        return f"torch {version} is a build for the CPU"
    return "" if driver_counts_gpus() else "no NVIDIA GPU answers"


def _tensorrt_lacks(backend: Backend, version: str) -> str:
    if not version:
        extra = "rtx" if backend == "tensorrt_rtx" else "tensorrt"
        return f"{backend} is not installed: pip install 'sensorfuse[{extra}]'"
    return "" if driver_counts_gpus() else "no NVIDIA GPU answers"
