"""The processes of a run: asked for, born, alive or not, and why they ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensorfuse.nodes.nursery import ChildHandle, Nursery
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.restarts import Restarts

from sensorfuse.clock import boot_id
from sensorfuse.processes import ProcessSpec

MAX_WORDS = 3  # lines of a process's own log that an event cites


@dataclass
class Child:
    """One process, in all its incarnations."""

    spec: ProcessSpec
    handle: ChildHandle | None = None
    requested: bool = False  # the nursery has been asked for it and has not answered yet
    adopted: bool = False  # another supervisor's nursery forked it
    ready: bool = False
    active: bool = False
    done: bool = False
    heard_at: float = 0.0  # when it last said anything
    log_from: int = 0  # where its last incarnation's words begin in its log
    died_at: float | None = None
    mourned: bool = False  # its death has been believed and acted on
    restarts: Restarts = field(default_factory=Restarts)
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name

    def alive(self) -> bool:
        return self.requested or (self.handle is not None and self.handle.alive())

    def kill(self) -> None:
        if self.handle is not None:
            self.handle.kill()


class Crew:
    """Starts processes through a nursery and knows how each stands. It decides nothing.

    Args:
        plan: of the run; `rig_file` is the rig as the processes read it.
        on_event: told of what a person should know, by process.
    """

    def __init__(self, plan: RunPlan, rig_file: Path, on_event: Callable[[str, str], None]) -> None:
        self.plan = plan
        self.children: dict[str, Child] = {}
        self.nursery = Nursery(plan.out / "logs" / "nursery.log", plan.rig.limits.memory_mb)
        self._rig_file = rig_file
        self._on_event = on_event
        self._logs = plan.out / "logs"

    def add(self, spec: ProcessSpec) -> Child:
        return self.children.setdefault(spec.name, Child(spec))

    def twin(self, child: Child) -> Child | None:
        """The other one of two; None for a process that has none."""
        if child.spec.slot is None:
            return None
        return self.children.get(f"{child.name.split('.')[0]}.{1 - child.spec.slot}")

    def spawn(self, child: Child, rejoin: bool) -> None:
        log = self._log(child)
        child.log_from = log.stat().st_size if log.exists() else 0
        self.nursery.request(child.name, child.spec.module, self._arguments(child.spec, rejoin), log)
        child.handle = None
        child.requested = True
        child.ready = child.done = child.active = child.adopted = False
        child.heard_at = time.monotonic()
        child.restarts.started(child.heard_at)

    def adopt(self, child: Child, pid: int) -> None:
        """Take over a process that runs already."""
        child.handle = ChildHandle(pid)
        child.adopted = child.ready = True
        child.heard_at = time.monotonic()
        child.restarts.started(child.heard_at)

    def collect_births(self, rejoin: bool) -> None:
        """Learn which of the processes asked for are there; replace a nursery that died, and ask again."""
        if not self.nursery.alive():
            self._on_event("nursery", "died; another one is started")
            self.nursery.replace()
            for child in self.children.values():
                if child.requested:
                    self.spawn(child, rejoin)
        for child in self.children.values():
            if child.requested and (pid := self.nursery.pid_of(child.name)) is not None:
                child.handle = ChildHandle(pid)
                child.requested = False

    def exit_code(self, child: Child) -> int | None:
        return self.nursery.exit_code(child.handle.pid) if child.handle is not None else None

    def cause(self, child: Child) -> str:
        """How a process that is no more ended: its exit code or the signal's name, and its last words."""
        code = self.exit_code(child)
        if code is None:
            how = "exit code unknown"
        elif code < 0:
            how = _signal_name(-code)
        else:
            how = f"exit code {code}"
        words = self.last_words(child, 1)
        return how if (code is not None and code < 0) or not words else f"{how}: {words}"

    def last_words(self, child: Child, count: int = MAX_WORDS) -> str:
        """The last errors that the last incarnation of a process wrote to its log, else its last lines; "" for none."""
        log = self._log(child)
        text = log.read_bytes()[child.log_from :].decode(errors="replace").strip() if log.exists() else ""
        lines = text.splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return "\n".join((errors or lines)[-count:])

    def pids(self) -> dict[str, int]:
        """Of every process that is there, by name, and of the nursery."""
        found = {n: c.handle.pid for n, c in self.children.items() if c.handle is not None and c.handle.alive()}
        return {**found, "nursery": self.nursery.popen.pid}

    def kill_all(self) -> None:
        for child in self.children.values():
            child.kill()

    def close(self) -> None:
        self.kill_all()
        self.nursery.close()

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _arguments(self, spec: ProcessSpec, rejoin: bool) -> list[str]:
        plan = self.plan
        command = ["--rig", str(self._rig_file), "--control", str(os.getpid()), "--control-host", boot_id()]
        command += spec.arguments
        for topic, count in spec.awaits:
            command += ["--await", f"{topic}={count}"]
        if plan.orphan_s:
            command += ["--orphan", str(plan.orphan_s)]
        if plan.lossless:
            command.append("--lossless")
        if rejoin:
            command.append("--rejoin")
        if plan.made_ahead_s and spec.name in plan.rig.sensors and not rejoin:
            command += ["--made-ahead", str(plan.made_ahead_s)]
        if spec.name == "player" or (plan.log is None and spec.name in plan.rig.sensors):
            command += self._fault_arguments(spec)
        if spec.name == "player":
            command += ["--log", str(plan.log), "--loop", str(plan.loop_s)]
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

    def _fault_arguments(self, spec: ProcessSpec) -> list[str]:
        """The faults that this process puts in: all streams' or its own."""
        own = [f for f in self.plan.faults if f.place == "stream" and spec.name in (f.target, "player")]
        if not own:
            return []
        told = [part for fault in own for part in ("--fault", str(fault))]
        return [*told, "--fault-seed", str(self.plan.fault_seed)]


def _signal_name(number: int) -> str:
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"
