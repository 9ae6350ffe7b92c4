"""The alignment process: headers in, ticks out.

Two of them run: the active one publishes; the standby computes the same ticks and keeps those that it has not yet
seen from its twin, ready to publish them the moment it is told to. A tick of the twin is known by its reference time;
where ids count ticks, they are given as ticks go out, on from the twin's last.
"""

from __future__ import annotations

import argparse
from collections import deque
from operator import itemgetter
from typing import Any

import zmq
from sensorfuse.nodes.mishaps import Mishaps
from sensorfuse.nodes.process import Process, parser, run

from sensorfuse.align.aligner import Aligner
from sensorfuse.endpoints import SLOTS
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.messages import Sample, Tick
from sensorfuse.rig import Rig
from sensorfuse.wire import (
    Envelope,
    WireError,
    decode_data,
    decode_meta,
    decode_record,
    encode_record,
    envelope_of,
    receive,
)

MAX_POLL_MS = 20
DRAIN_MS = 200
MAX_BATCH = 256  # headers of one stream between two looks at what is due
WARM_UP_NS = 1_000_000_000
MAX_KEPT = 600  # ticks that a standby keeps


def main(argv: list[str] | None = None) -> None:
    """Align the rig's streams into ticks."""
    arguments = parser("Align the rig's streams into ticks.")
    arguments.add_argument("--slot", type=int, choices=SLOTS, default=0, help="which of the two twins this is")
    run(arguments, _serve, argv)


def _serve(args: argparse.Namespace) -> None:
    with Process(f"align.{args.slot}", args) as process:
        if process.control.socket is None:
            process.control.active = True
        _Align(process, args.slot).serve()


def _warm_up(rig: Rig) -> None:
    """Compile, or load what is compiled, before time counts: an aligner with a sample of each stream for a second."""
    aligner = Aligner(rig, WARM_UP_NS)
    samples = [typical_sample(rig, stream) for stream in rig.streams()]
    for now_ns in range(WARM_UP_NS, 2 * WARM_UP_NS, WARM_UP_NS // 20):
        for sample in samples:
            sample.seq += 1
            sample.stamp_ns, sample.recv_ns = now_ns - rig.sensors[sample.stream].offset_ns, now_ns
            aligner.push(envelope_of(sample, 0, now_ns), now_ns, sample.arrays if sample.modality == "imu" else None)
        aligner.poll(now_ns)


class _Align:
    def __init__(self, process: Process, slot: int) -> None:
        self.process = process
        rig = process.rig
        streams = rig.streams()
        imus = [s for s in streams if rig.sensors[s].modality == "imu"]
        self.headers = process.ears({s: [f"{s}/meta", *([f"{s}/data"] if s in imus else [])] for s in streams})
        self.parsing, self.pushing = (Mishaps(self.headers, process.event) for _ in range(2))
        self.log_clock = process.subscriber(["player"], ["clock"]) if process.lossless else None
        self.twin = process.subscriber([f"align.{1 - slot}"], ["tick"]) if not process.lossless else None
        self.publisher = process.publisher(f"align.{slot}")
        self.aligner: Aligner | None = None
        self.kept: deque[Tick] = deque(maxlen=MAX_KEPT)
        self.next_id = 0
        self.twin_t_ns: int | None = None
        self.ends: set[str] = set()
        self.waiting: dict[
            int, tuple[int, Envelope | None, Any]
        ] = {}  # by order: now, header, arrays (None: clock beat)
        self.next_order = 0
        self.end_ns: int | None = None

    def _status(self) -> dict[str, Any]:
        assert self.aligner is not None
        return {"received": self.aligner.received(), "tick": self.next_id, "refused": self.headers.refusals()}

    def serve(self) -> None:
        process = self.process
        _warm_up(process.rig)
        process.wait_for_start()
        clock = process.clock
        now = clock.now_ns()
        origin = int(
            process.control.start.get("origin_ns", now // process.rig.fusion.period_ns * process.rig.fusion.period_ns)
        )
        late_start = process.arguments.rejoin and not process.lossless
        if late_start and process.rig.fusion.policy == "rate":
            self.next_id = max(0, -(-(now - origin) // process.rig.fusion.period_ns))
        elif late_start:
            origin, self.next_id = now, int(process.control.start.get("next_tick", 0))
        self.aligner = Aligner(process.rig, origin, self.next_id)
        poller = zmq.Poller()
        self.headers.register(poller)
        for socket in (self.log_clock, self.twin):
            if socket is not None:
                poller.register(socket, zmq.POLLIN)
        while process.running and not self._ended():
            process.beat(self._status)
            process.wait(poller, self._poll_ms(), self.twin)
            self._take_all()
        while self.headers.poll(DRAIN_MS if not self._ended() else 0):
            self._take_all()
        self._finish()

    def _poll_ms(self) -> int:
        assert self.aligner is not None
        if self.process.lossless:
            return MAX_POLL_MS
        clock = self.process.clock
        return max(1, min(MAX_POLL_MS, int(1000 * clock.host_delay_s(self.aligner.next_due_ns()))))

    def _ended(self) -> bool:
        return self.ends.issuperset(self.process.rig.streams()) and (
            not self.process.lossless or self.end_ns is not None
        )

    def _take_all(self) -> None:
        """Everything that has arrived, then the ticks that are due."""
        aligner = self.aligner
        assert aligner is not None
        self._follow_twin()
        arrived: list[tuple[int, Envelope, Any]] = []
        for stream, frames in self.headers.receive(MAX_BATCH):
            envelope, arrays = None, None
            with self.parsing.survived(stream):
                envelope, arrays = self._parse(stream, frames)
            if envelope is None:
                continue
            if envelope.end:
                self.ends.add(envelope.stream)
            if not self.process.lossless:
                arrived.append((envelope.recv_ns, envelope, arrays))
            elif not envelope.end:
                self.waiting[envelope.order] = (envelope.recv_ns, envelope, arrays)
        if self.process.lossless:
            self._take_in_order()
            return
        for _, envelope, arrays in sorted(arrived, key=itemgetter(0)):  # after a stall, streams come one by one
            self._push(envelope, self.process.clock.now_ns(), arrays)
        self._publish(aligner.poll(self.process.clock.now_ns()))

    def _take_in_order(self) -> None:
        """Lossless replay: the log's own order decides, whatever order the processes delivered in."""
        assert self.log_clock is not None
        assert self.aligner is not None
        while (frames := receive(self.log_clock)) is not None:
            beat = decode_record(frames, dict)
            if beat.get("end"):
                self.end_ns = int(beat["now_ns"])
            else:
                self.waiting[int(beat["order"])] = (int(beat["now_ns"]), None, None)
        while self.next_order in self.waiting:
            now, envelope, arrays = self.waiting.pop(self.next_order)
            self.next_order += 1
            if envelope is not None:
                self._push(envelope, now, arrays)
            self._publish(self.aligner.poll(now))

    def _push(self, envelope: Envelope, now_ns: int, arrays: Any) -> None:
        aligner = self.aligner
        assert aligner is not None
        with self.pushing.survived(envelope.stream, lambda: aligner.discard(envelope)):
            aligner.push(envelope, now_ns, arrays)

    def _parse(self, stream: str, frames: list[Any]) -> tuple[Envelope | None, Any]:
        topic = bytes(frames[0])
        sample: Sample | None = None
        try:
            if topic.endswith(b"/data"):
                envelope, sample = decode_data(frames)
                arrays = sample.arrays
            else:
                envelope, arrays = decode_meta(frames), None
        except WireError as error:
            if self.headers.refuse(stream, "not of the schema"):
                self.process.event(f"refused a message on {topic!r}: {error}")
            return None, None
        if not self.headers.admits(stream, envelope, sample):
            return None, None
        # An IMU's samples come with their data; its bare headers count only when there is no data to come.
        bare_imu = arrays is None and envelope.modality == "imu" and not envelope.problem and not envelope.end
        refused_imu = arrays is not None and bool(envelope.problem)  # whose header tells enough
        return (None, None) if bare_imu or refused_imu else (envelope, arrays)

    def _follow_twin(self) -> None:
        while self.twin is not None and (frames := receive(self.twin)) is not None:
            try:
                tick = decode_record(frames, Tick)
            except WireError:
                continue
            self.next_id = max(self.next_id, tick.tick_id + 1)
            self.twin_t_ns = max(self.twin_t_ns or 0, tick.t_ref_ns)
            while self.kept and self._is_twins(self.kept[0]):
                self.kept.popleft()
            if not self.process.control.active and self.aligner is not None:
                self.aligner.follow(tick)

    def _is_twins(self, tick: Tick) -> bool:
        """Whether the twin has published this tick, or one after it."""
        assert self.aligner is not None
        return self.twin_t_ns is not None and tick.t_ref_ns <= self.twin_t_ns + self.aligner.schedule.least_gap_ns // 2

    def _publish(self, ticks: list[Tick]) -> None:
        assert self.aligner is not None
        self.kept.extend(t for t in ticks if not self._is_twins(t))
        alerts = [self.aligner.alerts.popleft() for _ in range(len(self.aligner.alerts))]
        if not self.process.control.active:
            return  # its twin says the same
        for alert in alerts:
            self.process.event(alert)
        while self.kept:
            tick = self.kept.popleft()
            if self.aligner.schedule.counted:
                tick.tick_id = self.next_id
            self.next_id = tick.tick_id + 1
            self.publisher.send(encode_record("tick", tick))

    def _finish(self) -> None:
        assert self.aligner is not None
        if not self.process.lossless:
            self.process.control.take_commands()
            self._publish(self.aligner.poll(self.process.clock.now_ns()))
        elif self.end_ns is not None:
            self._publish(self.aligner.flush(self.end_ns, self.end_ns))
        last = {"dispositions": self.aligner.close_remaining(), "next_tick": self.next_id}
        if self.process.control.active:
            self.publisher.send(encode_record("end", last))
        self.process.beat(self._status, force=True)
        self.process.control.send("done")


if __name__ == "__main__":
    main()
