"""Every strategy's graph compiles ahead of time by TensorRT-RTX, in fp16 and in fp32, with no GPU.

Methods stand on a small grid, as their graphs are the same on any; compute capabilities take turns. `sensorfuse compile
--all --untrained FOLDER --compute-capability all` does the whole table, at full size.
"""

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from sensorfuse.engine.mixed_precision import to_mixed_precision  # noqa: E402
from sensorfuse.engine.tensorrt_build import TURING, UnsupportedPrecision, build_engine, compute_capabilities  # noqa: E402
from sensorfuse.fusion.export import export  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.strategies import STRATEGIES, load_class  # noqa: E402

LAYOUT = TokenLayout((16, 16, 16, 1, 1), grid=(4, 4), patch=2)
FEATURES, WIDTH = 6, 8
METHODS = {s.name: load_class(s.method) for s in STRATEGIES if s.kind == "learned"}
EVERYWHERE = "hybrid"


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install 'sensorfuse[rtx]' to build engines")


def exported(name: str, path: Path) -> Path:
    """A strategy's method with drawn weights, as ONNX."""
    torch.manual_seed(0)
    method = METHODS[name](LAYOUT, FEATURES, WIDTH).eval()
    state = tuple(method.initial_state(2)) if hasattr(method, "initial_state") else ()
    inputs = {f"m{m}": torch.rand(2, count, FEATURES) for m, count in enumerate(LAYOUT.counts)}
    inputs |= {"present": torch.ones(2, LAYOUT.modalities)} | {f"s{k}": s for k, s in enumerate(state)}
    export(method, inputs, ("fused", "weights", *(f"n{k}" for k in range(len(state)))), path)
    return path


@pytest.mark.parametrize("name", METHODS)
def test_every_strategy_compiles(name: str, rtx: Any, tmp_path: Path) -> None:
    path = exported(name, tmp_path / f"{name}.onnx")
    known = compute_capabilities(rtx)
    turn = list(METHODS).index(name)
    chosen = known if name == EVERYWHERE else [known[turn % len(known)]]
    mixed = to_mixed_precision(onnx.load(path), "fp16")
    assert mixed.lowered
    half = tmp_path / f"{name}.fp16.onnx"
    onnx.save(mixed.model, half)
    ort.InferenceSession(str(half), providers=["CPUExecutionProvider"])
    for capability in chosen:
        assert build_engine(half, rtx, capability).payload
    if chosen[-1] != TURING:
        assert build_engine(path, rtx, chosen[-1]).payload


def test_what_the_oldest_gpus_lack_is_said(rtx: Any, tmp_path: Path) -> None:
    path = exported("auto_fusion", tmp_path / "auto_fusion.onnx")
    wide = to_mixed_precision(onnx.load(path), "bf16").model
    onnx.save(wide, tmp_path / "auto_fusion.bf16.onnx")
    with pytest.raises(UnsupportedPrecision, match=r"compute capability 7\.5; fp16 runs there"):
        build_engine(tmp_path / "auto_fusion.bf16.onnx", rtx, TURING)
    assert build_engine(tmp_path / "auto_fusion.bf16.onnx", rtx, "8.6").payload
