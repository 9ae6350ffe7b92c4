"""Train encoders and fusion networks on the synthetic rig.

    python -m sensorfuse.fusion.training.train --strategy hybrid --strategy cross_modal_attention --data DATA --out RUN

Strategies named together share encoders and are trained together, taking turns. `--encoders encoders.safetensors`
freezes shipped ones, so that a new strategy can be added beside the others. Every example is trained with modality
dropout. With the same command, data and thread count the result is the same; `--resume` continues from the last whole
epoch.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.encoders import ENCODERS, FEATURES
from sensorfuse.fusion.grid import GRID, BevGrid
from sensorfuse.fusion.model import SPATIAL, FusionNetwork
from sensorfuse.fusion.strategies import find_strategy
from sensorfuse.fusion.training.examples import Batch, Examples, draw_dropout
from sensorfuse.fusion.training.losses import total_loss
from sensorfuse.messages import MODALITIES


class TrainConfig(BaseModel):
    """What a run depends on, besides the data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategies: tuple[str, ...] = ("hybrid", "cross_modal_attention")
    data: Path = Path("out/fusion/data")
    out: Path = Path("out/fusion/run")
    encoders: Path | None = None
    seed: int = 0
    epochs: int = Field(default=12, ge=1)
    batch: int = Field(default=12, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = 1e-4
    dropout: tuple[float, float, float, float, float] = (0.25, 0.25, 0.25, 0.25, 0.25)
    patience: int = Field(default=4, ge=1)
    threads: int = Field(default=1, ge=1)
    resume: bool = False


def warp_features(maps: Tensor, warp: Tensor, grid: BevGrid = GRID) -> Tensor:
    """Maps (B, C, X, Y) moved by planar motions (B, 4) [cos, sin, tx, ty]; what `warp.warp_map` does one at a time."""
    axis = (torch.arange(grid.cells, dtype=maps.dtype) + 0.5) * grid.cell_m - grid.half_m
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    c, s, tx, ty = warp[:, :, None, None].unbind(1)
    x, y = x[None] - tx, y[None] - ty
    u, v = (c * x + s * y) / grid.half_m, (c * y - s * x) / grid.half_m
    return F.grid_sample(maps, torch.stack([v, u], dim=-1), mode="bilinear", padding_mode="zeros", align_corners=False)


class Trainee(nn.Module):
    """Encoders and the strategies' networks on them."""

    def __init__(self, strategies: Sequence[str]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({m: make() for m, make in ENCODERS.items()})
        self.networks = nn.ModuleDict({s: FusionNetwork(s) for s in strategies})
        self.frozen = False

    def features(self, batch: Batch) -> list[Tensor]:
        """Maps and vectors of all five modalities at t_ref; zeros for the absent, which are not encoded."""
        out = []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            for k, m in enumerate(MODALITIES):
                rows = torch.nonzero(batch.present[:, k] > 0.5)[:, 0]
                inputs = [x[rows] for x in batch.inputs[m]]
                if not len(rows):
                    shape = (FEATURES, GRID.cells, GRID.cells) if m in SPATIAL else (FEATURES,)
                    out.append(torch.zeros(len(batch.present), *shape))
                    continue
                if m in SPATIAL:
                    first = inputs[0].contiguous(memory_format=torch.channels_last)
                    maps = self.encoders[m](first, *inputs[1:])
                    encoded = warp_features(maps, batch.warp[rows, SPATIAL.index(m)])
                else:  # a window of messages: encode each, then average
                    window = inputs[0]
                    encoded = self.encoders[m](window.flatten(0, 1)).unflatten(0, window.shape[:2]).mean(dim=1)
                blank = encoded.new_zeros(len(batch.present), *encoded.shape[1:])
                out.append(blank.index_copy(0, rows, encoded))
        return out

    def train(self, mode: bool = True) -> Trainee:
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self


def batch_loss(
    model: Trainee, batch: Batch, strategies: Sequence[str] | None = None
) -> tuple[Tensor, dict[str, dict[str, float]]]:
    """Sum over `strategies` (default all), and each one's parts."""
    features = model.features(batch)
    heard = batch.present[:, MODALITIES.index("audio")]
    total, parts = torch.zeros(()), {}
    for name in strategies or list(model.networks):
        network = model.networks[name]
        assert isinstance(network, FusionNetwork)
        loss, detail = total_loss(network(*features, batch.present), batch.targets, heard)
        if network.training:
            camera, lidar, radar, imu, audio = features
            own = network.losses(camera, lidar, radar, imu, audio, batch.present)
            loss = loss + sum(own.values())
            detail |= {term: float(value.detach()) for term, value in own.items()}
        total = total + loss
        parts[name] = {"total": float(loss.detach()), **detail}
    return total, parts


def validate(model: Trainee, examples: Examples, config: TrainConfig) -> dict[str, float]:
    """Mean loss per strategy on held-out ticks, half of them with everything present and half with dropout."""
    model.eval()
    rng = np.random.default_rng(config.seed + 1)
    sums: dict[str, list[float]] = {name: [] for name in model.networks}
    with torch.no_grad():
        for first in range(0, len(examples), config.batch):
            index = np.arange(first, min(first + config.batch, len(examples)))
            keep = draw_dropout(rng, len(index), config.dropout)
            keep[::2] = 1.0
            _, parts = batch_loss(model, examples.batch(index, np.zeros(len(index), bool), keep))
            for name, detail in parts.items():
                sums[name].append(detail["total"])
    return {name: float(np.mean(values)) for name, values in sums.items()}


def train(config: TrainConfig, training: Examples, held_out: Examples) -> tuple[Trainee, dict[str, Any]]:
    """Train; returns the networks at the best epoch, and a record of the run."""
    for name in config.strategies:
        if find_strategy(name).kind != "learned":
            raise SensorfuseError(f"strategy {name!r} is not learned: there is nothing to train")
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    model = Trainee(config.strategies).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.encoders is not None:
        load_encoders(model, config.encoders)
        model.frozen = True
    parameters = model.networks.parameters() if model.frozen else model.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = len(training) // config.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * steps + 1, pct_start=0.15
    )
    config.out.mkdir(parents=True, exist_ok=True)
    state_file = config.out / "state.pt"
    history: list[dict[str, Any]] = []
    best, best_state, first_epoch, spent_s = float("inf"), model.state_dict(), 0, 0.0
    if config.resume and state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        best, best_state, history = state["best"], state["best_state"], json.loads(state["history"])
        first_epoch, spent_s = state["epoch"] + 1, state["spent_s"]

    for epoch in range(first_epoch, config.epochs):
        rng = np.random.default_rng([config.seed, epoch])  # of the epoch, so that a resumed run draws the same
        order = rng.permutation(len(training))
        model.train()
        started, smooth = time.monotonic(), 0.0
        for step in range(steps):
            index = order[step * config.batch : (step + 1) * config.batch]
            keep = draw_dropout(rng, config.batch, config.dropout)
            turn = config.strategies[(epoch * steps + step) % len(config.strategies)]
            loss, _ = batch_loss(model, training.batch(index, rng.random(config.batch) < 0.5, keep), [turn])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            smooth = float(loss.detach()) if step == 0 else 0.95 * smooth + 0.05 * float(loss.detach())
            if step % 10 == 9 or step == steps - 1:
                pace = (time.monotonic() - started) / (step + 1)
                left = pace * (steps * (config.epochs - epoch) - step - 1)
                print(
                    f"\repoch {epoch + 1}/{config.epochs} step {step + 1}/{steps} loss {smooth:.3f} "
                    f"{left / 60:.1f} min left ",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
        spent_s += time.monotonic() - started
        losses = validate(model, held_out, config)
        history.append({"epoch": epoch + 1, "train": smooth, "held_out": losses})
        score = sum(losses.values())
        print(
            f"\nepoch {epoch + 1}: held out {json.dumps({k: round(v, 3) for k, v in losses.items()})}", file=sys.stderr
        )
        if score < best:
            best, best_state = score, {k: v.clone() for k, v in model.state_dict().items()}
        torch.save(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "best": best,
                "best_state": best_state,
                "epoch": epoch,
                "history": json.dumps(history),
                "spent_s": spent_s,
            },
            state_file,
        )
        since = epoch - int(np.argmin([sum(h["held_out"].values()) for h in history]))
        if since >= config.patience:
            print(f"no better for {since} epochs: stopping", file=sys.stderr)
            break
    model.load_state_dict(best_state)
    return model.eval(), {"history": history, "training_s": round(spent_s, 1)}


def load_encoders(model: Trainee, path: Path) -> None:
    """Encoder weights from a safetensors file.

    Raises:
        SensorfuseError: unreadable, or of other networks.
    """
    from safetensors.torch import load_file

    try:
        model.encoders.load_state_dict(load_file(path))
    except Exception as error:  # safetensors raises its own class for a bad file, torch RuntimeError for other names
        raise SensorfuseError(f"{path}: no encoder weights of this version: {str(error).splitlines()[0]}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    from sensorfuse.fusion.training.dataset import read_index
    from sensorfuse.fusion.training.publish import publish

    fields = TrainConfig.model_fields
    parser = argparse.ArgumentParser(
        prog="python -m sensorfuse.fusion.training.train", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--strategy", action="append", dest="strategies", help="may be repeated")
    parser.add_argument("--dropout", nargs=5, type=float, metavar="RATE", help="camera lidar radar imu audio")
    parser.add_argument("--resume", action="store_true", default=None)
    for name, kind in (
        ("data", Path),
        ("out", Path),
        ("encoders", Path),
        ("seed", int),
        ("epochs", int),
        ("batch", int),
        ("learning_rate", float),
        ("weight_decay", float),
        ("patience", int),
        ("threads", int),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"default {fields[name].default}")
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    try:
        config = TrainConfig(**given)
        index = read_index(config.data)
        training, held_out = (Examples([config.data / s for s in index[part]]) for part in ("training", "held_out"))
        print(f"{len(training)} ticks to train on, {len(held_out)} held out", file=sys.stderr)
        model, record = train(config, training, held_out)
        command = shlex.join(
            [
                "python",
                "-m",
                "sensorfuse.fusion.training.train",
                *(arguments if arguments is not None else sys.argv[1:]),
            ]
        )
        publish(model, config, index, record | {"command": command}, held_out)
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
