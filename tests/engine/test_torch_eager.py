"""Torch computes what ONNX Runtime does, under the same names, from the weights beside the ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from sensorfuse.engine import torch_eager  # noqa: E402
from sensorfuse.engine.engine import WrongInput  # noqa: E402
from sensorfuse.engine.open import open_engine  # noqa: E402
from sensorfuse.engine.torch_eager import TorchEngine  # noqa: E402
from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.model_files import weights_folder  # noqa: E402

PARITY = 1e-4


def draw(engine: Any, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    out = {n: rng.random((batch, *shape[1:]), np.float32) for n, shape in engine.input_shapes.items()}
    if "present" in out:
        out["present"] = np.float32(out["present"] > 0.4)
        out["present"][:, 1] = 1
    return out


@pytest.mark.parametrize("name", ["camera", "imu", "sweeps", "hybrid", "cross_modal_attention"])
def test_parity_with_onnx_runtime(name: str) -> None:
    path = weights_folder() / f"{name}.onnx"
    torch_engine, onnx_engine = open_engine(path, "torch"), open_engine(path)
    assert torch_engine.digest == onnx_engine.digest
    assert list(torch_engine.input_shapes) == list(onnx_engine.input_shapes)
    for batch in (1, 3):
        inputs = draw(onnx_engine, batch)
        a, b = torch_engine.run(inputs), onnx_engine.run(inputs)
        assert list(a) == list(b) == onnx_engine.output_names
        for output, array in b.items():
            np.testing.assert_allclose(a[output], array, atol=PARITY)


def test_what_a_run_gave_is_not_written_to_by_a_later_one() -> None:
    engine = TorchEngine(weights_folder() / "imu.onnx")
    first = engine.run(draw(engine, 1))["features"]
    kept = first.copy()
    engine.run({"window": np.full((1, 14), 3, np.float32)})
    assert np.array_equal(first, kept)


def test_compiling_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler itself takes half a minute."""
    asked = []
    monkeypatch.setattr(torch_eager.torch, "compile", lambda module, **_: asked.append(module) or module)
    engine = open_engine(weights_folder() / "imu.onnx", "torch-compile")
    engine.warm_up()
    assert len(asked) == 1
    assert engine.name.endswith("-cpu-compiled")


def test_wrong_inputs_and_files_are_explained(tmp_path: Path) -> None:
    shipped = weights_folder()
    engine = TorchEngine(shipped / "imu.onnx")
    with pytest.raises(WrongInput, match=r"imu\.onnx: input 'window' has shape"):
        engine.run({"window": np.zeros((1, 3), np.float32)})
    with pytest.raises(SensorfuseError, match="no readable network"):
        TorchEngine(tmp_path / "imu.onnx")
    shutil.copy(shipped / "imu.onnx", tmp_path / "psychic.onnx")
    with pytest.raises(SensorfuseError, match="psychic"):
        TorchEngine(tmp_path / "psychic.onnx")
    shutil.copy(shipped / "imu.onnx", tmp_path)
    with pytest.raises(SensorfuseError, match=r"encoders\.safetensors"):
        TorchEngine(tmp_path / "imu.onnx")
    (tmp_path / "encoders.safetensors").write_bytes((shipped / "hybrid.safetensors").read_bytes())
    with pytest.raises(SensorfuseError, match=r"encoders\.safetensors: not the weights of this network"):
        TorchEngine(tmp_path / "imu.onnx")
    with pytest.raises(SensorfuseError, match="runs fp32, not fp16"):
        open_engine(shipped / "imu.onnx", "torch", "fp16")
    if not torch.cuda.is_available():
        with pytest.raises(SensorfuseError, match="torch-cuda"):
            TorchEngine(shipped / "imu.onnx", device="cuda")
