"""The clock model: skew and jumps found from one-way stamps with believable delays, truth known."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.clock_model import ClockModel, Counter
from sensorfuse.bench.clocks import simulate_link

SECOND = 1_000_000_000


def link(rate_hz: float, jitter_s: float, duration_s: float, seed: int) -> tuple[list[int], list[int], np.ndarray]:
    """Device stamps, receive stamps (ns), and the true host time of each stamp plus the least delay (s)."""
    made = simulate_link(rate_hz, jitter_s, duration_s, seed)
    return made.stamp_ns.tolist(), made.recv_ns.tolist(), made.truth_ns / 1e9


def errors_ms(model: ClockModel, stamps: list[int], received: list[int], truth: np.ndarray) -> np.ndarray:
    found = np.array([model.push(d, r).host_ns for d, r in zip(stamps, received, strict=True)])
    return (found - np.round(truth * 1e9)) / 1e6


@pytest.mark.parametrize(("rate_hz", "jitter_s"), [(30.0, 2e-3), (200.0, 4e-3), (10.0, 1e-3)])
def test_jitter_is_taken_out_and_the_line_lies_on_the_least_delay(rate_hz: float, jitter_s: float) -> None:
    stamps, received, truth = link(rate_hz, jitter_s, 400.0, 1)
    model = ClockModel()
    error = errors_ms(model, stamps, received, truth)
    late = error[truth > 60]
    assert late.std() < 0.025
    assert abs(late.mean()) < 0.03
    assert np.abs(late).max() < 0.15
    assert np.sqrt(np.mean(error[(truth > 1) & (truth < 10)] ** 2)) < 0.15
    assert model.skew == pytest.approx(40e-6, abs=3e-6)
    assert model.resets == 0


@pytest.mark.parametrize("jump_s", [-100.0, -0.7, 0.7, 100.0])
def test_a_jump_of_the_device_is_found_within_five_messages(jump_s: float) -> None:
    stamps, received, truth = link(30.0, 2e-3, 120.0, 2)
    at = 60 * 30
    stamps[at:] = [s + round(jump_s * 1e9) for s in stamps[at:]]
    model = ClockModel()
    error = errors_ms(model, stamps, received, truth)
    assert model.resets == 1
    assert np.abs(error[at + 5 :]).max() < 5.0
    assert np.abs(error[at + 90 :]).max() < 0.5


def test_one_odd_stamp_and_a_stall_move_nothing() -> None:
    stamps, received, truth = link(10.0, 1e-3, 100.0, 3)
    stamps[500] += 1000 * SECOND
    for k in range(700, 720):  # held back for two seconds, then all at once
        received[k] = received[720]
    model = ClockModel()
    error = errors_ms(model, stamps, received, truth)
    assert model.resets == 0
    others = np.delete(error, 500)
    assert np.abs(others[100:]).max() < 0.3


@pytest.mark.parametrize("rate_hz", [10.0, 20.0, 200.0])
def test_a_stall_of_any_stream_is_no_jump(rate_hz: float) -> None:
    stamps, received, truth = link(rate_hz, 1e-3, 60.0, 6)
    held = slice(round(30 * rate_hz), round(30.7 * rate_hz))
    received[held] = [received[held.stop]] * (held.stop - held.start)
    model = ClockModel()
    error = errors_ms(model, stamps, received, truth)
    assert model.resets == 0
    assert np.abs(error[round(10 * rate_hz) :]).max() < 0.5


def test_suspect_stamps_are_said_to_be_and_sigma_grows_in_silence() -> None:
    stamps, received, _ = link(10.0, 1e-3, 60.0, 4)
    model = ClockModel()
    states = [model.push(d, r).state for d, r in zip(stamps, received, strict=True)]
    assert states[0] == "learning"
    assert states[-1] == "locked"
    assert model.push(stamps[-1] + 900 * SECOND, received[-1] + SECOND // 10).state == "suspect"
    assert model.sigma_ns(stamps[-1] + 3600 * SECOND) > model.sigma_ns(stamps[-1]) + 1_000_000


@pytest.mark.parametrize(("bits", "tick_ns"), [(16, 1_000_000.0), (24, 1000.0), (32, 10.0)])
def test_a_counter_is_unwrapped_with_drops_and_messages_out_of_order(bits: int, tick_ns: float) -> None:
    rng = np.random.default_rng(5)
    turn_ns = 2**bits * tick_ns
    true_ns = np.cumsum(rng.uniform(0.005, 0.05, 400) * turn_ns)
    ticks = np.floor(true_ns / tick_ns).astype(np.int64)
    received = true_ns + rng.uniform(0, 0.02 * turn_ns, 400)
    order = np.arange(400)
    for k in range(10, 390, 7):
        order[[k, k + 1]] = order[[k + 1, k]]
    received = np.sort(received)
    counter = Counter(round(turn_ns))
    kept = [i for i in range(400) if i == 0 or rng.random() > 0.2]
    found = [counter.unwrap_ns(int(ticks[order[i]] % 2**bits * tick_ns), int(received[i])) for i in kept]
    before = ticks[0] // 2**bits * 2**bits  # turns before the first message can't be known
    assert found == [round((int(ticks[order[i]]) - int(before)) * tick_ns) for i in kept]
