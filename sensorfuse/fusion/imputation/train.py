"""Train imputers on frozen encoders' features, and write them for the robot.

    python -m sensorfuse.fusion.imputation.train --data DATA --encoders encoders.safetensors \
        --method product_of_experts --out OUT

Needs the data of `sensorfuse.fusion.training.dataset`. Writes `impute_<method>.onnx` and `impute_<method>.json`. Train
again whenever the encoders change. With the same command, data and thread count the result is the same.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.export import check_parity, export
from sensorfuse.fusion.imputation.encoder_decoder import EncoderDecoderImputer
from sensorfuse.fusion.imputation.feature_imputer import FeatureImputer, Typical, example_inputs
from sensorfuse.fusion.imputation.features import Features, encode_shards
from sensorfuse.fusion.imputation.imputer import METHODS, file_name, output_names
from sensorfuse.fusion.imputation.product_of_experts import ProductOfExpertsImputer
from sensorfuse.fusion.imputation.retrieval import RetrievalImputer
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.fusion.training.dataset import read_index
from sensorfuse.fusion.training.modality_dropout import draw_dropout
from sensorfuse.messages import MODALITIES

MAKERS: dict[str, Callable[[Typical], FeatureImputer]] = {
    "product_of_experts": ProductOfExpertsImputer,
    "encoder_decoder": EncoderDecoderImputer,
    "retrieval": RetrievalImputer,
}
DROPOUT = 0.35
BATCH = 4
RATE = 3e-3
BANK_TICKS, CALIBRATION_TICKS = 300, 32
CALIBRATION = 0.15
"""Share of the ticks, the last ones, that only set variances and temperatures."""


def fit(
    method: str, features: Features, steps: int, seed: int = 0, progress: Callable[[int], None] | None = None
) -> FeatureImputer:
    """An imputer of this method, trained and calibrated on ticks at which modalities are present."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    training, left_out = features.parted(max(1, round(CALIBRATION * len(features))))
    imputer = MAKERS[method](training.typical())
    optimizer = torch.optim.AdamW(imputer.parameters(), lr=RATE, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2), pct_start=0.15)
    imputer.train()
    for step in range(steps):
        values, present = training.batch(rng.integers(0, len(training), BATCH))
        loss = imputer.loss(values, present, draw_masks(rng, BATCH, present.shape[1]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(imputer.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1)
    imputer.eval()
    return finish(imputer, training, left_out, seed)


def draw_masks(rng: np.random.Generator, count: int, modalities: int) -> Tensor:
    """Who is kept (count, M): some, and never all, so that there is always something to tell."""
    keep = draw_dropout(rng, count, (DROPOUT,) * modalities)
    whole = np.flatnonzero(keep.min(axis=1) > 0)
    keep[whole, rng.integers(0, modalities, len(whole))] = 0.0
    return torch.from_numpy(keep)


def finish(imputer: FeatureImputer, training: Features, left_out: Features, seed: int) -> FeatureImputer:
    """Fill a bank from the ticks of training, and set what is set on ticks that were left out."""
    rng = np.random.default_rng(seed + 1)
    if isinstance(imputer, RetrievalImputer):
        ticks = rng.permutation(len(training))[:BANK_TICKS]
        imputer.remember(*training.batch(ticks), torch.Generator().manual_seed(seed))
    held = left_out.batch(rng.permutation(len(left_out))[:CALIBRATION_TICKS])
    if isinstance(imputer, RetrievalImputer):
        imputer.choose_temperature(*held)
    imputer.calibrate(*held)
    return imputer


def measure(imputer: FeatureImputer, held_out: Features) -> dict[str, dict[str, float]]:
    """Per modality that is gone: mean squared error of its scaled features, and what their mean at every place would
    make it (`mean_mse`); negative log likelihood; and the standard deviation of errors over their predicted ones, which
    is 1 where variances are right.
    """
    out: dict[str, dict[str, float]] = {}
    for m, name in enumerate(MODALITIES):
        errors, variances = [], []
        for first in range(0, len(held_out), 10):
            values, present = held_out.batch(np.arange(first, min(first + 10, len(held_out))))
            error, variance = imputer.errors(values, present, m)
            errors.append(error.flatten())
            variances.append(variance.flatten())
        error, variance = torch.cat(errors), torch.cat(variances)
        if len(error):
            out[name] = {
                "mse": round(float(error.square().mean()), 4),
                "mean_mse": round(_error_of_mean(imputer, held_out, m), 4),
                "nll": round(float(0.5 * (error.square() / variance + variance.log()).mean()), 4),
                "z_deviation": round(float((error / variance.sqrt()).square().mean().sqrt()), 3),
            }
    return out


def _error_of_mean(imputer: FeatureImputer, held_out: Features, m: int) -> float:
    values = held_out.values[m][held_out.present[:, m] > 0.5]
    mean, square = torch.zeros(values.shape[1:]), torch.zeros(values.shape[1:])
    for one in values:
        mean, square = mean + one.float() / len(values), square + one.float().square() / len(values)
    scale = imputer.scale[m].reshape(-1, *[1] * (mean.dim() - 1))
    return float(((square - mean.square()) / scale.square()).mean())


def publish(imputer: FeatureImputer, method: str, card: dict[str, Any], cells: int, out: Path) -> float:
    """Write the network and its description; the largest difference of ONNX Runtime and torch.

    Raises:
        SensorfuseError: they differ too much.
    """
    names = tuple(output_names(m)[k] for k in (0, 1) for m in MODALITIES)
    path = out / file_name(method)
    export(imputer, example_inputs(imputer.scale, cells, 2), names, path)
    parity = check_parity(imputer, path, {b: example_inputs(imputer.scale, cells, b, seed=b) for b in (1, 3)})
    card = card | {"parity": parity, "bytes": path.stat().st_size}
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return parity


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sensorfuse.fusion.imputation.train", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="may be repeated; default: all")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoders", type=Path, help="default: the shipped ones")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--shards", type=int, default=40, help="worlds to learn from")
    parser.add_argument("--held-out", type=int, default=8, help="worlds to judge by")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    words = shlex.join(sys.argv[1:] if arguments is None else arguments)
    try:
        cards = run(given, f"{parser.prog} {words}")
    except SensorfuseError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(json.dumps({card["method"]: card["held_out"] for card in cards}, indent=1))


def run(given: argparse.Namespace, command: str) -> list[dict[str, Any]]:
    """Encode once; then train, judge and write each method. Their descriptions."""
    index = read_index(given.data)
    encoders = given.encoders or weights_folder() / "encoders.safetensors"
    shards, judged = index["training"][: given.shards], index["held_out"][: given.held_out]
    features, held_out = (encode_shards([given.data / s for s in part], encoders) for part in (shards, judged))
    cards = []
    for method in given.method or METHODS:
        started = time.process_time()
        imputer = fit(method, features, given.steps, given.seed, _Progress(method, given.steps))
        card: dict[str, Any] = {
            "method": method,
            "command": command,
            "training": shards,
            "worlds_judged": judged,
            "held_out": measure(imputer, held_out),
            "training_s": round(time.process_time() - started, 1),
        }
        publish(imputer, method, card, features.values[0].shape[-1], given.out)
        cards.append(card)
    return cards


class _Progress:
    def __init__(self, method: str, steps: int) -> None:
        self.method, self.steps, self.started = method, steps, time.monotonic()

    def __call__(self, step: int) -> None:
        left = (time.monotonic() - self.started) / step * (self.steps - step) / 60
        end = "\n" if step == self.steps else ""
        print(f"\r{self.method}: step {step}/{self.steps}, {left:.1f} min left ", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
