"""The fusion process: samples are encoded as they arrive, ticks are fused as they come, one frame goes out per tick.

Two of them run: the standby holds the latest raw samples and the ticks that its twin has not fused yet, and goes on
from the twin's last tracks the moment it is told to.
"""

from __future__ import annotations

import argparse
from typing import Any

import zmq
from sensorfuse.nodes.mishaps import Mishaps
from sensorfuse.nodes.process import Process, parser, run

from sensorfuse.endpoints import SLOTS
from sensorfuse.engine.open import pin_caller
from sensorfuse.fusion.runner import FrameTiming, FusionRunner
from sensorfuse.fusion.strategies import make_fuser
from sensorfuse.fusion.warm_up import warm_up
from sensorfuse.messages import FusedFrame, Tick
from sensorfuse.track.tracker import ObjectTracker
from sensorfuse.track.tracker_config import TrackerConfig
from sensorfuse.wire import WireError, decode_data, decode_record, encode_record, receive

MAX_POLL_MS = 20
DRAIN_MS = 200
MAX_BATCH = 16  # messages of one stream between two looks at the others


def main(argv: list[str] | None = None) -> None:
    """Fuse ticks into frames."""
    arguments = parser("Fuse ticks into frames.")
    arguments.add_argument("--slot", type=int, choices=SLOTS, default=0, help="which of the two twins this is")
    run(arguments, _serve, argv)


def _serve(args: argparse.Namespace) -> None:
    with Process(f"fusion.{args.slot}", args) as process:
        _Fusion(process, args.slot).serve()


class _Fusion:
    def __init__(self, process: Process, slot: int) -> None:
        self.process = process
        rig = process.rig
        pin_caller(rig.fusion.cores)
        fuser = make_fuser(rig, rig.fusion.strategy)
        warm_up(rig, fuser)
        self.runner = FusionRunner(
            rig,
            fuser,
            ObjectTracker(TrackerConfig.from_rig(rig)),
            patient=process.lossless,
            lazy=self._encodes_at_ticks() or not process.control.active,
        )
        streams = rig.fused_streams()
        self.data = process.ears({s: [f"{s}/data"] for s in streams})
        self.mishaps = Mishaps(self.data, process.event)
        self.ticks = process.subscriber(
            [f"align.{s}" for s in (SLOTS[:1] if process.lossless else SLOTS)], ["tick", "end"]
        )
        self.twin = process.subscriber([f"fusion.{1 - slot}"], ["fused"]) if not process.lossless else None
        self.publisher = process.publisher(f"fusion.{slot}")
        self.last_twin_frame: FusedFrame | None = None
        self.took_over = process.control.active
        self.end: dict[str, Any] | None = None
        self.shared = process.shared_reader()
        self.refused = 0

    def _status(self) -> dict[str, Any]:
        return {
            "tick": self.runner.last_tick_id,
            "backlog": self.runner.backlog,
            "refused": self.refused,
            "refused_messages": self.data.refusals(),
        }

    def serve(self) -> None:
        process = self.process
        process.wait_for_start()
        poller = zmq.Poller()
        self.data.register(poller)
        for socket in (self.ticks, self.twin):
            if socket is not None:
                poller.register(socket, zmq.POLLIN)
        while process.running and not self._ended():
            process.beat(self._status)
            self._take_over_if_told()
            self._take_ticks()
            self._take_data()
            if self._fuse_due() or self._encode_one():
                continue
            process.wait(poller, 1 if self.runner.backlog else MAX_POLL_MS, self.twin)
        while not self._ended() and (self.ticks.poll(DRAIN_MS) or self.data.poll(0) or self._has_work()):
            self._take_ticks()
            self._take_data()
            self._fuse_due()
        self._finish()

    def _ended(self) -> bool:
        return self.end is not None and not self.runner.backlog

    def _has_work(self) -> bool:
        return self.process.control.active and self.runner.backlog > 0

    def _encodes_at_ticks(self) -> bool:
        return self.process.rig.fusion.encode_on == "tick"

    def _take_over_if_told(self) -> None:
        active = self.process.control.active
        self._follow_twin()
        if active and not self.took_over:
            self.took_over = True
            self.runner.lazy = self._encodes_at_ticks()
            if self.last_twin_frame is not None:
                frame = self.last_twin_frame
                self.runner.tracker.restore(frame.tracks, frame.pose, frame.t_ref_ns)

    def _follow_twin(self) -> None:
        while self.twin is not None and (frames := receive(self.twin)) is not None:
            try:
                frame = decode_record(frames, FusedFrame)
            except WireError:
                continue
            self.runner.skip_to(frame.tick_id)
            self.last_twin_frame = frame

    def _take_ticks(self) -> None:
        while (frames := receive(self.ticks)) is not None:
            try:
                if bytes(frames[0]) == b"end":
                    self.end = decode_record(frames, dict)
                else:
                    self.runner.push_tick(decode_record(frames, Tick), self.process.clock.now_ns())
            except WireError as error:
                self._refuse(f"a tick was refused: {error}")

    def _take_data(self) -> None:
        for stream, frames in self.data.receive(MAX_BATCH):
            with self.mishaps.survived(stream):
                self._take(stream, frames)

    def _take(self, stream: str, frames: list[Any]) -> None:
        try:
            envelope, sample = decode_data(frames, self.shared)
        except WireError as error:
            if self.data.refuse(stream, "not of the schema"):
                self.process.event(f"a message of {stream} was refused: {error}")
            return
        if not self.data.admits(stream, envelope, sample):
            return
        if not (envelope.end or envelope.problem or envelope.repeat):  # which no tick names
            self.runner.add(envelope, sample, self.process.clock.now_ns())

    def _refuse(self, text: str) -> None:
        self.refused += 1
        self.process.event(text)

    def _fuse_due(self) -> bool:
        """Fuse one tick if it is time; True when a frame went out."""
        if not self.process.control.active:
            return False
        clock = self.process.clock
        made = self.runner.poll(clock.now_ns())
        if made is None:
            return False
        self._publish(*made)
        while self.runner.failures:
            self.process.event(self.runner.failures.popleft())
        return True

    def _encode_one(self) -> bool:
        return self.process.control.active and self.runner.encode_next()

    def _publish(self, frame: FusedFrame, timing: FrameTiming) -> None:
        if not self.process.lossless:
            frame.timings_ns = dict(timing.durations_ns)
        self.publisher.send(encode_record("fused", frame))
        self.publisher.send(encode_record("progress", {"t_ref_ns": frame.t_ref_ns}))
        clock = self.process.clock
        timing.durations_ns["published_at"] = clock.now_ns()
        timing.durations_ns["encode_on_path"] = self.runner.encoding_since(clock.mono_ns(timing.trigger_ns))
        self.publisher.send(encode_record("timing", {"tick_id": timing.tick_id, "durations_ns": timing.durations_ns}))

    def _finish(self) -> None:
        if self.process.control.active:
            last = {"dispositions": self.runner.close_remaining(), "last_tick": self.runner.last_tick_id}
            self.publisher.send(encode_record("fused_end", last))
        self.process.beat(self._status, force=True)
        self.process.control.send("done")


if __name__ == "__main__":
    main()
