"""Values in what JSON knows, and what of it is no object."""

import json
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.plain_json import plain, read_object


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


def test_an_object_is_read() -> None:
    assert read_object('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert read_object(b"{}") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "expected an object, got list"),
        ("null", "expected an object, got NoneType"),
        ("{", "Expecting"),
        ('{"a":' * 100_000, "nested too deep"),
        (b'{"a": "\xff"}', "decode"),
    ],
)
def test_what_is_no_object_is_a_value_error(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_object(text)
