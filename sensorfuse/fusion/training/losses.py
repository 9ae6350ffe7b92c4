"""Training targets and losses of the heads. Torch; training only.

Heatmap: penalty-reduced focal loss (Law and Deng, CornerNet, ECCV 2018). Boxes: L1 at the centres' cells. Standard
deviations: Gaussian likelihood of the detached error, so that they describe the estimates and do not change them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sensorfuse.fusion.decode import GROUPS, SPEED_UNIT_MPS, encode_boxes, on_grid
from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.messages import SOUND_CLASSES, Detections, SoundEvent

SIGMA_CELLS = (0.9, 0.7, 0.6)
"""Spread of each group's peak in the heatmap target."""
SPLAT = 3


@dataclass
class Targets:
    """Of one batch: heatmaps and what they leave out, and the N objects' cells and values."""

    heat: Tensor  # (B, 3, X, Y) in [0, 1], 1 at centres
    counted: Tensor  # (B, 3, X, Y) 0 where the truth is unsure (objects that no sensor can see)
    cell: Tensor  # (N, 4) [batch, group, i, j]
    values: Tensor  # (N, 10) channels 0-9 of `decode.py`
    kind: Tensor  # (N,) index into VEHICLES or -1
    motion: Tensor  # (B, 2) vx / 10, yaw rate
    sound: Tensor  # (B, 3) 1 where the class is heard
    toward: Tensor  # (B, 3, 2) sine and cosine of its azimuth; zero where it has no one direction

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        return Targets(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def heat_target(
    objects: Detections, visible: NDArray[np.bool_], grid: BevGrid = GRID
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmap target (3, X, Y) of the visible objects, and where the others leave it open (0)."""
    heat = np.zeros((len(GROUPS), grid.cells, grid.cells), np.float32)
    counted = np.ones_like(heat)
    offsets = np.arange(-SPLAT, SPLAT + 1)
    square = offsets[:, None] ** 2 + offsets[None] ** 2
    cells, _, _ = encode_boxes(objects, grid)
    for n, (group, i, j) in enumerate(cells):
        a, b = slice(max(i - SPLAT, 0), i + SPLAT + 1), slice(max(j - SPLAT, 0), j + SPLAT + 1)
        i0, j0 = a.start - (i - SPLAT), b.start - (j - SPLAT)
        rows, columns = heat[group, a, b].shape
        near = square[i0 : i0 + rows, j0 : j0 + columns]
        if visible[n]:
            peak = np.exp(-near / (2 * SIGMA_CELLS[group] ** 2))
            heat[group, a, b] = np.maximum(heat[group, a, b], peak)
        else:
            counted[:, a, b][:, near <= 2] = 0
    counted[heat >= 0.999] = 1
    return heat, counted


def make_targets(
    objects: list[Detections],
    visible: list[NDArray[np.bool_]],
    motion: NDArray[np.float32],
    sounds: list[list[SoundEvent]],
) -> Targets:
    """Targets of a batch from truth per tick; objects off the grid or of unknown class are dropped here."""
    heats, counteds, cells, values, kinds = [], [], [], [], []
    sound = np.zeros((len(objects), len(SOUND_CLASSES)), np.float32)
    toward = np.zeros((len(objects), len(SOUND_CLASSES), 2), np.float32)
    for b, (one, seen) in enumerate(zip(objects, visible, strict=True)):
        inside = on_grid(one)
        one, seen = one.select(inside), seen[inside]
        heat, counted = heat_target(one, seen)
        heats.append(heat)
        counteds.append(counted)
        cell, value, kind = encode_boxes(one.select(seen))
        cells.append(np.column_stack([np.full(len(cell), b), cell]))
        values.append(value)
        kinds.append(kind)
        for event in sounds[b]:
            if event.name in SOUND_CLASSES:
                k = SOUND_CLASSES.index(event.name)
                sound[b, k] = 1
                if np.isfinite(event.azimuth_rad):
                    toward[b, k] = np.sin(event.azimuth_rad), np.cos(event.azimuth_rad)
    return Targets(
        torch.from_numpy(np.stack(heats)),
        torch.from_numpy(np.stack(counteds)),
        torch.from_numpy(np.concatenate(cells).astype(np.int64)),
        torch.from_numpy(np.concatenate(values)),
        torch.from_numpy(np.concatenate(kinds)),
        torch.from_numpy(motion),
        torch.from_numpy(sound),
        torch.from_numpy(toward),
    )


def focal_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Penalty-reduced focal loss, per centre."""
    centre = (target >= 0.999).to(logits.dtype)
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    p = torch.sigmoid(logits)
    hit = centre * (1 - p) ** 2 * log_p
    miss = (1 - centre) * counted * (1 - target) ** 4 * p**2 * log_not_p
    return -(hit.sum() + miss.sum()) / centre.sum().clamp_min(1.0)


def box_losses(box: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Losses of the box values at the centres' cells."""
    zero = box.sum() * 0.0
    if not len(targets.cell):
        return {"place": zero, "shape": zero, "yaw": zero, "velocity": zero, "kind": zero, "sigma": zero}
    b, _, i, j = targets.cell.T
    got, want = box[b, :, i, j], targets.values  # (N, 17), (N, 10)
    moving = torch.isfinite(want[:, 8:10]).all(dim=1)
    speed_error = (got[moving, 8:10] - want[moving, 8:10]).abs()
    vehicle = targets.kind >= 0
    place_error_m = (got[:, 0:2] - want[:, 0:2]).detach() * GRID.cell_m
    log_place = got[:, 15:16].clamp(-4.0, 3.0)
    sigma = 0.5 * (place_error_m * torch.exp(-log_place)).square().mean() + log_place.mean()
    if moving.any():
        speed = speed_error.detach() * SPEED_UNIT_MPS
        log_sigma = got[moving, 16:17].clamp(-4.0, 3.0)
        sigma = sigma + 0.5 * (speed * torch.exp(-log_sigma)).square().mean() + log_sigma.mean()
    return {
        "place": (got[:, 0:2] - want[:, 0:2]).abs().mean(),
        "shape": (got[:, 2:6] - want[:, 2:6]).abs().mean(),
        "yaw": (got[:, 6:8] - want[:, 6:8]).abs().mean(),
        "velocity": speed_error.mean() if moving.any() else zero,
        "kind": F.cross_entropy(got[vehicle, 10:15], targets.kind[vehicle]) if vehicle.any() else zero,
        "sigma": sigma,
    }


def scene_losses(motion: Tensor, sound: Tensor, targets: Targets, heard: Tensor) -> dict[str, Tensor]:
    """Losses of own motion and sounds; direction counts where there is a sound and the microphones are present (B,)."""
    error = motion[:, :2] - targets.motion
    likelihood = 0.5 * (error.detach() * torch.exp(-motion[:, 2:])).square() + motion[:, 2:]
    toward = F.normalize(sound[..., 1:], dim=-1, eps=1e-3)
    audible = targets.toward.square().sum(dim=-1) * heard[:, None]  # 1 or 0
    away = 1 - (toward * targets.toward).sum(dim=-1)
    return {
        "motion": F.smooth_l1_loss(motion[:, :2], targets.motion, beta=0.05),
        "motion_sigma": likelihood.mean(),
        "sound": F.binary_cross_entropy_with_logits(sound[..., 0], targets.sound),
        "direction": (away * audible).sum() / audible.sum().clamp_min(1.0),
    }


LOSS_WEIGHTS: dict[str, float] = {
    "heat": 1.0,
    "place": 1.0,
    "shape": 0.5,
    "yaw": 0.6,
    "velocity": 2.0,
    "kind": 0.1,
    "sigma": 0.05,
    "motion": 2.0,
    "motion_sigma": 0.05,
    "sound": 0.5,
    "direction": 0.3,
}


def total_loss(outputs: tuple[Tensor, ...], targets: Targets, heard: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum over `(heat, box, motion, sound, ...)`, and each part for the record."""
    heat, box, motion, sound = outputs[:4]
    parts = {"heat": focal_loss(heat, targets.heat, targets.counted)}
    parts |= box_losses(box, targets) | scene_losses(motion, sound, targets, heard)
    total = torch.stack([LOSS_WEIGHTS[name] * part for name, part in parts.items()]).sum()
    return total, {name: float(part.detach()) for name, part in parts.items()}
