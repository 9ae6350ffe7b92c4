"""Modal attention must take the weight from a modality that has been replaced by noise, sample by sample."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, EarlyLinear, Read, accuracy, fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402
from sensorfuse.fusion.methods.modal_attention import ModalAttentionFusion  # noqa: E402

CLASSES, MODALITIES = 4, 3


def one_is_noise(count: int, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Three modalities (count, 8) that each show the class, but one of each sample is noise; the classes, and which."""
    show = np.random.default_rng(7).standard_normal((MODALITIES, CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    label, noisy = rng.integers(0, CLASSES, count), rng.integers(0, MODALITIES, count)
    x = 1.5 * show[:, label] + 0.5 * rng.standard_normal((MODALITIES, count, FEATURES))
    x[noisy, np.arange(count)] = 3.0 * rng.standard_normal((count, FEATURES))
    return [torch.from_numpy(m.astype(np.float32)) for m in x], torch.from_numpy(label), torch.from_numpy(noisy)


def attention(seed: int = 0) -> Read:
    torch.manual_seed(seed)
    return Read(ModalAttentionFusion(TokenLayout((1,) * MODALITIES), FEATURES, 16), 16, CLASSES)


def test_takes_the_weight_from_noise() -> None:
    inputs, label, _ = one_is_noise(4000, 0)
    model = attention()
    linear = EarlyLinear(MODALITIES, outputs=CLASSES)
    for one in (model, linear):
        fit(one, inputs, label, loss=nn.functional.cross_entropy)
    inputs, label, noisy = one_is_noise(2000, 99)
    with torch.no_grad():
        _, weights = model.fusion(*[x[:, None] for x in inputs], torch.ones(len(label), MODALITIES))
    assert weights.gather(1, noisy[:, None]).mean() <= 0.12  # a third each would be indifference
    assert accuracy(model, inputs, label) >= 0.97
    assert accuracy(linear, inputs, label) <= 0.92


def test_scores_depend_on_the_others() -> None:
    fusion = attention().fusion
    a, b, c = torch.randn(3, 1, 1, FEATURES).expand(3, 2, 1, FEATURES).clone()
    b[1] += 2.0
    with torch.no_grad():
        _, weights = fusion(a, b, c, torch.ones(2, 3))
    ratio = weights[:, 0] / weights[:, 2]  # between two that have not changed
    assert ratio[0] != pytest.approx(ratio[1].item(), rel=1e-4)
