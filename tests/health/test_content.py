"""Every fault of content is found on synthetic sensors within a number of samples, and none in sound data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from sensorfuse.bench.health import small_rig
from sensorfuse.health.content import FAULTS, NEVER_ALIKE, ContentCheck, Verdict
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import HealthConfig, SensorConfig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.scenario import scenarios

STREAMS = {"camera": 14, "lidar": 16, "radar": 20, "imu": 12, "microphones": 12}  # samples that tell what is typical
Spoil = Callable[[Sample, int, Sample], dict[str, np.ndarray]]
RIG: Rig = small_rig()


@cache
def sound_samples(stream: str) -> tuple[Sample, ...]:
    sim = SimulatedRig(RIG, "town", 1)
    return tuple(sim.sample(stream, k) for k in range(STREAMS[stream]))


def config_of(stream: str, **health: object) -> SensorConfig:
    return RIG.sensors[stream].model_copy(update={"health": HealthConfig.model_validate(health)})


def play(stream: str, spoil: Spoil, count: int, **health: object) -> list[Verdict]:
    """Verdicts on samples that go bad, after sound ones. `spoil` gets a sound sample, its number and the last one."""
    good = sound_samples(stream)
    check = ContentCheck(config_of(stream, **health))
    taught = [check.examine(s) for _ in range(5) for s in good]
    assert set(taught[: len(good)]) == {Verdict()}
    period = RIG.sensors[stream].period_ns
    out = []
    for k in range(count):
        sample = good[k % len(good)]
        stamp = good[-1].stamp_ns + (k + 1) * period
        out.append(check.examine(replace(sample, stamp_ns=stamp, arrays=spoil(sample, k, good[-1]))))
    return out


def picture(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda sample, k, last: {"image": change(sample.arrays["image"])}


def noisy(level: float) -> Callable[[np.ndarray], np.ndarray]:
    def make(image: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(int(image[0, 0, 0])).normal(level, 1.5, image.shape)
        return np.clip(noise, 0, 255).astype(np.uint8)

    return make


def tunnel(image: np.ndarray) -> np.ndarray:
    """Black but for a lamp."""
    dark = image % 9
    dark[:9, :9] = 220
    return dark


def glare(image: np.ndarray) -> np.ndarray:
    """White but for a strip."""
    white = image.copy()
    white[:, : 5 * image.shape[1] // 6] = 255
    return white


def rows(keep: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Spoil:
    def make(sample: Sample, k: int, last: Sample) -> dict[str, np.ndarray]:
        mask = keep(sample.arrays)
        return {name: a[mask] for name, a in sample.arrays.items()}

    return make


def frozen(sample: Sample, k: int, last: Sample) -> dict[str, np.ndarray]:
    return {name: a.copy() for name, a in last.arrays.items()}


def with_array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    return lambda sample, k, last: {**sample.arrays, name: change(sample.arrays[name].copy())}


def constant_imu(sample: Sample, k: int, last: Sample) -> dict[str, np.ndarray]:
    hold = {n: np.repeat(last.arrays[n][-1:], len(last.arrays[n]), 0) for n in ("gyro_radps", "accel_mps2")}
    return {**sample.arrays, **hold}


def saturate(accel: np.ndarray) -> np.ndarray:
    accel[: len(accel) // 2, 2] = 157.0
    return accel


def clip_low(gyro: np.ndarray) -> np.ndarray:
    gyro[:, 2] = np.where(np.arange(len(gyro)) % 3 == 0, gyro[:, 2], 4.0)  # an amplifier that ends at 4 rad/s
    return gyro


def mute_one(pcm: np.ndarray) -> np.ndarray:
    pcm[:, 1] *= 1e-4
    return pcm


def sector(arrays: dict[str, np.ndarray]) -> np.ndarray:
    turn = np.arctan2(arrays["points"][:, 1], arrays["points"][:, 0])
    return np.abs(turn - 0.4) > 0.3


CASES: list[tuple[str, str, Spoil, int, str]] = [
    # stream, fault, what happens, within so many samples, a word of what is said
    *((stream, "frozen", frozen, 4, "frozen") for stream in STREAMS),
    ("camera", "uniform", picture(np.zeros_like), 2, "black"),
    ("camera", "uniform", picture(noisy(2.0)), 2, "black"),
    ("camera", "uniform", picture(noisy(254.0)), 2, "white"),
    ("camera", "uniform", picture(noisy(128.0)), 2, "uniform"),
    ("camera", "dark", picture(tunnel), 20, "black"),
    ("camera", "overexposed", picture(glare), 20, "overexposed"),
    ("camera", "blurred", picture(lambda image: cv2.GaussianBlur(image, (0, 0), 20)), 30, "blurred"),
    ("lidar", "empty", rows(lambda a: np.zeros(len(a["ring"]), bool)), 2, "empty"),
    ("lidar", "sparse", rows(lambda a: np.arange(len(a["ring"])) % 5 == 0), 10, "few"),
    ("lidar", "beams", rows(lambda a: ~np.isin(a["ring"], (5, 12, 19))), 5, "beams"),
    ("lidar", "sectors", rows(sector), 10, "directions"),
    ("radar", "no_detections", lambda sample, k, last: {"detections": sample.arrays["detections"][:0]}, 30, "no detections"),  # noqa: E501
    ("imu", "constant", constant_imu, 5, "constant"),
    ("imu", "saturated", with_array("accel_mps2", saturate), 2, "saturated"),
    ("imu", "saturated", with_array("gyro_radps", clip_low), 2, "saturated"),
    ("microphones", "silent", with_array("pcm", np.zeros_like), 5, "silence"),
    ("microphones", "clipped", with_array("pcm", lambda pcm: np.clip(pcm * 300, -1, 1)), 6, "clipped"),
    ("microphones", "dead_channel", with_array("pcm", mute_one), 10, "microphone 2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "fault", "spoil", "within", "words"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_fault_is_found_within_a_number_of_samples(
    stream: str, fault: str, spoil: Spoil, within: int, words: str
) -> None:
    last = play(stream, spoil, within)[-1]
    usable = FAULTS[fault].usable  # type: ignore[index]
    assert words in (last.suspect if usable else last.problem)
    assert not (last.problem if usable else last.suspect)


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_ignored_is_not_told(stream: str) -> None:
    kinds = ("frozen", "constant")
    assert set(play(stream, frozen, 8, ignore=kinds)) == {Verdict()}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_fault_ends_with_its_cause(stream: str) -> None:
    good = sound_samples(stream)
    check = ContentCheck(config_of(stream))
    for sample in good:
        check.examine(sample)
    for k in range(6):
        check.examine(replace(good[-1], stamp_ns=good[-1].stamp_ns + k + 1))
    assert check.examine(replace(good[-1], stamp_ns=good[-1].stamp_ns + 9)).problem
    assert [check.examine(s) for s in good[:5]] == [Verdict()] * 5


@pytest.mark.parametrize("stream", STREAMS)
def test_content_under_a_new_stamp_is_a_repeat_from_the_first_time_on(stream: str) -> None:
    """Where noise makes no two measurements alike; the stream is frozen, which is trouble, no sooner than ever."""
    verdicts = play(stream, frozen, 3)
    alike = RIG.sensors[stream].modality not in NEVER_ALIKE
    assert [v.repeat for v in verdicts] == [not alike] * 3
    if not alike:
        assert [bool(v.problem) for v in verdicts] == [False, False, True]
    good = sound_samples(stream)
    assert not any(v.repeat for v in play(stream, lambda sample, k, last: sample.arrays, len(good)))


def test_which_messages_are_repeats() -> None:
    """One that comes every second time new is no frozen stream; a copy is of the time that its stamp says; a copy of a
    repeat is not, and a picture of one brightness is told as that.
    """
    good, check = sound_samples("lidar"), ContentCheck(config_of("lidar"))
    played = [check.examine(replace(s, stamp_ns=2 * s.stamp_ns + k)) for s in good for k in range(2)]
    assert [v.repeat for v in played] == [False, True] * len(good)
    assert not any(v.problem or v.suspect for v in played)
    check = ContentCheck(config_of("lidar"))
    stamps = [0, 0, 1, 1]
    assert [check.examine(replace(good[0], stamp_ns=t)).repeat for t in stamps] == [False, False, True, True]
    black = replace(sound_samples("camera")[0], arrays={"image": np.zeros((90, 160, 3), np.uint8)})
    check = ContentCheck(config_of("camera"))
    assert not any(check.examine(replace(black, stamp_ns=k)).repeat for k in range(5))
    check = ContentCheck(config_of("lidar", ignore=("frozen",)))
    assert {check.examine(replace(good[0], stamp_ns=k)) for k in range(5)} == {Verdict()}


def test_the_same_message_twice_is_a_duplicate_not_a_frozen_sensor() -> None:
    check = ContentCheck(config_of("radar"))
    verdicts = [check.examine(s) for _ in range(3) for s in sound_samples("radar") for _ in range(3)]
    assert not any(v.problem for v in verdicts)
    assert "more than once" in verdicts[-1].suspect


@pytest.mark.parametrize("image", [np.zeros((40, 64), np.uint8), np.full((300, 500), 9, np.uint8)])
def test_a_mono_picture_and_a_jpeg_are_looked_at_too(image: np.ndarray) -> None:
    jpeg = cv2.imencode(".jpg", image)[1].ravel()
    for name, array in (("image_mono", image), ("jpeg", jpeg)):
        check = ContentCheck(config_of("camera"))
        found = [check.examine(Sample("camera", "camera", k, k * 10**8, 0, "c", {name: array})) for k in range(3)]
        assert "black" in found[-1].problem


def test_what_no_check_can_read_raises_nothing() -> None:
    odd = {
        "camera": {"jpeg": np.frombuffer(b"no picture", np.uint8)},
        "lidar": {"points": np.full((3, 3), np.nan, np.float32)},
        "radar": {"polar": np.zeros((1, 1), np.uint8)},
        "imu": {"gyro_radps": np.zeros((1, 3)), "accel_mps2": np.full((1, 3), 1e300), "time_ns": np.zeros(1, np.int64)},
        "microphones": {"pcm": np.zeros((1, 0), np.float32)},
    }
    for stream, arrays in odd.items():
        check = ContentCheck(config_of(stream))
        for k in range(3):
            check.examine(Sample(stream, RIG.sensors[stream].modality, k, k, k, "f", arrays))


@pytest.mark.parametrize("scenario", scenarios())
def test_sound_data_of_every_scenario_raises_no_alarm(scenario: str) -> None:
    sim = SimulatedRig(RIG, scenario, 11)
    for stream, count in {"camera": 5, "lidar": 10, "radar": 12, "imu": 20, "microphones": 6}.items():
        check = ContentCheck(RIG.sensors[stream])
        verdicts = [check.examine(sim.sample(stream, k)) for k in range(count)]
        assert set(verdicts) == {Verdict()}, stream
