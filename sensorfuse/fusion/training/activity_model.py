"""Networks that tell what a person does from windows of a worn IMU and a skeleton. Torch.

Each encoder makes 16 tokens in time; a row of the strategy table fuses them; mean and greatest token say the action.
Each encoder also has a head of its own, so that it learns from every window to do without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.methods.maps import to_tokens
from sensorfuse.fusion.strategies import find_learned, load_class
from sensorfuse.fusion.training.activity_data import ACTIONS, JOINTS, LEVEL_VECTORS, SENSOR_VECTORS

ACTIVITY_MODALITIES = ("inertial", "skeleton")
TOKENS = 16
STEPS = (8 * TOKENS, 4 * TOKENS)
"""Samples of a window that the encoders read: inertial, skeleton."""
ON_TIME = TokenLayout((TOKENS, TOKENS))
FEATURES = 64
"""C: width of an encoder's tokens, and D, of fused ones."""


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Over time, on (B, C, 1, T): as maps of one row, which is faster here than one dimension would be."""
    return nn.Sequential(over_time(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs), nn.ReLU())


def over_time(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), bias=False)


def to_row(x: Tensor) -> Tensor:
    """A series (B, T, C) as a map of one row (B, C, 1, T)."""
    return x.transpose(1, 2).unsqueeze(2)


class Residual(nn.Module):
    """relu(x + two convolutions of x) on (B, C, 1, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width, 3)
        self.second = nn.Sequential(over_time(width, width, 3), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class InertialEncoder(nn.Module):
    """Inertial vectors (B, 128, 5, 3) -> tokens (B, 16, C)."""

    def __init__(self, width: int = FEATURES, dropout: float = 0.1) -> None:
        super().__init__()
        channels = 4 * len(SENSOR_VECTORS + LEVEL_VECTORS)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels, affine=False),  # learns nothing: no gradient need reach the input
            convolution(channels, 64, 7, 2),
            nn.Dropout2d(dropout),  # of whole channels
            convolution(64, width, 5, 2),
            Residual(width),
            nn.Dropout2d(dropout),  # of whole channels
            convolution(width, width, 3, 2),
            Residual(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        sizes = x.square().sum(dim=-1).add(1e-6).sqrt()
        return to_tokens(self.layers(to_row(torch.cat([x.flatten(2), sizes], dim=2))))


class SkeletonEncoder(nn.Module):
    """Joints (B, 64, 20, 3) -> tokens (B, 16, C), from where they are and how they move."""

    def __init__(self, width: int = FEATURES, dropout: float = 0.1) -> None:
        super().__init__()
        channels = 2 * 3 * JOINTS
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels, affine=False),  # learns nothing: no gradient need reach the input
            convolution(channels, width, 5, 2),
            nn.Dropout2d(dropout),  # of whole channels
            Residual(width),
            convolution(width, width, 3, 2),
            Residual(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        motion = F.pad(x[:, 1:] - x[:, :-1], (0, 0, 0, 0, 1, 0))
        return to_tokens(self.layers(to_row(torch.cat([x, motion], dim=2).flatten(2))))


class ActionHead(nn.Module):
    """Tokens (B, N, D) -> logits of actions (B, 27)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, ACTIONS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.dropout(torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1)))


class ActivityNetwork(nn.Module):
    """One strategy on tokens in time, and a head.

    Raises:
        SensorfuseError: no strategy has that name, or it is not learned.
    """

    def __init__(self, strategy: str, dropout: float = 0.4) -> None:
        super().__init__()
        self.method: nn.Module = load_class(find_learned(strategy).method)(ON_TIME, FEATURES, FEATURES)
        self.head = ActionHead(FEATURES, dropout)

    def forward(self, inertial: Tensor, skeleton: Tensor, present: Tensor) -> Tensor:
        """Tokens of both modalities and presence (B, 2) -> logits (B, 27)."""
        initial_state: Any = getattr(self.method, "initial_state", None)
        state = initial_state(len(present)) if initial_state is not None else ()
        return self.head(self.method(inertial, skeleton, present, *state)[0])

    def losses(self, inertial: Tensor, skeleton: Tensor, present: Tensor) -> dict[str, Tensor]:
        """What the strategy itself wants, beside the right action."""
        own: Any = getattr(self.method, "losses", None)
        return own(inertial, skeleton, present) if own is not None else {}


class ActivityModel(nn.Module):
    """Both encoders, each one's own head, and a network per strategy."""

    def __init__(self, strategies: Sequence[str], dropout: float = 0.4) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"inertial": InertialEncoder(), "skeleton": SkeletonEncoder()})
        self.own = nn.ModuleDict({m: ActionHead(FEATURES, dropout) for m in ACTIVITY_MODALITIES})
        self.networks = nn.ModuleDict({s: ActivityNetwork(s, dropout) for s in strategies})

    def network(self, strategy: str) -> ActivityNetwork:
        network = self.networks[strategy]
        assert isinstance(network, ActivityNetwork)
        return network

    def tokens(self, inertial: Tensor, skeleton: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoders["inertial"](inertial), self.encoders["skeleton"](skeleton)
