"""A folder of networks in which strategies without weights stand with drawn ones: the same graphs, to be timed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import ENCODERS_FILE, read_card
from sensorfuse.fusion.strategies import STRATEGIES, find_strategy


def stand_ins(
    strategies: Sequence[str], weights: Path, folder: Path, progress: Callable[[str], None] = lambda name: None
) -> Path:
    """Put the networks of `weights`, and stand-ins for `strategies` that have none there, into a folder. Strategies
    that fuse objects need none. The stand-ins take the thresholds of another's: they score nothing.

    Raises:
        SensorfuseError: no network at all is in `weights`, torch is not installed, or a network does not export.
    """
    from sensorfuse.deploy.networks import export_untrained

    card = _any_card(weights)
    for file in (*weights.glob("*.onnx"), *weights.glob("*.json"), weights / ENCODERS_FILE):
        shutil.copy(file, folder / file.name)
    for name in strategies:
        if find_strategy(name).kind == "learned" and not (folder / f"{name}.onnx").is_file():
            progress(name)
            export_untrained(name, folder)
            made = {k: v for k, v in card.items() if k not in ("accuracy", "history", "dataset")} | {"strategy": name}
            (folder / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")
    return folder


def _any_card(weights: Path) -> dict[str, Any]:
    for strategy in STRATEGIES:
        if strategy.kind == "learned" and (weights / f"{strategy.name}.json").is_file():
            return read_card(weights, strategy.name)
    raise SensorfuseError(f"{weights}: no trained network lies there, whose encoders the untrained ones could take")
