"""The player process: read a log and feed every sensor's process, in the place of its device.

At a rate, samples go out when the scaled clock says so, and a sensor that is not there misses them, as a device's
would be. In lossless replay (`--lossless`) each sample gets its place in the log, and the player stays at most a
window of log time ahead of the fused output, so that nothing is lost and queues stay short at any speed.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import zmq
from sensorfuse.nodes.injection import add_fault_arguments, faults_of, torn
from sensorfuse.nodes.process import Process, parser, run

from sensorfuse.endpoints import SLOTS, make_socket
from sensorfuse.inject.stream_injector import inject
from sensorfuse.log import open_log
from sensorfuse.log.reader import LogReader
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig
from sensorfuse.wire import Envelope, WireError, decode_record, encode_data, encode_record, envelope_of, receive

MIN_WINDOW_NS = 1_000_000_000
LOOP_GAP_NS = 10_000_000  # between a log's last sample and its first of the next turn


def main(argv: list[str] | None = None) -> None:
    """Feed a log to the sensors' processes."""
    arguments = parser("Feed a log to the sensors' processes.")
    arguments.add_argument("--log", required=True, help="the log to play")
    arguments.add_argument("--skip", type=int, default=0, help="records to skip (set when a player is restarted)")
    arguments.add_argument(
        "--pace", type=float, default=0.0, help="lossless: log seconds per second, 0 for as fast as it goes"
    )
    arguments.add_argument(
        "--loop", type=float, default=0.0, metavar="S", help="play it again and again, until so many log seconds"
    )
    add_fault_arguments(arguments)
    run(arguments, _serve, argv)


def _serve(args: argparse.Namespace) -> None:
    with Process("player", args) as process:
        _Player(process, args).play()


class _Player:
    def __init__(self, process: Process, args: argparse.Namespace) -> None:
        self.process = process
        self.args = args
        self.rig: Rig = process.rig
        self.by_log_name = self.rig.by_log_stream()
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        for stream in self.rig.streams():
            socket = process.adopt(make_socket(process.context, zmq.PUSH, 0 if process.lossless else 64))
            socket.setsockopt(zmq.LINGER, 2000)
            process.bind(socket, f"source.{stream}")
            self.sockets[stream] = socket
        self.clock_publisher = process.publisher("player")
        self.progress = process.subscriber(
            [f"fusion.{slot}" for slot in SLOTS[: 1 if process.lossless else 2]], ["progress"]
        )
        self.window_ns = max(MIN_WINDOW_NS, self.rig.fusion.deadline_ns + 5 * self.rig.fusion.period_ns)
        self.fused_to_ns = 0
        self.records = 0
        self.order = 0
        self.published: dict[str, int] = dict.fromkeys(self.rig.streams(), 0)
        self.now_ns = 0
        self.rejected: dict[str, int] = {}

    def _status(self) -> dict[str, Any]:
        return {"published_by_stream": self.published, "records": self.records, "log_now_ns": self.now_ns}

    def play(self) -> None:
        process = self.process
        with open_log(self.args.log, offsets_ns=self.rig.clock_offsets_ns()) as reader:
            process.wait_for_start()
            origin = int(process.control.start.get("origin_ns", 0))
            self.fused_to_ns = origin
            next_beat = origin
            started, paced_from = time.monotonic(), origin
            faults, seed = faults_of(self.args), self.args.fault_seed
            for recv_ns, sample, cut in inject(self._records(reader), faults, self.rig.sensors, origin, seed):
                if process.lossless:
                    while next_beat <= recv_ns:
                        self._beat(next_beat)
                        next_beat += self.rig.fusion.period_ns // 2
                    self._pace(recv_ns, started, paced_from)
                    self._wait_for_window(recv_ns)
                else:
                    self._wait_for_clock(recv_ns)
                if not process.running:
                    break
                self.now_ns = recv_ns
                self._send(sample, cut)
            self.rejected = {f"{stream}: {reason}": n for (stream, reason), n in reader.rejected.items()}
            for note in reader.notes:
                process.event(note)
            for what, n in self.rejected.items():
                process.event(f"{n} records of {what}")
        self._finish(self.now_ns)

    def _records(self, reader: LogReader) -> Iterator[Sample]:
        """The log's samples under the rig's names, counted as published; with `--loop` again and again, each turn with
        the stamps and numbers that come after the last turn's.
        """
        names = [n for n in reader.streams() if n in self.by_log_name]
        loop_ns, turn_ns, first_ns, last_ns = round(self.args.loop * 1e9), 0, None, 0
        numbers = dict.fromkeys(self.published, 0)
        while True:
            for sample in reader.samples(names):
                first_ns = sample.recv_ns if first_ns is None else first_ns
                last_ns = max(last_ns, sample.recv_ns)
                if loop_ns and turn_ns + sample.recv_ns - first_ns >= loop_ns:
                    return
                self.records += 1
                stream = self.by_log_name[sample.stream]
                seq = sample.seq + numbers[stream]
                self.published[stream] = max(self.published[stream], seq + 1)
                if self.records > self.args.skip:
                    yield replace(
                        sample,
                        stream=stream,
                        seq=seq,
                        stamp_ns=sample.stamp_ns + turn_ns,
                        recv_ns=sample.recv_ns + turn_ns,
                    )
            if not loop_ns or first_ns is None:
                return
            turn_ns += last_ns - first_ns + LOOP_GAP_NS
            numbers = dict(self.published)

    def _beat(self, now_ns: int) -> None:
        """Tell the aligner what time it is in the log, so that ticks come where no sample does."""
        self._wait_for_window(now_ns)
        self.clock_publisher.send(encode_record("clock", {"order": self.order, "now_ns": now_ns}))
        self.order += 1

    def _pace(self, t_ns: int, started: float, from_ns: int) -> None:
        if self.args.pace > 0:
            due = started + (t_ns - from_ns) / 1e9 / self.args.pace
            while self.process.running and (wait := due - time.monotonic()) > 0:
                self.process.beat(self._status)
                time.sleep(min(wait, 0.02))

    def _wait_for_window(self, t_ns: int) -> None:
        while True:
            while (frames := receive(self.progress)) is not None:
                with contextlib.suppress(WireError):
                    self.fused_to_ns = max(self.fused_to_ns, int(decode_record(frames, dict)["t_ref_ns"]))
            self.process.beat(self._status)
            if t_ns <= self.fused_to_ns + self.window_ns or not self.process.running:
                return
            self.progress.poll(20)

    def _wait_for_clock(self, t_ns: int) -> None:
        while self.process.running and (wait := self.process.clock.host_delay_s(t_ns)) > 0:
            self.process.beat(self._status)
            time.sleep(min(wait, 0.02))
        self.process.beat(self._status)

    def _send(self, sample: Sample, cut: bool) -> None:
        """Hand a sample to its stream's process. Of one that was cut short nothing is left that a lossless replay
        could put in its place.
        """
        if cut and self.process.lossless:
            return
        envelope = envelope_of(
            sample, 0, self.process.clock.now_ns(), order=self.order if self.process.lossless else -1
        )
        self.order += 1
        frames = encode_data(envelope, sample.arrays)
        if cut:
            frames = torn(frames)
        socket = self.sockets[sample.stream]
        if self.process.lossless:
            while self.process.running and not socket.poll(20, zmq.POLLOUT):
                self.process.beat(self._status)
            if self.process.running:
                socket.send_multipart(frames, copy=False)
            return
        with contextlib.suppress(zmq.Again):  # nobody there to take it: lost, and the ledger will say so
            socket.send_multipart(frames, zmq.NOBLOCK, copy=False)

    def _finish(self, end_ns: int) -> None:
        if self.process.lossless:
            self.clock_publisher.send(encode_record("clock", {"order": self.order, "now_ns": end_ns, "end": True}))
        for stream, socket in self.sockets.items():
            sensor = self.rig.sensors[stream]
            end = Envelope(
                stream, sensor.modality, self.published[stream], 0, 0, 0, 0, sensor.frame, sensor.stamp, "", {},
                end=True
            )  # fmt: skip
            with contextlib.suppress(zmq.Again):
                socket.send_multipart(encode_data(end, {}), zmq.NOBLOCK)
        self.process.beat(self._status, force=True)
        self.process.control.send("done", rejected=self.rejected)


if __name__ == "__main__":
    main()
