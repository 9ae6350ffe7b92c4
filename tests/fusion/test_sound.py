import numpy as np
import pytest

from sensorfuse.fusion.sound import AZIMUTHS, BANDS, SOUND_FEATURES, SoundFeatures, azimuth_bins, direction_observable
from sensorfuse.geometry import Transform

SQUARE = np.array([[0.1, 0.1, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [-0.1, 0.1, 0]])
RATE_HZ = 16000


def far_source(azimuth: float, microphones: np.ndarray, count: int = 800, seed: int = 0) -> np.ndarray:
    """Noise from far away at `azimuth`, delayed exactly at each microphone (N, C)."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(2048))
    hz = np.fft.rfftfreq(2048, 1 / RATE_HZ)
    spectrum[hz > 3500] = 0
    ahead_s = microphones[:, :2] @ [np.cos(azimuth), np.sin(azimuth)] / 343.0
    waves = np.fft.irfft(spectrum[:, None] * np.exp(2j * np.pi * hz[:, None] * ahead_s), axis=0)
    return (0.1 * waves[500 : 500 + count]).astype(np.float32)


@pytest.mark.parametrize("azimuth", [-3.0, -1.6, -0.3, 0.0, 0.9, 2.5])
@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_steered_power_points_at_the_source(azimuth: float, turn: float) -> None:
    pose = Transform.from_rpy([0.5, 0, 1.6], [0, 0, turn])
    features = SoundFeatures(SQUARE, pose)(far_source(azimuth, SQUARE @ pose.rotation.T), RATE_HZ)
    steered = features[2 * BANDS + 1 : -1]
    assert features.shape == (SOUND_FEATURES,)
    assert features[-1] == 1
    off = azimuth_bins()[steered.argmax()] - azimuth
    assert abs(np.angle(np.exp(1j * off))) <= 2 * np.pi / AZIMUTHS


def test_bands_follow_the_tone() -> None:
    t = np.arange(800) / RATE_HZ
    features = SoundFeatures(SQUARE, Transform.identity())
    low, high = (
        features(np.tile(0.3 * np.sin(2 * np.pi * f * t)[:, None], 4).astype(np.float32), RATE_HZ) for f in (300, 3000)
    )
    assert low[:BANDS].argmax() < high[:BANDS].argmax()
    noise = features(np.random.default_rng(0).normal(0, 0.1, (800, 4)).astype(np.float32), RATE_HZ)
    k = int(high[:BANDS].argmax())
    assert high[BANDS + k] > noise[BANDS + k]  # a tone is more tonal than noise


@pytest.mark.parametrize("microphones", [SQUARE[:1], SQUARE[:2], np.array([[0, y, 0] for y in (-0.2, 0.0, 0.2)])])
def test_direction_is_absent_where_it_cannot_be_known(microphones: np.ndarray) -> None:
    assert not direction_observable(microphones, Transform.identity())
    block = np.random.default_rng(0).normal(0, 0.1, (800, len(microphones))).astype(np.float32)
    features = SoundFeatures(microphones, Transform.identity())(block, RATE_HZ)
    assert not features[2 * BANDS + 1 :].any()
    assert features[:BANDS].any()


def test_wrong_channel_count_costs_direction_only() -> None:
    features = SoundFeatures(SQUARE, Transform.identity())(np.full((800, 2), 0.1, np.float32), RATE_HZ)
    assert features[-1] == 0
    assert np.isfinite(features).all()


def test_silence_and_long_blocks_are_finite() -> None:
    features = SoundFeatures(SQUARE, Transform.identity())
    for block in (np.zeros((800, 4)), np.ones((1, 4)), np.random.default_rng(0).normal(size=(5000, 4))):
        assert np.isfinite(features(block.astype(np.float32), 48000)).all()


def test_features_hardly_depend_on_the_rate() -> None:
    """The same tone and noise below 7 kHz, taken three times as often."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(0.01 * rng.standard_normal(2400))
    spectrum[np.fft.rfftfreq(2400, 1 / 48000) > 7000] = 0
    wave = np.fft.irfft(spectrum) + 0.1 * np.sin(2 * np.pi * 900 * np.arange(2400) / 48000)
    features = SoundFeatures(SQUARE, Transform.identity())
    fine = features(np.tile(wave[:, None], 4).astype(np.float32), 48000)
    coarse = features(np.tile(wave[::3, None], 4).astype(np.float32), 16000)
    np.testing.assert_allclose(fine[: 2 * BANDS], coarse[: 2 * BANDS], atol=0.05)
