"""Direction and naming of synthetic sirens and horns."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.track.sound import SPEED_OF_SOUND_MPS, SoundBlock, SoundDetector, fuse_sounds, steered_power

RATE_HZ = 16000
MICROPHONES = np.array([[0.1, 0.1, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]])
MOUNT = Transform.from_rpy([0.5, 0.0, 1.6], [0.0, 0.0, 0.0])


def heard(
    wave, azimuth: float, level: float, rng: np.random.Generator, start_s: float = 0.0, mount: Transform = MOUNT
) -> np.ndarray:  # type: ignore[no-untyped-def]
    """A plane wave from `azimuth` in base_link at the four microphones, 50 ms, with noise."""
    toward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    lead = (MICROPHONES @ mount.rotation.T) @ toward / SPEED_OF_SOUND_MPS
    t = start_s + np.arange(800) / RATE_HZ
    return np.stack([level * wave(t + x) for x in lead], 1) + rng.normal(0, 3e-4, (800, 4))


def siren(t: np.ndarray) -> np.ndarray:
    cycles = 1000 * t - 380 * 4.6 / (2 * np.pi) * np.cos(2 * np.pi * t / 4.6)
    return 0.6 * np.sin(2 * np.pi * cycles) + 0.25 * np.sin(4 * np.pi * cycles) + 0.2 * np.sin(6 * np.pi * cycles)


def horn(t: np.ndarray) -> np.ndarray:
    return sum(a * np.sin(2 * np.pi * f * t) for f, a in ((405, 0.3), (508, 0.3), (810, 0.2), (1016, 0.2), (1524, 0.2)))


def off(a: float, b: float) -> float:
    return abs(float(np.angle(np.exp(1j * (a - b)))))


@pytest.mark.parametrize(("name", "wave"), [("siren", siren), ("horn", horn)])
@pytest.mark.parametrize("azimuth_deg", [-170, -95, -30, 0, 12, 77, 140])
def test_name_and_direction(name: str, wave, azimuth_deg: float) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    detector = SoundDetector(MICROPHONES, MOUNT)
    azimuth = np.radians(azimuth_deg)
    blocks = [detector.analyse(heard(wave, azimuth, 0.02, rng, k * 0.05), RATE_HZ) for k in range(2)]
    events = fuse_sounds(blocks, [0.0, 0.0])
    assert [e.name for e in events] == [name]
    assert off(events[0].azimuth_rad, azimuth) < np.radians(3)
    assert events[0].score > 0.5


def test_the_mounting_is_undone() -> None:
    turned = Transform.from_rpy([0.0, 0.0, 1.0], [0.0, 0.0, 2.0])
    block = SoundDetector(MICROPHONES, turned).analyse(
        heard(siren, 0.7, 0.02, np.random.default_rng(1), 0.0, turned), RATE_HZ
    )
    assert off(fuse_sounds([block], [0.0])[0].azimuth_rad, 0.7) < np.radians(3)


def test_two_sources_at_once() -> None:
    rng = np.random.default_rng(2)
    mix = heard(siren, 1.0, 0.02, rng, 1.0) + heard(horn, -1.5, 0.02, rng, 1.0)
    events = {e.name: e for e in fuse_sounds([SoundDetector(MICROPHONES, MOUNT).analyse(mix, RATE_HZ)], [0.0])}
    assert set(events) == {"siren", "horn"}
    assert off(events["siren"].azimuth_rad, 1.0) < np.radians(8)
    assert off(events["horn"].azimuth_rad, -1.5) < np.radians(8)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_other_rates_hear_the_same(rate_hz: int) -> None:
    toward = np.array([np.cos(0.4), np.sin(0.4), 0.0])
    rng = np.random.default_rng(6)
    t = np.arange(rate_hz // 10) / rate_hz
    wave = np.stack([0.02 * horn(t + x) for x in MICROPHONES @ toward / SPEED_OF_SOUND_MPS], 1)
    block = SoundDetector(MICROPHONES, MOUNT).analyse(wave + rng.normal(0, 3e-4, wave.shape), rate_hz)
    event = fuse_sounds([block], [0.0])[0]
    assert (event.name, block.time_s) == ("horn", pytest.approx(0.05))
    assert block.pitch_hz["horn"] == pytest.approx(405, abs=8)
    assert off(event.azimuth_rad, 0.4) < np.radians(3)


@pytest.mark.parametrize("kind", ["silence", "noise", "rumble", "click"])
def test_other_sounds_are_no_events(kind: str) -> None:
    rng = np.random.default_rng(3)
    pcm = {
        "silence": np.zeros((800, 4)),
        "noise": rng.normal(0, 0.05, (800, 4)),
        "rumble": np.cumsum(rng.normal(0, 0.01, (800, 4)), axis=0),
        "click": np.eye(800)[400][:, None] * np.ones(4),
    }[kind]
    assert not fuse_sounds([SoundDetector(MICROPHONES, MOUNT).analyse(pcm, RATE_HZ)], [0.0])


def test_turning_between_block_and_tick() -> None:
    """A body that turned left since the block finds the source further to the right."""
    block = SoundDetector(MICROPHONES, MOUNT).analyse(heard(siren, 0.5, 0.02, np.random.default_rng(4)), RATE_HZ)
    later = fuse_sounds([block], [0.08])[0]
    assert later.azimuth_rad == pytest.approx(0.5 - 0.08, abs=np.radians(3))


def test_steered_power_peaks_at_one_for_a_clean_wave() -> None:
    hz = np.linspace(300, 3000, 60)
    toward = np.array([np.cos(1.1), np.sin(1.1), 0.0])
    spectrum = np.exp(2j * np.pi * hz[:, None] * (MICROPHONES @ toward)[None] / SPEED_OF_SOUND_MPS)
    azimuths = np.append(np.linspace(-np.pi, np.pi, 73), 1.1)
    power = steered_power(spectrum, hz, MICROPHONES, azimuths)
    assert power[-1] == pytest.approx(1.0)
    assert power[:-1].max() <= 1.0
    assert int(np.argmax(power)) == len(azimuths) - 1


def test_one_microphone_gives_no_direction_and_no_event() -> None:
    detector = SoundDetector(MICROPHONES[:1], MOUNT)
    block = detector.analyse(heard(siren, 0.0, 0.02, np.random.default_rng(5))[:, :1], RATE_HZ)
    assert block.score["siren"] > 0.5
    assert fuse_sounds([block], [0.0]) == []
    assert fuse_sounds([SoundBlock(0.0)], [0.0]) == []
