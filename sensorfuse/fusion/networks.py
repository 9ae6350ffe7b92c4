"""Opening the networks of a learned strategy for a rig, each with its fallback, and checking that they fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from sensorfuse.engine.engine import Engine, Precision, zero_inputs
from sensorfuse.engine.fallback import FallbackEngine
from sensorfuse.engine.open import EngineOptions, open_best
from sensorfuse.engine.precision import variant_path
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.decode import BOX_CHANNELS, GROUPS
from sensorfuse.fusion.grid import FEATURE_SHAPES, GRID
from sensorfuse.fusion.network_state import next_name
from sensorfuse.fusion.preprocess import INPUT_SHAPES
from sensorfuse.messages import MODALITIES, SOUND_CLASSES, Modality
from sensorfuse.rig import FusionConfig

Shapes = Mapping[str, tuple[int, ...]]
"""By name, without the batch axis."""

_CELLS = (GRID.cells, GRID.cells)

FUSION_INPUTS: Shapes = {**{str(m): shape for m, shape in FEATURE_SHAPES.items()}, "present": (len(MODALITIES),)}
FUSION_OUTPUTS: Shapes = {
    "heat": (len(GROUPS), *_CELLS),
    "box": (BOX_CHANNELS, *_CELLS),
    "motion": (4,),
    "sound": (len(SOUND_CLASSES), 3),
    "weights": (len(MODALITIES),),
}
SWEEPS_INPUTS: Shapes = {"now": FEATURE_SHAPES["lidar"], "before": FEATURE_SHAPES["lidar"], "has_before": (1,)}

Report = Callable[[str], None]


def open_encoder(folder: Path, modality: Modality, config: FusionConfig, report: Report) -> FallbackEngine:
    """The encoder of a modality.

    Raises:
        SensorfuseError: it can't be opened, or does not fit.
    """
    gives = {"features": FEATURE_SHAPES[modality]}
    return _open(folder / f"{modality}.onnx", INPUT_SHAPES[modality], gives, config, report)


def open_sweeps(folder: Path, config: FusionConfig, report: Report) -> FallbackEngine:
    """What makes one map of two LiDAR sweeps.

    Raises:
        SensorfuseError: it can't be opened, or does not fit.
    """
    return _open(folder / "sweeps.onnx", SWEEPS_INPUTS, {"features": FEATURE_SHAPES["lidar"]}, config, report)


def open_fusion(folder: Path, strategy: str, config: FusionConfig, report: Report) -> FallbackEngine:
    """A strategy's network with its heads.

    Raises:
        SensorfuseError: it can't be opened, or does not fit.
    """
    return _open(folder / f"{strategy}.onnx", FUSION_INPUTS, FUSION_OUTPUTS, config, report)


def _open(path: Path, takes: Shapes, gives: Shapes, config: FusionConfig, report: Report) -> FallbackEngine:
    options = EngineOptions(config.threads, config.cores, config.cuda_graph)
    engine = open_best(path, config.engine, _precision(path, config.precision), options, report)
    check_fit(path, engine, takes, gives)
    return engine


def _precision(path: Path, wanted: Precision) -> Precision:
    """INT8 is for those networks that gain by it: `sensorfuse compile` makes no such variant of the others."""
    return "fp32" if wanted == "int8" and path.is_file() and not variant_path(path, "int8").is_file() else wanted


def check_fit(path: Path, engine: Engine, takes: Shapes, gives: Shapes) -> None:
    """Whether a network takes what the pipeline has and gives what it reads; beside that, it may hand on a state.

    Raises:
        SensorfuseError: it does not; with the shapes of both.
    """
    has = {name: tuple(shape[1:]) for name, shape in engine.input_shapes.items()}
    state = {name: shape for name, shape in has.items() if next_name(name) in engine.output_names}
    if has != {**takes, **state}:
        raise _misfit(path, "takes", has, {**takes, **state})
    made = engine.run(zero_inputs(engine.input_shapes, dict.fromkeys(has, np.float32)))
    given = {name: array.shape[1:] for name, array in made.items() if name in gives}
    if given != dict(gives):
        raise _misfit(path, "gives", given, gives)


def _misfit(path: Path, verb: str, has: Shapes, wanted: Shapes) -> SensorfuseError:
    odd = [n for n in {**wanted, **has} if has.get(n) != wanted.get(n)]
    words = "; ".join(f"{n!r} {has.get(n, 'not at all')}, expected {wanted.get(n, 'not at all')}" for n in odd)
    return SensorfuseError(
        f"{path}: this network does not fit: it {verb} {words}. Take one that this version of `sensorfuse train` made"
    )


def in_one_line(values: Mapping[str, str], main: str) -> str:
    """What holds of the network `main`, and in brackets where others differ: "cuda (camera, lidar: cpu)"."""
    others: dict[str, list[str]] = {}
    for network, value in values.items():
        if value != values[main]:
            others.setdefault(value, []).append(network)
    told = "; ".join(f"{', '.join(networks)}: {value}" for value, networks in others.items())
    return f"{values[main]} ({told})" if told else values[main]
