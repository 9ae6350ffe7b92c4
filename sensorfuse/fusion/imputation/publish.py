"""From a trained imputer to what a robot runs: `impute_<method>.onnx`, and a JSON that says how good it is. Torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sensorfuse.fusion.export import check_parity, export
from sensorfuse.fusion.imputation.feature_imputer import FeatureImputer, example_inputs
from sensorfuse.fusion.imputation.imputer import file_name, output_names
from sensorfuse.fusion.training.feature_rows import FeatureRows
from sensorfuse.messages import MODALITIES

BATCH = 10


@torch.no_grad()
def measure(imputer: FeatureImputer, held_out: FeatureRows, ticks: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Per modality that is gone: mean squared error of its scaled features, and what the typical at every place would
    make it (`typical_mse`); negative log likelihood; and the standard deviation of errors over their predicted ones,
    which is 1 where variances are right.
    """
    out: dict[str, dict[str, float]] = {}
    for m, name in enumerate(MODALITIES):
        sums = np.zeros(4)
        count = 0
        for index in np.array_split(ticks, max(1, len(ticks) // BATCH)):
            values, present = held_out.batch(index)
            error, variance = imputer.errors(values, present, m)
            there = present[:, m] > 0.5
            typical = imputer.scaled([x[there] for x in values], present[there])[m]
            count += error.numel()
            sums += [
                float(error.square().sum()),
                float(typical.square().sum()),
                float(0.5 * (error.square() / variance + variance.log()).sum()),
                float((error.square() / variance).sum()),
            ]
        if count:
            mse, typical_mse, nll, z = sums / count
            out[name] = {
                "mse": round(mse, 4),
                "typical_mse": round(typical_mse, 4),
                "nll": round(nll, 4),
                "z_deviation": round(float(np.sqrt(z)), 3),
            }
    return out


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
