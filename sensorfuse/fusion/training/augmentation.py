"""Disturbed sensors to learn from: what weather, dirt, faults and bad calibration do to the encoders' inputs. Torch.

Milder and cruder than what a strategy is judged with (`evaluation/corruptions`), and made of other arithmetic, so that
the judgement is not of what was learned by heart.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sensorfuse.fusion.training.dataset import MAPS, SWEEP_BEFORE
from sensorfuse.fusion.training.examples import Batch
from sensorfuse.messages import MODALITIES

MAX_TURN_RAD = 0.05
MAX_SHIFT_M = 0.4


def disturb(batch: Batch, rate: float, rng: np.random.Generator) -> None:
    """In each example, with chance `rate`, one modality's inputs are disturbed, in place."""
    for n in range(len(batch.present)):
        if rng.random() >= rate:
            continue
        modality = MODALITIES[int(rng.integers(len(MODALITIES)))]
        if modality in MAPS and rng.random() < 0.3:
            _misplace(batch.warp[n, MAPS.index(modality)], rng)
        elif modality == "camera":
            batch.inputs["camera"][0][n] = _picture(batch.inputs["camera"][0][n], rng)
        elif modality == "lidar":
            kept = _kept_cells(batch.inputs["lidar"][0][n], rng)
            for name in ("lidar", SWEEP_BEFORE):
                batch.inputs[name][0][n] *= kept
        elif modality == "radar":
            radar = batch.inputs["radar"][0][n]
            radar *= _kept_cells(radar, rng)
        else:
            vector = batch.inputs[modality][0][n]
            vector *= 1 + 0.2 * float(rng.normal())
            vector += _noise(vector, 0.05 * rng.random(), rng)


def _picture(image: Tensor, rng: np.random.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: darker or brighter, flat, noisy, blurred, or with something in front of a part of it."""
    kind = rng.integers(4)
    if kind == 0:
        contrast = 0.3 + 0.9 * rng.random()
        return ((image - image.mean()) * contrast + image.mean() * (0.2 + 1.2 * rng.random())).clamp(0, 1)
    if kind == 1:
        return (image + _noise(image, 0.15 * rng.random(), rng)).clamp(0, 1)
    if kind == 2:
        return F.avg_pool2d(image[None], 5, 1, 2, count_include_pad=False)[0]
    out = image.clone()
    height, width = image.shape[1:]
    top, left = int(rng.integers(height)), int(rng.integers(width))
    out[:, top : top + height // 3, left : left + width // 3] = float(rng.random())
    return out


def _kept_cells(bev: Tensor, rng: np.random.Generator) -> Tensor:
    """(1, X, Y) of ones and zeros: cells lost at random, or all beyond some distance, or all in some directions."""
    cells = bev.shape[-1]
    axis = (torch.arange(cells) + 0.5) * (2 / cells) - 1
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    kind = rng.integers(3)
    if kind == 0:
        kept = torch.from_numpy(rng.random((cells, cells)) < 0.3 + 0.6 * rng.random())
    elif kind == 1:
        kept = torch.hypot(x, y) < 0.2 + 0.6 * rng.random()
    else:
        middle, width = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 1.5)
        away = torch.remainder(torch.atan2(y, x) - middle + np.pi, 2 * np.pi) - np.pi
        kept = away.abs() > width
    return kept.to(bev.dtype)[None]


def _misplace(motion: Tensor, rng: np.random.Generator) -> None:
    """Turn and shift a map [cos, sin, tx, ty], as a wrong mounting pose does."""
    turn = float(rng.uniform(-MAX_TURN_RAD, MAX_TURN_RAD))
    angle = torch.atan2(motion[1], motion[0]) + turn
    motion[0], motion[1] = torch.cos(angle), torch.sin(angle)
    motion[2:] += torch.from_numpy(rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M, 2)).to(motion.dtype)


def _noise(like: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal(tuple(like.shape)).astype(np.float32)) * float(sigma)
