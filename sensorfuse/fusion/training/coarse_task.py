"""The driving task made small: frozen encoders' features pooled to 16 x 16 cells, so that many networks can be tried.
Torch; training only.

Of the heads, the centre heatmap, the robot's own motion and the sounds remain. What does better here need not do better
at full size, but it can be found out a thousand times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.fusion.decode import GROUPS
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.heads import PRIOR
from sensorfuse.fusion.methods.layout import TokenLayout
from sensorfuse.fusion.model import WIDTH
from sensorfuse.fusion.training.driving import Trainee, load_encoders
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.fusion.training.losses import LOSS_WEIGHTS, focal_loss
from sensorfuse.fusion.training.modality_dropout import draw_dropout
from sensorfuse.messages import MODALITIES, SOUND_CLASSES

CELLS = 16
COARSE = TokenLayout(tuple(CELLS**2 if m in SPATIAL else 1 for m in MODALITIES), grid=(CELLS, CELLS))
DROPOUT = (0.25,) * len(MODALITIES)


class CoarseTicks:
    """Tokens per modality, presence and targets of all ticks of some shards, all held in memory."""

    def __init__(self, shards: Sequence[Path], encoders: Path, batch: int = 20) -> None:
        examples = Examples(shards)
        model = Trainee(())
        load_encoders(model.encoders, encoders)
        model.eval()
        tokens: list[list[Tensor]] = [[] for _ in MODALITIES]
        present, heat, motion, sound = [], [], [], []
        with torch.no_grad():
            for first in range(0, len(examples), batch):
                index = np.arange(first, min(first + batch, len(examples)))
                everyone = np.ones((len(index), len(MODALITIES)), np.float32)
                one = examples.batch(index, np.zeros(len(index), bool), everyone)
                for m, x in enumerate(model.features(one)):
                    pooled = (
                        F.avg_pool2d(x, x.shape[-1] // CELLS).flatten(2).transpose(1, 2) if x.dim() == 4 else x[:, None]
                    )
                    tokens[m].append(pooled)
                present.append(one.present)
                heat.append(F.max_pool2d(one.targets.heat, one.targets.heat.shape[-1] // CELLS))
                motion.append(one.targets.motion)
                sound.append(one.targets.sound)
        self.tokens = [torch.cat(x).contiguous() for x in tokens]
        self.present, self.heat = torch.cat(present), torch.cat(heat)
        self.motion, self.sound = torch.cat(motion), torch.cat(sound)

    def __len__(self) -> int:
        return len(self.present)


class CoarseNetwork(nn.Module):
    """A fusion method laid out as `COARSE` and the least heads that it can be judged by."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion
        self.heat = nn.Linear(WIDTH, len(GROUPS))
        self.scene = nn.Linear(WIDTH, 2 + len(SOUND_CLASSES))
        nn.init.constant_(self.heat.bias, PRIOR)

    def loss(self, ticks: CoarseTicks, index: Tensor, keep: NDArray[np.float32]) -> Tensor:
        """The task's loss on some ticks, their modalities cut to `keep` (B, 5)."""
        present = ticks.present[index] * torch.from_numpy(keep)
        fused = self.fusion(*[x[index] for x in ticks.tokens], present)[0]
        heat = COARSE.to_map(self.heat(fused))
        scene = self.scene(fused.mean(dim=1))
        return (
            LOSS_WEIGHTS["heat"] * focal_loss(heat, ticks.heat[index], torch.ones_like(heat))
            + LOSS_WEIGHTS["motion"] * F.smooth_l1_loss(scene[:, :2], ticks.motion[index], beta=0.05)
            + LOSS_WEIGHTS["sound"] * F.binary_cross_entropy_with_logits(scene[:, 2:], ticks.sound[index])
        )


def held_out_loss(
    fusion: nn.Module, training: CoarseTicks, held_out: CoarseTicks, steps: int, seed: int = 0, batch: int = 16
) -> float:
    """Train a network with this fusion for some steps; its mean loss on held-out ticks, half of them with dropout."""
    network = CoarseNetwork(fusion)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(steps):
        index = torch.from_numpy(rng.integers(0, len(training), batch))
        loss = network.loss(training, index, draw_dropout(rng, batch, DROPOUT))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    keep = draw_dropout(np.random.default_rng(seed + 1), len(held_out), DROPOUT)
    keep[::2] = 1.0
    with torch.no_grad():
        parts = torch.arange(len(held_out)).split(40)
        losses = [float(network.loss(held_out, part, keep[part.numpy()])) * len(part) for part in parts]
    return sum(losses) / len(held_out)
