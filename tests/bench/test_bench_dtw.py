"""Figures of the DTW benchmark: what is compared with what, and which goal is called met."""

from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from sensorfuse.align.dtw import align, distance
from sensorfuse.bench import dtw as bench
from sensorfuse.bench import lag_path


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench, "LENGTHS", (20, 1000))
    monkeypatch.setattr(bench, "LEAST_REPETITIONS", 1)
    monkeypatch.setattr(lag_path, "TRIALS", 1)


def library(error):
    """Stands for a public one: the true distance and an error."""

    def path(x, y, include_distance, window):
        found = align(x, y, band=None if window is None else window - 1)
        return found.path, found.distance + error

    def alone(x, y, window, use_ndim):
        assert use_ndim == (x.ndim == 2)
        return distance(x, y, band=None if window is None else window - 1) + error

    return SimpleNamespace(warping_path_fast=path, distance_fast=alone)


def without_libraries(monkeypatch, *present):
    def load(name):
        if name in present:
            return library(0.5)
        raise ImportError(name)

    monkeypatch.setattr(bench, "importlib", SimpleNamespace(import_module=load))


def test_without_libraries_it_says_what_to_install(small, monkeypatch):
    without_libraries(monkeypatch)
    figures = bench.measure(1)
    assert figures["not_installed"] == list(bench.PUBLIC)
    assert len(figures["cells"]) == 2 * 2 * 2 * 2
    assert all(cell["times_faster"] is None for cell in figures["cells"])
    assert not any("librar" in row["name"] for row in figures["goals"])
    console = Console(record=True, width=200)
    bench.print_figures(figures, console)
    text = console.export_text()
    assert "fastdtw: not installed: pip install 'sensorfuse[bench]'" in text
    assert "lag path, sinus" in text


def test_a_library_that_differs_fails_the_goal_of_equality(small, monkeypatch):
    without_libraries(monkeypatch, "dtaidistance.dtw")
    figures = bench.measure(1)
    assert figures["not_installed"] == ["tslearn", "fastdtw"]
    for cell in figures["cells"]:
        assert cell["fastest_public"] == "dtaidistance"
        assert cell["max_difference"] == pytest.approx(0.5)
        rows = cell["implementations"]
        assert cell["times_faster"] == rows["dtaidistance"]["p50_ms"] / rows["sensorfuse"]["p50_ms"]
    (equality,) = (row for row in figures["goals"] if row["name"].startswith("difference"))
    assert equality["measured"] == pytest.approx(0.5)
    assert not equality["met"]
    speed, slowest = (row for row in figures["goals"] if "times as fast" in row["name"])
    assert speed["measured"] == min(cell["times_faster"] for cell in figures["cells"] if cell["path"])
    assert slowest["measured"] == min(cell["times_faster"] for cell in figures["cells"])
    assert speed["met"] == (speed["measured"] >= 2)


def test_a_step_is_settled_after_the_last_second_that_is_off():
    errors = np.zeros(3000)
    errors[1500:1640] = 50.0
    assert lag_path._settled_s(errors) == 3.0
    assert lag_path._settled_s(np.zeros(3000)) == 0.0
