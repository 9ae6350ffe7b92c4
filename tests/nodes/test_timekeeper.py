"""Processes on another host than the supervisor's: told apart by clocks that are not the real one."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import pytest
import sensorfuse.nodes.supervisor as supervisor
import zmq
from other_host import AHEAD_NS, FAST, ZERO, other_ns
from sensorfuse.nodes.process import subscribe
from sensorfuse.nodes.supervisor import RunPlan, Supervisor
from sensorfuse.nodes.timekeeper import Timekeeper

from sensorfuse.endpoints import bind, make_socket
from sensorfuse.messages import Tick
from sensorfuse.processes import process_table
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.wire import decode_meta, pack, receive, unpack

pytestmark = pytest.mark.alone

MS = 1_000_000


def test_a_clock_is_followed_from_answers_and_late_ones_do_no_harm(
    small_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end is played here: its clock is 7 s behind, and it answers some questions twice or too late."""
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = make_socket(context, zmq.ROUTER, 0)
    lock = bind(router, small_rig, "control")
    keeper = Timekeeper(context, small_rig, "lidar")
    assert not keeper.ready
    held: list[bytes] = []
    deadline = time.monotonic() + 20
    while keeper.status()["exchanges"] < 12 and time.monotonic() < deadline:
        if not router.poll(100):
            continue
        asker, frame = router.recv_multipart()
        question = unpack(frame)
        assert (asker.split(b"#")[0], question["kind"]) == (b"lidar/time", "time")
        now = time.monotonic_ns() - 7_000 * MS
        answer = pack({"number": question["number"], "t1": question["t1"], "t2": now, "t3": now})
        for nonsense in (b"\xc1", pack([1]), pack({"number": "x"}), *held):
            router.send_multipart([asker, nonsense])
        router.send_multipart([asker, answer])
        held = [answer]
    status = keeper.status()
    keeper.close()
    context.destroy(0)
    assert lock is not None
    lock.close()
    assert status["exchanges"] >= 12
    assert status["state"] == "locked"
    assert abs(status["offset_ns"] + 7_000 * MS) <= status["bound_ns"]
    assert abs(keeper.clock.now_ns() - time.monotonic_ns() + 7_000 * MS) < 50 * MS
    assert keeper.silent_s() < 20


def test_samples_of_another_host_land_in_their_ticks(
    small_rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The IMU's clock is 3 s ahead and 100 ppm fast and asks for the time; the radar's is as wrong and does not."""
    monkeypatch.setenv("SENSORFUSE_RUN_DIR", tempfile.mkdtemp(prefix="sf-"))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv(ZERO, str(time.monotonic_ns()))
    monkeypatch.setattr(supervisor, "process_table", lambda *args: [
        dataclasses.replace(spec, module="other_host") if spec.name in ("imu", "radar") else spec
        for spec in process_table(*args)
    ])  # fmt: skip
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ears = subscribe(context, small_rig, ["imu", "radar"], ["imu/meta", "radar/meta"], False)
    lags: dict[str, list[int]] = {"imu": [], "radar": []}

    def listen(*_: object) -> None:
        while (frames := receive(ears)) is not None:
            envelope = decode_meta(frames)
            lags[envelope.stream].append(running._now_ns() - envelope.publish_ns)

    running = Supervisor(RunPlan(small_rig, "run", tmp_path, duration_s=4, on_progress=listen))
    ticks: list[Tick] = []
    count = running.collector.tick
    monkeypatch.setattr(running.collector, "tick", lambda tick: (ticks.append(tick), count(tick)))
    outcome = running.run()
    ended_ns = time.monotonic_ns()
    context.destroy(0)

    assert set(outcome.exchanges) == {"imu"}
    known = outcome.exchanges["imu"]
    assert known["state"] == "locked"
    assert known["offset_ns"] < -AHEAD_NS
    assert abs(known["offset_ns"] - (ended_ns - other_ns(ended_ns))) < known["bound_ns"] + 2000 * MS * FAST
    assert abs(known["skew_ppm"] + 1e6 * FAST) < 60
    assert known["bound_ns"] < 20 * MS
    assert any(e.process == "imu" and e.what.startswith("time exchange locked") for e in outcome.events)

    half = len(lags["imu"]) // 2
    assert half > 10
    for part in (lags["imu"][:half], lags["imu"][half:]):
        assert -known["bound_ns"] < min(part) < 20 * MS
    assert max(lags["radar"]) < 1000 * MS - AHEAD_NS, "these clocks are other ones indeed"

    sim = SimulatedRig(small_rig, epoch_ns=outcome.origin_ns)
    rows = [(t.t_ref_ns, {s.stream: s for s in t.streams}) for t in ticks[5:]]
    assert len(rows) > 15
    landed = [t + row["imu"].dt_ns for t, row in rows if row["imu"].status == "ok"]
    assert len(landed) >= 0.5 * len(rows)
    assert max(min(abs(at - sim.event_ns("imu", k)) for k in near(sim, at)) for at in landed) < 2 * MS
    assert all(-300 * MS < row["imu"].dt_ns <= 0 for _, row in rows if row["imu"].status == "ok")
    assert max(abs(row["imu"].offset_ns) for _, row in rows) < 10 * MS, "nothing had to be set right on arrival"


def near(sim: SimulatedRig, t_ns: int) -> range:
    k = sim.first_due("imu", t_ns)
    return range(max(0, k - 6), k + 2)
