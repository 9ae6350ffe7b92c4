"""Strategies and a rig -> networks in the precisions asked for -> engines, in this user's cache. No GPU is needed.

Encoders and fusion networks are engines of their own: an encoder runs when its sample arrives, fusion at the tick, and
strategies share encoders.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sensorfuse.deploy.compiled import MADE, Compiled, Row, Target
from sensorfuse.deploy.int8_gate import is_symmetric, judge_int8
from sensorfuse.deploy.networks import QUANTIZED, LeftOut, Network, encoders, export_untrained, fusion_networks
from sensorfuse.deploy.recordings import Recordings, drawn_inputs, record_log, record_worlds
from sensorfuse.deploy.variants import Variant, make_variant

from sensorfuse.engine.cache import EngineCache, NoSpaceError
from sensorfuse.engine.engine import Precision
from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.engine.tensorrt import engine_key
from sensorfuse.engine.tensorrt_build import (
    BuildConfig,
    UnsupportedPrecision,
    build_engine,
    compute_capabilities,
    load_api,
)
from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig

SCENARIOS = ("town",)


@dataclass(frozen=True)
class CompileConfig:
    """What to compile. `capabilities`: for TensorRT-RTX, default the GPU that is here, or all that it builds for.
    `log`: recordings to calibrate and compare with, default simulated worlds. `untrained`: folder for networks with
    drawn weights, of strategies that have none; `score_worlds`: how many worlds INT8's loss is measured on.
    """

    strategies: tuple[str, ...]
    weights: Path
    precisions: tuple[Precision, ...] = ("fp32",)
    targets: tuple[Target, ...] = ("onnxruntime",)
    capabilities: tuple[str, ...] = ()
    build: BuildConfig = field(default_factory=BuildConfig)
    log: Path | None = None
    untrained: Path | None = None
    score_worlds: int = 1
    score_ticks: int = 20
    out: Path | None = None


Tell = Callable[[str], None]


def compile_rig(
    rig: Rig, config: CompileConfig, tell: Tell | None = None, cache: EngineCache | None = None
) -> Compiled:
    """Compile a rig's encoders and the fusion networks of strategies.

    Args:
        tell: is given a line per step.
        cache: default this user's.

    Raises:
        SensorfuseError: a strategy, target or log is wrong as a whole. What fails for one engine stands in its row.
    """
    tell, cache, start = tell or (lambda _: None), cache or EngineCache(), time.perf_counter()
    targets = _targets(config)
    out = Compiled()
    found, out.left_out = fusion_networks(config.strategies, config.weights)
    networks = [*encoders(rig, config.weights), *found]
    recordings: Recordings = {}
    if found:
        recordings = _record(rig, config, found, tell)
    elif config.untrained is None:
        out.seconds = time.perf_counter() - start
        return out
    if config.untrained is not None:
        networks, recordings, out.left_out = _with_untrained(networks, recordings, config, out.left_out, tell)
    for network in networks:
        for precision in config.precisions:
            _compile_network(network, precision, targets, recordings, config, cache, out, tell)
    judged = [n.name for n in found]
    judge_int8(rig, judged, config.weights, SCENARIOS, config.score_worlds, config.score_ticks, out, tell)
    if config.out is not None:
        _copy_out(out, config.out)
    out.seconds = time.perf_counter() - start
    return out


def _targets(config: CompileConfig) -> list[tuple[Target, Any, str]]:
    """Each target with its module and a compute capability ("cpu": none)."""
    out: list[tuple[Target, Any, str]] = []
    for target in config.targets:
        if target == "onnxruntime":
            out.append((target, None, "cpu"))
            continue
        api = load_api(target)
        known = compute_capabilities(api)
        if not known:
            out.append((target, api, _gpu_here(target)))
            continue
        chosen = config.capabilities or _default_capabilities(known)
        unknown = [c for c in chosen if c not in known]
        if unknown:
            raise SensorfuseError(
                f"--compute-capability {unknown[0]}: {target} {api.__version__} builds for {', '.join(known)}, or `all`"
            )
        out += [(target, api, c) for c in chosen]
    return out


def _gpu_here(target: Target) -> str:
    from sensorfuse.engine.cuda_driver import CudaDriver

    try:
        return CudaDriver().compute_capability()
    except SensorfuseError as error:
        raise SensorfuseError(
            f"--target {target} builds on the GPU that runs it, but {error}; "
            "`--target tensorrt_rtx` builds for any GPU without one"
        ) from None


def _default_capabilities(known: list[str]) -> list[str]:
    from sensorfuse.engine.cuda_driver import CudaDriver

    try:
        here = CudaDriver().compute_capability()
    except SensorfuseError:
        return known
    return [here] if here in known else known


def _record(rig: Rig, config: CompileConfig, found: Sequence[Network], tell: Tell) -> Recordings:
    """Recordings of all networks; strategies whose inputs are the same share them."""
    recordings: Recordings = {}
    cpu = rig.with_fusion(engine="onnxruntime-cpu", precision="fp32")
    shared: list[dict[str, NDArray[Any]]] | None = None
    for network in found:
        takes = set(OnnxRuntimeEngine(network.path).input_shapes)
        if shared is not None and takes == set(shared[0]):
            recordings[network.name] = shared
            continue
        tell(f"recording inputs of {network.name} from {config.log or 'simulated worlds'}")
        if config.log is not None:
            got = record_log(config.log, cpu, network.name, config.weights)
        else:
            got = record_worlds(cpu, network.name, config.weights, SCENARIOS)
        recordings = got | recordings
        shared = shared or got.get(network.name)
    return recordings


def _with_untrained(
    networks: list[Network], recordings: Recordings, config: CompileConfig, left_out: list[LeftOut], tell: Tell
) -> tuple[list[Network], Recordings, list[LeftOut]]:
    assert config.untrained is not None
    still: list[LeftOut] = []
    for one in left_out:
        if not one.learned:
            still.append(one)
            continue
        tell(f"exporting {one.name}, untrained")
        network = export_untrained(one.name, config.untrained)
        networks = [*networks, network]
    for network in networks:
        if network.name not in recordings:
            recordings = recordings | {network.name: drawn_inputs(network.path)}
    return networks, recordings, still


def _compile_network(
    network: Network,
    precision: Precision,
    targets: Sequence[tuple[Target, Any, str]],
    recordings: Recordings,
    config: CompileConfig,
    cache: EngineCache,
    out: Compiled,
    tell: Tell,
) -> None:
    variants: dict[bool, Variant | SensorfuseError] = {}
    for target, api, architecture in targets:
        row = Row(network.name, precision, target, architecture, "failed")
        out.rows.append(row)
        if precision == "int8" and network.name not in QUANTIZED:
            row.status, row.reason = "left out", "INT8 makes it no faster; it runs in fp32"
        else:
            symmetric = precision == "int8" and is_symmetric(target)
            if symmetric not in variants:
                tell(f"{network.name} {precision}: converting and comparing")
                variants[symmetric] = _variant(network, precision, recordings, symmetric)
            variant = variants[symmetric]
            if isinstance(variant, SensorfuseError):
                row.reason = str(variant)
            else:
                row.parity, row.gate, row.kept, row.file = (
                    variant.difference,
                    variant.gate,
                    variant.kept,
                    str(variant.path),
                )
                try:
                    _build(row, network, variant, api, config, cache)
                except UnsupportedPrecision as error:
                    row.status, row.reason = "left out", str(error)
                except SensorfuseError as error:
                    row.status, row.reason = "failed", str(error)
        size = f", {row.size / 1e6:.2f} MB, {row.seconds:.1f} s" if row.size else ""
        tell(f"{row.network} {row.precision} {row.target} {row.architecture}: {row.status}{size} {row.reason}".rstrip())


def _variant(
    network: Network, precision: Precision, recordings: Recordings, symmetric: bool
) -> Variant | SensorfuseError:
    try:
        return make_variant(network.path, precision, recordings.get(network.name, []), symmetric)
    except SensorfuseError as error:
        return error


def _build(row: Row, network: Network, variant: Variant, api: Any, config: CompileConfig, cache: EngineCache) -> None:
    """Make the engine of a row, or find it in the cache."""
    if row.target == "onnxruntime" and row.precision == "bf16":
        row.size, row.status = variant.path.stat().st_size, "built"
        row.reason = "for GPUs: on CPUs ONNX Runtime has no arithmetic of bfloat16, and parity is that of its roundings"
        return
    if row.target == "onnxruntime":
        start = time.perf_counter()
        OnnxRuntimeEngine(variant.path).warm_up()
        row.seconds, row.size, row.status = time.perf_counter() - start, variant.path.stat().st_size, "built"
        return
    key = engine_key(network.path, row.precision, api, row.architecture, config.build)
    row.key, row.file = key.name, str(cache.folder / f"{key.name}.engine")
    held = cache.get(key)
    if held is not None:
        row.size, row.status = len(held), "cached"
        return
    ahead = row.architecture if compute_capabilities(api) else None
    built = build_engine(variant.path, api, ahead, config.build)
    row.seconds, row.size, row.status = built.seconds, len(built.payload), "built"
    label = f"{network.name} {row.precision} {row.architecture}"
    try:
        cache.put(key, built.payload, label, build_s=round(built.seconds, 3), parity=row.parity, kept=row.kept)
    except NoSpaceError:
        row.size = 0
        raise


def _copy_out(out: Compiled, folder: Path) -> None:
    """Copies of what was made, under names for people."""
    for row in out.rows:
        if row.status in MADE:
            suffix = "onnx" if row.target == "onnxruntime" else "engine"
            name = f"{row.network}.{row.precision}.{row.target}.{row.architecture}.{suffix}"
            try:
                shutil.copyfile(row.file, folder / name)
            except OSError as error:
                raise SensorfuseError(f"{folder / name}: cannot be written: {error.strerror or error}") from None
