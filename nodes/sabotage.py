"""Faults of processes and of the machine, carried out: killed, stopped, out of space, out of processor time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sensorfuse.nodes.crew import Child, Crew

from sensorfuse.inject.fault import Fault

BUSY = "while True: pass"


class Saboteur:
    """Carries out the faults of processes and of the machine when their time has come, and undoes them.

    A full disk is a limit on the size of what the process writes (`RLIMIT_FSIZE`), so no disk is ever filled.
    """

    def __init__(self, faults: Sequence[Fault], crew: Crew, on_event: Callable[[str, str], None]) -> None:
        self._coming = sorted((f for f in faults if f.place != "stream"), key=lambda f: f.at_s)
        self._lasting: list[tuple[float, Callable[[], None]]] = []  # when it ends, and how
        self._again: dict[str, tuple[int, Fault, int]] = {}  # how often it is still to be killed, and who was last
        self._crew = crew
        self._on_event = on_event
        self._busy: list[subprocess.Popen[bytes]] = []

    def act(self, elapsed_s: float, now_s: float) -> None:
        """What is due `elapsed_s` into the run; `now_s` is the supervisor's steady clock."""
        while self._coming and elapsed_s >= self._coming[0].at_s:
            self._begin(self._coming.pop(0), now_s)
        for ends_s, undo in [e for e in self._lasting if elapsed_s >= e[0]]:
            undo()
            self._lasting.remove((ends_s, undo))
        for name, (left, fault, last) in list(self._again.items()):
            child = self._crew.children[name]
            if child.ready and child.handle is not None and child.handle.pid != last and child.alive():
                self._kill(fault, left, now_s)

    def _begin(self, fault: Fault, now_s: float) -> None:
        if fault.kind == "cpu":
            self._starve(fault)
        elif fault.target == "nursery":
            self._crew.nursery.popen.kill()
        elif fault.kind == "kill":
            self._kill(fault, round(fault.amount), now_s)
        else:
            child = self._crew.children.get(fault.target)
            try:
                if child is None or child.handle is None or not child.alive():
                    raise ProcessLookupError
                (self._stop if fault.kind == "stop" else self._fill_disk)(fault, child)
            except (ProcessLookupError, FileNotFoundError, PermissionError):  # it may end at any moment, and be reaped
                self._on_event(fault.target, f"was not there to suffer {fault}")

    def _kill(self, fault: Fault, times: int, now_s: float) -> None:
        child = self._crew.children.get(fault.target)
        self._again.pop(fault.target, None)
        if child is None or child.handle is None or not child.alive():
            self._on_event(fault.target, f"was not there to suffer {fault}")
            return
        child.kill()
        if times > 1:
            self._again[fault.target] = (times - 1, fault, child.handle.pid)
        child.restarts.hold(now_s + (fault.for_s or 0.0))
        kept = f", kept down for {fault.for_s:g} s" if fault.for_s else ""
        self._on_event(fault.target, f"killed on purpose{kept}")

    def _stop(self, fault: Fault, child: Child) -> None:
        assert child.handle is not None
        pid = child.handle.pid
        os.kill(pid, signal.SIGSTOP)
        self._on_event(fault.target, "stopped on purpose")

        def go_on() -> None:
            with contextlib.suppress(ProcessLookupError):
                if child.handle is not None and child.handle.pid == pid and child.alive():
                    os.kill(pid, signal.SIGCONT)
                    self._on_event(fault.target, "let go on")

        self._lasting.append((fault.end_s, go_on))

    def _fill_disk(self, fault: Fault, child: Child) -> None:
        assert child.handle is not None
        pid = child.handle.pid
        limit = _largest_file(pid, self._crew.plan.out.resolve()) + round(fault.amount * 1e6)
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, before[1]))
        self._on_event(fault.target, f"its disk is full on purpose: {fault.amount:g} MB left")

        def make_room() -> None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            child.restarts.due_s = 0.0
            self._on_event(fault.target, "its disk has room again")

        self._lasting.append((fault.end_s, make_room))

    def _starve(self, fault: Fault) -> None:
        count = round(fault.amount)
        started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
        self._busy += started
        self._on_event(fault.target, f"{count} busy processes started on purpose")

        def end() -> None:
            for process in started:
                process.kill()
                process.wait()
            self._on_event(fault.target, "busy processes ended")

        self._lasting.append((fault.end_s, end))

    def close(self) -> None:
        """Nothing of it outlives the run."""
        for process in self._busy:
            process.kill()
            process.wait()
        self._again.clear()
        for child in self._crew.children.values():
            if child.handle is not None and child.handle.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.handle.pid, signal.SIGCONT)


def _largest_file(pid: int, folder: Path) -> int:
    """Size of the largest file of a folder that a process has open."""
    sizes = [0]
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if folder in link.resolve().parents:
                sizes.append(link.stat().st_size)
    return max(sizes)
