"""From a rig and strategies to engines and a report. Recordings are drawn: what makes them is tested on its own."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from sensorfuse.deploy import compile as compile_module
from sensorfuse.deploy.compile import CompileConfig, compile_rig
from sensorfuse.deploy.compiled import Compiled, Row, Score
from sensorfuse.deploy.networks import encoders, fusion_networks, learned_strategies
from sensorfuse.deploy.recordings import drawn_inputs
from sensorfuse.deploy.report import figures, markdown
from sensorfuse.deploy.variants import make_variant

from sensorfuse.engine.cache import EngineCache, NoSpaceError
from sensorfuse.engine.engine import Precision
from sensorfuse.engine.open import open_engine
from sensorfuse.engine.precision import variant_path
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder
from sensorfuse.rig import Rig, shipped_rig

WEIGHTS = weights_folder()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def drawn_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(rig: Rig, strategy: str, weights: Path | None, scenarios: Any) -> dict[str, Any]:
        names = [*(n.name for n in encoders(rig, WEIGHTS)), strategy]
        return {n: drawn_inputs((weights or WEIGHTS) / f"{n}.onnx", 2) for n in names}

    monkeypatch.setattr(compile_module, "record_worlds", record)


@pytest.fixture
def small() -> Rig:
    """Radar and IMU only: two small encoders."""
    rig = shipped_rig("synthetic")
    return rig.with_fusion(modalities=("radar", "imu"))


def config(*strategies: str, **changes: Any) -> CompileConfig:
    return CompileConfig(strategies=strategies, weights=WEIGHTS, **changes)


def by_network(compiled: Compiled, precision: Precision) -> dict[str, Row]:
    return {r.network: r for r in compiled.rows if r.precision == precision}


def test_networks_are_the_encoders_that_a_rig_needs_and_one_per_strategy(small: Rig) -> None:
    assert [n.name for n in encoders(small, WEIGHTS)] == ["radar", "imu"]
    assert [n.name for n in encoders(shipped_rig("synthetic"), WEIGHTS)][-1] == "sweeps"
    found, left_out = fusion_networks(["hybrid", "late", "graph"], WEIGHTS)
    assert [n.name for n in found] == ["hybrid"] or "graph" in [n.name for n in found]
    assert ("late", "fuses objects, and has no network", False) in [(x.name, x.reason, x.learned) for x in left_out]
    with pytest.raises(SensorfuseError, match="no fusion strategy is called 'magic'"):
        fusion_networks(["magic"], WEIGHTS)
    assert len(learned_strategies()) == 25


def test_precisions_are_made_compared_and_found_by_the_engines(small: Rig, tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "out").mkdir()
    setting = config("hybrid", precisions=("fp32", "fp16"), out=tmp_path / "out")
    compiled = compile_rig(small, setting, lines.append)
    assert compiled.ok
    assert {r.network for r in compiled.rows} == {"radar", "imu", "hybrid"}
    for precision, limit in (("fp32", 1e-4), ("fp16", 1e-2)):
        for row in by_network(compiled, precision).values():  # type: ignore[arg-type]
            assert row.status == "built"
            assert row.gate == limit
            assert row.parity is not None
            assert row.parity <= limit
            assert (tmp_path / "out" / f"{row.network}.{precision}.onnxruntime.cpu.onnx").stat().st_size == row.size
    halves, wholes = by_network(compiled, "fp16"), by_network(compiled, "fp32")
    assert halves["hybrid"].size < 0.8 * wholes["hybrid"].size
    assert halves["hybrid"].kept["Softmax"] > 0
    engine = open_engine(WEIGHTS / "imu.onnx", "onnxruntime-cpu", "fp16")
    assert engine.precision == "fp16"
    assert any("hybrid fp16 onnxruntime" in line for line in lines)
    plain = json.loads(json.dumps(figures(compiled)))
    assert plain["ok"] is True
    assert len(plain["engines"]) == 6
    assert "| hybrid | fp16 |" in markdown(compiled)


def test_int8_is_for_the_encoders_that_gain_and_is_judged(small: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(after: float) -> Any:
        def evaluate(rig: Rig, names: list[str], worlds: Any, ticks: int, weights: Path) -> dict[str, Any]:
            changed = (weights / "radar.onnx").read_bytes() != (WEIGHTS / "radar.onnx").read_bytes()
            score = {"nds_ahead": after if changed else 0.5}
            return {"strategies": {n: {"conditions": {"all": score}} for n in names}}

        return evaluate

    module = "sensorfuse.fusion.evaluation.accuracy.evaluate"
    monkeypatch.setattr(module, judged(0.496))
    compiled = compile_rig(small, config("hybrid", precisions=("int8",)))
    rows = by_network(compiled, "int8")
    assert rows["radar"].status == "built"
    assert {rows[n].status for n in ("imu", "hybrid")} == {"left out"}
    assert compiled.scores == [Score("hybrid", 0.5, 0.496)]
    assert variant_path(WEIGHTS / "radar.onnx", "int8").is_file()
    monkeypatch.setattr(module, judged(0.49))
    compiled = compile_rig(small, config("hybrid", precisions=("int8",)))
    assert not compiled.ok
    assert "loses more than 1 % of the score: hybrid 2.0 %" in by_network(compiled, "int8")["radar"].reason
    assert not variant_path(WEIGHTS / "radar.onnx", "int8").exists()


@pytest.mark.parametrize("loss", [0.004, 0.2])
def test_int8_for_gpus_alone_is_judged_too(small: Rig, monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    """Even of engines that lay in the cache already; by the file that they are made of."""

    def evaluate(rig: Rig, names: list[str], worlds: Any, ticks: int, weights: Path) -> dict[str, Any]:
        symmetric = variant_path(WEIGHTS / "radar.onnx", "int8", symmetric=True).read_bytes()
        in_int8 = (weights / "radar.onnx").read_bytes() == symmetric
        return {"strategies": {n: {"conditions": {"all": {"nds_ahead": 0.5 - loss * in_int8}}} for n in names}}

    def cached(row: Row, *_: Any) -> None:
        row.status = "cached"

    monkeypatch.setattr("sensorfuse.fusion.evaluation.accuracy.evaluate", evaluate)
    monkeypatch.setattr(compile_module, "_targets", lambda _: [("tensorrt_rtx", None, "8.9")])
    monkeypatch.setattr(compile_module, "_build", cached)
    compiled = compile_rig(small, config("hybrid", precisions=("int8",)))
    assert compiled.scores == [Score("hybrid", 0.5, 0.5 - loss, symmetric=True)]
    row = by_network(compiled, "int8")["radar"]
    assert row.status == ("cached" if loss < 0.005 else "failed")
    assert variant_path(WEIGHTS / "radar.onnx", "int8", symmetric=True).is_file() == (loss < 0.005)
    assert "int8 for TensorRT" in markdown(compiled)


def test_int8_that_nothing_can_judge_says_so(small: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "fusion_networks", lambda *_: ([], []))
    compiled = compile_rig(small, config(precisions=("int8",), untrained=tmp_path))
    assert compiled.scores == []
    assert by_network(compiled, "int8")["radar"].reason.startswith("not judged")


def test_strategies_without_weights_are_told(small: Rig, tmp_path: Path) -> None:
    compiled = compile_rig(small, dataclasses.replace(config("hybrid"), weights=tmp_path))
    assert compiled.rows == []
    assert "has no weights" in compiled.left_out[0].reason


def test_a_network_that_misses_its_gate_fails_alone(small: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compile_module.make_variant.__globals__["GATES"], "fp16", 1e-9)
    compiled = compile_rig(small, config("hybrid", precisions=("fp16",)))
    assert {r.status for r in compiled.rows} == {"failed"}
    assert "differs from fp32" in compiled.rows[0].reason
    assert not variant_path(WEIGHTS / "imu.onnx", "fp16").exists()


def test_a_library_that_fails_without_a_word_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: str) -> None:
        raise EOFError

    monkeypatch.setattr("sensorfuse.deploy.variants.onnx.load", load)
    with pytest.raises(SensorfuseError, match=r"imu\.onnx: not a readable ONNX network: EOFError"):
        make_variant(WEIGHTS / "imu.onnx", "fp16", [])


def test_networks_that_do_not_fit_are_refused(small: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sensorfuse.deploy.recordings import RecordingFusion

    shutil.copytree(WEIGHTS, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(WEIGHTS / "imu.onnx", tmp_path / "own" / "radar.onnx")
    with pytest.raises(SensorfuseError, match=r"radar\.onnx"):
        RecordingFusion(small, "hybrid", tmp_path / "own")


def test_engines_are_built_once_for_each_capability_and_then_found(small: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'sensorfuse[rtx]' to build engines")
    only_imu = [n for n in encoders(small, WEIGHTS) if n.name == "imu"]
    monkeypatch.setattr(compile_module, "encoders", lambda *_: only_imu)
    monkeypatch.setattr(compile_module, "fusion_networks", lambda *_: ([], []))
    setting = config(targets=("tensorrt_rtx",), capabilities=("8.0", "8.9"), untrained=Path("unused"))
    first = compile_rig(small, setting)
    assert [(r.architecture, r.status) for r in first.rows] == [("8.0", "built"), ("8.9", "built")]
    second = compile_rig(small, setting)
    assert [r.status for r in second.rows] == ["cached", "cached"]
    assert [r.key for r in first.rows] == [r.key for r in second.rows]
    entry = EngineCache().entries()[0]
    entry.path.write_bytes(entry.path.read_bytes()[:-1])
    assert sorted(r.status for r in compile_rig(small, setting).rows) == ["built", "cached"]

    def full(*_: Any, **__: Any) -> None:
        raise NoSpaceError("no disk space left")

    EngineCache().clear()
    monkeypatch.setattr(EngineCache, "put", full)
    third = compile_rig(small, setting)
    assert {(r.status, r.reason) for r in third.rows} == {("failed", "no disk space left")}


def test_targets_are_checked(small: Rig) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'sensorfuse[rtx]' to build engines")
    with pytest.raises(SensorfuseError, match=r"--compute-capability 9\.0: tensorrt_rtx .* builds for 7\.5"):
        compile_rig(small, config("hybrid", targets=("tensorrt_rtx",), capabilities=("9.0",)))
