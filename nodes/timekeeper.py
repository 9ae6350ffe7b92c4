"""The supervisor's time on another host: stamps are exchanged with it, and its monotonic clock is followed."""

from __future__ import annotations

import threading
import time
from typing import Any

import zmq
from sensorfuse.nodes.control_line import TIME_SUFFIX, own_identity

from sensorfuse.align.time_exchange import TimeExchange, ping_period_ns
from sensorfuse.clock import FollowedMonotonic
from sensorfuse.endpoints import connect, make_socket
from sensorfuse.rig import Rig
from sensorfuse.wire import WireError, pack, unpack

ANSWER_TIMEOUT_S = 1.0
STOP_POLL_MS = 50


class Timekeeper:
    """Keeps `clock` at the supervisor's from the moment it is made until `close`.

    It has a thread and a socket of its own, so that an answer is stamped when it comes, whatever its process is at.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], rig: Rig, name: str) -> None:
        self.clock = FollowedMonotonic()
        self._exchange = TimeExchange()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._heard_s = time.monotonic()
        socket = make_socket(context, zmq.DEALER, 0)
        socket.setsockopt(zmq.IDENTITY, own_identity(name + TIME_SUFFIX))
        connect(socket, rig, "control")
        self._thread = threading.Thread(target=self._serve, args=(socket,), name="timekeeper", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the clock can be gone by."""
        return self.status()["state"] != "learning"

    def silent_s(self) -> float:
        """Seconds since the supervisor last answered."""
        return time.monotonic() - self._heard_s

    def status(self) -> dict[str, Any]:
        """How far the supervisor's clock is ahead, and how well that is known; times in ns."""
        with self._lock:
            now, exchange = time.monotonic_ns(), self._exchange
            return {
                "state": exchange.state(now),
                "offset_ns": exchange.offset_ns(now),
                "sigma_ns": exchange.sigma_ns(now),
                "bound_ns": exchange.bound_ns(now),
                "skew_ppm": 1e6 * exchange.skew,
                "round_trip_ns": exchange.round_trip_ns,
                "exchanges": exchange.exchanges,
                "refused": exchange.refused,
                "resets": exchange.resets,
            }

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _serve(self, socket: zmq.Socket[bytes]) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            begun_ns = time.monotonic_ns()
            socket.send(pack({"kind": "time", "number": number, "t1": time.monotonic_ns()}))
            self._take_answer(socket, number)
            spent_ns = time.monotonic_ns() - begun_ns
            self._ended.wait(max(0, ping_period_ns(self._exchange.exchanges) - spent_ns) / 1e9)
        socket.close()

    def _take_answer(self, socket: zmq.Socket[bytes], number: int) -> None:
        """Wait for the answer of this number; one that comes too late is thrown away with the next."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline and not self._ended.is_set():
            if not socket.poll(STOP_POLL_MS):
                continue
            frame = socket.recv()
            t4 = time.monotonic_ns()
            try:
                answer = unpack(frame)
                to, t1, t2, t3 = (int(answer[k]) for k in ("number", "t1", "t2", "t3"))
            except (WireError, KeyError, TypeError, ValueError):
                continue
            self._heard_s = time.monotonic()
            if to == number:
                with self._lock:
                    if self._exchange.push(t1, t2, t3, t4) and (line := self._exchange.line) is not None:
                        self.clock.follow(line, t4)
                return
