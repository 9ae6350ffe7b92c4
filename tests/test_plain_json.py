"""Values in what JSON knows."""

import json
from pathlib import Path

import numpy as np

from sensorfuse.plain_json import plain


def test_whatever_was_measured_is_strict_json() -> None:
    value = {
        1: np.float32(0.5),
        "a": [np.array([1.0, np.nan]), (np.int64(3), float("inf"))],
        "p": Path("x/y"),
        "s": {2},
    }
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "1": 0.5,
        "a": [[1.0, None], [3, None]],
        "p": "x/y",
        "s": [2],
    }
