"""The recorder process: fused frames, and the sensors' samples if asked, into MCAP files.

Each start of the process writes a file of its own (`fused.mcap`, then `fused_1.mcap`, ...), so that a recorder that
was killed loses at most its open chunk and nothing that was written before.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import zmq
from sensorfuse.nodes.ears import Ears
from sensorfuse.nodes.process import Process, parser, run

from sensorfuse.endpoints import SLOTS
from sensorfuse.errors import SensorfuseError
from sensorfuse.log import LogWriter
from sensorfuse.messages import FusedFrame
from sensorfuse.wire import WireError, decode_data, decode_record, receive

MAX_POLL_MS = 50
DRAIN_MS = 300
MAX_BATCH = 1024  # messages of one stream between two looks at the others


def main(argv: list[str] | None = None) -> None:
    """Record fused frames and, with --inputs, every sensor's samples."""
    arguments = parser("Record fused frames and, with --inputs, every sensor's samples.")
    arguments.add_argument("--out", type=Path, required=True, help="folder for the log")
    arguments.add_argument("--name", default="fused", help="file name without .mcap")
    arguments.add_argument("--inputs", action="store_true", help="record the sensors' samples as well")
    arguments.add_argument("--no-fused", action="store_true", help="there is no fusion in this run")
    run(arguments, _serve, argv)


def log_parts(folder: Path, name: str) -> list[Path]:
    """The files of one recording, oldest first."""
    parts = sorted(folder.glob(f"{name}_*.mcap"), key=lambda p: int(p.stem.rsplit("_", 1)[1]))
    first = folder / f"{name}.mcap"
    return ([first] if first.exists() else []) + parts


def _serve(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    parts = len(log_parts(args.out, args.name)) if args.rejoin else 0
    path = args.out / (f"{args.name}_{parts}.mcap" if parts else f"{args.name}.mcap")
    config = args.rig_model.recording
    with Process("recorder", args) as process:
        try:
            with LogWriter(path, compression=config.compression, chunk_mb=config.chunk_mb) as writer:
                writer.write_rig(process.rig)
                _Recorder(process, writer, path).serve()
        except SensorfuseError as error:  # no space left, say: another start would fail too
            process.control.send("failed", text=str(error))
            raise
        process.control.send("done")


class _Recorder:
    def __init__(self, process: Process, writer: LogWriter, path: Path) -> None:
        self.process = process
        self.writer = writer
        self.path = path
        args = process.arguments
        slots = SLOTS[:1] if process.lossless else SLOTS
        self.fused = (
            None if args.no_fused else process.subscriber([f"fusion.{s}" for s in slots], ["fused", "fused_end"])
        )
        streams = process.rig.streams()
        self.data = process.ears({s: [f"{s}/data"] for s in streams}) if args.inputs else None
        self.shared = process.shared_reader()
        self.ends: set[str] = set()
        self.fused_ended = self.fused is None
        self.last_tick_id = -1
        self.frames = 0
        self.samples: dict[str, int] = dict.fromkeys(streams, 0)
        self.refused = 0

    def _status(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "samples": self.samples,
            "refused": self.refused,
            "refused_messages": {} if self.data is None else self.data.refusals(),
            "path": str(self.path),
        }

    def serve(self) -> None:
        process = self.process
        process.wait_for_start()
        poller = zmq.Poller()
        if self.fused is not None:
            poller.register(self.fused, zmq.POLLIN)
        if self.data is not None:
            self.data.register(poller)
        while process.running and not self._ended():
            process.beat(self._status)
            poller.poll(MAX_POLL_MS)
            self._take_all()
        while poller.poll(DRAIN_MS) and not self._ended():
            self._take_all()
        process.beat(self._status, force=True)

    def _ended(self) -> bool:
        return self.fused_ended and (self.data is None or self.ends.issuperset(self.process.rig.streams()))

    def _take_all(self) -> None:
        while self.fused is not None and (frames := receive(self.fused)) is not None:
            try:
                if bytes(frames[0]) == b"fused_end":
                    self.fused_ended = True
                    continue
                frame = decode_record(frames, FusedFrame)
            except WireError as error:
                self._refuse(str(error))
                continue
            if frame.tick_id > self.last_tick_id:
                self.last_tick_id = frame.tick_id
                self.frames += 1
                self.writer.write_frame(frame, frame.t_ref_ns)
        if self.data is not None:
            self._take_data(self.data)

    def _take_data(self, ears: Ears) -> None:
        for stream, frames in ears.receive(MAX_BATCH):
            try:
                envelope, sample = decode_data(frames, self.shared)
            except WireError as error:
                if ears.refuse(stream, "not of the schema"):
                    self.process.event(f"a message was refused: {error}")
                continue
            if not ears.admits(stream, envelope, sample):
                continue
            if envelope.end:
                self.ends.add(envelope.stream)
                continue
            self.samples[envelope.stream] = self.samples.get(envelope.stream, 0) + 1
            self.writer.write_sample(sample)

    def _refuse(self, text: str) -> None:
        self.refused += 1
        self.process.event(f"a message was refused: {text}")


if __name__ == "__main__":
    main()
