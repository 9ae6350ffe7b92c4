"""From a log to the files that explain one of its ticks: what the command does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sensorfuse.fusion.explain.explanation import Explanation, explain
from sensorfuse.fusion.explain.page import write_explanation
from sensorfuse.fusion.explain.tapped import TappedFusion
from sensorfuse.rig import load_rig


def explain_to(log: Path, rig: str, strategy: str | None, at_s: float, out: Path, command: str) -> tuple[Path, Path]:
    """Explain a tick and write `explain.json` and `explain.html`; their paths.

    Where the strategy attends, its weights for torch lie beside the network, and torch is installed, relevance maps are
    drawn too.

    Raises:
        SensorfuseError: what `explain` raises, or `out` can't be written.
    """
    model = load_rig(rig)
    explanation, fuser = explain(log, model, strategy or model.fusion.strategy, at_s)
    if isinstance(fuser, TappedFusion):
        _add_relevance(explanation, fuser)
    return write_explanation(out, explanation, model, log, command)


def _add_relevance(explanation: Explanation, fuser: TappedFusion) -> None:
    weights = fuser.weights / f"{fuser.strategy}.safetensors"
    if not weights.exists() or not explanation.shown:
        return
    try:
        from sensorfuse.fusion.explain.relevance import ATTENDING, load_network, object_relevance
    except ImportError:  # torch is for training: a robot has none
        return
    if fuser.strategy in ATTENDING:
        network = load_network(fuser.strategy, weights)
        sure = explanation.moment.result.detections.select(np.array(explanation.shown))
        explanation.relevance = object_relevance(network, fuser.tap.inputs, sure)
