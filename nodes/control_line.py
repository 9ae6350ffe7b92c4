"""The supervisor's line to its processes: commands out, words in, the time for whoever asks."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import zmq
from sensorfuse.nodes.ears import is_told

from sensorfuse.endpoints import bind, make_socket, place
from sensorfuse.errors import SensorfuseError
from sensorfuse.keys import KeyRing
from sensorfuse.rig import Rig
from sensorfuse.wire import WireError, pack, unpack

TIME_SUFFIX = "/time"  # of the name under which a process asks for the time
STRANGER = "a host that is not known"
MARK = "#"  # between a process's name and what nobody else can know


def own_identity(name: str) -> bytes:
    """Under which a process connects: its name, and a part of its own, so that nobody can connect before it as it."""
    return f"{name}{MARK}{secrets.token_hex(8)}".encode()


class ControlLine:
    """A ROUTER socket at the rig's endpoint `control`. A process is known by its name, and is told what there is to
    tell where it last spoke from; before it has spoken it is not there.

    Where the endpoint asks for keys, a host speaks for those processes alone that the rig places on it: the streams
    that it has, and on the pipeline's own host all others. `refused` counts what was said in the name of others, by
    host.

    Args:
        on_event: told of what a person should know, by process.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], rig: Rig, on_event: Callable[[str, str], None]) -> None:
        self.refused: Counter[str] = Counter()
        self._endpoints = rig.endpoints
        self._on_event = on_event
        self._own = place(rig, "control")[1]  # the name of this host's key; None where nobody is asked for one
        self._hosts: dict[str, str] = {}  # by public key
        self._identities: dict[str, bytes] = {}  # under which a process spoke last, by its name
        self._socket = make_socket(context, zmq.ROUTER, 0)
        self._lock = bind(self._socket, rig, "control")

    def tell(self, name: str, command: dict[str, Any]) -> None:
        """Send a command; one to a process that is not there is lost."""
        if name in self._identities:
            self._send(self._identities[name], command)

    def wait(self, timeout_ms: int) -> None:
        """Until somebody says something, at most so long."""
        self._socket.poll(timeout_ms)

    def words(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What processes said since, with their names; questions for the time are answered here."""
        while self._socket.poll(0):
            parts = self._socket.recv_multipart(copy=False)
            heard_ns = time.monotonic_ns()
            try:
                identity = parts[0].bytes
                name = identity.decode().split(MARK)[0]
                if not self._may_speak(parts[0], name):
                    continue
                message = unpack(parts[1].buffer)
            except (WireError, IndexError, UnicodeDecodeError):
                continue
            if not isinstance(message, dict):
                continue
            if message.get("kind") == "time":
                answer = {"number": message.get("number"), "t1": message.get("t1"), "t2": heard_ns}
                self._send(identity, {**answer, "t3": time.monotonic_ns()})
                continue
            self._identities[name] = identity
            yield name, message

    def close(self) -> None:
        self._socket.close()
        self._lock.close()

    def _send(self, identity: bytes, message: dict[str, Any]) -> None:
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([identity, pack(message)])

    def _may_speak(self, part: zmq.Frame, name: str) -> bool:
        """Whether the host that a part came from has the process of this name; one that has not is counted."""
        if self._own is None:
            return True
        host = self._host_of(part)
        if host == (self._endpoints.host_of(name.removesuffix(TIME_SUFFIX)) or self._own):
            return True
        self.refused[host] += 1
        if is_told(self.refused[host]):
            told = f"{host} spoke for {name[:60]!r}, which is not one of its processes: refused"
            self._on_event("supervisor", f"{told} ({self.refused[host]} so far)")
        return False

    def _host_of(self, part: zmq.Frame) -> str:
        """Which host a part came from, by the key that it has proved to hold."""
        with contextlib.suppress(zmq.ZMQError, SensorfuseError):
            key = str(part.get("User-Id"))
            if key not in self._hosts:
                self._hosts.update({public: name for name, public in KeyRing().known().items()})
            return self._hosts.get(key, STRANGER)
        return STRANGER
