from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.robustness_plots import (
    accuracy_figure,
    curves_figure,
    gaps_figure,
    style_of,
    subsets_figure,
    write_plots,
)
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE


def test_pictures_are_written(robustness_report: dict[str, Any], tmp_path: Path) -> None:
    paths = write_plots(robustness_report, tmp_path / "plots")
    assert [p.name for p in paths] == ["curves.png", "accuracy.png", "modalities.png", "gaps.png"]
    for path in paths:
        picture = imread(path)
        assert min(picture.shape[:2]) > 150
        assert picture[..., :3].std() > 0.02
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(SensorfuseError, match="plots cannot be written"):
        write_plots(robustness_report, tmp_path / "file")


def test_curves_hold_the_scores(robustness_report: dict[str, Any]) -> None:
    figure = curves_figure(robustness_report)
    rows = robustness_report["strategies"]["late"]["corruptions"]
    assert len(figure.axes) == len(rows)
    for ax, (name, row) in zip(figure.axes, rows.items(), strict=True):
        metric = "sound_f1" if name == "audio_noise" else "nds"
        if metric in row["curves"]:
            assert list(ax.lines[0].get_ydata()) == row["curves"][metric]
            assert len(ax.lines) == (1 if metric == "sound_f1" else 2)


def test_every_set_of_modalities_has_a_row(robustness_report: dict[str, Any]) -> None:
    _, around, ahead = subsets_figure(robustness_report).axes
    subsets = robustness_report["strategies"]["late"]["subsets"]
    for ax, metric in ((around, "nds"), (ahead, "nds_ahead")):
        drawn = np.asarray(ax.images[0].get_array())
        assert drawn[:, 0].tolist() == [s[metric] for s in subsets.values()]
        assert drawn.shape == (31, 1)


def test_what_could_not_be_told_is_left_out(robustness_report: dict[str, Any]) -> None:
    report = copy.deepcopy(robustness_report)
    late = report["strategies"]["late"]
    late["tau_eff"] = None
    late["gaps"]["lidar"]["nds"][3] = None
    for row in late["corruptions"].values():
        row["curves"].pop("sound_f1", None)
        row["curves"]["nds"][1] = None
    for make in (accuracy_figure, curves_figure, gaps_figure):
        assert make(report).axes


def test_strategies_are_told_apart() -> None:
    styles = style_of(["late", *(f"s{n}" for n in range(23)), SINGLE])
    looks = {(s["color"], str(s["linestyle"]), s["marker"]) for s in styles.values()}
    assert len(looks) == 25
