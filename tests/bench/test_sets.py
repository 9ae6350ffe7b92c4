"""The benchmark of sets: its traffic is what it says, and its score tells good sets from bad ones."""

from __future__ import annotations

import numpy as np

from sensorfuse.bench import sets
from sensorfuse.bench.header_rate import STREAMS, eight_streams, headers, in_process
from sensorfuse.bench.set_scenarios import (
    SCENARIOS,
    SETTLE_NS,
    START_NS,
    Scenario,
    SetMade,
    make_traffic,
    rig_of,
    score,
)
from sensorfuse.bench.set_scenarios import (
    STREAMS as POINT_STREAMS,
)


def test_traffic_has_the_rates_delays_and_losses_that_it_says() -> None:
    scenario = Scenario({"lidar": (60.0, 15.0)}, drop_share=0.2, dead_s=(5.0, 15.0))
    made = make_traffic(scenario, 40.0, 0)
    assert 280 < len(made.stamps_ns["lidar"]) < 360
    camera_s = (made.stamps_ns["camera"] - START_NS) / 1e9
    assert not ((camera_s > 5) & (camera_s < 15)).any()
    delay = made.arrival_ns["lidar"] - made.stamps_ns["lidar"]
    assert abs(delay.mean() / 1e6 - 60) < 4
    assert (np.diff(made.arrival_ns["lidar"]) >= 0).all()
    late = make_traffic(SCENARIOS["S5 the same, 5 % late by 60 ms"], 40.0, 0)
    assert (np.diff(late.arrival_ns["camera"]) < 0).any()


def test_the_score_of_perfect_and_of_shifted_sets() -> None:
    made = make_traffic(Scenario(), 10.0, 1)
    rig = rig_of()
    perfect, shifted = [], []
    for k, t in enumerate(made.stamps_ns["lidar"].tolist()):
        members = {s: int(np.abs(made.stamps_ns[s] - t).argmin()) for s in POINT_STREAMS}
        last = max(int(made.arrival_ns[s][i]) for s, i in members.items())
        perfect.append(SetMade(members, last + 3_000_000))
        if k % 2:
            shifted.append(SetMade({**members, "camera": max(0, members["camera"] - 1)}, last))
    good, bad = score(made, perfect, rig), score(made, shifted, rig)
    assert (good.emitted, good.nearest, good.mask) == (1.0, 1.0, 1.0)
    assert good.wait_mean_ms == good.wait_p99_ms == 3.0
    assert abs(bad.emitted - 0.5) < 0.02
    assert bad.nearest < 0.1
    assert SETTLE_NS > 0


def test_ours_is_near_and_goes_on_where_ros_gives_nothing() -> None:
    found = sets.compare("S6 LiDAR 400 ms late", 6.0, 1)
    assert found["ours"].nearest == found["ours"].emitted == 1.0
    assert found["ROS q=10"].emitted == 0.0
    assert all(g.met for g in sets.gap_goals(3.0))
    assert all(g.met for g in sets.speed_goals(1.0))


def test_headers_for_the_throughput_are_complete_and_the_rate_is_a_rate() -> None:
    log = headers(eight_streams(), 0.5)
    assert len(log) == sum(round(0.5 * rate) for _, rate in STREAMS.values())
    assert [h.recv_ns for h in log] == sorted(h.recv_ns for h in log)
    found = in_process(0.5)
    assert found.rate_hz > 0
    assert 3 <= len(found.decisions_ms) <= 6
