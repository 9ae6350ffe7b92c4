"""What a supervisor leaves beside the sockets, so that another one can take its run over."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from sensorfuse.nodes.plan import RunPlan

from sensorfuse.clock import boot_id
from sensorfuse.endpoints import run_folder
from sensorfuse.errors import SensorfuseError
from sensorfuse.plain_json import read_object
from sensorfuse.processes import Mode
from sensorfuse.rig import Rig, load_rig

FILE = "run.json"
PROC = Path("/proc")


@dataclass
class RunState:
    """A live run: where it writes, its clock, and who takes part. `pids` has each process's id and when it began."""

    supervisor: int
    boot: str
    mode: str
    out: str
    clock: dict[str, Any]
    origin_ns: int
    mono_start_s: float
    record_inputs: bool
    only: list[str] | None
    orphan_s: float
    active: list[str]
    pids: dict[str, tuple[int, float]]

    def write(self, folder: Path) -> None:
        """Replace the file at once, so that a reader never finds half of it."""
        fresh = folder / f".{FILE}.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.replace(folder / FILE)

    def running(self) -> dict[str, int]:
        """The processes that are still there, by name."""
        return {name: pid for name, (pid, mark) in self.pids.items() if start_mark(pid) == mark}


def start_mark(pid: int) -> float | None:
    """When a process began (its id may be another's by now); None when there is none. On Linux in clock ticks since the
    system began, which stay the same when somebody sets its clock; elsewhere a time of day.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        ticks = _start_ticks(pid)
        return process.create_time() if ticks is None else ticks
    except psutil.Error:
        return None


def _start_ticks(pid: int) -> int | None:
    """The 22nd field of /proc/PID/stat (proc(5)); the name before it, in brackets, may hold anything."""
    try:
        return int((PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def find_run(rig: Rig) -> tuple[RunState, Rig]:
    """The run of this rig that goes on without its supervisor, and the rig as it runs.

    Raises:
        SensorfuseError: there is none, or its supervisor is alive.
    """
    file = run_folder(rig) / FILE
    try:
        state = RunState(**read_object(file.read_text(encoding="utf-8")))
        state.pids = {name: (int(pid), float(begun)) for name, (pid, begun) in state.pids.items()}
    except (OSError, ValueError, TypeError) as error:
        raise SensorfuseError(f"no run of rig {rig.name!r} to take over: {file}: {error}") from None
    if state.boot != boot_id() or not state.running():
        raise SensorfuseError(f"no process of the run in {state.out} is alive any more; start another one")
    if psutil.pid_exists(state.supervisor):
        raise SensorfuseError(f"the run in {state.out} has its supervisor, process {state.supervisor}")
    return state, load_rig(Path(state.out) / "rig.yaml")


def plan_of_state(state: RunState, rig: Rig, duration_s: float | None) -> RunPlan:
    """The plan by which the run goes on, for `duration_s` from now or until Ctrl-C."""
    return RunPlan(
        rig,
        cast(Mode, state.mode),
        Path(state.out),
        duration_s=duration_s,
        record_inputs=state.record_inputs,
        only=None if state.only is None else tuple(state.only),
        orphan_s=state.orphan_s,
    )


def forget_run(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)
