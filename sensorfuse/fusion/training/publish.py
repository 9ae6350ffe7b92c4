"""From a trained model to what a robot runs: ONNX files, and a JSON beside them that says how they came about.

Per modality `<modality>.onnx`, and `sweeps.onnx` for two LiDAR sweeps; `encoders.safetensors` to train further
strategies on the same encoders. Per strategy `<strategy>.onnx`, `<strategy>.safetensors` (the same for torch) and
`<strategy>.json`. All objects down to a score of 0.05 are reported, as the tracker weighs scores
itself; the thresholds of the best F1 on held-out ticks are in the JSON for those who want a list without a tracker.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sensorfuse.fusion.decode import GROUPS, DecodeConfig, decode_boxes, on_grid
from sensorfuse.fusion.evaluation.matching import in_group, match_centres
from sensorfuse.fusion.export import export_encoder, export_fusion, export_sweeps
from sensorfuse.fusion.grid import GRID
from sensorfuse.fusion.learned import VX_UNIT_MPS
from sensorfuse.fusion.model_files import ENCODERS_FILE, file_digest
from sensorfuse.fusion.training.driving import Trainee
from sensorfuse.fusion.training.examples import Examples
from sensorfuse.fusion.training.loop import TrainConfig
from sensorfuse.fusion.training.task import in_runs
from sensorfuse.fusion.training.weights_file import save_weights
from sensorfuse.messages import MODALITIES, Detections

LOWEST_SCORE = 0.05
FALLBACK_THRESHOLD = 0.3


def best_thresholds(pairs: list[tuple[Detections, Detections]]) -> list[float]:
    """Per group, the score threshold with the best F1 over pairs (found at a low threshold, visible truth)."""
    thresholds = []
    for group in range(len(GROUPS)):
        scores, hits, count = [], [], 0
        for found, truth in pairs:
            mine, real = in_group(found, group), in_group(truth, group)
            scores.append(mine.score)
            hits.append(match_centres(mine, real))
            count += len(real)
        score, hit = np.concatenate(scores), np.concatenate(hits)
        order = np.argsort(-score, kind="stable")
        true = np.cumsum(hit[order])
        f1 = 2 * true / np.maximum(np.arange(1, len(true) + 1) + count, 1)
        best = float(score[order][int(f1.argmax())]) if len(true) and true[-1] > 0 else FALLBACK_THRESHOLD
        thresholds.append(round(best, 3))
    return thresholds


def measure_held_out(
    model: Trainee, held_out: Examples, run_length: int = 1, batch: int = 16
) -> dict[str, dict[str, Any]]:
    """Per strategy, with every sensor: thresholds by best F1, and the root mean square error of own motion. State is
    handed on over runs of `run_length` examples.
    """
    pairs: dict[str, list[tuple[Detections, Detections]]] = {name: [] for name in model.networks}
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in model.networks}
    low = DecodeConfig(thresholds=(LOWEST_SCORE,) * len(GROUPS))
    model.eval()
    with torch.no_grad():
        state: dict[str, tuple[torch.Tensor, ...]] = {}
        for index, begins in in_runs(np.arange(len(held_out) // run_length), run_length, batch):
            ticks = held_out.batch(
                index, np.zeros(len(index), bool), np.ones((len(index), len(MODALITIES)), np.float32)
            )
            features = model.features(ticks)
            for name in model.networks:
                network = model.network(name)
                before = () if begins else state[name]
                heat, box, motion, _, _, *after = network(*features, ticks.present, *before)
                state[name] = tuple(after)
                errors[name].append(
                    ((motion[:, :2] - ticks.targets.motion) * torch.tensor([VX_UNIT_MPS, 1.0])).double().numpy()
                )
                for k, n in enumerate(index):
                    truth, visible = held_out.objects(int(n))
                    truth = truth.select(visible & on_grid(truth))
                    pairs[name].append((decode_boxes(heat[k].numpy(), box[k].numpy(), low), truth))
    out = {}
    for name in pairs:
        rms = np.sqrt(np.square(np.concatenate(errors[name])).mean(axis=0))
        out[name] = {
            "score_thresholds": [LOWEST_SCORE] * len(GROUPS),
            "best_f1_thresholds": best_thresholds(pairs[name]),
            "sound_threshold": 0.5,
            "motion_rms": {"vx_mps": round(float(rms[0]), 4), "yaw_rate_radps": round(float(rms[1]), 5)},
        }
    return out


def publish_encoders(model: Trainee, out: Path) -> dict[str, float]:
    """Write the encoders to `out`; their parity errors by file.

    Raises:
        SensorfuseError: an exported network does not compute what torch does.
    """
    parity: dict[str, float] = {
        m: export_encoder(model.encoders.by_modality[m], m, out / f"{m}.onnx") for m in MODALITIES
    }
    parity["sweeps"] = export_sweeps(model.encoders.sweeps, out / "sweeps.onnx")
    save_weights(model.encoders.state_dict(), out / ENCODERS_FILE)
    return parity


def publish_networks(
    model: Trainee,
    config: TrainConfig,
    data: dict[str, Any],
    record: dict[str, Any],
    held_out: Examples,
    out: Path,
    run_length: int = 1,
) -> None:
    """Write the strategies' networks to `out`, beside the encoders they were trained on. Those of recurrent strategies
    carry their state from tick to tick only if they were trained so, on runs of more than one example.

    Args:
        data: how the examples were made.
        record: what else belongs beside the weights: the command, the time it took, the losses.

    Raises:
        SensorfuseError: an exported network does not compute what torch does.
    """
    measured = measure_held_out(model, held_out, run_length)
    for name in model.networks:
        network = model.network(name)
        card = {
            "strategy": name,
            **measured[name],
            "encoders": file_digest(out / ENCODERS_FILE),
            "parameters": sum(p.numel() for p in network.parameters()),
            "parity": export_fusion(network, out / f"{name}.onnx", run_length > 1),
            "grid": {"cells": GRID.cells, "cell_m": GRID.cell_m},
            "config": json.loads(config.model_dump_json()),
            "dataset": data,
            **record,
        }
        save_weights(network.state_dict(), out / f"{name}.safetensors")
        (out / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
