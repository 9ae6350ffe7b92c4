"""The supervisor: starts every process of a run, restarts what dies, hands over between twins, and stops all of them
in order.

It is not a process table with a shell around it: it hears every tick and every frame, so at the end it knows what the
run amounted to (`Outcome`). Should it die itself, the processes go on for a while, and another one can take them over.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq
from sensorfuse.nodes.caretaker import Caretaker
from sensorfuse.nodes.control_line import ControlLine
from sensorfuse.nodes.crew import Child, Crew
from sensorfuse.nodes.ears import is_told
from sensorfuse.nodes.foreign_status import read_status
from sensorfuse.nodes.plan import Outcome, RunPlan
from sensorfuse.nodes.process import subscribe
from sensorfuse.nodes.run_state import RunState, forget_run, start_mark
from sensorfuse.nodes.sabotage import Saboteur
from sensorfuse.nodes.stopping import stop_in_order

from sensorfuse.clock import RunClock, boot_id, epoch_offset_ns
from sensorfuse.collector import Collector
from sensorfuse.endpoints import RUN_DIR_VARIABLE, SLOTS, run_folder
from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import check_faults
from sensorfuse.messages import FusedFrame, Tick
from sensorfuse.processes import ProcessSpec, process_table
from sensorfuse.report.record import Event
from sensorfuse.shared_memory import sweep_shared_memory
from sensorfuse.wire import WireError, decode_record, receive

__all__ = ["Outcome", "RunPlan", "Supervisor"]

POLL_MS = 10
START_TIMEOUT_S = 120.0
MAKING_PER_S = 10.0  # at most so long for a second of a synthetic world
START_DELAY_NS = 300_000_000
ADOPT_PERIOD_S = 0.1
MAX_FOREIGN_WORDS = 500  # characters of an event of another host


class Supervisor:
    """Runs one plan to its end. `run()` blocks; Ctrl-C or SIGTERM ends the run in order.

    Args:
        plan: what to run.
        taken_over: the state of a run whose supervisor is no more; its processes are adopted as they stand.
    """

    def __init__(self, plan: RunPlan, taken_over: RunState | None = None) -> None:
        if plan.mode == "replay":
            plan.rig = plan.rig.on_one_host()
        self.plan = plan
        self.events: list[Event] = []
        self.rejected: dict[str, int] = {}
        self.failures: list[str] = []
        self.stop_requested = False
        self.collector = Collector(plan.rig.streams(), rate=plan.rate or 1.0, clocked=not plan.lossless)
        self._taken_over = taken_over
        self._origin_ns = self._offset_ns = 0
        self._stop_ns: int | None = None
        self._started = False
        self._clock: RunClock | None = None
        self._strangers: set[str] = set()  # adopted, not heard of yet
        self._abroad: dict[str, Child] = {}  # sensors' processes on other hosts, as far as they have been heard of
        self._waiting: set[str] = set()  # of those, who is ready for the start
        self._refused_abroad: Counter[str] = Counter()  # statuses of theirs that cannot be
        self._next_adoption_s = 0.0
        self._accounts_from: set[tuple[str, int]] = set()  # incarnations whose account begins with this supervisor
        self._received_before: dict[int, dict[str, int]] = {}  # by adopted aligners, before this supervisor's account

    # ---- life of a run

    def run(self) -> Outcome:
        """Start, watch, stop; returns what the run amounted to.

        Raises:
            SensorfuseError: a process refused to start (its own words), or died in a deterministic replay; a fault has
                no target in this run.
        """
        plan = self.plan
        check_faults(plan.faults, plan.rig, fuses=plan.mode != "record")
        (plan.out / "logs").mkdir(parents=True, exist_ok=True)
        rig_file = plan.out / "rig.yaml"
        if self._taken_over is None:
            rig_file.write_text(plan.rig.to_yaml(), encoding="utf-8")
            (plan.out / "events.jsonl").unlink(missing_ok=True)
        previous = os.environ.get(RUN_DIR_VARIABLE)
        own_folder = None
        if previous is None and plan.rig.endpoints.base == "ipc" and plan.mode == "replay":
            own_folder = tempfile.mkdtemp(prefix="sensorfuse-")  # replays do not meet each other or a live run
            os.environ[RUN_DIR_VARIABLE] = own_folder
        handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._run(rig_file)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if own_folder is not None:
                del os.environ[RUN_DIR_VARIABLE]
                shutil.rmtree(own_folder, ignore_errors=True)

    def _run(self, rig_file: Path) -> Outcome:
        plan = self.plan
        self._folder = run_folder(plan.rig)
        self._offset_ns = epoch_offset_ns(self._folder)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.line = ControlLine(self._context, plan.rig, self._event)
        slots = SLOTS if plan.twins else SLOTS[:1]
        self._ears = subscribe(
            self._context,
            plan.rig,
            [f"align.{s}" for s in slots] + [f"fusion.{s}" for s in slots],
            ["tick", "end", "fused", "fused_end", "timing"],
            True,
        )
        self.crew = Crew(plan, rig_file, self._event)
        self._saboteur = Saboteur(plan.faults, self.crew, self._event)
        self._caretaker = Caretaker(self.crew, self.line, self._event, self._write_state)
        try:
            for spec in process_table(plan.rig, plan.mode, plan.twins, plan.record_inputs, plan.only):
                self.crew.add(spec)
            if self._taken_over is not None:
                self._take_over(self._taken_over)
            else:
                for child in self.crew.children.values():
                    self.crew.spawn(child, rejoin=False)
                self._wait_until_ready()
                if not self.stop_requested:
                    self._begin()
            if self._started:
                self._watch()
            self._saboteur.close()
            player = self.children.get("player")
            log_ended = not self.stop_requested and player is not None and player.done  # it passes down by itself
            for name in self._abroad:
                self.line.tell(name, {"kind": "stop"})
            stop_in_order(self.crew, self.line, self._listen, self._event, log_ended)
            forget_run(self._folder)
        finally:
            self._saboteur.close()
            self.crew.close()
            self._ears.close()
            self.line.close()
            self._context.destroy()
            sweep_shared_memory(self._folder)
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
        children = {**self.children, **self._abroad}
        known = {name: child.status["time"] for name, child in children.items() if "time" in child.status}
        return Outcome(
            self.collector,
            self.events,
            expected,
            self._origin_ns,
            log_parts(self.plan.out, name),
            self.rejected,
            self.failures,
            known,
        )

    @property
    def children(self) -> dict[str, Child]:
        return self.crew.children

    def pids(self) -> dict[str, int]:
        """Of every process of the run that is there, by name, and of the supervisor itself."""
        return {**self.crew.pids(), "supervisor": os.getpid()}

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
        """Into the one list of events, and at once into a file that outlives this process."""
        event = Event(self._now_ns(), process, what)
        self.events.append(event)
        with contextlib.suppress(OSError), (self.plan.out / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event)) + "\n")

    # ---- starting

    def _wait_until_ready(self) -> None:
        allowed_s = START_TIMEOUT_S + MAKING_PER_S * self.plan.made_ahead_s
        deadline = time.monotonic() + allowed_s
        while not self.stop_requested:
            self._hear_control()
            for child in self.children.values():
                if not child.alive():
                    code, words = self.crew.exit_code(child), self.crew.last_words(child) or "no message"
                    raise SensorfuseError(f"process {child.name!r} did not start (exit code {code}): {words}")
            if all(c.ready for c in self.children.values()):
                return
            if time.monotonic() > deadline:
                slow = ", ".join(n for n, c in self.children.items() if not c.ready)
                raise SensorfuseError(
                    f"these processes were not ready within {allowed_s:.0f} s: {slow}; see {self.plan.out / 'logs'}"
                )
            self.line.wait(POLL_MS)

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
            child.heard_at = time.monotonic()  # one that waits to start has nothing to say
            self._send_start(child, active=child.spec.slot in (None, 0))
        for name in sorted(self._waiting):
            self._hear_abroad(name, {"kind": "ready"})
        self._event("supervisor", f"started {len(self.children)} processes")
        self._write_state()

    def _take_over(self, state: RunState) -> None:
        """Adopt what runs of another supervisor's run; what does not is started again."""
        self._clock = RunClock(**state.clock)
        self._origin_ns, self._mono_start = state.origin_ns, state.mono_start_s
        self._started = True
        if self.plan.duration_s is not None:
            self.plan.duration_s += time.monotonic() - self._mono_start
        there = state.running()
        for child in self.children.values():
            if child.name in there:
                self.crew.adopt(child, there[child.name])
                child.active = child.name in state.active or child.spec.slot is None
                self._strangers.add(child.name)
        for child in self.children.values():
            if child.name not in there:
                self.crew.spawn(child, rejoin=True)
        self._event("supervisor", f"took over {len(there)} of {len(self.children)} processes from {state.supervisor}")
        self._write_state()

    def _greet_adopted(self, now_s: float) -> None:
        """Tell the adopted who is there now, until they answer."""
        if self._strangers and now_s >= self._next_adoption_s:
            self._next_adoption_s = now_s + ADOPT_PERIOD_S
            for name in self._strangers:
                self.line.tell(name, {"kind": "adopt", "control": os.getpid()})

    def _write_state(self) -> None:
        """Leave what another supervisor needs to take this run over; a run that nobody may take over leaves nothing."""
        plan = self.plan
        if plan.orphan_s <= 0 or self._clock is None:
            return
        pids = {name: child.handle.pid for name, child in self.children.items() if child.handle and child.alive()}
        begun = {name: (pid, at) for name, pid in pids.items() if (at := start_mark(pid)) is not None}
        only = None if plan.only is None else list(plan.only)
        active = [c.name for c in self.children.values() if c.active]
        with contextlib.suppress(OSError):
            RunState(
                os.getpid(), boot_id(), plan.mode, str(plan.out.resolve()), self._clock.to_dict(), self._origin_ns,
                self._mono_start, plan.record_inputs, only, plan.orphan_s, active, begun,
            ).write(self._folder)  # fmt: skip

    def _send_start(self, child: Child, active: bool) -> None:
        assert self._clock is not None
        child.active = active
        self.line.tell(child.name, {
            "kind": "start", "clock": self._clock.to_dict(), "origin_ns": self._origin_ns, "epoch_ns": self._origin_ns,
            "active": active, "next_tick": max(self.collector.tick_ids, default=-1) + 1,
        })  # fmt: skip

    # ---- watching

    def _watch(self) -> None:
        """Until the plan is fulfilled, someone asks to stop, or the log has been played."""
        plan = self.plan
        while not self.stop_requested:
            self._listen()
            self._greet_adopted(time.monotonic())
            self._caretaker.tend(time.monotonic(), self._hear_control)
            elapsed = time.monotonic() - self._mono_start
            if plan.on_progress is not None:
                plan.on_progress(self.collector, elapsed)
            self._saboteur.act(elapsed, time.monotonic())
            if plan.duration_s is not None and elapsed >= plan.duration_s:
                break
            player = self.children.get("player")
            if player is not None and (player.done or player.restarts.broken):
                break
            self.line.wait(POLL_MS)
        player = self.children.get("player")
        if player is not None and player.restarts.broken:
            self.failures.append(f"the player died again and again: {self.crew.last_words(player)}")
        if player is not None:
            self._stop_ns = player.status.get("log_now_ns")
        else:
            self._stop_ns = self._now_ns()

    # ---- what processes say

    def _hear_control(self) -> None:
        self.crew.collect_births(rejoin=self._started)
        for name, message in self.line.words():
            if self.plan.rig.endpoints.host_of(name) is not None:
                self._hear_abroad(name, message)
                continue
            child = self.children.get(name)
            if child is not None and child.requested:
                self.crew.collect_births(rejoin=self._started)  # it was born before it spoke
            if child is None or child.handle is None or message.get("pid") != child.handle.pid:
                continue  # words of an incarnation that is no more
            child.heard_at = time.monotonic()
            self._hear(child, message)

    def _hear_abroad(self, name: str, message: dict[str, Any]) -> None:
        """A sensor's process on another host, started and restarted there: it joins when it comes."""
        abroad = self._abroad.setdefault(name, Child(ProcessSpec(name, "", (), 1)))
        if message.get("kind") == "ready":
            if self._clock is None:
                self._waiting.add(name)
                return
            self._waiting.discard(name)
            self._event(name, f"joined from the host {self.plan.rig.endpoints.host_of(name)}")
            self._send_start(abroad, active=True)
        elif message.get("kind") == "status":
            status = read_status(name, message)
            if status is None:
                self._refused_abroad[name] += 1
                if is_told(self._refused_abroad[name]):
                    told = f"a status that says nothing of {name} that could be: refused"
                    self._event(name, f"{told} ({self._refused_abroad[name]} so far)")
                return
            self._note_time(abroad, status)
            abroad.status = status
            self._note_counts(abroad, status)
        elif message.get("kind") == "event":
            self._event(name, str(message.get("text", ""))[:MAX_FOREIGN_WORDS])

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "ready":
            self._on_ready(child)
        elif kind == "status":
            self._strangers.discard(child.name)
            self._note_time(child, message)
            child.status = message
            self._note_counts(child, message)
        elif kind == "failed":
            text = f"{child.name}: {message.get('text', '')}"
            if text not in self.failures:
                self.failures.append(text)
            if self.plan.mode == "record" or self.plan.lossless:
                raise SensorfuseError(text)
            child.restarts.fail(time.monotonic())
            self._event(child.name, f"stays down for now: {message.get('text', '')}")
        elif kind == "event":
            self._event(child.name, str(message.get("text", "")))
        elif kind == "done":
            child.done = True
            self.rejected.update(message.get("rejected", {}))

    def _on_ready(self, child: Child) -> None:
        child.ready = True
        if not self._started:
            return
        back = time.monotonic() - child.died_at if child.died_at is not None else 0.0
        child.died_at = None
        child.mourned = False
        self._event(child.name, f"back after {back:.2f} s")
        twin = self.crew.twin(child)
        self._send_start(child, active=twin is None or not (twin.active and twin.alive()))
        self._write_state()

    def _note_counts(self, child: Child, status: dict[str, Any]) -> None:
        """What a process has published and received so far. Of one that was adopted, the account begins now: what
        became of earlier messages was told to another supervisor.
        """
        if child.adopted and not self.collector.tick_ids:
            return
        counts = [(status["stream"], status["boot"], status["published"])] if "published" in status else []
        for stream, boot, count in counts:
            if child.adopted and (stream, boot) not in self._accounts_from:
                self._accounts_from.add((stream, boot))
                self.collector.ledger.begin_at(stream, boot, count)
            self.collector.published(stream, boot, count)
        for stream, count in status.get("published_by_stream", {}).items():
            self.collector.published(stream, 0, count)
        if "received" in status:
            pid, received = status["pid"], status["received"]
            if child.adopted:
                before = self._received_before.setdefault(pid, received)
                received = {stream: n - before.get(stream, 0) for stream, n in received.items()}
            self.collector.received(child.name, pid, received)

    def _note_time(self, child: Child, status: dict[str, Any]) -> None:
        """An event for each change in how well a process on another host knows the time."""
        new, old = status.get("time", {}), child.status.get("time", {})
        known = new.get("state") in ("locked", "coasting")
        if known and (new["state"], new["resets"]) != (old.get("state"), old.get("resets")):
            self._event(
                child.name,
                f"time exchange {new['state']}: this host's clock is {new['offset_ns'] / 1e9:+.6f} s from its own, "
                f"within {new['bound_ns'] / 1e6:.3f} ms ({new['skew_ppm']:+.1f} ppm)",
            )

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
