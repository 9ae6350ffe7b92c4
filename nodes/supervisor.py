"""The supervisor: starts every process of a run, restarts what dies, hands over between twins, and stops all of them
in order.

It is not a process table with a shell around it: it hears every tick and every frame, so at the end it knows what the
run amounted to (`Outcome`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from sensorfuse.nodes.nursery import ChildHandle, Nursery
from sensorfuse.nodes.process import subscribe

from sensorfuse.clock import RunClock, boot_id, epoch_offset_ns
from sensorfuse.collector import Collector
from sensorfuse.endpoints import RUN_DIR_VARIABLE, SLOTS, bind, make_socket, run_folder
from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import FusedFrame, Tick
from sensorfuse.processes import Mode, ProcessSpec, process_table
from sensorfuse.report.record import Event
from sensorfuse.rig import Rig
from sensorfuse.wire import WireError, decode_record, pack, receive, unpack

POLL_MS = 10
START_TIMEOUT_S = 120.0
MAKING_PER_S = 10.0  # at most so long for a second of a synthetic world
START_DELAY_NS = 300_000_000
STOP_GRACE_S = 3.0
LAST_WORDS_S = 0.5
DRAIN_GRACE_S = 60.0  # lossless: what is under way is brought to its end
BACKOFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
CALM_S = 10.0  # a process that lived so long starts with no backoff again
MAX_RESTARTS = 20  # in a row, then it stays down


@dataclass(frozen=True)
class Outage:
    """Kill a process `at_s` after the start and keep it down for `for_s`."""

    process: str
    at_s: float
    for_s: float = 0.0


@dataclass
class RunPlan:
    """What to run. `log` None: the synthetic rig feeds the sensors. `rate` None: as fast as it goes, without loss.

    `made_ahead_s`: so many seconds of a synthetic world are made up before the run begins, and take no time from it.
    """

    rig: Rig
    mode: Mode
    out: Path
    log: Path | None = None
    log_start_ns: int = 0
    rate: float | None = 1.0
    deterministic: bool = False
    duration_s: float | None = None
    record_inputs: bool = False
    only: tuple[str, ...] | None = None
    made_ahead_s: float = 0.0
    outages: tuple[Outage, ...] = ()
    on_progress: Callable[[Collector, float], None] | None = None

    @property
    def lossless(self) -> bool:
        return self.log is not None and (self.deterministic or self.rate is None)


@dataclass
class Outcome:
    """What the run amounted to."""

    collector: Collector
    events: list[Event]
    ticks_expected: int
    origin_ns: int
    log_paths: list[Path]
    rejected: dict[str, int]  # records of the log that could not be read, by "stream: reason"
    failures: list[str]  # what a process could not do and no other start of it could
    exchanges: dict[str, dict[str, Any]]  # how well each process on another host last knew the time (`Timekeeper`)


@dataclass
class _Child:
    spec: ProcessSpec
    handle: ChildHandle | None = None
    requested: bool = False  # the nursery has been asked for it and has not answered yet
    ready: bool = False
    active: bool = False
    done: bool = False
    held_until: float = 0.0
    restarts: int = 0
    started_at: float = 0.0
    died_at: float | None = None
    mourned: bool = False  # its death has been believed and acted on
    given_up: bool = False
    status: dict[str, Any] = field(default_factory=dict)


class Supervisor:
    """Runs one plan to its end. `run()` blocks; Ctrl-C or SIGTERM ends the run in order."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.events: list[Event] = []
        self.children: dict[str, _Child] = {}
        self.rejected: dict[str, int] = {}
        self.failures: list[str] = []
        self.stop_requested = False
        self._origin_ns = 0
        self._stop_ns: int | None = None
        self._started = False
        self._clock: RunClock | None = None
        self._outages = sorted(plan.outages, key=lambda o: o.at_s)
        self.collector = Collector(plan.rig.streams(), rate=plan.rate or 1.0, clocked=not plan.lossless)

    # ---- life of a run

    def run(self) -> Outcome:
        """Start, watch, stop; returns what the run amounted to.

        Raises:
            SensorfuseError: a process refused to start (its own words), or died in a deterministic replay.
        """
        plan = self.plan
        (plan.out / "logs").mkdir(parents=True, exist_ok=True)
        self._rig_file = plan.out / "rig.yaml"
        self._rig_file.write_text(plan.rig.to_yaml(), encoding="utf-8")
        previous = os.environ.get(RUN_DIR_VARIABLE)
        own_folder = None
        if previous is None and plan.rig.endpoints.base == "ipc" and plan.mode == "replay":
            own_folder = tempfile.mkdtemp(prefix="sensorfuse-")  # replays do not meet each other or a live run
            os.environ[RUN_DIR_VARIABLE] = own_folder
        handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._kill_all()
            if own_folder is not None:
                del os.environ[RUN_DIR_VARIABLE]
                shutil.rmtree(own_folder, ignore_errors=True)

    def _run(self) -> Outcome:
        plan = self.plan
        self._offset_ns = epoch_offset_ns(run_folder(plan.rig))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = make_socket(self._context, zmq.ROUTER, 0)
        lock = bind(self._control, plan.rig, "control")
        twins = plan.mode != "record" and not plan.lossless
        slots = SLOTS if twins else SLOTS[:1]
        self._ears = subscribe(
            self._context,
            plan.rig,
            [f"align.{s}" for s in slots] + [f"fusion.{s}" for s in slots],
            ["tick", "end", "fused", "fused_end", "timing"],
            True,
        )
        self.nursery = Nursery(plan.out / "logs" / "nursery.log")
        try:
            for spec in process_table(plan.rig, plan.mode, twins, plan.record_inputs, plan.only):
                self.children[spec.name] = _Child(spec)
                self._spawn(self.children[spec.name], rejoin=False)
            self._wait_until_ready()
            if not self.stop_requested:
                self._begin()
                self._watch()
            self._stop_in_order()
            self._listen()
        finally:
            self._kill_all()
            self.nursery.close()
            self._ears.close()
            self._control.close()
            if lock is not None:
                lock.close()
            self._context.destroy()
        return self._outcome()

    def _outcome(self) -> Outcome:
        from sensorfuse.nodes.recorder import log_parts

        expected = 0
        if self._stop_ns is not None and self.plan.mode != "record":
            if self.plan.rig.fusion.policy == "rate":
                expected = max(0, (self._stop_ns - self._origin_ns) // self.plan.rig.fusion.period_ns + 1)
            else:
                expected = max(self.collector.tick_ids, default=-1) + 1
            expected = max(expected, max(self.collector.frame_ids, default=-1) + 1)  # a tick may fall into the stopping
        name = "recording" if self.plan.mode == "record" else "fused"
        return Outcome(
            self.collector,
            self.events,
            expected,
            self._origin_ns,
            log_parts(self.plan.out, name),
            self.rejected,
            self.failures,
            {name: child.status["time"] for name, child in self.children.items() if "time" in child.status},
        )

    def _on_signal(self, *_: object) -> None:
        self.stop_requested = True

    def _now_ns(self) -> int:
        """Now, on the clock of the ticks' reference times."""
        if self._clock is None:
            return time.monotonic_ns() + self._offset_ns
        if self._clock.kind == "log":
            return int(self.children["player"].status.get("log_now_ns", 0)) or self._origin_ns
        return self._clock.now_ns()

    def _event(self, process: str, what: str) -> None:
        self.events.append(Event(self._now_ns(), process, what))

    # ---- children

    def _arguments(self, spec: ProcessSpec, rejoin: bool) -> list[str]:
        plan = self.plan
        command = ["--rig", str(self._rig_file), "--control", str(os.getpid()), "--control-host", boot_id()]
        command += spec.arguments
        for topic, count in spec.awaits:
            command += ["--await", f"{topic}={count}"]
        if plan.lossless:
            command.append("--lossless")
        if rejoin:
            command.append("--rejoin")
        if plan.made_ahead_s and spec.name in plan.rig.sensors and not rejoin:
            command += ["--made-ahead", str(plan.made_ahead_s)]
        if spec.name == "player":
            command += ["--log", str(plan.log)]
            if plan.lossless and plan.rate is not None:
                command += ["--pace", str(plan.rate)]
            if rejoin:
                command += ["--skip", str(self.children["player"].status.get("records", 0))]
        if spec.name == "recorder":
            command += ["--out", str(plan.out), "--name", "recording" if plan.mode == "record" else "fused"]
            if plan.record_inputs or plan.mode == "record":
                command.append("--inputs")
            if plan.mode == "record":
                command.append("--no-fused")
        return command

    def _spawn(self, child: _Child, rejoin: bool) -> None:
        log = self.plan.out / "logs" / f"{child.spec.name}.log"
        self.nursery.request(child.spec.name, child.spec.module, self._arguments(child.spec, rejoin), log)
        child.handle = None
        child.requested = True
        child.ready = child.done = child.active = False
        child.started_at = time.monotonic()

    def _alive(self, child: _Child) -> bool:
        return child.requested or (child.handle is not None and child.handle.alive())

    def _collect_births(self) -> None:
        """Learn which of the processes asked for are there; replace a nursery that died, and ask again."""
        if not self.nursery.alive():
            self._event("nursery", "died; another one is started")
            self.nursery.replace()
            for child in self.children.values():
                if child.requested:
                    self._spawn(child, rejoin=self._started)
        for child in self.children.values():
            if child.requested and (pid := self.nursery.pid_of(child.spec.name)) is not None:
                child.handle = ChildHandle(pid)
                child.requested = False

    def _exit_code(self, child: _Child) -> int | None:
        return self.nursery.exit_code(child.handle.pid) if child.handle is not None else None

    def _last_words(self, child: _Child) -> str:
        log = self.plan.out / "logs" / f"{child.spec.name}.log"
        text = log.read_text(errors="replace").strip() if log.exists() else ""
        errors = [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]
        return "\n".join(errors) or "\n".join(text.splitlines()[-3:]) or "no message"

    def _wait_until_ready(self) -> None:
        allowed_s = START_TIMEOUT_S + MAKING_PER_S * self.plan.made_ahead_s
        deadline = time.monotonic() + allowed_s
        while not self.stop_requested:
            self._hear_control()
            for child in self.children.values():
                if not self._alive(child):
                    code = self._exit_code(child)
                    raise SensorfuseError(
                        f"process {child.spec.name!r} did not start (exit code {code}): {self._last_words(child)}"
                    )
            if all(c.ready for c in self.children.values()):
                return
            if time.monotonic() > deadline:
                slow = ", ".join(n for n, c in self.children.items() if not c.ready)
                raise SensorfuseError(
                    f"these processes were not ready within {allowed_s:.0f} s: {slow}; see {self.plan.out / 'logs'}"
                )
            self._control.poll(POLL_MS)

    def _begin(self) -> None:
        """Fix the clock and the first tick, and let everyone go."""
        plan = self.plan
        mono = time.monotonic_ns() + START_DELAY_NS
        if plan.log is None:
            self._clock = RunClock("host", self._offset_ns)
            self._origin_ns = mono + self._offset_ns
        elif plan.lossless:
            self._clock = RunClock("log", self._offset_ns)
            self._origin_ns = plan.log_start_ns
        else:
            self._clock = RunClock("scaled", self._offset_ns, plan.log_start_ns, mono, plan.rate or 1.0)
            self._origin_ns = plan.log_start_ns
        self._mono_start = mono / 1e9
        self._started = True
        for child in self.children.values():
            self._send_start(child, active=child.spec.slot in (None, 0))
        self._event("supervisor", f"started {len(self.children)} processes")

    def _send_start(self, child: _Child, active: bool) -> None:
        assert self._clock is not None
        child.active = active
        self._tell(child, {
            "kind": "start", "clock": self._clock.to_dict(), "origin_ns": self._origin_ns, "epoch_ns": self._origin_ns,
            "active": active, "next_tick": max(self.collector.tick_ids, default=-1) + 1,
        })  # fmt: skip

    def _tell(self, child: _Child, command: dict[str, Any]) -> None:
        with contextlib.suppress(zmq.ZMQError):
            self._control.send_multipart([child.spec.name.encode(), pack(command)])

    # ---- watching

    def _watch(self) -> None:
        """Until the plan is fulfilled, someone asks to stop, or the log has been played."""
        plan = self.plan
        while not self.stop_requested:
            self._listen()
            self._tend()
            elapsed = time.monotonic() - self._mono_start
            if plan.on_progress is not None:
                plan.on_progress(self.collector, elapsed)
            self._cause_outages(elapsed)
            if plan.duration_s is not None and elapsed >= plan.duration_s:
                break
            player = self.children.get("player")
            if player is not None and (player.done or player.given_up):
                break
            self._control.poll(POLL_MS)
        player = self.children.get("player")
        if player is not None:
            self._stop_ns = player.status.get("log_now_ns")
        else:
            self._stop_ns = self._now_ns()

    def _cause_outages(self, elapsed_s: float) -> None:
        while self._outages and elapsed_s >= self._outages[0].at_s:
            outage = self._outages.pop(0)
            if outage.process == "nursery":
                self.nursery.popen.kill()
                continue
            child = self.children[outage.process]
            if child.handle is not None and self._alive(child):
                child.handle.kill()
                child.held_until = time.monotonic() + outage.for_s
                self._event(
                    outage.process,
                    f"killed on purpose, kept down for {outage.for_s:g} s" if outage.for_s else "killed on purpose",
                )

    def _tend(self) -> None:
        """Notice deaths, hand over, restart."""
        now = time.monotonic()
        for child in self.children.values():
            if self._alive(child) or child.given_up:
                continue
            self._hear_control()  # its last words may still be under way
            if child.done or child.given_up:
                continue
            if child.died_at is None:
                child.died_at = now
            if not child.mourned:
                if self._may_still_speak(child, now - child.died_at):
                    continue
                child.mourned = True
                self._on_death(child)
            wait = BACKOFF_S[min(child.restarts, len(BACKOFF_S) - 1)]
            if now >= max(child.died_at + wait, child.held_until):
                if child.restarts >= MAX_RESTARTS:
                    child.given_up = True
                    self._event(
                        child.spec.name, f"died {MAX_RESTARTS} times in a row and stays down: {self._last_words(child)}"
                    )
                    continue
                child.restarts += 1
                self._spawn(child, rejoin=True)

    def _may_still_speak(self, child: _Child, since_s: float) -> bool:
        """Whether a process that is no more may have ended by itself: its last words can arrive after its end is seen.
        A twin that was on duty is not waited for, unless nothing may be lost.
        """
        if child.spec.slot is not None and child.active and not self.plan.lossless:
            return False
        return since_s < LAST_WORDS_S and self._exit_code(child) in (None, 0, 2)

    def _on_death(self, child: _Child) -> None:
        code = self._exit_code(child)
        if time.monotonic() - child.started_at > CALM_S:
            child.restarts = 0
        self._event(child.spec.name, f"died (exit code {code})")
        if self.plan.lossless:
            raise SensorfuseError(
                f"process {child.spec.name!r} died (exit code {code}) in a replay that must lose nothing: "
                f"{self._last_words(child)}"
            )
        if child.spec.slot is not None and child.active:
            twin = self.children[f"{child.spec.name.split('.')[0]}.{1 - child.spec.slot}"]
            child.active = False
            if self._alive(twin) and twin.ready:
                twin.active = True
                self._tell(twin, {"kind": "activate"})
                self._event(twin.spec.name, f"took over from {child.spec.name}")

    def _hear_control(self) -> None:
        self._collect_births()
        while self._control.poll(0):
            parts = self._control.recv_multipart()
            heard_ns = time.monotonic_ns()
            try:
                name, message = parts[0].decode(), unpack(parts[1])
            except (WireError, IndexError, UnicodeDecodeError):
                continue
            if isinstance(message, dict) and message.get("kind") == "time":
                self._tell_time(parts[0], message, heard_ns)
                continue
            child = self.children.get(name)
            if child is not None and child.requested:
                self._collect_births()  # it was born before it spoke
            if (
                child is None
                or not isinstance(message, dict)
                or child.handle is None
                or message.get("pid") != child.handle.pid
            ):
                continue  # words of an incarnation that is no more
            self._hear(child, message)

    def _tell_time(self, asker: bytes, question: dict[str, Any], heard_ns: int) -> None:
        """Answer a process on another host with when it was heard and when it is answered."""
        answer = {"number": question.get("number"), "t1": question.get("t1"), "t2": heard_ns}
        with contextlib.suppress(zmq.ZMQError):
            self._control.send_multipart([asker, pack({**answer, "t3": time.monotonic_ns()})])

    def _note_time(self, child: _Child, status: dict[str, Any]) -> None:
        """An event for each change in how well a process on another host knows the time."""
        new, old = status.get("time", {}), child.status.get("time", {})
        known = new.get("state") in ("locked", "coasting")
        if known and (new["state"], new["resets"]) != (old.get("state"), old.get("resets")):
            self._event(
                child.spec.name,
                f"time exchange {new['state']}: this host's clock is {new['offset_ns'] / 1e9:+.6f} s from its own, "
                f"within {new['bound_ns'] / 1e6:.3f} ms ({new['skew_ppm']:+.1f} ppm)",
            )

    def _hear(self, child: _Child, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "ready":
            child.ready = True
            if self._started:
                back = time.monotonic() - child.died_at if child.died_at is not None else 0.0
                child.died_at = None
                child.mourned = False
                self._event(child.spec.name, f"back after {back:.2f} s")
                twin = (
                    self.children.get(f"{child.spec.name.split('.')[0]}.{1 - child.spec.slot}")
                    if child.spec.slot is not None
                    else None
                )
                self._send_start(child, active=twin is None or not (twin.active and self._alive(twin)))
        elif kind == "status":
            self._note_time(child, message)
            child.status = message
            if "published" in message:
                self.collector.published(message["stream"], message["boot"], message["published"])
            for stream, count in message.get("published_by_stream", {}).items():
                self.collector.published(stream, 0, count)
            if "received" in message:
                self.collector.received(f"{child.spec.name}:{message['pid']}", message["received"])
        elif kind == "failed":
            child.given_up = True
            self.failures.append(f"{child.spec.name}: {message.get('text', '')}")
            self._event(child.spec.name, f"stays down: {message.get('text', '')}")
            if self.plan.mode == "record" or self.plan.lossless:
                raise SensorfuseError(self.failures[-1])
        elif kind == "event":
            self._event(child.spec.name, str(message.get("text", "")))
        elif kind == "done":
            child.done = True
            self.rejected.update(message.get("rejected", {}))

    def _listen(self) -> None:
        """Everything that processes said and published since."""
        self._hear_control()
        while (frames := receive(self._ears)) is not None:
            with contextlib.suppress(WireError):
                topic = bytes(frames[0])
                if topic == b"tick":
                    self.collector.tick(decode_record(frames, Tick))
                elif topic == b"fused":
                    self.collector.frame(decode_record(frames, FusedFrame))
                elif topic == b"timing":
                    timing = decode_record(frames, dict)
                    self.collector.timing(timing["tick_id"], timing["durations_ns"])
                else:
                    self.collector.close(decode_record(frames, dict)["dispositions"])

    # ---- stopping

    def _stop_in_order(self) -> None:
        """The player, the sensors, the aligner, fusion, the recorder: each brings what it has to its end before the
        next.
        """
        played = self.plan.log is not None and not self.stop_requested  # the log's end passes down by itself
        for rank in sorted({c.spec.stop_rank for c in self.children.values()}):
            group = [c for c in self.children.values() if c.spec.stop_rank == rank]
            grace = DRAIN_GRACE_S if self.plan.lossless else STOP_GRACE_S
            told = not (played and (rank <= 1 or self.plan.lossless))
            if told:
                self._tell_all(group, {"kind": "stop"})
            deadline = time.monotonic() + grace
            for child in group:
                if not child.ready and child.handle is not None:
                    child.handle.kill()  # still starting: it has nothing to bring to an end
            while any(self._alive(c) for c in group):
                self._listen()
                if time.monotonic() > deadline:
                    if told:
                        break
                    told = True
                    self._tell_all(group, {"kind": "stop"})
                    deadline = time.monotonic() + STOP_GRACE_S
                time.sleep(0.002)
            for child in group:
                if child.handle is not None and self._alive(child):
                    self._event(child.spec.name, "did not stop when told and was killed")
                    child.handle.kill()
            self._hear_last_words(group)

    def _hear_last_words(self, group: list[_Child]) -> None:
        """Wait a little for the word of how each of them ended."""
        deadline = time.monotonic() + LAST_WORDS_S
        self._listen()
        while time.monotonic() < deadline and not all(c.done or c.given_up for c in group):
            self._control.poll(POLL_MS)
            self._listen()

    def _tell_all(self, group: list[_Child], command: dict[str, Any]) -> None:
        for child in group:
            if self._alive(child):
                self._tell(child, command)

    def _kill_all(self) -> None:
        for child in self.children.values():
            if child.handle is not None:
                child.handle.kill()
