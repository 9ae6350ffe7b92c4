"""A sensor added through gates: nothing changes at the start, and then it is learned without touching the trunk."""

import pytest

torch = pytest.importorskip("torch")
from tasks import LOOKUP_FEATURES, LOOKUP_PAIRS, LOOKUP_VALUES, Read, accuracy, fit, lookup  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.gated_cross_attention import GatedCrossAttentionFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

GRID = TokenLayout((16, 16, 16, 1), grid=(4, 4), patch=2)


def make(**knobs: object) -> GatedCrossAttentionFusion:
    torch.manual_seed(0)
    return GatedCrossAttentionFusion(GRID, 5, 6, **knobs).eval()  # type: ignore[arg-type]


def draw(batch: int = 3) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1)
    return [torch.randn((batch, n, 5), generator=rng) for n in GRID.counts]


@torch.no_grad()
def test_an_added_sensor_changes_no_bit_at_the_start() -> None:
    fusion, tokens = make(), draw()
    with_it, without = torch.ones(3, 4), torch.tensor([1.0, 1, 0, 0]).expand(3, 4)
    before, _ = fusion(*tokens, without)
    assert not torch.equal(fusion(*tokens, with_it)[0], before)
    fusion.add(2, 3)
    after, weights = fusion(*tokens, with_it)
    assert torch.equal(after, before)
    assert weights[:, 2:].max() < 1e-5  # and the weights say that it is not used
    assert weights[:, 1].min() > 0.01
    for bad in (float("nan"), float("inf"), 3e38):  # a closed gate alone would let NaN through
        tokens[2][:, 3] = tokens[3][:] = bad
        assert torch.equal(fusion(*tokens, with_it)[0], before)
    with torch.no_grad():
        fusion.gates(2).fill_(0.3)
    opened, _ = fusion(*tokens, with_it)
    assert torch.isfinite(opened).all()
    assert not torch.equal(opened, before)


def test_only_what_is_the_new_sensors_is_trained() -> None:
    fusion = make()
    fusion.add(2)
    parts = {".".join(n.split(".")[:3]) for n, p in fusion.named_parameters() if p.requires_grad}
    assert {p.split(".")[0] + "." + next(x for x in p.split(".")[1:] if x.isdigit()) for p in parts} == {
        "embed.2",
        "blocks.2",
        "fine.2",
    }
    fusion(*draw(), torch.ones(3, 4))[0].square().sum().backward()
    assert fusion.gates(2).grad is not None
    assert fusion.gates(2).grad.all()


def test_a_new_sensor_may_not_take_the_trunk_over() -> None:
    with pytest.raises(AssertionError, match="last"):
        make().add(0)
    make(trunks=(1, 2, 0)).add(0)


@torch.no_grad()
def test_without_the_trunks_modality_the_next_one_takes_its_place() -> None:
    fusion, tokens = make(gate=0.0), draw()
    present = torch.tensor([[1.0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]])
    assert fusion.chosen(present).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    fused, weights = fusion(*tokens, present)
    alone, _ = fusion(*tokens, fusion.chosen(present))
    assert torch.equal(fused[:2], alone[:2])  # gates closed: the trunk alone
    assert weights[:2].argmax(dim=1).tolist() == [0, 1]
    other, _ = fusion(*[x + 1 for x in tokens], present)
    assert torch.equal(other[2], fused[2])  # no trunk and closed gates: a constant
    assert not torch.equal(make()(*[x + 1 for x in tokens], present)[0][2], make()(*tokens, present)[0][2])


def lookup_model(seed: int = 0) -> Read:
    torch.manual_seed(seed)
    layout = TokenLayout((LOOKUP_PAIRS, LOOKUP_PAIRS))
    fusion = GatedCrossAttentionFusion(layout, LOOKUP_FEATURES, 16, attention_width=32, trunks=(0,), gate=0.0)
    return Read(fusion, 16, LOOKUP_VALUES)


def test_gates_open_where_the_other_sensor_is_needed() -> None:
    """The trunk asks, in each of its places; the other sensor has the answers."""
    (ask, answer), label = lookup(8000, 0)
    ask = ask.expand_as(answer)
    model = lookup_model()
    assert torch.equal(model(ask[:9], answer[:9]), model(ask[:9], answer[:9] + 1))
    fit(model, [ask, answer], label, steps=200, rate=0.004, batch=128, loss=nn.functional.cross_entropy)
    (ask, answer), label = lookup(2000, 99)
    ask = ask.expand_as(answer)
    assert accuracy(model, [ask, answer], label) >= 0.95
    assert accuracy(model, [ask, answer.flip(0)], label) <= 0.4  # chance is 1 in 4
    assert torch.tanh(model.fusion.gates(1)).abs().max() >= 0.05
