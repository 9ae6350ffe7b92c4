"""The shipped networks at run time. Torch is not needed."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.learned import Encoded, LearnedFusion
from sensorfuse.fusion.model_files import ENCODERS_FILE, weights_folder
from sensorfuse.fusion.strategies import find_strategy, ready_strategies
from sensorfuse.messages import MODALITIES, Sample, StreamTick, Tick
from sensorfuse.rig import Rig

LEARNED = [n for n in ready_strategies() if find_strategy(n).kind == "learned"]
USUAL = ("hybrid", "cross_modal_attention")  # what is not a matter of the network is shown of these
SUBSETS = [s for n in range(1, 6) for s in itertools.combinations(MODALITIES, n)]


def make_tick(rig: Rig, dt_ns: int = -30_000_000, vx_mps: float = 10.0) -> Tick:
    streams = [StreamTick(n, rig.sensors[n].modality, "ok", seqs=[0], dt_ns=dt_ns) for n in rig.fused_streams()]
    twist = np.array([vx_mps, 0, 0, 0, 0, 0.1])
    return Tick(0, 10**9, 10**9, False, streams, np.eye(4), twist, np.full(6, 0.1))


@pytest.fixture(scope="module", params=USUAL)
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fusion(strategy: str, synthetic_rig: Rig) -> LearnedFusion:
    return LearnedFusion(synthetic_rig, strategy)


@pytest.fixture(scope="module", params=LEARNED)
def shipped(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def encode_all(fusion: LearnedFusion, samples: dict[str, Sample]) -> dict[str, list[Encoded]]:
    return {s: [fusion.encode(sample)] for s, sample in samples.items()}


def same(a: FusionResult, b: FusionResult) -> bool:
    fields = ("class_id", "score", "center", "size", "yaw", "velocity")
    return (
        all(np.array_equal(getattr(a.detections, f), getattr(b.detections, f)) for f in fields)
        and a.weights == b.weights
    )


def test_every_subset_of_sensors(shipped: str, synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    fusion = LearnedFusion(synthetic_rig, shipped)
    evidence = encode_all(fusion, random_samples)
    seen = set()
    for subset in SUBSETS:
        held = {s: e for s, e in evidence.items() if random_samples[s].modality in subset}
        result = fusion.fuse(make_tick(synthetic_rig), held)
        assert np.isfinite(result.detections.center).all()
        assert np.isfinite(result.detections.covariance).all()
        assert set(result.weights) == set(held)
        assert sum(result.weights.values()) == pytest.approx(1)
        assert result.twist is not None
        assert np.isfinite(result.twist).all()
        assert list(result.sources) == ["fusion"]
        seen.add(json.dumps([round(float(x), 6) for x in result.twist]))
    assert len(seen) > len(SUBSETS) // 2  # presence does make a difference


def test_an_absent_modality_changes_nothing_in_the_network(shipped: str, synthetic_rig: Rig) -> None:
    fusion = LearnedFusion(synthetic_rig, shipped)
    rng = np.random.default_rng(0)
    shapes = fusion._fusion.input_shapes
    inputs = {n: rng.random([d if isinstance(d, int) else 31 for d in s]).astype(np.float32) for n, s in shapes.items()}
    inputs["present"] = np.array([[float(m in subset) for m in MODALITIES] for subset in SUBSETS], np.float32)
    clean = fusion._fusion.run(inputs)
    assert all(np.isfinite(v).all() for v in clean.values())
    for m, modality in enumerate(MODALITIES):
        inputs[modality][inputs["present"][:, m] == 0] = np.nan
    spoiled = fusion._fusion.run(inputs)
    assert all(np.array_equal(clean[n], spoiled[n]) for n in clean)
    assert not clean["weights"][inputs["present"] == 0].any()


def test_no_evidence_is_no_detection(fusion: LearnedFusion, synthetic_rig: Rig) -> None:
    result = fusion.fuse(make_tick(synthetic_rig), {})
    assert len(result.detections) == 0
    assert result.weights == {}
    assert result.twist is None


def test_sounds_need_microphones(fusion: LearnedFusion, synthetic_rig: Rig, random_samples: dict[str, Sample]) -> None:
    evidence = encode_all(fusion, random_samples)
    del evidence["microphones"]
    assert fusion.fuse(make_tick(synthetic_rig), evidence).sounds == []


def test_sound_is_cut_at_the_tick_whatever_its_blocks(fusion: LearnedFusion, synthetic_rig: Rig) -> None:
    """100 ms of sound in two blocks, as the networks were trained, in ten or in one: the same features. With the older
    half lost, those of the other half.
    """
    pcm = np.random.default_rng(0).normal(0, 0.1, (1600, 4)).astype(np.float32)
    tick = make_tick(synthetic_rig, dt_ns=0)
    (stream,) = (s for s in tick.streams if s.stream == "microphones")

    def features(length: int, first: int = 0) -> np.ndarray:
        starts = range(first, 1600, length)
        blocks = [Sample("microphones", "audio", 0, k * 62_500, 0, "", {"pcm": pcm[k : k + length]}) for k in starts]
        stream.dt_ns = starts[-1] * 62_500 - 80_000_000
        found = fusion._sound_at(stream, tick, [fusion.encode(b) for b in blocks])  # type: ignore[misc]
        assert found is not None
        return found

    trained = [
        fusion._encoders["audio"].run({"block": fusion._sound_features["microphones"](half, 16000)[None]})["features"]
        for half in (pcm[:800], pcm[800:])
    ]
    for length in (800, 160, 1600):
        np.testing.assert_allclose(features(length), np.mean(trained, axis=0)[0], atol=1e-5)
    np.testing.assert_allclose(features(800, 800), trained[1][0], atol=1e-5)


def test_stale_maps_are_moved(fusion: LearnedFusion, synthetic_rig: Rig) -> None:
    """A map that is 200 ms old, at 10 m/s, gives what the same map moved back by 2 m gives."""
    features = np.zeros((24, 64, 64), np.float32)
    features[:, 40:44, 30:34] = np.random.default_rng(0).random((24, 4, 4)) * 3
    by_hand = np.zeros_like(features)
    share = 2.0 / 1.25 - 1  # of two whole cells; the rest of one
    by_hand[:, :-1] += features[:, 1:] * (1 - share)
    by_hand[:, :-2] += features[:, 2:] * share
    moving, standing = make_tick(synthetic_rig, -200_000_000), make_tick(synthetic_rig, 0)
    moving.twist[5] = standing.twist[5] = 0

    def fuse(tick: Tick, encoded: Encoded) -> FusionResult:
        fusion.forget()
        return fusion.fuse(tick, {"lidar": [encoded]})

    a, b = fuse(moving, Encoded(features)), fuse(standing, Encoded(by_hand))
    late, fresh = fuse(moving, Encoded(features, middle_ns=200_000_000)), fuse(standing, Encoded(features))
    assert a.twist is not None
    assert b.twist is not None
    assert np.allclose(a.twist, b.twist, atol=1e-4)
    assert np.allclose(a.detections.center, b.detections.center, atol=1e-2)
    assert same(late, fresh)


def test_a_sweep_is_read_with_the_one_before_it(fusion: LearnedFusion, synthetic_rig: Rig) -> None:
    """What stood still lies, moved, where it lay; so a sweep after the same one is another input than one alone."""
    features = np.zeros((24, 64, 64), np.float32)
    features[:, 40:44, 30:34] = np.random.default_rng(0).random((24, 4, 4)) * 3
    sweep, later = Encoded(features), Encoded(features.copy())
    first, same_sweep, second = (
        make_tick(synthetic_rig, 0),
        make_tick(synthetic_rig, -10_000_000),
        make_tick(synthetic_rig, 0),
    )
    same_sweep.t_ref_ns += 10_000_000
    second.t_ref_ns += 100_000_000
    for tick in (first, same_sweep, second):
        tick.twist[:] = 0
    fusion.forget()
    alone = fusion.fuse(first, {"lidar": [sweep]})
    again = fusion.fuse(same_sweep, {"lidar": [sweep]})  # nothing is before it
    pair = fusion.fuse(second, {"lidar": [later]})
    assert same(again, alone)
    assert not same(pair, alone)
    fusion.forget()
    assert same(fusion.fuse(second, {"lidar": [later]}), alone)


def test_sensors_of_one_modality_are_merged(
    strategy: str, synthetic_rig: Rig, random_samples: dict[str, Sample]
) -> None:
    data = synthetic_rig.model_dump()
    data["sensors"]["lidar_rear"] = data["sensors"]["lidar"] | {"frame": "lidar_rear_link"}
    rig = Rig.model_validate(data)
    fusion = LearnedFusion(rig, strategy)
    evidence = encode_all(fusion, random_samples)
    one = fusion.fuse(make_tick(rig), evidence)
    fusion.forget()
    both = fusion.fuse(make_tick(rig), evidence | {"lidar_rear": evidence["lidar"]})
    assert np.array_equal(one.detections.center, both.detections.center)
    assert both.weights["lidar"] == both.weights["lidar_rear"] == pytest.approx(one.weights["lidar"] / 2)


def test_identity_is_honest(fusion: LearnedFusion, strategy: str) -> None:
    assert fusion.strategy == strategy
    assert fusion.model.startswith(strategy)
    assert fusion._fusion.digest.startswith(fusion.model.rsplit("-", 1)[1])
    assert fusion.engine.startswith("onnxruntime-")
    assert fusion.precision == "fp32"


def test_only_fused_modalities_are_loaded(strategy: str, synthetic_rig: Rig) -> None:
    fusion = LearnedFusion(synthetic_rig.with_fusion(modalities=("lidar", "imu")), strategy)
    assert set(fusion._encoders) == {"lidar", "imu"}


def test_missing_or_broken_weights_are_explained(strategy: str, synthetic_rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match=r"no weights.*sensorfuse train"):
        LearnedFusion(synthetic_rig, strategy, tmp_path)
    for file in weights_folder().glob("*.onnx"):
        shutil.copy(file, tmp_path)
    card = tmp_path / f"{strategy}.json"
    card.write_text("{")
    with pytest.raises(SensorfuseError, match=r"not a readable"):
        LearnedFusion(synthetic_rig, strategy, tmp_path)
    card.write_text('{"score_thresholds": [0.2, 0.2, 0.2]}')
    with pytest.raises(SensorfuseError, match=r"sound_threshold"):
        LearnedFusion(synthetic_rig, strategy, tmp_path)
    shutil.copy(weights_folder() / card.name, card)
    with pytest.raises(SensorfuseError, match="other encoders"):
        LearnedFusion(synthetic_rig, strategy, tmp_path)
    shutil.copy(weights_folder() / ENCODERS_FILE, tmp_path)
    (tmp_path / f"{strategy}.onnx").write_bytes(b"x")
    with pytest.raises(SensorfuseError, match=rf"{strategy}\.onnx"):
        LearnedFusion(synthetic_rig, strategy, tmp_path)


def test_own_motion_estimate_never_makes_the_known_one_less_sure(
    fusion: LearnedFusion, synthetic_rig: Rig, random_samples: dict[str, Sample]
) -> None:
    evidence = encode_all(fusion, random_samples)
    tick = make_tick(synthetic_rig)
    known = fusion.fuse(tick, evidence)
    assert known.twist is not None
    assert known.twist_sigma is not None
    assert (known.twist_sigma <= tick.twist_sigma).all()
    assert known.twist[1:5].tolist() == tick.twist[1:5].tolist()
    tick.twist_sigma[:] = np.inf
    unknown = fusion.fuse(tick, evidence)
    assert unknown.twist_sigma is not None
    assert np.isfinite(unknown.twist_sigma[[0, 5]]).all()
    assert np.isinf(unknown.twist_sigma[1:5]).all()


def test_shipped_weights_are_small_and_documented(shipped: str) -> None:
    files = [f for f in weights_folder().iterdir() if f.suffix in (".onnx", ".safetensors", ".json")]
    assert max(f.stat().st_size for f in files) < 3_000_000
    card = json.loads((weights_folder() / f"{shipped}.json").read_text())
    assert "--strategy" in card["command"]
    assert card["parity"] <= 1e-4
    conditions = card["accuracy"]["conditions"]
    assert {"all", *(f"no_{m}" for m in MODALITIES)} <= set(conditions)
