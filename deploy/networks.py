"""Which networks a rig's strategies are made of, and untrained ones to stand in for those without weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import read_card
from sensorfuse.fusion.strategies import STRATEGIES, find_strategy
from sensorfuse.messages import MODALITIES
from sensorfuse.rig import Rig

QUANTIZED = ("camera", "lidar", "radar", "sweeps")
"""Networks that INT8 serves. Measured on a CPU: of vectors' encoders and of fusion networks it makes nothing faster."""


@dataclass(frozen=True)
class Network:
    """One ONNX file: an encoder, by its modality; `sweeps`; or a strategy's fusion network."""

    name: str
    path: Path


@dataclass(frozen=True)
class LeftOut:
    """A strategy that has nothing to compile, and why. `learned`: it would have a network, were it trained."""

    name: str
    reason: str
    learned: bool = True


def encoders(rig: Rig, weights: Path) -> list[Network]:
    """The encoders that a rig's sensors need."""
    fused = {rig.sensors[n].modality for n in rig.fused_streams()}
    names = [m for m in MODALITIES if m in fused] + (["sweeps"] if "lidar" in fused else [])
    return [Network(name, weights / f"{name}.onnx") for name in names]


def fusion_networks(strategies: Iterable[str], weights: Path) -> tuple[list[Network], list[LeftOut]]:
    """The fusion networks of strategies, and the strategies that have none.

    Raises:
        SensorfuseError: no strategy is called so.
    """
    found: list[Network] = []
    without: list[LeftOut] = []
    for name in strategies:
        path = weights / f"{name}.onnx"
        if find_strategy(name).kind == "objects":
            without.append(LeftOut(name, "fuses objects, and has no network", learned=False))
            continue
        try:
            read_card(weights, name)
        except SensorfuseError as error:
            without.append(LeftOut(name, str(error)))
            continue
        if path.is_file():
            found.append(Network(name, path))
        else:
            without.append(LeftOut(name, f"{path}: no such file; export the weights again"))
    return found, without


def learned_strategies() -> list[str]:
    """All strategies that have networks."""
    return [s.name for s in STRATEGIES if s.kind == "learned"]


def export_untrained(strategy: str, folder: Path) -> Network:
    """A strategy's fusion network with drawn weights: the same graph that training gives, to compile and to time.

    Raises:
        SensorfuseError: torch is not installed, or the file does not compute what torch does.
    """
    path = folder / f"{strategy}.onnx"
    if path.is_file():
        return Network(strategy, path)
    try:
        import torch

        from sensorfuse.fusion.export import export_fusion
        from sensorfuse.fusion.model import FusionNetwork
    except ImportError as error:
        raise SensorfuseError(f"untrained networks need `pip install 'sensorfuse[train]'` ({error})") from None
    torch.manual_seed(0)
    export_fusion(FusionNetwork(strategy).eval(), path)
    return Network(strategy, path)
