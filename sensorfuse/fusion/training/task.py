"""What a task must give for the training loop to teach it: examples, a model, a loss, a held-out score. Torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass
class Step:
    """The loss of one batch. `parts`: its terms by name, for people. `scores`: how well each modality's own head did on
    its own, in (0, 1], for `gradient_modulation`; empty where there are no such heads. `state`: what a recurrent
    network hands on to the examples that follow these.
    """

    loss: Tensor
    parts: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    state: tuple[Tensor, ...] = ()


class Task(Protocol):
    """Data and what is to be learned from it, for any number of strategies on shared encoders. Examples 0 to
    `run_length` - 1 follow one another in time, as do the next so many, and so on; 1 where each stands by itself.
    """

    name: str
    modalities: tuple[str, ...]
    run_length: int

    def __len__(self) -> int:
        """How many examples there are to train on."""

    def make_model(self, strategies: Sequence[str]) -> nn.Module:
        """Encoders and one network per strategy, untrained. Raises SensorfuseError: there is none of that name."""

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        """The trainable encoder of each modality; none where they are frozen."""

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Any:
        """The examples `index` (B,), augmented, modalities cut to `keep` (B, M) in the order of `modalities`. It has
        `to(device)`.
        """

    def step(self, model: nn.Module, batch: Any, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        """The training loss of one strategy on a batch, and what it remembers after it; `state` is what it remembered
        of the examples before these, nothing at the start of a run.
        """

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        """Per strategy, a mean loss on examples that are not trained on, with and without modality dropout. The model
        may lie on another device.
        """


def in_runs(runs: NDArray[np.int64], run_length: int, batch: int) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """Examples of some runs by their numbers, `batch` runs side by side and each in the order of time: indices (B,),
    and whether they begin their runs. The last batch may be smaller.
    """
    for first in range(0, len(runs), batch):
        begins = runs[first : first + batch] * run_length
        for k in range(run_length):
            yield begins + k, k == 0
