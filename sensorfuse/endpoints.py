"""Where processes meet: the address of every socket, and sockets that refuse to share one.

`ipc://` sockets live in a folder that only this user may enter. ZeroMQ silently takes over an ipc socket that another
process has bound; a lock file beside each one turns that into an error.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

import zmq

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig
from sensorfuse.wire import MAX_PAYLOAD_BYTES

RUN_DIR_VARIABLE = "SENSORFUSE_RUN_DIR"
SLOTS = (0, 1)  # aligner and fusion run twice: one active, one standing by


def run_folder(rig: Rig) -> Path:
    """The folder of this rig's ipc sockets, locks and epoch file; made if absent, entered by nobody else."""
    base = os.environ.get(RUN_DIR_VARIABLE)
    if base:
        folder = Path(base)
    elif rig.endpoints.base.startswith("ipc:///"):
        folder = Path(rig.endpoints.base.removeprefix("ipc://")) / rig.name
    else:
        folder = Path(tempfile.gettempdir()) / f"sensorfuse-{os.getuid()}" / rig.name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SensorfuseError(
            f"cannot make the folder for sockets, {folder}: {error}; set {RUN_DIR_VARIABLE}"
        ) from None
    if folder.stat().st_uid != os.getuid():
        raise SensorfuseError(f"{folder} belongs to another user; set {RUN_DIR_VARIABLE} to a folder of your own")
    return folder


def names(rig: Rig) -> list[str]:
    """Every endpoint of a rig, in a fixed order (which numbers the tcp ports)."""
    streams = rig.streams()
    return [
        *streams,
        *(f"source.{s}" for s in streams),
        *(f"align.{slot}" for slot in SLOTS),
        *(f"fusion.{slot}" for slot in SLOTS),
        "player",
        "control",
    ]


def address(rig: Rig, name: str) -> str:
    """The ZeroMQ address of an endpoint."""
    if rig.endpoints.base.startswith("tcp://"):
        return f"{rig.endpoints.base}:{rig.endpoints.port + names(rig).index(name)}"
    path = run_folder(rig) / name
    if len(str(path)) > 100:
        raise SensorfuseError(
            f"socket path is too long for the system ({path}); set {RUN_DIR_VARIABLE} to a shorter folder"
        )
    return f"ipc://{path}"


def bind(socket: zmq.Socket[bytes], rig: Rig, name: str) -> IO[str] | None:
    """Bind a socket to its endpoint. Keep the returned lock open as long as the socket.

    Raises:
        SensorfuseError: another process holds the endpoint.
    """
    where = address(rig, name)
    lock: IO[str] | None = None
    if where.startswith("ipc://"):
        lock = open(run_folder(rig) / f"{name}.lock", "a+", encoding="utf-8")  # noqa: SIM115 (held for the socket's life)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise SensorfuseError(
                f"endpoint {name!r} ({where}) is in use by process {holder}; stop it, or set {RUN_DIR_VARIABLE} "
                "or `endpoints` in the rig to run a second pipeline"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
    try:
        socket.bind(where)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise SensorfuseError(
                f"endpoint {name!r}: port {where.rsplit(':', 1)[-1]} is in use; change `endpoints.port` in the rig"
            ) from None
        raise SensorfuseError(f"endpoint {name!r}: cannot bind {where}: {error}") from None
    return lock


def make_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, queue: int) -> zmq.Socket[bytes]:
    """A socket with bounded frames, no linger and quick reconnection.

    `queue` messages at most wait per peer (0: no bound).
    """
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    return socket
