"""The table of fusion strategies. One row each; nothing registers itself by import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.fuser import Fuser
from sensorfuse.rig import Rig


@dataclass(frozen=True)
class Strategy:
    """`runtime` makes the fuser (`module:class`), `method` holds the equations; for a learned strategy that is a torch
    module.
    """

    name: str
    kind: Literal["objects", "learned"]
    runtime: str
    method: str
    summary: str
    reference: str


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "late",
        "objects",
        "sensorfuse.fusion.late:LateFusion",
        "sensorfuse.fusion.late:LateFusion",
        "each sensor detects on its own; objects are fused",
        "Durrant-Whyte and Henderson, Multisensor Data Fusion, 2008",
    ),
    Strategy(
        "hybrid",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.hybrid:HybridFusion",
        "early, late and pairwise-product fusion of bird's-eye-view tokens, mixed by learned gates",
        "Baltrusaitis, Ahuja, Morency, TPAMI 2019; Rendle, ICDM 2010",
    ),
    Strategy(
        "cross_modal_attention",
        "learned",
        "sensorfuse.fusion.learned:LearnedFusion",
        "sensorfuse.fusion.methods.cross_modal_attention:CrossModalAttentionFusion",
        "every modality's tokens attend to every other's",
        "Tsai et al., Multimodal Transformer, ACL 2019",
    ),
)


def strategy_names() -> list[str]:
    return [s.name for s in STRATEGIES]


def find_strategy(name: str) -> Strategy:
    """The row of a strategy.

    Raises:
        SensorfuseError: no strategy has that name.
    """
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise SensorfuseError(f"no fusion strategy is called {name!r}; choose one of: {', '.join(strategy_names())}")


def load_class(target: str) -> type:
    """The class that `module:class` names."""
    module, _, name = target.partition(":")
    loaded = getattr(import_module(module), name)
    assert isinstance(loaded, type)
    return loaded


def make_fuser(rig: Rig, strategy: str) -> Fuser:
    """A strategy ready to run on a rig. Torch is not needed.

    Raises:
        SensorfuseError: unknown strategy, or its weights are missing or unreadable.
    """
    row = find_strategy(strategy)
    make = load_class(row.runtime)
    fuser: Fuser = make(rig) if row.kind == "objects" else make(rig, row.name)
    return fuser
