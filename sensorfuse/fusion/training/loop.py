"""The one training loop: any task, any strategies. The same configuration, data and thread count give the same weights.

Strategies named together share encoders and take turns, batch by batch. Where examples follow one another in time, a
batch is several runs side by side, and what a recurrent strategy remembers is handed on through each run; gradients go
back through a few examples only (truncated back-propagation: Williams and Peng, 1990).

Every example is trained with modality dropout, drawn independently or in blocks of time. What is reached after each
epoch is kept, so that training goes on where it stopped.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.training.gradient_modulation import modulate
from sensorfuse.fusion.training.modality_dropout import draw_dropout, draw_outages
from sensorfuse.fusion.training.task import Task

STATE_FILE = "state.pt"


class TrainConfig(BaseModel):
    """What a run depends on, besides the task's data.

    `dropout`: how often each modality is left out, one rate for all or one each in the task's order; `outage_length`:
    mean length, in examples along time, of the blocks in which it is (0: each example for itself). `modulation`: alpha
    of the gradient modulation (0: none). `averaging`: the weights kept are a moving average over about 1 / (1 - it)
    steps (0: the last ones themselves); early in a run over fewer. `batch`: examples in a step, or where they come in
    runs, runs side by side; `back`: consecutive examples of a run in a step, through which gradients go back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategies: tuple[str, ...] = ("hybrid",)
    seed: int = 0
    epochs: int = Field(default=12, ge=1)
    batch: int = Field(default=12, ge=2)
    back: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    dropout: tuple[float, ...] = (0.25,)
    outage_length: float = Field(default=0.0, ge=0)
    modulation: float = Field(default=0.0, ge=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=4, ge=1)
    threads: int = Field(default=1, ge=1)

    def rates(self, task: Task) -> tuple[float, ...]:
        """Dropout rate of each modality of a task.

        Raises:
            SensorfuseError: their number is neither one nor the task's, or one is not in [0, 1).
        """
        rates = self.dropout * len(task.modalities) if len(self.dropout) == 1 else self.dropout
        if len(rates) != len(task.modalities):
            raise SensorfuseError(
                f"dropout: task {task.name!r} needs one rate, or one for each of {', '.join(task.modalities)}; "
                f"got {len(self.dropout)}"
            )
        if not all(0 <= r < 1 for r in rates):
            raise SensorfuseError(f"dropout: every rate must be at least 0 and less than 1, got {rates}")
        return rates

    def keep(self, task: Task, rng: np.random.Generator) -> NDArray[np.float32]:
        """Which modalities each example of an epoch is trained with (N, M)."""
        rates = self.rates(task)
        if self.outage_length:
            return draw_outages(rng, len(task), rates, self.outage_length)
        return draw_dropout(rng, len(task), rates)


@dataclass
class Trained:
    """A model at its best epoch, or the last where nothing is held out, and how it came about."""

    model: nn.Module
    history: list[dict[str, Any]]
    training_s: float


def train(task: Task, config: TrainConfig, out: Path, resume: bool = False) -> Trained:
    """Train; `out` keeps the state after every epoch.

    Raises:
        SensorfuseError: the task has no model of such a name; a dropout rate cannot be; there is too little data.
    """
    runs = len(task) // task.run_length
    if runs < config.batch:
        what = "examples" if task.run_length == 1 else f"runs of {task.run_length} examples"
        raise SensorfuseError(f"task {task.name!r} has {runs} {what}, fewer than one batch of {config.batch}")
    config.rates(task)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    run = _Run(task, config, out)
    if resume:
        run.load()
    for epoch in range(len(run.history), config.epochs):
        run.epoch(epoch)
        run.save()
        stale = len(run.history) - 1 - run.best_epoch()
        if stale >= config.patience:
            print(f"no better for {stale} epochs: stopping", file=sys.stderr)
            break
    run.kept.load_state_dict(run.best_state)
    return Trained(run.kept.eval(), run.history, round(run.spent_s, 1))


class _Run:
    """Everything that a resumed run takes up again."""

    def __init__(self, task: Task, config: TrainConfig, out: Path) -> None:
        self.task, self.config, self.out = task, config, out
        self.batches = len(task) // task.run_length // config.batch
        self.windows = -(-task.run_length // config.back)
        self.steps = steps = self.batches * self.windows
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: nn.Module = task.make_model(config.strategies).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.learning_rate, total_steps=config.epochs * steps + 1, pct_start=0.15
        )
        self.history: list[dict[str, Any]] = []
        self.kept = copy.deepcopy(self.model) if config.averaging else self.model
        self.best_state = self.kept.state_dict()
        self.spent_s = 0.0

    def best_epoch(self) -> int:
        """The one with the least held-out loss; the last where nothing is held out."""
        if not any(h["held_out"] for h in self.history):
            return len(self.history) - 1
        return int(np.argmin([sum(h["held_out"].values()) for h in self.history]))

    def epoch(self, epoch: int) -> None:
        """One pass over the data, and the held-out score after it."""
        task, config = self.task, self.config
        rng = np.random.default_rng([config.seed, epoch])  # of the epoch, so that a resumed run draws the same
        noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**31)))
        torch.manual_seed(int(rng.integers(2**31)))  # what the model draws itself, as dropout does
        order, keep = rng.permutation(len(task) // task.run_length), config.keep(task, rng)
        self.model.train()
        started, smooth = time.monotonic(), {s: float("nan") for s in config.strategies}
        state: tuple[Tensor, ...] = ()
        for step in range(self.steps):
            n, window = divmod(step, self.windows)
            strategy = config.strategies[(epoch * self.batches + n) % len(config.strategies)]
            rows = self._window(order[n * config.batch : (n + 1) * config.batch], window)
            loss, scores, state = self._forward(rows, keep, rng, strategy, state if window else ())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.modulation:
                modulate(task.encoders(self.model), scores, config.modulation, noise)
            nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            if config.averaging:
                self._average(epoch * self.steps + step)
            value, before = float(loss.detach()), smooth[strategy]
            smooth[strategy] = value if np.isnan(before) else 0.95 * before + 0.05 * value
            if step % 10 == 9 or step == self.steps - 1:
                self._progress(epoch, step, smooth, (time.monotonic() - started) / (step + 1))
        self.spent_s += time.monotonic() - started
        self.kept.eval()
        with torch.no_grad():
            held_out = task.held_out(self.kept, config.batch, np.random.default_rng([config.seed + 1]))
        self.history.append({"epoch": epoch + 1, "train": smooth, "held_out": held_out})
        if held_out:
            told = {k: round(v, 3) for k, v in held_out.items()}
            print(f"\nepoch {epoch + 1}: held out {json.dumps(told)}", file=sys.stderr)
        if self.best_epoch() == epoch:
            self.best_state = {k: v.clone() for k, v in self.kept.state_dict().items()}

    def _window(self, runs: NDArray[np.int64], window: int) -> list[NDArray[np.int64]]:
        """The examples of one step: of each of some runs, at a few consecutive times (B,) each."""
        length, back = self.task.run_length, self.config.back
        return [runs * length + k for k in range(window * back, min((window + 1) * back, length))]

    def _forward(
        self,
        rows: list[NDArray[np.int64]],
        keep: NDArray[np.float32],
        rng: np.random.Generator,
        strategy: str,
        state: tuple[Tensor, ...],
    ) -> tuple[Tensor, dict[str, float], tuple[Tensor, ...]]:
        """The mean loss of a step, the scores of its last examples, and the state after them, without gradients."""
        losses = []
        for index in rows:
            batch = self.task.batch(index, keep[index], rng).to(self.device)
            result = self.task.step(self.model, batch, strategy, state)
            losses.append(result.loss)
            state = result.state
        return torch.stack(losses).mean(), result.scores, tuple(x.detach() for x in state)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Take the weights after a step, and what normalisation has counted, into the moving average."""
        share = 1.0 - min(self.config.averaging, (1 + step) / (10 + step))
        now = self.model.state_dict()
        for name, value in self.kept.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(now[name], share)
            else:
                value.copy_(now[name])

    def _progress(self, epoch: int, step: int, smooth: dict[str, float], pace_s: float) -> None:
        left_s = pace_s * (self.steps * (self.config.epochs - epoch) - step - 1)
        losses = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
        print(
            f"\repoch {epoch + 1}/{self.config.epochs} step {step + 1}/{self.steps} loss {losses}, "
            f"{left_s / 60:.1f} min left ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def save(self) -> None:
        """Beside its place and then put there: a run that is killed while it saves leaves the state before."""
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "config": self._identity(),
            "model": self.model.state_dict(),
            "kept": self.kept.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_state": self.best_state,
            "history": json.dumps(self.history),
            "spent_s": self.spent_s,
        }
        beside = self.out / f"{STATE_FILE}.new"
        torch.save(state, beside)
        beside.replace(self.out / STATE_FILE)

    def load(self) -> None:
        """Take up a saved state; without one the run begins.

        Raises:
            SensorfuseError: it is of another run.
        """
        file = self.out / STATE_FILE
        if not file.exists():
            return
        state = torch.load(file, map_location=self.device, weights_only=True)
        if state["config"] != self._identity():
            raise SensorfuseError(f"{file} is of a run with other settings: name another --out, or leave --resume away")
        self.model.load_state_dict(state["model"])
        self.kept.load_state_dict(state["kept"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best_state, self.history = state["best_state"], json.loads(state["history"])
        self.spent_s = state["spent_s"]

    def _identity(self) -> str:
        return f"{self.task.name} {len(self.task)} {self.config.model_dump_json(exclude={'patience', 'threads'})}"
