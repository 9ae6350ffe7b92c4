"""A sensor's process: take samples from the synthetic rig or from the player, check them, measure their motion
signature, publish header and data. The five modalities share this loop; their files name the modality."""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import zmq
from sensorfuse.nodes.injection import add_fault_arguments, faults_of, torn
from sensorfuse.nodes.process import Process, Publisher, parser, run
from sensorfuse.nodes.simulation import SimulatedDevice

from sensorfuse.align.signature import SignatureExtractor, is_asked_for_motion
from sensorfuse.endpoints import connect, make_socket
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.warm_up import typical_sample
from sensorfuse.health.content import SOUND, ContentCheck, Verdict
from sensorfuse.inject.stream_injector import StreamInjector
from sensorfuse.messages import Modality, Sample, sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.simulated_rig import Delivery
from sensorfuse.wire import Envelope, WireError, decode_data, encode_data, encode_meta, envelope_of, receive

IDLE_POLL_MS = 20
MAX_WAIT_S = 0.05
AHEAD = 2  # simulated samples made or being made before they are received
MAX_HELD = 256  # at most, where the device's transport holds back what is measured


class Prepared(NamedTuple):
    """How a payload breaks its contract ("" when it does not), what its content is like, and its motion signature."""

    problem: str
    verdict: Verdict
    signature: dict[str, Any]


def sensor_main(modality: Modality, argv: list[str] | None = None) -> None:
    """Run the process of one stream of a modality."""
    arguments = parser(f"Publish a {modality} stream.")
    arguments.add_argument("--stream", help=f"which {modality} of the rig; needed when it has several")
    arguments.add_argument(
        "--source", choices=("sim", "player"), default="sim", help="the synthetic rig, or a player process"
    )
    arguments.add_argument(
        "--made-ahead",
        type=float,
        default=0.0,
        metavar="S",
        help="sim: make the samples of so many seconds at the start",
    )
    add_fault_arguments(arguments)
    run(arguments, lambda args: _serve(modality, args), argv)


def _pick_stream(modality: Modality, args: argparse.Namespace) -> str:
    streams = [n for n, s in args.rig_model.sensors.items() if s.modality == modality]
    if args.stream is None and len(streams) == 1:
        return streams[0]
    if args.stream not in streams:
        have = ", ".join(streams) or "none"
        raise SensorfuseError(
            f"--stream: rig {args.rig_model.name!r} has these {modality} streams: {have}; got {args.stream}"
        )
    return str(args.stream)


def _serve(modality: Modality, args: argparse.Namespace) -> None:
    stream = _pick_stream(modality, args)
    rig: Rig = args.rig_model
    if args.source == "sim":
        if rig.sim is None:
            raise SensorfuseError(
                f"rig {rig.name!r} has no `sim` block, so its sensors need `--source player` and a log"
            )
        sim = SimulatedRig(rig, epoch_ns=0)
        device = SimulatedDevice(sim, stream)
    with Process(stream, args) as process:
        publisher = process.publisher(stream)
        worker = _Sensor(process, publisher, stream)
        if args.source == "sim":
            worker.serve_simulation(sim, device)
        else:
            worker.serve_player()


class _Sensor:
    def __init__(self, process: Process, publisher: Publisher, stream: str) -> None:
        self.process = process
        self.publisher = publisher
        self.stream = stream
        self.config = process.rig.sensors[stream]
        self.boot = time.time_ns()
        self.published = 0
        self.shared = process.shared_writer(stream, publisher)
        self.signature = SignatureExtractor(self.config, is_asked_for_motion(process.rig, stream))
        self.signature.warm_up(typical_sample(process.rig, stream))  # compile before time counts
        self.content = ContentCheck(self.config)

    def _status(self) -> dict[str, object]:
        return {"stream": self.stream, "boot": self.boot, "published": self.published}

    def prepare(self, sample: Sample) -> Prepared:
        """Check and measure."""
        problem = sample_problem(sample)
        if problem:
            return Prepared(problem, SOUND, {})
        verdict = self.content.examine(sample)
        unseen = verdict.problem or verdict.repeat  # two that are alike would say that nothing moves
        return Prepared("", verdict, {} if unseen else self.signature.measure(sample))

    def publish_torn(self, sample: Sample) -> None:
        """Send what is left of a message that was cut short on the wire."""
        envelope = envelope_of(sample, self.boot, self.process.clock.now_ns())
        self.publisher.send(torn(encode_meta(envelope)))
        self.publisher.send(torn(encode_data(envelope, sample.arrays)))

    def publish(self, sample: Sample, prepared: Prepared, order: int = -1) -> None:
        """Send the header, so that the aligner can decide while the data is under way, then the data.

        A sample with a payload that breaks its contract travels as a header that says why; one whose content cannot be
        used, with its data, for recordings.
        """
        problem, verdict, signature = prepared
        envelope = envelope_of(
            sample, self.boot, self.process.clock.now_ns(), order=order, problem=problem or verdict.problem,
            signature=signature, suspect=verdict.suspect, repeat=verdict.repeat,
        )  # fmt: skip
        self.publisher.send(encode_meta(envelope))
        if not problem:
            self.publisher.send(encode_data(envelope, sample.arrays, self.shared))
        self.published = max(self.published, sample.seq + 1)

    def _finish(self) -> None:
        """The stream's last word: nothing follows."""
        end = Envelope(
            self.stream, self.config.modality, self.published, self.boot, 0, 0, self.process.clock.now_ns(),
            self.config.frame, self.config.stamp, self.config.calibration, {}, end=True,
        )  # fmt: skip
        self.publisher.send(encode_data(end, {}))
        self.publisher.send(encode_meta(end))
        self.process.beat(self._status, force=True)
        self.process.control.send("done")

    # ---- synthetic rig

    def serve_simulation(self, sim: SimulatedRig, device: SimulatedDevice) -> None:
        device.request(0)
        while (sample := device.take(MAX_WAIT_S)) is None:  # compile and cache before time counts
            self.process.beat(self._status)
        self.prepare(sample)
        self.content = ContentCheck(self.config)  # which has seen nothing of this run yet
        if self.process.arguments.made_ahead > 0:
            device.make_ahead(sim.first_due(self.stream, round(self.process.arguments.made_ahead * 1e9)))
            while self.process.running and not device.made(MAX_WAIT_S):
                self.process.beat(self._status)
        self.process.wait_for_start()
        for sample, prepared in self._paced(sim, device):
            self.publish(sample, prepared)
        self._finish()

    def _paced(self, sim: SimulatedRig, device: SimulatedDevice) -> Iterator[tuple[Sample, Prepared]]:
        """Samples when they are received, made ahead of time; those whose time has passed are never made."""
        process = self.process
        clock = process.clock
        epoch = process.control.start.get("epoch_ns")
        if epoch is None:  # alone: an epoch that every process finds for itself
            period = round(sim.duration_s * 1e9)
            epoch = clock.now_ns() // period * period
        sim.begin_at(epoch)
        arguments = process.arguments
        faults = StreamInjector(faults_of(arguments), self.stream, self.config, epoch, arguments.fault_seed)
        arrivals = sim.deliveries(self.stream, sim.first_due(self.stream, clock.now_ns()))
        coming = next(arrivals)
        asked: deque[Delivery] = deque()
        made: deque[tuple[Delivery, Sample, Prepared | None]] = deque()
        seq = 0
        while process.running:
            process.beat(self._status)
            yield from self._befallen(faults)
            while self._ask_now(sim, coming, len(asked), len(made)):
                if coming.recv_ns < clock.now_ns() - 2 * self.config.period_ns:  # too slow a machine: go on
                    arrivals = sim.deliveries(self.stream, sim.first_due(self.stream, clock.now_ns()))
                    coming = next(arrivals)
                device.request(coming.k, epoch)
                asked.append(coming)
                coming = next(arrivals)
            wait = clock.host_delay_s(made[0][0].recv_ns) if made else MAX_WAIT_S
            if wait > 0:
                wait = min(wait, MAX_WAIT_S)
                if (held_ns := faults.next_ns()) is not None:
                    wait = min(wait, max(0.0, clock.host_delay_s(held_ns)))
                if not asked:
                    time.sleep(wait)
                elif (sample := device.take(wait)) is not None:
                    made.append((asked.popleft(), sample, self.prepare(sample) if faults.idle else None))
                continue
            _, sample, prepared = made.popleft()
            sample.seq = seq
            sample.recv_ns = clock.now_ns()
            if prepared is not None:
                yield sample, prepared
            else:
                faults.push(sample)
            seq += 1
            self.published = max(self.published, seq)

    def _befallen(self, faults: StreamInjector) -> Iterator[tuple[Sample, Prepared]]:
        """What arrives by now of that which goes through faults."""
        for arrival in faults.poll(self.process.clock.now_ns()):
            if arrival.torn:
                self.publish_torn(arrival.sample)
            else:
                yield arrival.sample, self.prepare(arrival.sample)

    def _ask_now(self, sim: SimulatedRig, coming: Delivery, asked: int, made: int) -> bool:
        """Whether a sample is to be made now: a few before their receipt, and all that is measured and held back."""
        if asked + made < AHEAD:
            return True
        measured = sim.due_ns(self.stream, coming.k) <= self.process.clock.now_ns()
        return measured and asked < AHEAD and made < MAX_HELD

    # ---- player

    def serve_player(self) -> None:
        process = self.process
        self.boot = 0  # a log has one incarnation, whoever carries it
        source = process.adopt(make_socket(process.context, zmq.PULL, 0 if process.lossless else 64))
        connect(source, process.rig, f"source.{self.stream}")
        process.wait_for_start()
        while process.running:
            process.beat(self._status)
            source.poll(IDLE_POLL_MS)
            while process.running and (frames := receive(source)) is not None:
                try:
                    envelope, sample = decode_data(frames)
                except WireError as error:
                    process.event(f"a message of the player was refused: {error}")
                    continue
                if envelope.end:
                    process.control.stopping = True
                    break
                self.publish(sample, self.prepare(sample), envelope.order)
        self._finish()
