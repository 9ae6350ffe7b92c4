"""A folder of networks in which strategies without weights stand with drawn ones: the same graphs, to be timed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder

MODEL_CARD = "hybrid"  # whose thresholds the stand-ins take; they score nothing


def stand_ins(strategies: Sequence[str], folder: Path, progress: Callable[[str], None] = lambda name: None) -> Path:
    """Put the shipped networks and stand-ins for `strategies` that have none into a folder.

    Raises:
        SensorfuseError: torch is not installed, or a network does not export.
    """
    from sensorfuse.deploy.networks import export_untrained

    shipped = weights_folder()
    card = json.loads((shipped / f"{MODEL_CARD}.json").read_text(encoding="utf-8"))
    for file in (*shipped.glob("*.onnx"), *shipped.glob("*.json"), shipped / ENCODERS_FILE):
        shutil.copy(file, folder / file.name)
    for name in strategies:
        if not (folder / f"{name}.onnx").is_file():
            progress(name)
            export_untrained(name, folder)
            made = {k: v for k, v in card.items() if k not in ("accuracy", "history", "dataset")} | {"strategy": name}
            (folder / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")
    return folder
