"""What a process hears of the sensors' streams: one socket for each, so that nobody speaks for another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import zmq

from sensorfuse.endpoints import connect, make_socket
from sensorfuse.messages import Sample, sample_problem
from sensorfuse.rig import Rig
from sensorfuse.sample_limits import header_problem
from sensorfuse.wire import Envelope, receive

LATE_WORDS_S = 2.0  # so long may messages of an earlier incarnation still come
LIVE_QUEUE = 1024  # messages per stream


def is_told(count: int) -> bool:
    """Whether a person should hear of this one of many alike: of the 1st, 10th, 100th, ..."""
    return str(count).strip("0") == "1"


class Ears:
    """Sockets of several streams that are read as one.

    A message counts only if its topic is one of those asked of the endpoint it came from, its header names the same
    stream, and it is not of an incarnation that ended long ago. `refused` counts the others by stream and reason.

    Args:
        topics: by stream, what is wanted of its endpoint.
        lossless: queues without a bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        rig: Rig,
        topics: Mapping[str, Iterable[str]],
        lossless: bool = False,
    ) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        self._rig = rig
        self._topics = {stream: frozenset(t.encode() for t in wanted) for stream, wanted in topics.items()}
        self._boots: dict[str, tuple[int, float]] = {}  # by stream: the newest incarnation, and when it was first heard
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self._poller = zmq.Poller()
        for stream, wanted in self._topics.items():
            socket = make_socket(context, zmq.SUB, 0 if lossless else LIVE_QUEUE)
            for topic in wanted:
                socket.setsockopt(zmq.SUBSCRIBE, topic)
            connect(socket, rig, stream)
            self.sockets[stream] = socket
            self._poller.register(socket, zmq.POLLIN)

    def register(self, poller: zmq.Poller) -> None:
        for socket in self.sockets.values():
            poller.register(socket, zmq.POLLIN)

    def poll(self, timeout_ms: int = 0) -> bool:
        """Whether anything waits, or comes within the time."""
        return bool(self._poller.poll(timeout_ms))

    def receive(self, limit: int) -> Iterator[tuple[str, list[Any]]]:
        """Streams and messages that wait, at most `limit` of each stream."""
        for stream, socket in self.sockets.items():
            topics = self._topics[stream]
            for _ in range(limit):
                frames = receive(socket)
                if frames is None:
                    break
                if bytes(frames[0]) in topics:
                    yield stream, frames
                else:
                    self.refuse(stream, "topic of another")

    def admits(self, stream: str, envelope: Envelope, sample: Sample | None = None) -> bool:
        """Whether a decoded message of a stream's endpoint counts."""
        what = self._problem(stream, envelope, sample)
        if what:
            self.refuse(stream, what)
        return not what

    def refuse(self, stream: str, what: str) -> bool:
        """Count a message that does not count. True when a person should hear of it."""
        self.refused[stream, what] += 1
        return is_told(self.refused[stream, what])

    def _problem(self, stream: str, envelope: Envelope, sample: Sample | None) -> str:
        if envelope.stream != stream:
            return "stream of another"
        if envelope.modality != self._rig.sensors[stream].modality:
            return "another modality"
        newest, since = self._boots.get(stream, (-1, 0.0))
        if envelope.boot > newest:
            self._boots[stream] = (envelope.boot, time.monotonic())
        elif envelope.boot < newest and time.monotonic() - since > LATE_WORDS_S:
            return "old incarnation"
        if sample is not None and not envelope.end and (header_problem(sample) or sample_problem(sample)):
            return "unsound payload"
        return ""

    def refusals(self) -> dict[str, int]:
        """Counts by "stream: reason"."""
        return {f"{stream}: {reason}": n for (stream, reason), n in self.refused.items()}

    def close(self) -> None:
        for socket in self.sockets.values():
            socket.close()
