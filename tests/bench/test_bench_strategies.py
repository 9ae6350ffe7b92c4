"""The benchmark of strategies: states, rows, what limits them, the front, the table and the page."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sensorfuse.bench.energy import EnergyMeter
from sensorfuse.bench.network_cost import Machine, NetworkCost, measure_machine, network_cost
from sensorfuse.bench.process_usage import ProcessUsage
from sensorfuse.bench.strategies import Way, measure, presence_states, ways_of
from sensorfuse.bench.strategies_page import write_page
from sensorfuse.bench.strategies_table import conclusions, front, print_figures, worst_loss
from sensorfuse.bench.strategy_rows import LEAST_FOR_P999, summary
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.rig import Rig, load_rig


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    ways = [Way("late", "numpy", "fp64"), Way("hybrid", "onnxruntime-cpu", "fp32"), Way("hybrid", "tensorrt", "fp32")]
    return measure(load_rig("synthetic"), ways, "full,no_lidar", samples=3)


def test_states_are_named_as_fused_frames_name_them(synthetic_rig: Rig) -> None:
    losses = presence_states(synthetic_rig, "losses")
    assert list(losses) == ["full", "no_camera", "no_lidar", "no_radar", "no_imu", "no_audio"]
    every = presence_states(synthetic_rig, "all")
    assert len(every) == 31
    assert every["no_camera_lidar_imu_audio"] == ("radar",)
    assert set(presence_states(synthetic_rig, "no_imu,full")) == {"no_imu", "full"}
    with pytest.raises(SensorfuseError, match="no state is called 'no_gps'"):
        presence_states(synthetic_rig, "no_gps")


def test_a_row_per_way_and_state_and_what_cannot_run_is_left_out_with_the_reason(figures: dict[str, Any]) -> None:
    rows = figures["rows"]
    assert [(r["strategy"], r["presence"]) for r in rows] == [
        (s, p) for s in ("late", "hybrid") for p in ("full", "no_lidar")
    ]
    assert "hybrid, tensorrt, fp32" in figures["left_out"]
    assert figures["opened_while_measuring"] == 0
    for row in rows:
        took = row["tick_ms"]
        assert took["count"] == figures["samples"] == 3
        assert 0 < took["p50"] <= took["p90"] <= took["p99"] <= took["max"]
        assert took["p999"] is None, "three values have no 99.9th percentile"
        assert ("lidar" in row["encode_ms"]) is (row["presence"] == "full")
        assert row["nds"] is not None
        assert set(row["against_full"]) == {"tick", "computed"}
    full = {r["strategy"]: r for r in rows if r["presence"] == "full"}
    assert full["hybrid"]["nds"] > full["late"]["nds"]
    assert full["late"]["network_ms"] is None
    assert full["hybrid"]["network_ms"] > 0


def test_table_and_page_show_every_way(figures: dict[str, Any], tmp_path: Path) -> None:
    out = io.StringIO()
    print_figures(figures, Console(file=out, width=120))
    page = tmp_path / "pages" / "strategies.html"
    write_page(page, figures, "sensorfuse bench strategies --presence full,no_lidar")
    for shown in (out.getvalue(), page.read_text(encoding="utf-8")):
        for words in ("hybrid, onnxruntime-cpu fp32", "late", "no_lidar", "tensorrt"):
            assert words in shown
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("<picture") == 2


def row(name: str, p99: float, nds: float | None, change: float = 0.0, presence: str = "full") -> dict[str, Any]:
    took = {"p50": p99 / 2, "p99": p99}
    against = {"tick": change, "computed": change}
    return {
        "strategy": name,
        "backend": "b",
        "precision": "fp32",
        "model_mb": 0.0,
        "presence": presence,
        "tick_ms": took,
        "nds": nds,
        "against_full": against,
        "computed_p99_ms": p99,
    }


def test_the_front_keeps_what_nothing_beats_in_both() -> None:
    rows = [row("slow", 40, 0.7), row("fast", 5, 0.4), row("worse", 10, 0.3), row("good", 20, 0.6), row("?", 1, None)]
    assert [r["strategy"] for r in front(rows)] == ["fast", "good", "slow"]
    said = conclusions({"rows": rows, "opened_while_measuring": 0})
    assert said[0].startswith("most accurate within 25 ms: good: NDS 0.600")
    said = conclusions({"rows": [row("slow", 40, 0.7)], "opened_while_measuring": 0})
    assert said[0].startswith("nothing with a score keeps 25 ms")


def test_the_worst_loss_is_the_largest_rise() -> None:
    rows = [row("a", 1, 0.1), row("a", 1, 0.1, -0.2, "no_lidar"), row("a", 1, 0.1, 0.03, "no_imu")]
    worst = worst_loss(rows, "computed")
    assert worst is not None
    assert worst["presence"] == "no_imu"
    assert worst_loss(rows[:1], "tick") is None


def test_percentiles_of_many_and_few() -> None:
    values = np.arange(1.0, LEAST_FOR_P999 + 1)
    many = summary(values.tolist())
    assert many["p999"] == pytest.approx(np.percentile(values, 99.9))
    assert many["jitter"] == pytest.approx(many["p99"] - many["p50"])
    assert summary(values[:-1].tolist())["p999"] is None


def test_strategies_without_networks_run_in_one_way() -> None:
    ways = ways_of(["late", "hybrid"], ["torch", "onnxruntime-cpu"], ["fp32", "int8"])
    assert [w.strategy for w in ways] == ["late"] + ["hybrid"] * 4


def test_the_work_of_a_network_is_counted_from_its_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [value("x", kind, ["batch", 3, 10, 20])], [value("y", kind, ["batch", 8, 10, 20])], [weights]
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), str(path))
    cost = network_cost(path)
    out = 8 * 10 * 20
    assert cost == NetworkCost(2 * out * 27 + out, 4 * (600 + 216 + out + out + out), 2)
    assert network_cost(weights_folder() / "hybrid.onnx").operations > 1e7
    path.write_bytes(b"nothing")
    with pytest.raises(SensorfuseError, match=r"net.onnx: its work cannot be counted"):
        network_cost(path)


def test_limits_follow_from_cost_and_machine() -> None:
    pytest.importorskip("onnx")
    parts = Machine(1e9, 1e8, 1e-6).seconds(NetworkCost(2e9, 1e8, 100))
    assert parts == pytest.approx({"dispatch": 1e-4, "memory": 1.0, "arithmetic": 2.0})
    machine = measure_machine(1)
    assert all(math.isfinite(v) and v >= 0 for v in vars(machine).values())
    assert machine.operations_per_s > 1e8


def test_energy_counters_that_wrap_go_on(tmp_path: Path) -> None:
    assert "no energy counter" in EnergyMeter(tmp_path).missing or EnergyMeter(tmp_path).joules() is not None
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text("900000")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000")
    meter = EnergyMeter(tmp_path)
    first = meter.joules()
    assert first is not None
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100000")
    second = meter.joules()
    assert second is not None
    assert second - first == pytest.approx(0.2, abs=0.05), "the package's own counter, once around; not its part's"


def test_usage_of_a_process_is_seen_once_a_second() -> None:
    import os

    usage = ProcessUsage()
    usage.note({"me": os.getpid(), "gone": 2**22 + 1}, 0.0)
    usage.note({"me": os.getpid()}, 0.5)
    usage.note({"me": os.getpid()}, 1.5)
    (figures,) = usage.figures().values()
    assert 0 <= figures["cpu"] < 64
    assert figures["resident_mb"] > 10
