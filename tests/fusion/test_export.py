"""Exported files compute what torch computes, at batches other than the example's."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.encoders import ENCODERS  # noqa: E402
from sensorfuse.fusion.export import PARITY, check_parity, encoder_examples, export, export_encoder, sweep_examples  # noqa: E402
from sensorfuse.fusion.methods.cross_modal_attention import CrossModalAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.hybrid import HybridFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.model_files import weights_folder  # noqa: E402
from sensorfuse.fusion.training.driving import Encoders, load_encoders  # noqa: E402
from sensorfuse.messages import MODALITIES, Modality  # noqa: E402


class BothStrategies(nn.Module):
    """Small instances of the strategies on one grid set and one vector, behind named inputs."""

    def __init__(self) -> None:
        super().__init__()
        layout = TokenLayout((64, 1), grid=(8, 8), patch=2)
        self.hybrid = HybridFusion(layout, 6, 8)
        self.attention = CrossModalAttentionFusion(layout, 6, 8, attention_width=8)

    def forward(self, a: Tensor, b: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        return (*self.hybrid(a, b, present), *self.attention(a, b, present))


def token_examples(batch: int, seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    out = {n: torch.randn((batch, count, 6), generator=rng) for n, count in (("a", 64), ("b", 1))}
    return out | {"present": (torch.rand((batch, 2), generator=rng) > 0.5).float()}


def test_strategies_export_with_parity(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = BothStrategies(), tmp_path / "both.onnx"
    export(module, token_examples(2), ("h", "hw", "x", "xw"), path)
    batches = {b: token_examples(b, seed=b) for b in (1, 3, 7)}
    assert check_parity(module, path, batches) <= PARITY
    assert b"test_export" not in path.read_bytes()  # no trace of where it was made
    with torch.no_grad():
        module.hybrid.gate += 0.1
    with pytest.raises(SensorfuseError, match=r"both\.onnx.*differ"):
        check_parity(module, path, batches)


@pytest.mark.parametrize("modality", ["radar"])
def test_encoders_export_with_parity(modality: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[modality]()
    with torch.no_grad():  # statistics that are not trivial, to see that they are folded in rightly
        encoder.train()(*encoder_examples(modality, 4).values())  # type: ignore[arg-type]
    assert export_encoder(encoder, modality, tmp_path / "encoder.onnx") <= PARITY  # type: ignore[arg-type]


@pytest.mark.parametrize("modality", MODALITIES)
def test_shipped_encoders_compute_what_the_shipped_torch_weights_do(modality: Modality) -> None:
    encoders = Encoders()
    load_encoders(encoders, weights_folder() / "encoders.safetensors")
    examples = {b: encoder_examples(modality, b, seed=b) for b in (1, 3)}
    assert check_parity(encoders.by_modality[modality], weights_folder() / f"{modality}.onnx", examples) <= PARITY


def test_the_shipped_sweep_pair_computes_what_its_torch_weights_do() -> None:
    encoders = Encoders()
    load_encoders(encoders, weights_folder() / "encoders.safetensors")
    examples = {b: sweep_examples(b, seed=b) for b in (1, 3)}
    assert check_parity(encoders.sweeps, weights_folder() / "sweeps.onnx", examples) <= PARITY
