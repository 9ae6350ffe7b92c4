"""The driving task: objects on the ground, own motion and sounds, from the synthetic rig. Torch.

Beside the strategies' networks each map encoder has a small heatmap head of its own, so that it learns from every
example to see by itself and not only what the others leave over; its score also says how far ahead a modality is
(`gradient_modulation.py`). These heads are not part of what is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError, first_line
from sensorfuse.fusion.decode import GROUPS
from sensorfuse.fusion.encoders import ENCODERS, SweepPair
from sensorfuse.fusion.grid import FEATURE_SHAPES, FEATURES, GRID, SPATIAL, BevGrid
from sensorfuse.fusion.heads import PRIOR
from sensorfuse.fusion.model import OUTPUTS, FusionNetwork
from sensorfuse.fusion.training.augmentation import disturb
from sensorfuse.fusion.training.dataset import MAPS, SWEEP_BEFORE
from sensorfuse.fusion.training.examples import Batch, Examples
from sensorfuse.fusion.training.losses import Targets, focal_loss, total_loss
from sensorfuse.fusion.training.modality_dropout import draw_dropout
from sensorfuse.fusion.training.task import Step, in_runs
from sensorfuse.messages import MODALITIES, Modality

OWN_WEIGHT = 0.5
"""Of each map encoder's own heatmap loss."""
NO_BEFORE = 0.1
"""How often an example is trained without the sweep before."""
HELD_OUT_DROPOUT = 0.25


def warp_features(maps: Tensor, warp: Tensor, grid: BevGrid = GRID) -> Tensor:
    """Maps (B, C, X, Y) moved by planar motions (B, 4) [cos, sin, tx, ty]; what `warp.warp_map` does one at a time."""
    axis = (torch.arange(grid.cells, dtype=maps.dtype, device=maps.device) + 0.5) * grid.cell_m - grid.half_m
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    c, s, tx, ty = warp[:, :, None, None].unbind(1)
    x, y = x[None] - tx, y[None] - ty
    u, v = (c * x + s * y) / grid.half_m, (c * y - s * x) / grid.half_m
    return F.grid_sample(maps, torch.stack([v, u], dim=-1), mode="bilinear", padding_mode="zeros", align_corners=False)


class Encoders(nn.Module):
    """All encoders, and what makes one map of two sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.by_modality = nn.ModuleDict({m: make() for m, make in ENCODERS.items()})
        self.sweeps = SweepPair()

    def forward(self, batch: Batch) -> list[Tensor]:
        """Maps and vectors of all five modalities at t_ref; zeros for the absent, which are not encoded."""
        out = []
        for k, m in enumerate(MODALITIES):
            rows = torch.nonzero(batch.present[:, k] > 0.5)[:, 0]
            blank = batch.present.new_zeros(len(batch.present), *FEATURE_SHAPES[m])
            out.append(blank.index_copy(0, rows, self._encode(m, batch, rows)) if len(rows) else blank)
        return out

    def _encode(self, modality: Modality, batch: Batch, rows: Tensor) -> Tensor:
        if modality not in SPATIAL:  # a window of messages: encode each, then average
            window = batch.inputs[modality][0][rows]
            encoded = self.by_modality[modality](window.flatten(0, 1))
            return encoded.unflatten(0, window.shape[:2]).mean(dim=1)
        maps = self._moved(modality, modality, batch, rows)
        if modality != "lidar":
            return maps
        before = self._moved(modality, SWEEP_BEFORE, batch, rows)
        has_before = batch.has_before[rows][:, None]
        return self.sweeps(maps, before * has_before[:, :, None, None], has_before)

    def _moved(self, modality: str, name: str, batch: Batch, rows: Tensor) -> Tensor:
        first, *more = (x[rows] for x in batch.inputs[name])
        maps = self.by_modality[modality](first.contiguous(memory_format=torch.channels_last), *more)
        return warp_features(maps, batch.warp[rows, MAPS.index(name)])


class Trainee(nn.Module):
    """Encoders, each map encoder's own head, and the strategies' networks. With `frozen` encoders only the networks
    learn.
    """

    def __init__(self, strategies: Sequence[str], frozen: bool = False) -> None:
        super().__init__()
        self.encoders = Encoders()
        self.own = nn.ModuleDict({m: nn.Conv2d(FEATURES, len(GROUPS), 1) for m in SPATIAL})
        for head in self.own.values():
            nn.init.constant_(head.bias, PRIOR)  # type: ignore[arg-type]
        self.networks = nn.ModuleDict({s: FusionNetwork(s) for s in strategies})
        self.frozen = frozen
        for part in (self.encoders, self.own):
            part.requires_grad_(not frozen)

    def network(self, strategy: str) -> FusionNetwork:
        network = self.networks[strategy]
        assert isinstance(network, FusionNetwork)
        return network

    def features(self, batch: Batch) -> list[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return list(self.encoders(batch))

    def train(self, mode: bool = True) -> Trainee:
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self


class DrivingTask:
    """Implements `Task` on shards of `dataset.py`.

    Args:
        training, held_out: examples; held-out worlds are whole.
        encoders: a file of weights; then these are used as they are, and only networks are trained.
        disturbance: how often an example's sensors are disturbed in training.
    """

    name = "driving"
    modalities: tuple[str, ...] = tuple(MODALITIES)
    run_length = 1  # each example is mirrored by a draw of its own

    def __init__(
        self, training: Examples, held_out: Examples, encoders: Path | None = None, disturbance: float = 0.3
    ) -> None:
        self.training, self.validation = training, held_out
        self.weights, self.disturbance = encoders, disturbance

    def __len__(self) -> int:
        return len(self.training)

    def make_model(self, strategies: Sequence[str]) -> Trainee:
        model = Trainee(strategies, frozen=self.weights is not None)
        if self.weights is not None:
            load_encoders(model.encoders, self.weights)
        return model

    def encoders(self, model: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(model, Trainee)
        return {} if model.frozen else dict(model.encoders.by_modality.items())

    def batch(self, index: NDArray[np.int64], keep: NDArray[np.float32], rng: np.random.Generator) -> Batch:
        batch = self.training.batch(index, rng.random(len(index)) < 0.5, keep)
        self._disturb(batch, rng)
        return batch

    def whole(self, part: str, index: NDArray[np.int64], mirror: NDArray[np.bool_]) -> Batch:
        """Examples with every modality; those to train on are disturbed now and then, by a draw of their numbers."""
        examples = self.training if part == "training" else self.validation
        batch = examples.batch(index, mirror, np.ones((len(index), len(MODALITIES)), np.float32))
        if part == "training":
            self._disturb(batch, np.random.default_rng(index))
        return batch

    def _disturb(self, batch: Batch, rng: np.random.Generator) -> None:
        batch.has_before = torch.from_numpy((rng.random(len(batch.present)) >= NO_BEFORE).astype(np.float32))
        disturb(batch, self.disturbance, rng)

    def step(self, model: nn.Module, batch: Batch, strategy: str, state: tuple[Tensor, ...] = ()) -> Step:
        assert isinstance(model, Trainee)
        features = model.features(batch)
        result = network_loss(model.network(strategy), features, batch.present, batch.targets, state)
        if not model.frozen:
            own = own_losses(model, features, batch)
            result.loss = result.loss + OWN_WEIGHT * sum(own.values(), torch.zeros(()))
            result.parts |= {f"own_{m}": float(v.detach()) for m, v in own.items()}
            result.scores = {m: float(torch.exp(-v.detach())) for m, v in own.items()}
        return result

    def held_out(self, model: nn.Module, batch_size: int, rng: np.random.Generator) -> dict[str, float]:
        """Half of the ticks with everything present, half with dropout."""
        assert isinstance(model, Trainee)
        nothing_mirrored = np.zeros(len(self.validation), bool)

        def read(index: NDArray[np.int64], keep: NDArray[np.float32]) -> tuple[list[Tensor], Tensor, Targets]:
            batch = self.validation.batch(index, nothing_mirrored[index], keep).to(next(model.parameters()).device)
            return model.features(batch), batch.present, batch.targets

        return held_out_losses(model, len(self.validation), self.run_length, batch_size, rng, read)


def held_out_losses(
    model: Trainee,
    count: int,
    run_length: int,
    batch_size: int,
    rng: np.random.Generator,
    read: Callable[[NDArray[np.int64], NDArray[np.float32]], tuple[list[Tensor], Tensor, Targets]],
) -> dict[str, float]:
    """Per strategy, the mean loss over `count` examples, every other one (of runs: every other run) with modality
    dropout. `read` gives features, presence and targets of the examples `index` cut to `keep`.
    """
    sums: dict[str, list[float]] = {name: [] for name in model.networks}
    state: dict[str, tuple[Tensor, ...]] = {}
    for index, begins in in_runs(np.arange(count // run_length), run_length, batch_size):
        keep = draw_dropout(rng, len(index), (HELD_OUT_DROPOUT,) * len(MODALITIES))
        keep[::2] = 1.0
        features, present, targets = read(index, keep)
        for name in sums:
            before = () if begins else state[name]
            result = network_loss(model.network(name), features, present, targets, before)
            sums[name].append(float(result.loss))
            state[name] = result.state
    return {name: float(np.mean(values)) for name, values in sums.items()}


def network_loss(
    network: FusionNetwork, features: list[Tensor], present: Tensor, targets: Targets, state: tuple[Tensor, ...] = ()
) -> Step:
    """The heads' losses of one network, and while it learns the strategy's own; what it remembers after it."""
    outputs = network(*features, present, *state)
    loss, parts = total_loss(outputs, targets, present[:, MODALITIES.index("audio")])
    if network.training:
        camera, lidar, radar, imu, audio = features
        own = network.losses(camera, lidar, radar, imu, audio, present)
        loss = loss + sum(own.values(), torch.zeros(()))
        parts |= {term: float(value.detach()) for term, value in own.items()}
    return Step(loss, parts, state=outputs[len(OUTPUTS) :])


def own_losses(model: Trainee, features: list[Tensor], batch: Batch) -> dict[str, Tensor]:
    """Of each map encoder that has examples in the batch: the focal loss of its own heatmap."""
    out: dict[str, Tensor] = {}
    for k, m in enumerate(SPATIAL):
        rows = batch.present[:, MODALITIES.index(m)] > 0.5
        if rows.any():
            heat = model.own[m](features[k][rows])
            out[m] = focal_loss(heat, batch.targets.heat[rows], batch.targets.counted[rows])
    return out


def load_encoders(encoders: Encoders, path: Path) -> None:
    """Encoder weights from a safetensors file.

    Raises:
        SensorfuseError: unreadable, or of other networks.
    """
    from safetensors.torch import load_file

    try:
        encoders.load_state_dict(load_file(path))
    except Exception as error:  # safetensors raises its own class for a bad file, torch RuntimeError for other names
        raise SensorfuseError(f"{path}: no encoder weights of this version: {first_line(error)}") from None
