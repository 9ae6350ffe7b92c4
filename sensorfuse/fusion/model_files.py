"""The files of trained networks: where the shipped ones lie, and the JSON beside each that says how it came about."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from sensorfuse.engine.engine import sha256
from sensorfuse.errors import SensorfuseError
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig

ENCODERS_FILE = "encoders.safetensors"
NEEDED = ("score_thresholds", "sound_threshold", "motion_rms", "encoders")
"""Fields of a card that running needs."""


def weights_folder() -> Path:
    """Where the shipped networks lie."""
    return Path(str(resources.files("sensorfuse.fusion.weights")))


def weights_of(rig: Rig) -> Path:
    """Where the networks of a rig lie: the folder that it names, or the shipped ones."""
    return Path(rig.fusion.weights) if rig.fusion.weights else weights_folder()


def file_digest(path: Path) -> str:
    """First half of the SHA-256 of a file, as hexadecimal."""
    return sha256(path.read_bytes())[:32]


def read_card(folder: Path, strategy: str) -> dict[str, Any]:
    """The JSON beside a strategy's network: thresholds, what trained it, and what it scored.

    Raises:
        SensorfuseError: absent, unreadable, without the fields that running needs, or of other encoders than those
            that lie beside it.
    """
    path = folder / f"{strategy}.json"
    try:
        card = read_object(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SensorfuseError(
            f"strategy {strategy!r} has no weights at {path}; train them with "
            f"`sensorfuse train --strategy {strategy}`, or choose `late`, which needs none"
        ) from None
    except (OSError, ValueError) as error:
        raise SensorfuseError(f"{path}: not a readable description of weights: {error}") from None
    for name in NEEDED:
        if name not in card:
            raise SensorfuseError(f"{path}: the field {name!r} is missing; export the weights again")
    encoders = folder / ENCODERS_FILE
    if not encoders.is_file() or file_digest(encoders) != card["encoders"]:
        raise SensorfuseError(
            f"{path}: this network was trained on other encoders than {encoders}; put both back together, or train it "
            f"again with `sensorfuse train --strategy {strategy} --encoders {encoders}`"
        )
    return card
