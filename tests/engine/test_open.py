"""Opening by name, the order of `auto`, and what is said of what is missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from sensorfuse.engine import open as opening
from sensorfuse.engine.engine import BUILDS, Backend
from sensorfuse.engine.open import (
    OPENERS,
    BackendState,
    EngineOptions,
    available_backends,
    levels,
    open_best,
    open_engine,
    pin_caller,
)
from sensorfuse.engine.precision import variant_path
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.model_files import weights_folder

NETWORK = weights_folder() / "imu.onnx"
WINDOW = {"window": np.ones((1, 14), np.float32)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def all_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "backend_state", lambda b: BackendState(b, "1.0", ""))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {b: BackendState(b, "", "" if b == "onnxruntime-cpu" else "no GPU") for b in OPENERS}
    monkeypatch.setattr(opening, "backend_state", gone.__getitem__)


def test_every_backend_has_a_row_and_what_is_missing_is_said() -> None:
    states = {s.backend: s for s in available_backends()}
    assert set(states) == set(OPENERS) == set(get_args(Backend))
    assert states["onnxruntime-cpu"].usable
    for state in states.values():
        if not state.usable:
            with pytest.raises(SensorfuseError, match=f"engine {state.backend}: .*auto"):
                open_engine(NETWORK, state.backend)


def test_an_engine_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(SensorfuseError, match=r"'abacus'.*auto, torch.*onnxruntime-cpu"):
        open_engine(NETWORK, "abacus")  # type: ignore[arg-type]


def test_opening_counts_as_a_build() -> None:
    before = BUILDS["onnxruntime-cpu"]
    open_engine(NETWORK).run(WINDOW)
    assert BUILDS["onnxruntime-cpu"] == before + 1


def test_variants_come_from_the_cache_and_say_what_they_are_made_of(cache: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"imu\.onnx has no int8 variant.*sensorfuse compile"):
        open_engine(NETWORK, precision="int8")
    variant = variant_path(NETWORK, "int8")
    variant.parent.mkdir(parents=True)
    variant.write_bytes(NETWORK.read_bytes())
    engine = open_engine(NETWORK, precision="int8")
    assert engine.precision == "int8"
    assert engine.digest == open_engine(NETWORK).digest


@pytest.mark.usefixtures("no_gpu")
def test_auto_without_a_variant_runs_in_fp32_and_says_so(cache: Path) -> None:
    told: list[str] = []
    engine = open_best(NETWORK, "auto", "int8", EngineOptions(), told.append)
    assert engine.name.endswith("-cpu")
    assert engine.precision == "fp32"
    assert "imu.onnx: onnxruntime-cpu int8: imu.onnx has no int8 variant" in told[0]


def test_a_named_engine_does_not_run_by_another_at_the_start(cache: Path) -> None:
    with pytest.raises(SensorfuseError, match="no int8 variant"):
        open_best(NETWORK, "onnxruntime-cpu", "int8", EngineOptions(), lambda _: None)


@pytest.mark.parametrize("content", [b"", b"no network", None])
@pytest.mark.parametrize("engine", ["auto", "onnxruntime-cpu"])
def test_a_file_that_no_engine_can_load(engine: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorfuseError, match=r"broken\.onnx"):
        open_best(path, engine, "fp32", EngineOptions(), lambda _: None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("all_usable")
def test_the_order() -> None:
    assert [b for b, _ in levels("auto", "fp32")] == ["tensorrt", "tensorrt_rtx", "onnxruntime-cuda", "onnxruntime-cpu"]
    assert levels("onnxruntime-cuda", "fp16") == [
        ("onnxruntime-cuda", "fp16"),
        ("onnxruntime-cuda", "fp32"),
        ("onnxruntime-cpu", "fp32"),
    ], "half precision is slower than single on a CPU, which has none"
    assert levels("onnxruntime-cpu", "bf16")[0] == ("onnxruntime-cpu", "bf16"), "unless it is asked for"
    assert levels("auto", "int8")[-2:] == [("onnxruntime-cpu", "int8"), ("onnxruntime-cpu", "fp32")]
    assert levels("torch", "fp32") == [("torch", "fp32"), ("onnxruntime-cpu", "fp32")]


@pytest.mark.usefixtures("no_gpu")
def test_auto_on_a_machine_without_a_gpu() -> None:
    told: list[str] = []
    engine = open_best(NETWORK, "auto", "fp32", EngineOptions(), told.append)
    assert engine.name.endswith("-cpu")
    assert told == [], "what a machine never had is no failure"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads can be pinned on Linux only")
def test_pinning() -> None:
    had = os.sched_getaffinity(0)
    try:
        pin_caller(())
        assert os.sched_getaffinity(0) == had
        pin_caller([max(had)])
        assert os.sched_getaffinity(0) == {max(had)}
    finally:
        os.sched_setaffinity(0, had)
    with pytest.raises(SensorfuseError, match=r"fusion\.cores: .* not \[4097\]"):
        pin_caller([4097])
