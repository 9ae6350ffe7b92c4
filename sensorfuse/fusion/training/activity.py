"""The activity task: which of 27 actions a person does, from windows of a worn IMU and a skeleton. Torch.

Every window is trained with every non-empty subset of the modalities that it is given, so that one set of weights
serves them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorfuse.fusion.training.activity_augmentation import Augmentation, read_augmented, read_plain
from sensorfuse.fusion.training.activity_data import ACTIONS, Windows
from sensorfuse.fusion.training.activity_model import ACTIVITY_MODALITIES, STEPS, ActivityModel, ActivityNetwork
from sensorfuse.fusion.training.loop import TrainConfig
from sensorfuse.fusion.training.task import Step

ACTIVITY_CONFIG = TrainConfig(
    epochs=50, batch=16, learning_rate=2e-3, weight_decay=0.05, dropout=(0.0,), averaging=0.99
)
"""Chosen, as the defaults of `ActivitySettings`, by leaving training subjects out; no test subject was looked at."""
SUBSETS = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
VIEWS = ((0.0, 0.0), (0.04, 0.04), (0.08, 0.0), (0.0, 0.08), (0.08, 0.08))
"""Shares cut off a window's start and end; an answer is an average over these."""


class ActivitySettings(BaseModel):
    """`smoothing`: of labels. `own_weight`: of the loss of each encoder's own head. `dropout`: of the heads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smoothing: float = Field(default=0.1, ge=0, lt=1)
    own_weight: float = Field(default=0.3, ge=0)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()


@dataclass
class ActivityBatch:
    """Windows as `STEPS` says, presence (B, 2) and actions (B,)."""

    inertial: Tensor
    skeleton: Tensor
    present: Tensor
    action: Tensor

    def to(self, device: torch.device) -> ActivityBatch:
        return replace(self, **{k: v.to(device) for k, v in vars(self).items()})


class ActivityTask:
    """Implements `Task` on windows held in memory. Without `held_out` there is no held-out score: a run takes all its
    epochs and keeps the last.
    """

    name = "activity"
    modalities: tuple[str, ...] = ACTIVITY_MODALITIES
    run_length = 1

    def __init__(
        self, training: Windows, held_out: Windows | None = None, settings: ActivitySettings | None = None
    ) -> None:
        self.training, self.validation = training, held_out
        self.settings = settings or ActivitySettings()

    def __len__(self) -> int:
        return len(self.training)

    def make_model(self, strategies: Sequence[str]) -> ActivityModel:
        return ActivityModel(strategies, self.settings.dropout)

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(model, ActivityModel)
        return dict(model.encoders.items())

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> ActivityBatch:
        inertial, skeleton = read_augmented(self.training, index, STEPS, self.settings.augmentation, rng)
        action = self.training.action[index]
        return ActivityBatch(*map(torch.from_numpy, (inertial, skeleton, keep, action)))

    def step(self, model: nn.Module, batch: ActivityBatch, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        assert isinstance(model, ActivityModel)
        network, tokens = model.network(strategy), model.tokens(batch.inertial, batch.skeleton)
        result = self._subsets(network, tokens, batch)
        if self.settings.own_weight:
            self._add_own(result, model, tokens, batch)
        for name, term in network.losses(*tokens, batch.present).items():
            result.loss = result.loss + term
            result.parts[name] = float(term.detach())
        return result

    def _subsets(self, network: ActivityNetwork, tokens: tuple[Tensor, Tensor], batch: ActivityBatch) -> Step:
        """Of every window by what it is given, and of those with both modalities by each alone: all in one go."""
        with_both = torch.nonzero(batch.present.amin(dim=1) > 0.5)[:, 0]
        given, alone = len(batch.present), len(with_both)
        rows = torch.cat([torch.arange(given, device=with_both.device), with_both, with_both])
        each = torch.eye(2, device=with_both.device).repeat_interleave(alone, dim=0)
        logits = network(*(x[rows] for x in tokens), torch.cat([batch.present, each]))
        losses = F.cross_entropy(logits, batch.action[rows], reduction="none", label_smoothing=self.settings.smoothing)
        names = ("given", *(f"{m}_alone" for m in ACTIVITY_MODALITIES))
        split = losses.detach().split((given, alone, alone))
        parts = {name: float(part.mean()) for name, part in zip(names, split, strict=True) if len(part)}
        return Step(losses.sum() / given, parts)

    def _add_own(self, result: Step, model: ActivityModel, tokens: tuple[Tensor, Tensor], batch: ActivityBatch) -> None:
        """The loss and the score of each encoder's own head."""
        for n, m in enumerate(ACTIVITY_MODALITIES):
            here = torch.nonzero(batch.present[:, n] > 0.5)[:, 0]
            if len(here):
                answer, action = model.own[m](tokens[n][here]), batch.action[here]
                loss = F.cross_entropy(answer, action, label_smoothing=self.settings.smoothing)
                result.loss = result.loss + self.settings.own_weight * loss
                right = torch.softmax(answer.detach(), dim=1)[torch.arange(len(here)), action]
                result.scores[m] = float(right.mean())

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        """Mean loss over both modalities and each alone."""
        assert isinstance(model, ActivityModel)
        if self.validation is None:
            return {}
        answers = predict(model, self.validation, VIEWS[:1])
        rows = torch.arange(len(self.validation)), torch.from_numpy(self.validation.action)
        return {s: float(-a.clamp_min(1e-9).log()[:, rows[0], rows[1]].mean()) for s, a in answers.items()}


def predict(model: ActivityModel, windows: Windows, views: Sequence[tuple[float, float]] = VIEWS) -> dict[str, Tensor]:
    """Per strategy, probabilities of actions (subset, N, 27) for both modalities, inertial alone and skeleton alone:
    averages over `views`, each with these shares cut off the window's start and end.
    """
    assert not model.training
    device = next(model.parameters()).device
    index = np.arange(len(windows))
    out = {s: torch.zeros(len(SUBSETS), len(windows), ACTIONS) for s in model.networks}
    with torch.no_grad():
        for cut in views:
            inertial, skeleton = (torch.from_numpy(x).to(device) for x in read_plain(windows, index, STEPS, cut))
            tokens = model.tokens(inertial, skeleton)
            for strategy, sums in out.items():
                for n, present in enumerate(SUBSETS.to(device)):
                    answer = model.network(strategy)(*tokens, present.expand(len(windows), 2))
                    sums[n] += torch.softmax(answer, dim=1).cpu() / len(views)
    return out
