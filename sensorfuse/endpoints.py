"""Where processes meet: the address of every socket, and sockets that refuse to share one.

`ipc://` sockets live in a folder that only this user may enter. ZeroMQ silently takes over an ipc socket that another
process has bound; a lock file beside each one turns that into an error. `tcp://` sockets ask for keys wherever the
rig names them, which it must beyond loopback.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

import zmq

from sensorfuse.curve import Guard, distrust, trust
from sensorfuse.errors import SensorfuseError
from sensorfuse.keys import KeyRing
from sensorfuse.private_files import close_to_others, require_private
from sensorfuse.rig import Rig
from sensorfuse.wire import MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES

RUN_DIR_VARIABLE = "SENSORFUSE_RUN_DIR"
MAX_TOPIC_BYTES = 512
# the largest part that a peer may send to a socket of this kind; a larger one ends the connection
MAX_HEARD_BYTES: dict[int, int] = {
    zmq.XPUB: MAX_TOPIC_BYTES,
    zmq.PUB: MAX_TOPIC_BYTES,
    zmq.PUSH: MAX_TOPIC_BYTES,
    zmq.ROUTER: MAX_RECORD_BYTES,
    zmq.DEALER: MAX_RECORD_BYTES,
}
SLOTS = (0, 1)  # aligner and fusion run twice: one active, one standing by


def run_folder(rig: Rig) -> Path:
    """The folder of this rig's ipc sockets, locks and epoch file; made if absent, entered by nobody else.

    Raises:
        SensorfuseError: it cannot be made, is a link, belongs to another user, or others may enter it.
    """
    base = os.environ.get(RUN_DIR_VARIABLE)
    if base:
        folder = Path(base)
        _make_private(folder, ours=False)
    elif rig.endpoints.base.startswith("ipc:///"):
        folder = Path(rig.endpoints.base.removeprefix("ipc://")) / rig.name
        _make_private(folder, ours=True)
    else:
        home = Path(tempfile.gettempdir()) / f"sensorfuse-{os.getuid()}"
        _make_private(home, ours=True)
        folder = home / rig.name
        _make_private(folder, ours=True)
    return folder


def _make_private(folder: Path, ours: bool) -> None:
    """Make a folder that this user alone may enter. One of `ours` that is open to others is closed to them; a folder
    that the user named is left as it is and refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if ours:
            close_to_others(folder)
    except OSError as error:
        raise SensorfuseError(
            f"cannot make the folder for sockets, {folder}: {error}; set {RUN_DIR_VARIABLE}"
        ) from None
    try:
        require_private(folder, "folder for sockets")
    except SensorfuseError as error:
        raise SensorfuseError(f"{error}; or set {RUN_DIR_VARIABLE} to a folder of your own") from None


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


def place(rig: Rig, name: str) -> tuple[str, str | None]:
    """Where an endpoint lies, without its port or file, and the name of the key of the host that binds it (None: no
    keys).
    """
    endpoints = rig.endpoints
    host = endpoints.host_of(name)
    if host is not None:
        return endpoints.hosts[host].address, host
    base = endpoints.control if name == "control" and endpoints.control is not None else endpoints.base
    return base, endpoints.key if base.startswith("tcp://") else None


def address(rig: Rig, name: str) -> str:
    """The ZeroMQ address of an endpoint."""
    base, _ = place(rig, name)
    if base.startswith("tcp://"):
        return f"{base}:{rig.endpoints.port + names(rig).index(name)}"
    path = run_folder(rig) / name
    if len(str(path)) > 100:
        raise SensorfuseError(
            f"socket path is too long for the system ({path}); set {RUN_DIR_VARIABLE} to a shorter folder"
        )
    return f"ipc://{path}"


class Bound:
    """A bound endpoint. `close` it after its socket."""

    def __init__(self, lock: IO[str] | None, guard: Guard | None) -> None:
        self._lock = lock
        self._guard = guard

    @property
    def refused(self) -> int:
        """How many peers were not let in."""
        return 0 if self._guard is None else self._guard.refused

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close()
        if self._lock is not None:
            self._lock.close()


def bind(socket: zmq.Socket[bytes], rig: Rig, name: str) -> Bound:
    """Bind a socket to its endpoint. Keep what is returned as long as the socket.

    Raises:
        SensorfuseError: another process holds the endpoint; this host has no key where one is needed, or another's.
    """
    where = address(rig, name)
    _, key = place(rig, name)
    lock = _locked(rig, name, where) if where.startswith("ipc://") else None
    guard = None
    try:
        if key is not None:
            ring = KeyRing()
            own = ring.own()[0]
            if own != key:
                raise SensorfuseError(
                    f"endpoint {name!r} ({where}) is one of the host {key!r}; the key of this host is called {own!r}"
                )
            guard = Guard(socket, ring)
        socket.bind(where)
    except (zmq.ZMQError, SensorfuseError) as error:
        Bound(lock, guard).close()
        if not isinstance(error, zmq.ZMQError):
            raise
        if error.errno == errno.EADDRINUSE:
            raise SensorfuseError(
                f"endpoint {name!r}: port {where.rsplit(':', 1)[-1]} is in use; change `endpoints.port` in the rig"
            ) from None
        raise SensorfuseError(f"endpoint {name!r}: cannot bind {where}: {error}") from None
    return Bound(lock, guard)


def _locked(rig: Rig, name: str, where: str) -> IO[str]:
    """The lock beside an ipc socket."""
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
    return lock


def connect(socket: zmq.Socket[bytes], rig: Rig, name: str) -> None:
    """Connect a socket to an endpoint, which need not be there yet. Beyond ipc and bare loopback it reaches only who
    holds the key that the rig names.

    Raises:
        SensorfuseError: that key, or this host's own, is not known.
    """
    where = address(rig, name)
    _, key = place(rig, name)
    if key is None:
        distrust(socket)
    else:
        ring = KeyRing()
        trust(socket, ring.public_key(key), ring)
    socket.connect(where)


def make_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, queue: int) -> zmq.Socket[bytes]:
    """A socket with bounded frames, no linger and quick reconnection.

    `queue` messages at most wait per peer (0: no bound).
    """
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_HEARD_BYTES.get(kind, MAX_PAYLOAD_BYTES))
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    return socket
