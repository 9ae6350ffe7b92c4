"""GAN-fusion must teach a modality's code what the others say, and no term may move what another owns."""

import pytest

torch = pytest.importorskip("torch")
from tasks import fit  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from sensorfuse.fusion.methods.gan_fusion import GanFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

FEATURES, CODE = 10, 4


def scene(count: int, seed: int) -> list[Tensor]:
    """Two modalities (count, 1, 10): a mixes two numbers that b has too with eight louder ones of its own."""
    mix = torch.linalg.qr(torch.randn((FEATURES, FEATURES), generator=torch.Generator().manual_seed(3)))[0]
    rng = torch.Generator().manual_seed(seed)
    shared = torch.randn((count, 2), generator=rng)
    own = torch.randn((count, FEATURES - 2), generator=rng)
    a = torch.cat([shared, 2.0 * own], dim=1) @ mix
    b = torch.cat([shared, 0.03 * torch.randn((count, FEATURES - 2), generator=rng)], dim=1)
    return [a[:, None], b[:, None]]


class OwnLosses(nn.Module):
    """The method's own losses and no task."""

    def __init__(self, imitation: str, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layout = TokenLayout((1, 1))
        self.fusion = GanFusion(layout, FEATURES, 8, code=CODE, scale=1.0, imitation=imitation)  # type: ignore[arg-type]

    def forward(self, *tokens: Tensor) -> Tensor:
        return torch.stack(list(self.fusion.losses(*tokens, torch.ones(len(tokens[0]), 2)).values())).sum()


def explained(code: Tensor, wanted: Tensor) -> float:
    """R^2 of the best linear map from codes (B, L) to what is wanted (B, K)."""
    code, wanted = torch.cat([code, torch.ones(len(code), 1)], dim=1).double(), wanted.double()
    rest = wanted - code @ (torch.linalg.pinv(code) @ wanted)
    return float(1 - rest.square().sum() / (wanted - wanted.mean(dim=0)).square().sum())


def trained(imitation: str, steps: int, seed: int = 0) -> GanFusion:
    tokens = scene(4000, seed)
    model = fit(OwnLosses(imitation, seed), tokens, torch.zeros(4000), steps, 0.01, loss=lambda x, _: x)
    assert isinstance(model, OwnLosses)
    return model.fusion


def r_squared(fusion: GanFusion, seed: int = 0) -> tuple[float, float]:
    """How much of what b says is in a's code; and in a projected at random to as many numbers, mean of eight."""
    a, b = scene(2000, 99 + seed)
    with torch.no_grad():
        code = fusion.generated([a, b])[0][:, 0]
        rng = torch.Generator().manual_seed(seed)
        blind = [explained(a[:, 0] @ torch.randn((FEATURES, CODE), generator=rng), b[:, 0, :2]) for _ in range(8)]
        return explained(code, b[:, 0, :2]), sum(blind) / len(blind)


def judged_right(fusion: GanFusion, seed: int = 0) -> float:
    """How often the first modality's discriminator is right, on new samples."""
    tokens = scene(2000, 199 + seed)
    with torch.no_grad():
        codes, targets, _ = fusion.pairs(*tokens, torch.ones(2000, 2))
        real, made = (fusion.judged(0, x, targets[0]) for x in (targets[0], codes[0]))
        return float(torch.cat([real > 0, made < 0]).float().mean())


def test_a_code_learns_what_the_other_modality_says() -> None:
    adversarial, simple = trained("gan", 350), trained("l2", 100)
    (gan, blind), (l2, _), right = r_squared(adversarial), r_squared(simple), judged_right(adversarial)
    print(f"R^2 of b in a's code: gan {gan:.3f}, l2 {l2:.3f}, random {blind:.3f}; discriminator right {right:.3f}")
    assert gan >= blind + 0.05
    assert l2 >= 0.6
    assert 0.30 <= right <= 0.80


def owners(fusion: GanFusion, term: str) -> set[str]:
    """Which parts of the network a term of the losses moves."""
    fusion.zero_grad()
    tokens = [x[:64] for x in scene(64, 0)]
    fusion.losses(*tokens, torch.ones(64, 2))[term].backward()
    return {n.split(".")[0] for n, p in fusion.named_parameters() if p.grad is not None and p.grad.any()}


def test_no_term_moves_what_another_owns() -> None:
    fusion = OwnLosses("gan", 0).fusion
    assert owners(fusion, "discriminator") == {"discriminators"}
    assert owners(fusion, "generator") == {"generators"}
    assert owners(fusion, "rebuild") == {"complements", "rebuild"}
    assert owners(OwnLosses("l2", 0).fusion, "imitation") == {"generators"}


def test_one_modality_has_nobody_to_imitate() -> None:
    with pytest.raises(AssertionError, match="two or more"):
        GanFusion(TokenLayout((4,)), FEATURES, 8)
