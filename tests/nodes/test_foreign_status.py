"""What another host says: believed where it can be, refused where it cannot, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensorfuse.nodes.foreign_status import read_status
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.supervisor import Supervisor

from sensorfuse.align.time_exchange import TimeExchange
from sensorfuse.rig import Rig
from sensorfuse.sample_limits import MAX_COUNT

TIME = {
    "state": "locked", "offset_ns": 5, "sigma_ns": 1, "bound_ns": 2, "skew_ppm": 0.5, "round_trip_ns": 9,
    "exchanges": 4, "refused": 0, "resets": 1,
}  # fmt: skip
SOUND: dict[str, Any] = {"kind": "status", "pid": 7, "stream": "lidar", "boot": 3, "published": 40, "time": TIME}
BROKEN: list[dict[str, Any]] = [
    {k: v for k, v in SOUND.items() if k != "boot"},
    {k: v for k, v in SOUND.items() if k != "stream"},
    {**SOUND, "stream": "camera"},
    {**SOUND, "published": "40"},
    {**SOUND, "published": -1},
    {**SOUND, "published": True},
    {**SOUND, "boot": 1 << 200},
    {**SOUND, "time": 5},
    {**SOUND, "time": {"state": "locked"}},
    {**SOUND, "time": {**TIME, "offset_ns": float("nan")}},
    {**SOUND, "time": {**TIME, "state": ["locked"]}},
]


def test_of_a_sound_status_what_counts_is_kept() -> None:
    more = {**SOUND, "received": {"camera": 5}, "published_by_stream": {"camera": 9}}
    assert read_status("lidar", more) == {"stream": "lidar", "boot": 3, "published": 40, "time": TIME}
    assert read_status("lidar", {k: v for k, v in SOUND.items() if k != "time"}) == {
        "stream": "lidar", "boot": 3, "published": 40,
    }  # fmt: skip


def test_a_process_that_has_not_yet_asked_for_the_time_is_believed() -> None:
    exchange = TimeExchange()
    time = {
        "state": exchange.state(5), "offset_ns": exchange.offset_ns(5), "sigma_ns": exchange.sigma_ns(5),
        "bound_ns": exchange.bound_ns(5), "skew_ppm": 1e6 * exchange.skew, "round_trip_ns": exchange.round_trip_ns,
        "exchanges": 0, "refused": 0, "resets": 0,
    }  # fmt: skip
    status = read_status("lidar", {**SOUND, "time": time})
    assert status is not None
    assert status["time"] == time


@pytest.mark.parametrize("message", BROKEN)
def test_a_status_that_cannot_be_is_refused(message: dict[str, Any]) -> None:
    assert read_status("lidar", message) is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(SOUND)), plain), st.dictionaries(st.sampled_from(list(TIME)), plain))
def test_whatever_is_said_it_is_sound_or_refused(message: dict[str, Any], time: dict[str, Any]) -> None:
    for said in (message, {**SOUND, **message}, {**SOUND, "time": {**TIME, **time}}):
        status = read_status("lidar", said)
        assert status is None or (status["stream"] == "lidar" and 0 <= status["published"] <= MAX_COUNT)


def test_a_run_goes_on_whatever_another_host_says(small_rig: Rig, tmp_path: Path) -> None:
    supervisor = Supervisor(RunPlan(small_rig, "run", tmp_path))
    for message in (*BROKEN, SOUND, {"kind": "event", "text": "x" * 10_000}, {"kind": ["status"]}):
        supervisor._hear_abroad("lidar", message)
    assert supervisor.collector.ledger.published("lidar") == 40
    assert supervisor.collector.ledger.published("camera") == 0
    told = [e.what for e in supervisor.events]
    assert sum("refused" in what for what in told) == 2, "the 1st and the 10th of them"
    assert max(map(len, told)) < 1000
