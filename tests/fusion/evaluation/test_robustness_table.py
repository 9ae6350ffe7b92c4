from __future__ import annotations

import copy
import io
from typing import Any

from rich.console import Console

from sensorfuse.fusion.evaluation.robustness_table import print_tables


def printed(report: dict[str, Any]) -> str:
    out = io.StringIO()
    print_tables(report, Console(file=out, width=80))
    return out.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def test_tables_fit_a_terminal_and_hold_the_scores(robustness_report: dict[str, Any]) -> None:
    text = printed(robustness_report)
    late = robustness_report["strategies"]["late"]
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for value in (late["clean"]["nds"], late["mra"], late["subsets"]["lidar"]["nds"]):
        assert f"{value:.3f}" in text
    noise = late["corruptions"]["lidar_range_noise"]["nds"]
    line = next(line for line in text.splitlines() if line.strip().startswith("lidar range noise"))
    assert line.split()[-2:] == [f"{noise['ra']:.3f}", f"{noise['worst']:.3f}"]
    assert "camera+lidar+radar+imu+audio" in text
    assert f"{robustness_report['protocol']['single']['modality']} alone" in text


def test_many_strategies_are_set_below_one_another(robustness_report: dict[str, Any]) -> None:
    report = copy.deepcopy(robustness_report)
    for n in range(5):
        report["strategies"][f"cross_modal_number_{n}"] = report["strategies"]["late"]
    report["strategies"]["late"]["gaps"]["radar"]["recovery_ticks"] = None
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "never" in text
    assert sum(line.strip().startswith("lidar range noise") for line in text.splitlines()) == 2
