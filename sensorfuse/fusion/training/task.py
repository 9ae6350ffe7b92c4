"""What a task must give for the training loop to teach it: examples, a model, a loss, a held-out score. Torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass
class Step:
    """The loss of one batch. `parts`: its terms by name, for people. `scores`: how well each modality's own head did on
    its own, in (0, 1], for `gradient_modulation`; empty where there are no such heads.
    """

    loss: Tensor
    parts: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


class Task(Protocol):
    """Data and what is to be learned from it, for any number of strategies on shared encoders."""

    name: str
    modalities: tuple[str, ...]

    def __len__(self) -> int:
        """How many examples there are to train on."""

    def make_model(self, strategies: Sequence[str]) -> nn.Module:
        """Encoders and one network per strategy, untrained."""

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        """The trainable encoder of each modality; none where they are frozen."""

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Any:
        """The examples `index` (B,), augmented, modalities cut to `keep` (B, M) in the order of `modalities`. It has
        `to(device)`.
        """

    def step(self, model: nn.Module, batch: Any, strategy: str) -> Step:
        """The training loss of one strategy on a batch."""

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        """Per strategy, a mean loss on examples that are not trained on, with and without modality dropout. The model
        may lie on another device.
        """
