"""The fusion graph must learn products of two and three modalities, and let the absent's nodes carry nothing."""

import pytest

torch = pytest.importorskip("torch")
from tasks import FEATURES, LateSum, Read, accuracy, fit, products  # noqa: E402

from sensorfuse.fusion.methods.graph import GraphFusion  # noqa: E402
from sensorfuse.fusion.methods.layout import TokenLayout  # noqa: E402

WIDTH = 16


def reader(order: int) -> Read:
    return Read(GraphFusion(TokenLayout((1,) * order), FEATURES, WIDTH), WIDTH)


def score(model: torch.nn.Module, order: int, seed: int = 0) -> float:
    return accuracy(fit(model, *products(order, 4000, seed)), *products(order, 4000, 99 + seed))


@pytest.mark.parametrize(("order", "least"), [(2, 0.95), (3, 0.90)])
def test_learns_products_that_votes_cannot(order: int, least: float) -> None:
    torch.manual_seed(0)
    assert score(reader(order), order) >= least
    assert score(LateSum(order, hidden=32), order) <= 0.60


@pytest.mark.parametrize(("modalities", "nodes", "edges"), [(2, 3, 5), (3, 7, 19), (5, 16, 51)])
def test_the_graph_has_nodes_of_one_of_two_and_of_all(modalities: int, nodes: int, edges: int) -> None:
    fusion = GraphFusion(TokenLayout((1,) * modalities), FEATURES, WIDTH)
    assert fusion.nodes == nodes
    assert fusion.efficacy_out.out_features == edges


def test_nodes_of_the_absent_carry_nothing() -> None:
    torch.manual_seed(0)
    fusion = GraphFusion(TokenLayout((4, 4, 1)), FEATURES, WIDTH)
    tokens = [torch.randn(2, n, FEATURES) for n in (4, 4, 1)]
    present = torch.tensor([[1.0, 1.0, 0.0]] * 2)
    with torch.no_grad():
        before, _ = fusion(*tokens, present)
        all_there, _ = fusion(*tokens, torch.ones(2, 3))
        with_it = [v for v, pair in enumerate(fusion.pairs) if 2 in pair]
        for part in (fusion.enter[2], fusion.to_pairs[2], fusion.efficacy_in[2]):
            part.weight.normal_()
        for v in [2, *(3 + v for v in with_it)]:
            for reads in (fusion.to_out, fusion.to_all):
                reads.weight[:, v * fusion.node : (v + 1) * fusion.node].normal_()
        fusion.pair_bias[with_it] += 1.0
        after, _ = fusion(*tokens, present)
        assert torch.equal(before, after)
        assert (all_there != fusion(*tokens, torch.ones(2, 3))[0]).any(dim=2).all()


def test_efficacies_are_decided_place_by_place_by_all_modalities() -> None:
    torch.manual_seed(0)
    fusion = GraphFusion(TokenLayout((4, 4, 1)), FEATURES, WIDTH)
    nodes = [torch.randn(1, n, fusion.node) for n in (4, 4, 1)]
    before = torch.cat(fusion.efficacies(nodes), dim=2)
    assert before.shape == (1, 4, 19)
    assert ((before > 0) & (before < 1)).all()
    for m, places in ((0, [2]), (1, [2]), (2, [0, 1, 2, 3])):
        others = [x.clone() for x in nodes]
        others[m][:, 2 if m < 2 else 0] += 1.0
        changed = (torch.cat(fusion.efficacies(others), dim=2) != before).any(dim=2)[0]
        assert changed.nonzero()[:, 0].tolist() == places
