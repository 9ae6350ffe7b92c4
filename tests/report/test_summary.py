"""Numbers of a summary against those counted by hand, and against numpy."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_run import AGE_MS, LOSS, MISSED, TICKS, FakeRun, make_frame, make_record
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sensorfuse.align.ego_scoring import score_ego_motion
from sensorfuse.messages import LEDGER_REASONS, Truth
from sensorfuse.report.states import percentiles, state_of
from sensorfuse.report.summary import build_summary, print_summary
from sensorfuse.rig import Rig
from sensorfuse.tick_set import longest_gap
from sensorfuse.track.scoring import score_sequence


def test_ticks_modes_and_losses(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, iter(fake_run.frames), None)
    assert (summary["ticks"], summary["ticks_expected"], summary["ticks_missed"]) == (TICKS - 1, TICKS, [MISSED])
    assert summary["modes"] == {"full": TICKS - 1 - len(LOSS), "no_lidar": len(LOSS)}
    assert summary["ticks_full"] == 44
    assert summary["deadline_hits"] == 1
    lidar, camera = summary["modalities"]["lidar"], summary["modalities"]["camera"]
    assert lidar == {"ticks_used": 44, "ticks_absent": 15, "longest_gap_s": 1.5}
    assert camera == {"ticks_used": 59, "ticks_absent": 0, "longest_gap_s": 0.1}, "no frame used it at the missed tick"
    assert summary["uses"]["lidar"]["absent_because"] == {"idle": 15}
    assert summary["timeline"]["states"]["lidar"] == [
        [0, 20, "used"],
        [20, 15, "idle"],
        [35, 15, "used"],
        [51, 9, "used"],
    ]
    assert summary["timeline"]["states"]["radar"] == [[0, 50, "used"], [51, 9, "used"]]
    assert summary["headline"].startswith("59 of 60 ticks published; LiDAR was absent from 15 of them, for up to 1.5 s")


def test_ages_are_those_of_used_samples(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    for stream, age_ms in AGE_MS.items():
        ages = [age_ms + f.tick_id % 5 for f in fake_run.frames if stream != "lidar" or f.tick_id not in LOSS]
        np.testing.assert_allclose(summary["uses"][stream]["age_ms"]["p50"], np.median(ages), rtol=1e-6)
        assert summary["uses"][stream]["age_ms"]["n"] == len(ages)
        assert [tick for tick, _ in summary["timeline"]["age_ms"][stream]] == [
            f.tick_id for f in fake_run.frames if stream != "lidar" or f.tick_id not in LOSS
        ]


def test_ledger_counts_and_balance(fake_run: FakeRun) -> None:
    summary = build_summary(fake_run.record, fake_run.frames, None)
    assert summary["ledger_balanced"]
    for stream, row in summary["streams"].items():
        assert row["published"] == fake_run.record.published[stream]
        assert {r: row[r] for r in LEDGER_REASONS} == fake_run.record.ledger[stream]
    short = replace(fake_run.record, published={**fake_run.record.published, "imu": 1})
    unbalanced = build_summary(short, fake_run.frames, None)
    assert not unbalanced["ledger_balanced"]
    assert "does not account" in unbalanced["headline"]
    forgotten = build_summary(replace(fake_run.record, unaccounted={"imu": 2}), fake_run.frames, None)
    assert not forgotten["ledger_balanced"], "the reasons add up, yet two were received and ended by nobody"
    assert forgotten["streams"]["imu"]["unaccounted"] == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_percentiles_are_numpys(values: list[float]) -> None:
    got = percentiles(values)
    assert got["n"] == len(values)
    np.testing.assert_allclose([got["p50"], got["p99"], got["max"]], [*np.percentile(values, [50, 99]), max(values)])


@given(st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_longest_gap_is_the_longest_run_of_unused_ticks(used: set[int], ticks: int) -> None:
    flags = "".join("#" if t in used else "." for t in range(ticks))
    assert longest_gap(used, (0, ticks)) == max((len(run) for run in flags.split("#")), default=0)


def test_latency_per_stage(fake_run: FakeRun) -> None:
    latency = build_summary(fake_run.record, fake_run.frames, None)["latency_ms"]
    for stage, values in fake_run.record.timings_ms.items():
        if values:
            assert latency[stage]["p99"] == np.percentile(values, 99)
            assert latency[stage]["max"] == max(values)
        else:
            assert latency[stage] == {"n": 0, "p50": None, "p99": None, "max": None}


def test_summary_is_plain_json_even_with_odd_scores(fake_run: FakeRun) -> None:
    score = {
        "mota": np.float32(0.5),
        "nothing": float("nan"),
        "per_class": {"car": {"n": np.int64(3)}},
        "curve": np.arange(3),
    }
    summary = build_summary(fake_run.record, fake_run.frames, score)
    again = json.loads(json.dumps(summary, allow_nan=False))
    assert again == summary
    assert summary["score"] == {"mota": 0.5, "nothing": None, "per_class": {"car": {"n": 3}}, "curve": [0, 1, 2]}
    assert {"sensorfuse", "python", "numpy", "onnxruntime"} <= set(summary["versions"])


def test_a_tick_that_comes_twice_counts_once(fake_run: FakeRun) -> None:
    once = build_summary(fake_run.record, fake_run.frames, None)
    twice = build_summary(fake_run.record, [*fake_run.frames, *fake_run.frames[-5:]], None)
    assert once == twice


def test_frames_in_another_order_give_the_same_timeline(fake_run: FakeRun) -> None:
    frames = fake_run.frames
    shuffled = build_summary(fake_run.record, [*frames[30:], *frames[:30]], None)
    assert shuffled["timeline"]["states"] == build_summary(fake_run.record, frames, None)["timeline"]["states"]


def test_states_of_reasons(synthetic_rig: Rig) -> None:
    use = make_frame(synthetic_rig, 0, ("lidar",)).uses[1]
    reasons = {
        "idle": "idle",
        "data not here in time": "late",
        "encoder failed": "failed",
        "shed: fusion was behind": "shed",
        "used": "failed",
        "?": "failed",
    }
    assert {r: state_of(replace(use, reason=r)) for r in reasons} == reasons


def test_no_tick_at_all(synthetic_rig: Rig, tmp_path: Path) -> None:
    summary = build_summary(make_record(synthetic_rig, 0, tmp_path), [], None)
    assert summary["ticks"] == 0
    assert summary["headline"].startswith("No tick was published")
    assert print_text(summary).strip().startswith("No tick was published")
    expected = build_summary(replace(make_record(synthetic_rig, 0, tmp_path), ticks_expected=7), [], None)
    assert expected["ticks_missed"] == list(range(7))
    assert expected["modalities"]["camera"]["longest_gap_s"] == 0.7


def print_text(summary: dict) -> str:
    console = Console(width=120, file=io.StringIO(), color_system=None)
    print_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_text_shows_when_a_modality_was_away(fake_run: FakeRun) -> None:
    text = print_text(build_summary(fake_run.record, fake_run.frames, None))
    bars = {line.split()[0]: line for line in text.splitlines() if "━" in line and " used" not in line}
    assert "·" in bars["LiDAR"]
    assert "·" not in bars["camera"]
    # the loss lies from a third to 58 % of the run
    bar = bars["LiDAR"].split()[1]
    assert bar.index("·") / len(bar) > 0.3
    assert bar.rindex("·") / len(bar) < 0.6
    assert "every published message is accounted for" in text
    assert "lidar: back after 1.50 s" in text


def test_other_hosts_clocks_are_told_from_here(fake_run: FakeRun) -> None:
    """A timekeeper says how far the supervisor is ahead; the summary how far the other host is ahead of it."""
    summary = build_summary(fake_run.record, fake_run.frames, None)
    lidar, radar = summary["exchanges"]["lidar"], summary["exchanges"]["radar"]
    assert (lidar["state"], lidar["offset_s"], lidar["skew_ppm"]) == ("locked", 2.500123, -12.5)
    assert (lidar["sigma_ms"], lidar["bound_ms"], lidar["round_trip_ms"]) == (0.02, 0.15, 0.3)
    assert (lidar["exchanges"], lidar["refused"], lidar["resets"]) == (64, 2, 0)
    assert (radar["state"], radar["offset_s"], radar["bound_ms"]) == ("learning", None, None)
    words = " ".join(print_text(summary).split())
    assert "lidar locked +2.500123 s 0.15 ms 64" in words
    alone = build_summary(replace(fake_run.record, exchanges={}), fake_run.frames, None)
    assert "clock of" not in print_text(alone)


def test_terminal_text_takes_hostile_words_as_they_are(fake_run: FakeRun) -> None:
    record = replace(fake_run.record, model="[bold]x[/nope]")
    assert "[bold]x[/nope]" in print_text(build_summary(record, fake_run.frames, None))


def test_terminal_text_tells_the_score_where_truth_is_known(fake_run: FakeRun) -> None:
    frame = fake_run.frames[0]
    exact = Truth(frame.t_ref_ns, frame.tracks.select(np.arange(2)), complete=False)
    score = score_sequence([(frame.tracks, exact)])
    text = " ".join(print_text(build_summary(fake_run.record, fake_run.frames, score)).split())
    assert "100% found within 2 m" in text
    assert f"2 objects, {score['detections']} tracks, 1 frames; the annotation leaves objects out" in text
    assert "tracks against truth" not in print_text(build_summary(fake_run.record, fake_run.frames, None))


def test_terminal_text_tells_how_far_own_motion_is_off(fake_run: FakeRun) -> None:
    poses = []
    for k in range(20):
        true, found = np.eye(4), np.eye(4)
        true[0, 3], found[0, 3] = k, 1.05 * k
        poses.append((k * 100_000_000, found, true))
    summary = build_summary(fake_run.record, fake_run.frames, None, score_ego_motion(poses))
    assert "over 1 s: 0.00° and 0.50 m off at the median, of 0.0° and 10.0 m (10 pairs" in print_text(summary)


def test_the_headline_names_together_what_was_away_together(synthetic_rig: Rig, tmp_path: Path) -> None:
    frames = [
        make_frame(synthetic_rig, k, ("camera", "radar", "microphones") if k < 2 else ("microphones",))
        for k in range(9)
    ]
    text = build_summary(make_record(synthetic_rig, 9, tmp_path), frames, None)["headline"]
    away = "audio was absent throughout; camera and radar were absent from 2 of them, for up to 0.2 s at a time."
    assert text.startswith(f"9 of 9 ticks published; {away}")
    whole = build_summary(make_record(synthetic_rig, 1, tmp_path), [make_frame(synthetic_rig, 0)], None)
    assert whole["headline"].startswith("1 of 1 ticks published, every modality used in each of them.")
