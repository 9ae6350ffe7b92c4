"""Numbers as people read them."""

from __future__ import annotations

import pytest

from sensorfuse.report.sections import mode_words
from sensorfuse.report.wording import count, join, milliseconds, percent, seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (1.234, "1.23"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (99.97, "100"),
        (-5.391, "−5.39"),
        (-0.001, "0.00"),
    ],
)
def test_milliseconds(value: float | None, shown: str) -> None:
    assert milliseconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.44, "0.4 s"), (100.2, "100 s"), (150.0, "2.5 min")])
def test_seconds(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_counts_and_shares() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert percent(9999, 10000) == "99.9 %", "not all, so not 100"
    assert percent(1, 100000) == "0.1 %", "not none, so not 0"
    assert (percent(3, 3), percent(0, 3), percent(0, 0)) == ("100 %", "0 %", "–")


def test_lists_and_modes() -> None:
    assert join(["a"]) == "a"
    assert join(["a", "b", "c"]) == "a, b and c"
    assert mode_words("full") == "all modalities"
    assert mode_words("no_lidar_audio") == "without LiDAR and audio"
