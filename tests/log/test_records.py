"""JSON records: truth with what each sensor could see, and without."""

from __future__ import annotations

import json

import numpy as np

from sensorfuse.log.records import SCHEMAS, dumps, truth_from_dict, truth_to_dict
from sensorfuse.messages import Detections, Truth


def _objects(n: int) -> Detections:
    rng = np.random.default_rng(0)
    return Detections(
        rng.integers(0, 7, n).astype(np.uint8), np.ones(n, np.float32), rng.normal(size=(n, 3)), rng.random((n, 3)),
        rng.normal(size=n), rng.normal(size=(n, 2)), np.zeros((n, 4, 4)), np.arange(n),
    )  # fmt: skip


def test_visibility_survives_a_log_exactly() -> None:
    shares = {"camera": np.array([0.0, 1 / 3, 1.0], np.float32), "radar": np.array([0.5, 0.0, 0.1], np.float32)}
    views = {"camera": np.array([False, True, True]), "radar": np.array([True, True, False])}
    record = json.loads(dumps(truth_to_dict(Truth(5, _objects(3), visibility=shares, in_view=views))))
    assert set(record) == set(SCHEMAS["truth"]["properties"])
    back = truth_from_dict(record)
    assert list(back.visibility) == list(back.in_view) == ["camera", "radar"]
    for stream, share in shares.items():
        assert back.visibility[stream].dtype == np.float32
        assert back.in_view[stream].dtype == np.bool_
        np.testing.assert_array_equal(back.visibility[stream], share)
        np.testing.assert_array_equal(back.in_view[stream], views[stream])


def test_a_log_from_before_visibility_still_reads() -> None:
    record = json.loads(dumps(truth_to_dict(Truth(5, _objects(2)))))
    assert record.pop("visibility") == {}
    back = truth_from_dict(record)
    assert back.visibility == back.in_view == {}
    assert len(back.objects) == 2
