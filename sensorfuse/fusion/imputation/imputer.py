"""An absent modality's features filled in at run time, from those that are present. numpy and ONNX Runtime; no torch.

Whether this helps a fusion network that was trained with modality dropout, and so needs no filling in, is a question of
measurement: `sensorfuse eval accuracy --impute`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensorfuse.engine.onnxruntime import OnnxRuntimeEngine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import ENCODERS_FILE, file_digest, weights_folder
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.plain_json import read_object

Array = NDArray[np.float32]

METHODS: tuple[str, ...] = ("product_of_experts", "encoder_decoder", "retrieval")


def file_name(method: str) -> str:
    """The network of a method, in a folder of weights."""
    return f"impute_{method}.onnx"


def output_names(modality: str) -> tuple[str, str]:
    """The network's outputs that hold a modality's features, filled in where it is absent, and their variance."""
    return f"{modality}_filled", f"{modality}_variance"


@dataclass
class Filled:
    """Features of every modality, those of `imputed` made up; their variance, number by number, in `variance`."""

    features: dict[Modality, Array]
    variance: dict[Modality, Array]
    imputed: set[Modality]


class Imputer:
    """Fills in absent modalities' features.

    Args:
        method: one of `METHODS`.
        weights: folder with the networks, default the shipped ones.

    Raises:
        SensorfuseError: no such method, or its network is missing, unreadable, or of other encoders than those that lie
            beside it.
    """

    def __init__(self, method: str, weights: Path | None = None, threads: int = 1) -> None:
        if method not in METHODS:
            raise SensorfuseError(f"fusion.impute: {method!r} is no way to impute; choose none, {', '.join(METHODS)}")
        folder = weights or weights_folder()
        path = folder / file_name(method)
        again = f"train it with `sensorfuse train --task imputation --strategy {method}`, or set `impute: none`"
        try:
            encoders = read_object(path.with_suffix(".json").read_text(encoding="utf-8"))["encoders"]
        except (OSError, ValueError, KeyError, TypeError):
            raise SensorfuseError(f"fusion.impute: no network at {path}, or no record beside it; {again}") from None
        if encoders != file_digest(folder / ENCODERS_FILE):
            raise SensorfuseError(f"fusion.impute: {path} was trained on other encoders than those beside it; {again}")
        self.method = method
        self._engine = OnnxRuntimeEngine(path, threads)
        self._engine.warm_up()
        self.model = f"impute_{method}-{self._engine.digest[:12]}"
        self._blank = {
            m: np.zeros([d for d in self._engine.input_shapes[m][1:] if isinstance(d, int)], np.float32)
            for m in MODALITIES
        }

    def fill(self, features: Mapping[Modality, Array | None]) -> Filled:
        """Features at one tick, maps (C, X, Y) and vectors (C,), None or left out where a modality is absent.

        With nothing present there is nothing to tell from, and with everything present nothing to fill in: then the
        features come back as they are, and nothing is imputed.
        """
        given: dict[Modality, Array] = {}
        for m in MODALITIES:
            value = features.get(m)
            if value is not None:
                given[m] = value
        gone: list[Modality] = [m for m in MODALITIES if m not in given]
        if not gone or not given:
            return Filled(given, {}, set())
        inputs: dict[str, Array] = {
            m: given.get(m, self._blank[m])[None].astype(np.float32, copy=False) for m in MODALITIES
        }
        inputs["present"] = np.array([[m in given for m in MODALITIES]], np.float32)
        out = self._engine.run(inputs)
        return Filled(
            {m: given[m] if m in given else out[output_names(m)[0]][0] for m in MODALITIES},
            {m: out[output_names(m)[1]][0] for m in gone},
            set(gone),
        )
