"""The nursery: one process that has imported everything once and forks the others from there.

Starting ten interpreters costs a second of work each; forking costs milliseconds, so a process that died is back at
once, on a busy machine too. The supervisor asks over a socket; the nursery answers with the process id, and later
with the exit code. It holds no ZeroMQ context, no engine and no thread, so what it forks starts clean.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

MODULES = (
    "sensorfuse.nodes.align",
    "sensorfuse.nodes.audio",
    "sensorfuse.nodes.camera",
    "sensorfuse.nodes.fusion",
    "sensorfuse.nodes.imu",
    "sensorfuse.nodes.lidar",
    "sensorfuse.nodes.player",
    "sensorfuse.nodes.radar",
    "sensorfuse.nodes.recorder",
    "sensorfuse.fusion.late",
    "sensorfuse.fusion.learned",
)
MAX_MESSAGE = 1 << 16


def main() -> None:
    """Serve the supervisor whose socket is the file descriptor given as the first argument, until it closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no nursery without its supervisor
    channel = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([channel.fileno(), wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _report_exits(channel)
        if channel.fileno() in ready:
            request = channel.recv(MAX_MESSAGE)
            if not request:
                return
            _fork(channel, json.loads(request), (wake_read, wake_write))


def _report_exits(channel: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            channel.send(json.dumps({"exited": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _fork(channel: socket.socket, request: dict[str, Any], own: tuple[int, int]) -> None:
    pid = os.fork()
    if pid:
        channel.send(json.dumps({"name": request["name"], "pid": pid}).encode())
        return
    code = 1
    try:
        os.setsid()  # Ctrl-C reaches the supervisor alone, which stops the others in order
        signal.set_wakeup_fd(-1)
        for fd in own:
            os.close(fd)
        channel.close()
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        with open(request["log"], "ab") as log, open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if request["memory_mb"] is not None:
            limit = round(request["memory_mb"] * 1e6)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        importlib.import_module(request["module"]).main(request["arguments"])
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Nursery:
    """The supervisor's end. A nursery that dies is replaced; what it has forked lives on."""

    def __init__(self, log: Path, memory_mb: float | None = None) -> None:
        self._log = log
        self._memory_mb = memory_mb  # at most, of each process's own
        self._pids: dict[str, list[int]] = {}  # answers not yet collected
        self._codes: dict[int, int] = {}
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "sensorfuse.nodes.nursery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        ours.setblocking(False)
        self._channel = ours

    def alive(self) -> bool:
        return self.popen.poll() is None

    def replace(self) -> None:
        """Start another nursery in the place of one that died."""
        self._channel.close()
        self._start()

    def request(self, name: str, module: str, arguments: list[str], log: Path) -> None:
        """Ask for a process; `pid_of` tells when it is there."""
        message = {
            "name": name,
            "module": module,
            "arguments": arguments,
            "log": str(log),
            "memory_mb": self._memory_mb,
        }
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(message).encode())

    def pid_of(self, name: str) -> int | None:
        """The process id of the oldest request of this name that has been answered since; None while none has."""
        self._listen()
        answers = self._pids.get(name)
        return answers.pop(0) if answers else None

    def exit_code(self, pid: int) -> int | None:
        self._listen()
        return self._codes.get(pid)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while message := self._channel.recv(MAX_MESSAGE):
                answer = json.loads(message)
                if "exited" in answer:
                    self._codes[answer["exited"]] = answer["code"]
                else:
                    self._pids.setdefault(answer["name"], []).append(answer["pid"])

    def close(self) -> None:
        self._channel.close()
        self.popen.kill()
        self.popen.wait()


class ChildHandle:
    """A process that the nursery forked: alive or not is seen on the process itself, not on anyone's word."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd: int | None = None
        self._gone = False
        if hasattr(os, "pidfd_open"):
            try:
                self._fd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._gone = True

    def alive(self) -> bool:
        if self._gone:
            return False
        if self._fd is not None:
            self._gone = bool(select.select([self._fd], [], [], 0)[0])
        else:
            try:
                os.kill(self.pid, 0)
            except (ProcessLookupError, PermissionError):  # or another user's by now
                self._gone = True
        if self._gone:
            self.close()
        return not self._gone

    def kill(self) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


if __name__ == "__main__":
    main()
