"""`sensorfuse compile`: its options, and the cache that it looks after."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sensorfuse.cli import app
from sensorfuse.engine.cache import CacheKey, EngineCache
from sensorfuse.errors import SensorfuseError

KEY = CacheKey("ab", "fp16", "tensorrt_rtx", "0.1", "8.9", "batch=1,1,4")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["compile", *words])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--precision", "fp8"], "--precision fp8: expected one of fp32, fp16, bf16, int8"),
        (["--target", "cuda"], "--target cuda: expected one of onnxruntime, tensorrt_rtx, tensorrt"),
        (["--compute-capability", "8.9"], "--target tensorrt_rtx"),
        (["-s", "magic"], "no fusion strategy is called 'magic'"),
        (["-s", "late"], "nothing to compile"),
        (["absent_rig"], "absent_rig"),
    ],
)
def test_wrong_words_are_explained(words: list[str], told: str) -> None:
    pytest.importorskip("onnx")
    result = run(*words)
    assert isinstance(result.exception, SensorfuseError)
    assert told in str(result.exception)


def test_the_cache_is_listed_and_cleared() -> None:
    assert "no compiled engines" in run("--list-cache").output
    EngineCache().put(KEY, b"payload", "radar fp16 8.9")
    assert "radar fp16 8.9" in run("--list-cache").output
    assert "freed" in run("--clear-stale").output  # no backend of version 0.1 is here
    assert EngineCache().entries() == []
    EngineCache().put(KEY, b"payload")
    assert "freed" in run("--clear-cache").output
    assert EngineCache().entries() == []
