"""Where variants lie."""

from pathlib import Path

import pytest

from sensorfuse.engine.precision import PRECISIONS, variant_path
from sensorfuse.errors import SensorfuseError


def test_variants_are_named_by_the_content_they_were_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network = tmp_path / "radar.onnx"
    network.write_bytes(b"one")
    assert variant_path(network, "fp32") == network
    first = {p: variant_path(network, p) for p in PRECISIONS}
    assert len(set(first.values())) == len(PRECISIONS)
    assert first["fp16"].parent == tmp_path / "cache" / "sensorfuse" / "networks"
    assert variant_path(network, "int8", symmetric=True) != first["int8"]
    assert variant_path(network, "fp16", symmetric=True) == first["fp16"]
    network.write_bytes(b"two")
    assert variant_path(network, "fp16") != first["fp16"]


def test_what_has_no_variant_is_said(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"absent\.onnx"):
        variant_path(tmp_path / "absent.onnx", "fp16")
    with pytest.raises(SensorfuseError, match="fp32, fp16, bf16, int8"):
        variant_path(tmp_path / "absent.onnx", "fp8")  # type: ignore[arg-type]
