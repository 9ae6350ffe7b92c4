"""Imputers know more of an absent modality than its mean or its last value, and how surely they know it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from synthetic import CELLS, CHANNELS, make_features  # noqa: E402

from sensorfuse.errors import SensorfuseError  # noqa: E402
from sensorfuse.fusion.imputation.feature_imputer import FeatureImputer, example_inputs  # noqa: E402
from sensorfuse.fusion.imputation.imputer import METHODS, Imputer  # noqa: E402
from sensorfuse.fusion.imputation.publish import measure, publish  # noqa: E402
from sensorfuse.fusion.imputation.retrieval import RetrievalImputer  # noqa: E402
from sensorfuse.fusion.imputation.task import IMPUTATION_CONFIG, ImputationTask, typical_of  # noqa: E402
from sensorfuse.fusion.model_files import ENCODERS_FILE, file_digest  # noqa: E402
from sensorfuse.fusion.training.feature_rows import FeatureRows  # noqa: E402
from sensorfuse.fusion.training.loop import train  # noqa: E402
from sensorfuse.messages import MODALITIES  # noqa: E402

torch.set_num_threads(1)
TICKS = np.arange(100)
TRAINED_ON = {"product_of_experts": (565, 1), "encoder_decoder": (565, 1), "retrieval": (400, 1)}
"""Ticks and epochs, of batches of four."""


@pytest.fixture(scope="module")
def held_out() -> FeatureRows:
    return make_features(100, seed=7)


def fit(method: str, ticks: int, epochs: int, out: Path) -> FeatureImputer:
    task = ImputationTask(make_features(ticks, seed=3), make_features(8, seed=4))
    config = IMPUTATION_CONFIG.model_copy(update={"strategies": (method,), "epochs": epochs})
    imputer = train(task, config, out).model.get_submodule(method)
    assert isinstance(imputer, FeatureImputer)
    task.finish(imputer, 0)
    return imputer


@pytest.fixture(scope="module", params=METHODS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, FeatureImputer]:
    return request.param, fit(request.param, *TRAINED_ON[request.param], tmp_path_factory.mktemp("out"))


def by_mean(features: FeatureRows, scale: torch.Tensor, m: int) -> tuple[float, float]:
    """Squared error and negative log likelihood of the channels' own means and variances, on scaled features."""
    x = features.batch(TICKS)[0][m] / scale[m].reshape((1, -1, 1, 1) if m < 3 else (1, -1))
    over = (0, 2, 3) if m < 3 else (0,)
    error = (x - x.mean(dim=over, keepdim=True)).square()
    variance = error.mean(dim=over, keepdim=True)
    return float(error.mean()), float((0.5 * (error / variance + variance.log())).mean())


def by_last(features: FeatureRows, scale: torch.Tensor, m: int) -> float:
    x = features.batch(TICKS)[0][m] / scale[m].reshape((1, -1, 1, 1) if m < 3 else (1, -1))
    return float((x[1:] - x[:-1]).square().mean())


def test_knows_more_than_the_mean_and_the_last_value(
    trained: tuple[str, FeatureImputer], held_out: FeatureRows
) -> None:
    _, imputer = trained
    scores = measure(imputer, held_out, TICKS)
    for m, name in enumerate(MODALITIES[:3]):
        mse, nll = by_mean(held_out, imputer.scale, m)
        assert scores[name]["mse"] < 0.93 * mse
        assert scores[name]["mse"] < 0.8 * by_last(held_out, imputer.scale, m)
        assert scores[name]["nll"] < nll - 0.04
    for m, name in enumerate(MODALITIES[3:], start=3):
        assert scores[name]["mse"] < 0.9 * by_mean(held_out, imputer.scale, m)[0]


def test_the_variance_says_how_far_off_it_is(trained: tuple[str, FeatureImputer], held_out: FeatureRows) -> None:
    method, imputer = trained
    scores = measure(imputer, held_out, TICKS)
    of_vectors = MODALITIES[3:] if method == "product_of_experts" else ()
    for name in (*MODALITIES[:3], *of_vectors):
        assert 0.8 <= scores[name]["z_deviation"] <= 1.2


def test_what_an_absent_input_holds_changes_nothing(trained: tuple[str, FeatureImputer]) -> None:
    _, imputer = trained
    inputs = example_inputs(imputer.scale, CELLS, 6)
    with torch.no_grad():
        clean = imputer(*inputs.values())
        for m, name in enumerate(MODALITIES):
            inputs[name][inputs["present"][:, m] == 0] = torch.nan
        spoiled = imputer(*inputs.values())
    assert all(torch.equal(a, b) for a, b in zip(clean, spoiled, strict=True))
    for m, (filled, variance) in enumerate(zip(clean[:5], clean[5:], strict=True)):
        there = inputs["present"][:, m] == 1
        assert torch.equal(filled[there], inputs[MODALITIES[m]][there])
        assert not variance[there].any()
        assert (variance[~there] > 0).all()
        assert (filled >= 0).all()


def test_every_subset_gives_finite_numbers(trained: tuple[str, FeatureImputer]) -> None:
    inputs = example_inputs(trained[1].scale, CELLS, 32)
    inputs["present"] = torch.tensor([[float(s >> m & 1) for m in range(5)] for s in range(32)])
    with torch.no_grad():
        assert all(torch.isfinite(x).all() for x in trained[1](*inputs.values()))


def test_the_robot_gets_what_was_trained(trained: tuple[str, FeatureImputer], tmp_path: Path) -> None:
    method, imputer = trained
    (tmp_path / ENCODERS_FILE).write_bytes(b"those")
    encoders = file_digest(tmp_path / ENCODERS_FILE)
    assert publish(imputer, method, {"encoders": encoders}, CELLS, tmp_path) <= 1e-4
    ready = Imputer(method, tmp_path)
    rng = np.random.default_rng(0)
    lidar, audio = rng.random((CHANNELS, CELLS, CELLS), np.float32), rng.random(CHANNELS, np.float32)
    out = ready.fill({"lidar": lidar, "audio": audio, "radar": None})
    assert out.imputed == {"camera", "radar", "imu"} == set(out.variance)
    assert out.features["lidar"] is lidar
    given = [torch.zeros(1, CHANNELS, CELLS, CELLS), torch.from_numpy(lidar)[None]]
    given += [torch.zeros_like(given[0]), torch.zeros(1, CHANNELS), torch.from_numpy(audio)[None]]
    with torch.no_grad():
        expected = imputer(*given, torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0]]))
    for m in (0, 2, 3):
        assert np.allclose(out.features[MODALITIES[m]], expected[m][0], atol=1e-4)
        assert np.allclose(out.variance[MODALITIES[m]], expected[5 + m][0], atol=1e-4)
    whole = {m: x[0].numpy() for m, x in zip(MODALITIES, given, strict=True)}
    assert ready.fill(whole).imputed == set()
    assert ready.fill({}).features == {}
    (tmp_path / ENCODERS_FILE).write_bytes(b"others")
    with pytest.raises(SensorfuseError, match="other encoders"):
        Imputer(method, tmp_path)


def test_precisions_of_experts_add_up(held_out: FeatureRows, tmp_path: Path) -> None:
    imputer = fit("product_of_experts", 94, 1, tmp_path)
    values, _ = held_out.batch(np.arange(4))

    def told(*there: int) -> tuple[torch.Tensor, torch.Tensor]:
        present = torch.zeros(4, 5)
        present[:, list(there)] = 1
        with torch.no_grad():
            means, variances = imputer.predict(imputer.scaled(values, present), present)
        return means[0], 1 / variances[0]

    (prior, t0), (a, ta), (b, tb), (both, t) = told(), told(1), told(2), told(1, 2)
    assert torch.allclose(t, ta + tb - t0, rtol=1e-4)
    assert torch.allclose(both * t, a * ta + b * tb - prior * t0, rtol=1e-3, atol=1e-3)


def test_the_bank_gives_back_what_it_holds() -> None:
    features = make_features(40, seed=5)
    imputer = RetrievalImputer(typical_of(features, np.arange(40)), patches=640, scenes=40).eval()
    values, present = features.batch(np.arange(40))
    imputer.remember(values, present, torch.Generator().manual_seed(0))
    imputer.temperature.fill_(1e-6)
    present[:, 1] = 0
    with torch.no_grad():
        means, variances = imputer.predict(imputer.scaled(values, present), present)
    target = imputer.scaled(values, torch.ones(40, 5))[1]
    exact = ((means[1] - target).abs().amax(dim=1) < 0.02).float().mean()
    assert exact > 0.9  # keys are kept in half precision: a few patches take a twin
    assert float(variances[1].mean()) == pytest.approx(0.05, abs=0.02)


def test_faults_are_told(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="'guess' is no way to impute"):
        Imputer("guess")
    with pytest.raises(SensorfuseError, match="train it with"):
        Imputer("retrieval", tmp_path)
