"""The supervisor's line to its processes: commands out, words in, the time for whoever asks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import zmq

from sensorfuse.endpoints import bind, make_socket
from sensorfuse.rig import Rig
from sensorfuse.wire import WireError, pack, unpack


class ControlLine:
    """A ROUTER socket at the rig's endpoint `control`. A process is known by its name."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], rig: Rig) -> None:
        self._socket = make_socket(context, zmq.ROUTER, 0)
        self._lock = bind(self._socket, rig, "control")

    def tell(self, name: str, command: dict[str, Any]) -> None:
        """Send a command; one to a process that is not there is lost."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([name.encode(), pack(command)])

    def wait(self, timeout_ms: int) -> None:
        """Until somebody says something, at most so long."""
        self._socket.poll(timeout_ms)

    def words(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What processes said since, with their names; questions for the time are answered here."""
        while self._socket.poll(0):
            parts = self._socket.recv_multipart()
            heard_ns = time.monotonic_ns()
            try:
                name, message = parts[0].decode(), unpack(parts[1])
            except (WireError, IndexError, UnicodeDecodeError):
                continue
            if not isinstance(message, dict):
                continue
            if message.get("kind") == "time":
                answer = {"number": message.get("number"), "t1": message.get("t1"), "t2": heard_ns}
                self.tell(name, {**answer, "t3": time.monotonic_ns()})
                continue
            yield name, message

    def close(self) -> None:
        self._socket.close()
        self._lock.close()
