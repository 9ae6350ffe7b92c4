"""A learned strategy whose network can be asked again: what would it have said of a tick without some of the sensors?

No torch: it is the network that runs on the robot, told by its input `present` who is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.engine import Engine, Precision
from sensorfuse.fusion.learned import LearnedFusion
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.rig import Rig

Arrays = dict[str, NDArray[Any]]


class Tap:
    """Runs a network and keeps what it was last given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.inputs: Arrays = {}

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def precision(self) -> Precision:
        return self.engine.precision

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        self.inputs = {name: array.copy() for name, array in inputs.items()}
        return self.engine.run(inputs)

    def present(self) -> list[Modality]:
        """The modalities of the last run."""
        return [m for m, there in zip(MODALITIES, self.inputs["present"][0], strict=True) if there > 0.5]

    def without(self, kept: Sequence[Modality]) -> Arrays:
        """The network's outputs on the last inputs with only `kept` of them present, without the batch axis."""
        inputs = dict(self.inputs)
        inputs["present"] = self.inputs["present"] * np.array([[m in kept for m in MODALITIES]], np.float32)
        for m in MODALITIES:
            if m not in kept:
                inputs[m] = np.zeros_like(inputs[m])
        return {name: array[0] for name, array in self.engine.run(inputs).items()}


class TappedFusion(LearnedFusion):
    """`LearnedFusion` with a tap before its fusion network.

    Raises:
        SensorfuseError: a network or its description is missing or unreadable.
    """

    def __init__(self, rig: Rig, strategy: str, weights: Path | None = None) -> None:
        super().__init__(rig, strategy, weights)
        self.tap = Tap(self._fusion)
        self._fusion = self.tap  # type: ignore[assignment]
