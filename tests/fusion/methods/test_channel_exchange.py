"""Channel exchange: modalities must meet through the swapped channels, and only through them."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, Read, accuracy, fit, products  # noqa: E402
from torch import nn  # noqa: E402

from sensorfuse.fusion.methods.channel_exchange import SMALL, ChannelExchangeFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

WIDTH = 16


def score(exchange: str, seed: int = 0) -> tuple[float, nn.Module]:
    torch.manual_seed(seed)
    fusion = ChannelExchangeFusion(TokenLayout((1, 1)), FEATURES, WIDTH, exchange=exchange)
    model = fit(Read(fusion, WIDTH), *products(2, 4000, seed), steps=250, batch=96)
    return accuracy(model, *products(2, 4000, 99 + seed)), fusion


def test_what_is_swapped_makes_products_and_without_it_there_is_late_fusion() -> None:
    assert score("none")[0] <= 0.60
    assert score("shuffle")[0] >= 0.90
    by_scale, fusion = score("scale")
    assert by_scale >= 0.90
    for norms in fusion.norms:
        for norm, part in zip(norms, fusion.part, strict=True):
            free = norm.scale.abs() < SMALL
            assert free[part].float().mean() >= 0.5  # training has freed channels, of its own part mostly
            assert free[~part].float().mean() <= 0.1


def grid_fusion(exchange: str) -> ChannelExchangeFusion:
    torch.manual_seed(0)
    return ChannelExchangeFusion(TokenLayout((16, 16, 1), (4, 4), 2), 5, 6, hidden=9, exchange=exchange).double().eval()


@pytest.mark.parametrize("exchange", ["scale", "shuffle"])
def test_the_rule_written_out(exchange: str) -> None:
    fusion = grid_fusion(exchange)
    z = [torch.randn(2, n, 9, dtype=torch.float64) for n in (16, 16, 1)]
    present = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    scales = [torch.ones(9, dtype=torch.float64) for _ in z]
    scales[0][:4] = 0.01  # channels 0 and 3 are of modality 0's part
    a, v = z[0], z[2]
    if exchange == "scale":
        got = fusion._by_scale(z, scales, present)
        want = a.clone()
        for c in (0, 3):
            want[0, :, c] = (z[1][0, :, c] + v[0, :, c]) / 2
            want[1, :, c] = v[1, 0, c]
        torch.testing.assert_close(got[2], v, atol=0, rtol=0)
    else:
        got = fusion._shuffled(z, present)
        want = a.clone()
        want[0, :, 1::3] = z[1][0, :, 1::3]  # the absent one's channels stay the modality's own
        want[:, :, 2::3] = v[:, :, 2::3]
        torch.testing.assert_close(got[2][..., 1::3], a.mean(dim=1, keepdim=True)[..., 1::3])
    torch.testing.assert_close(got[0], want, atol=1e-9, rtol=0)


def test_shift_moves_channels_by_one_cell() -> None:
    fusion = ChannelExchangeFusion(TokenLayout((16, 16), (4, 4), 2), 5, 6, hidden=8)
    x = torch.zeros(1, 16, 8)
    x[:, 5] = 1.0  # row 1, column 1
    moved = fusion._shifted(x)[0].unflatten(0, (4, 4))
    places = [tuple(moved[..., c].nonzero()[0].tolist()) for c in range(8)]
    assert places == [(2, 1), (0, 1), (1, 2), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1)]
    edge = torch.zeros(1, 16, 8)
    edge[:, 15] = 1.0
    moved = fusion._shifted(edge)[0].unflatten(0, (4, 4))
    assert not moved[..., [0, 2]].any()
    assert moved[2, 3, 1] == moved[3, 2, 3] == 1.0
    in_time = ChannelExchangeFusion(TokenLayout((4, 1)), 5, 6, hidden=8)
    x = torch.eye(4)[1][None, :, None].expand(1, 4, 8)
    assert in_time._shifted(x)[0].argmax(dim=0).tolist() == [2, 0, 1, 1, 1, 1, 1, 1]
