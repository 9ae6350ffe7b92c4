"""From a trained activity model to files that answer without torch: per strategy one ONNX network, encoders too, its
weights, and a JSON that says how it came about.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sensorfuse.fusion.export import check_parity, export
from sensorfuse.fusion.training.activity import VIEWS, ActivitySettings
from sensorfuse.fusion.training.activity_data import ACTIONS, JOINTS, LEVEL_VECTORS, SENSOR_VECTORS
from sensorfuse.fusion.training.activity_model import ACTIVITY_MODALITIES, STEPS, ActivityModel
from sensorfuse.fusion.training.loop import TrainConfig
from sensorfuse.fusion.training.weights_file import save_weights

SHAPES = {"inertial": (STEPS[0], len(SENSOR_VECTORS + LEVEL_VECTORS), 3), "skeleton": (STEPS[1], JOINTS, 3)}


class Classifier(nn.Module):
    """Windows (B, ...) as `SHAPES` says and presence (B, 2) -> probabilities of actions (B, 27)."""

    def __init__(self, model: ActivityModel, strategy: str) -> None:
        super().__init__()
        self.encoders, self.network = model.encoders, model.network(strategy)

    def forward(self, inertial: Tensor, skeleton: Tensor, present: Tensor) -> Tensor:
        tokens = self.encoders["inertial"](inertial), self.encoders["skeleton"](skeleton)
        return torch.softmax(self.network(*tokens, present), dim=1)


def examples(batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Plausible random inputs of a classifier, by name."""
    rng = torch.Generator().manual_seed(seed)
    out = {name: torch.randn((batch, *shape), generator=rng) for name, shape in SHAPES.items()}
    out["present"] = (torch.rand((batch, len(ACTIVITY_MODALITIES)), generator=rng) > 0.4).float()
    out["present"][:, 0] = 1.0
    return out


def publish_activity(
    model: ActivityModel, config: TrainConfig, settings: ActivitySettings, record: dict[str, Any], out: Path
) -> None:
    """Write each strategy's classifier to `out`.

    Args:
        record: what else belongs beside the weights: the command, the time it took, who was learned from.

    Raises:
        SensorfuseError: an exported network does not compute what torch does.
    """
    for strategy in model.networks:
        classifier, path = Classifier(model, strategy).eval(), out / f"{strategy}.onnx"
        export(classifier, examples(2), ("probabilities",), path)
        card = {
            "strategy": strategy,
            "task": "activity",
            "actions": ACTIONS,
            "views": VIEWS,
            "parameters": sum(p.numel() for p in classifier.parameters()),
            "parity": check_parity(classifier, path, {b: examples(b, seed=b) for b in (1, 3)}),
            "config": json.loads(config.model_dump_json()),
            "settings": json.loads(settings.model_dump_json()),
            **record,
        }
        save_weights(classifier.state_dict(), path.with_suffix(".safetensors"))
        path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
