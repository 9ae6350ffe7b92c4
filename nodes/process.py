"""What every process shares: its arguments, its signals, its line to the supervisor, its publishing socket.

A process runs alone when it is given no `--control`: it starts at once, on the host's clock, and Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import zmq
from sensorfuse.nodes.control_line import own_identity
from sensorfuse.nodes.ears import Ears
from sensorfuse.nodes.timekeeper import Timekeeper

from sensorfuse.clock import HOST_MONOTONIC, Monotonic, RunClock, boot_id, epoch_offset_ns
from sensorfuse.endpoints import Bound, bind, connect, make_socket, run_folder
from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig, load_rig
from sensorfuse.shared_memory import SharedReader, SharedWriter, is_supported, shared_folder
from sensorfuse.wire import WireError, pack, send, unpack

STATUS_PERIOD_S = 0.25
EXIT_LINGER_MS = 5000
STANDBY_POLL_MS = 100
STANDBY_LAG_MS = 30
MAX_TOPICS = 256  # that peers may subscribe to; further ones are not counted
LIVE_QUEUE = 256  # messages per peer; a slow reader loses the newest beyond, and the gap is counted
MAX_START_WAIT_S = 30.0
MAX_SILENCE_S = 10.0  # of a supervisor on another host


def is_running(pid: int) -> bool:
    """Whether a process of this user exists; one of another user has taken over the number of one that is no more."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Control:
    """The line to the supervisor. Without one, the process starts at once and is active.

    `abroad`: the supervisor is on another host, so its time has to be asked for.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], rig: Rig, name: str, connected: bool, abroad: bool = False
    ) -> None:
        self.name = name
        self.active = True
        self.stopping = False
        self.supervisor: int | None = None  # another than the first
        self._socket: zmq.Socket[bytes] | None = None
        offset = epoch_offset_ns(run_folder(rig))
        self.clock = RunClock("host", offset)
        self.start: dict[str, Any] = {}
        self.started = not connected
        self.timekeeper = Timekeeper(context, rig, name) if connected and abroad else None
        self._monotonic: Monotonic = self.timekeeper.clock if self.timekeeper is not None else HOST_MONOTONIC
        if connected:
            self.active = False
            self._socket = make_socket(context, zmq.DEALER, 0)
            self._socket.setsockopt(zmq.IDENTITY, own_identity(name))
            self._socket.setsockopt(zmq.LINGER, EXIT_LINGER_MS)
            connect(self._socket, rig, "control")
            self.send("hello")  # it can be told something from now on

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        return self._socket

    def send(self, kind: str, **fields: Any) -> None:
        if self._socket is not None:
            self._socket.send(pack({"kind": kind, "pid": os.getpid(), **fields}))

    def take_commands(self) -> None:
        """Act on what the supervisor said; never blocks."""
        while self._socket is not None and self._socket.poll(0):
            with contextlib.suppress(WireError):
                self._obey(unpack(self._socket.recv()))

    def _obey(self, command: dict[str, Any]) -> None:
        kind = command.get("kind")
        if kind == "start":
            self.start = command
            self.clock = RunClock(**command["clock"], source=self._monotonic)
            self.active = bool(command.get("active", True))
            self.started = True
        elif kind == "activate":
            self.active = True
        elif kind == "adopt":
            self.supervisor = int(command["control"])
        elif kind == "stop":
            self.stopping = True

    def knows_time(self) -> bool:
        """Whether the clock will be right from `start` on."""
        return self.timekeeper is None or self.timekeeper.ready

    def send_status(self, fields: dict[str, Any]) -> None:
        """Where time is exchanged, the status says how well it is known."""
        if self.timekeeper is not None:
            fields = {**fields, "time": self.timekeeper.status()}
        self.send("status", **fields)

    def close(self) -> None:
        if self.timekeeper is not None:
            self.timekeeper.close()
        if self._socket is not None:
            self._socket.close()


class Publisher:
    """An XPUB socket that knows who has subscribed."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], rig: Rig, name: str, lossless: bool) -> None:
        self.socket = make_socket(context, zmq.XPUB, 0 if lossless else LIVE_QUEUE)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.socket.setsockopt(zmq.LINGER, EXIT_LINGER_MS)
        self.name = name
        self._bound = bind(self.socket, rig, name)
        self._subscribers: dict[bytes, int] = {}
        self.refused = 0  # peers that were not let in, as last asked

    def subscribers(self, topic: str) -> int:
        """How many have subscribed to a topic by now."""
        while self.socket.poll(0):
            event = self.socket.recv()
            topic_heard, change = event[1:], 1 if event[:1] == b"\x01" else -1
            if topic_heard in self._subscribers or len(self._subscribers) < MAX_TOPICS:
                self._subscribers[topic_heard] = self._subscribers.get(topic_heard, 0) + change
        return self._subscribers.get(topic.encode(), 0)

    def newly_refused(self) -> int:
        """How many peers were not let in since this was last asked."""
        before, self.refused = self.refused, self._bound.refused
        return self.refused - before

    def send(self, frames: list[Any]) -> None:
        """Publish; big arrays travel without a copy."""
        send(self.socket, frames)

    def close(self) -> None:
        self.socket.close()
        self._bound.close()


def subscribe(
    context: zmq.Context[zmq.Socket[bytes]], rig: Rig, endpoints: Iterable[str], topics: Iterable[str], lossless: bool
) -> zmq.Socket[bytes]:
    """A SUB socket connected to several endpoints; a publisher that is not there yet is joined when it comes."""
    socket = make_socket(context, zmq.SUB, 0 if lossless else 4 * LIVE_QUEUE)
    for topic in topics:
        socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    for name in endpoints:
        connect(socket, rig, name)
    return socket


class Process:
    """The frame around a process's loop: arguments parsed, signals taken, supervisor answered.

    Use as a context manager; `running` turns False when it should end.
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name = name
        self.arguments = arguments
        self.rig: Rig = arguments.rig_model
        self.lossless: bool = arguments.lossless
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        abroad = arguments.control_host not in (None, boot_id())
        self.control = Control(self.context, self.rig, name, arguments.control is not None, abroad)
        self._next_status = 0.0
        self._orphan_since: float | None = None
        self._sockets: list[zmq.Socket[bytes]] = []
        self._publishers: list[Publisher] = []
        self._bound: list[Bound] = []
        self._shared: list[SharedWriter | SharedReader] = []
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.control.stopping = True

    @property
    def running(self) -> bool:
        return not self.control.stopping

    @property
    def clock(self) -> RunClock:
        return self.control.clock

    def publisher(self, name: str) -> Publisher:
        publisher = Publisher(self.context, self.rig, name, self.lossless)
        self._publishers.append(publisher)
        return publisher

    def subscriber(self, endpoints: Iterable[str], topics: Iterable[str]) -> zmq.Socket[bytes]:
        socket = subscribe(self.context, self.rig, endpoints, topics, self.lossless)
        self._sockets.append(socket)
        return socket

    def shared_writer(self, stream: str, publisher: Publisher) -> SharedWriter | None:
        """Shared memory for a stream's large payloads; None where this run has none."""
        folder = self._shared_folder()
        if folder is None:
            return None
        writer = SharedWriter(folder, stream, lambda: publisher.subscribers(f"{stream}/data"))
        self._shared.append(writer)
        return writer

    def shared_reader(self) -> SharedReader | None:
        """What reads payloads from shared memory; None where this run has none."""
        folder = self._shared_folder()
        if folder is None:
            return None
        reader = SharedReader(folder)
        self._shared.append(reader)
        return reader

    def _shared_folder(self) -> Path | None:
        """Without loss, queues have no bound and slots would run out, so there everything travels in messages."""
        wanted = self.rig.endpoints.shared_memory and self.rig.endpoints.base.startswith("ipc") and not self.lossless
        return shared_folder(run_folder(self.rig)) if wanted and is_supported() else None

    def ears(self, topics: Mapping[str, Iterable[str]]) -> Ears:
        """What hears the sensors' streams; by stream, the topics that are wanted of it."""
        ears = Ears(self.context, self.rig, topics, self.lossless)
        self._sockets.extend(ears.sockets.values())
        return ears

    def bind(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Bind a socket to an endpoint, for as long as the process lives."""
        self._bound.append(bind(socket, self.rig, name))

    def adopt(self, socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """Have a socket closed with the process."""
        self._sockets.append(socket)
        return socket

    def wait_for_start(self) -> None:
        """Say `ready` once everyone awaited has subscribed, then wait for the supervisor's `start`. Alone: at once."""
        gc.collect()
        gc.freeze()  # what is built by now lives as long as the process: no collection need look through it again
        awaited = [(topic, int(n)) for topic, _, n in (a.rpartition("=") for a in self.arguments.awaits)]
        said = False
        deadline = time.monotonic() + MAX_START_WAIT_S
        while self.running and not self.control.started:
            heard = all(p.subscribers(topic) >= n for p in self._publishers for topic, n in awaited)
            heard = (heard or self.arguments.rejoin) and self.control.knows_time()
            if not said and (heard or time.monotonic() > deadline):
                self.control.send("ready")
                said = True
            self.control.take_commands()
            self._watch_supervisor()
            time.sleep(0.005)

    def wait(self, inputs: zmq.Poller, timeout_ms: int, twin: zmq.Socket[bytes] | None) -> None:
        """Wait for any input. A standby waits for a word of its twin and then a while longer, so that its own work
        never falls into the making of a tick; a command ends that at once.
        """
        if twin is None or self.control.active:
            inputs.poll(timeout_ms)
            return
        control = self.control.socket
        assert control is not None, "without a supervisor every process is active"
        poller = zmq.Poller()
        poller.register(twin, zmq.POLLIN)
        poller.register(control, zmq.POLLIN)
        if control not in dict(poller.poll(STANDBY_POLL_MS)):
            control.poll(STANDBY_LAG_MS)

    def beat(self, status: Callable[[], dict[str, Any]], force: bool = False) -> None:
        """Take the supervisor's commands; a few times a second tell it how things stand."""
        self.control.take_commands()
        now = time.monotonic()
        if force or now >= self._next_status:
            self._next_status = now + STATUS_PERIOD_S
            self._watch_supervisor()
            self._watch_doors()
            self.control.send_status(status())

    def _watch_doors(self) -> None:
        """Tell of peers that were not let in; take word of subscriptions, which else would pile up."""
        for publisher in self._publishers:
            publisher.subscribers("")
            if (more := publisher.newly_refused()) > 0:
                self.event(f"{more} peers were not let in at the endpoint {publisher.name!r}: their keys are not known")

    def _watch_supervisor(self) -> None:
        """Without its supervisor a process ends, after the time in which another one may come."""
        if self.control.timekeeper is not None:
            gone = self.control.timekeeper.silent_s() > MAX_SILENCE_S
        else:
            supervisor = self.control.supervisor or self.arguments.control
            gone = supervisor is not None and not is_running(supervisor)
        if not gone:
            self._orphan_since = None
            return
        self._orphan_since = self._orphan_since or time.monotonic()
        if time.monotonic() - self._orphan_since >= self.arguments.orphan:
            self.control.stopping = True

    def event(self, text: str) -> None:
        """Tell the supervisor something that a person should know; alone, print it."""
        if self.control.socket is None:
            print(f"{self.name}: {text}", file=sys.stderr)
        self.control.send("event", text=text)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        for shared in self._shared:
            shared.close()
        for publisher in self._publishers:
            publisher.close()
        for socket in self._sockets:
            socket.close()
        self.control.close()
        for bound in self._bound:
            bound.close()
        self.context.destroy()  # closes what an error may have left open, each with its own linger


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every process takes."""
    out = argparse.ArgumentParser(description=description)
    out.add_argument("--rig", required=True, help="rig file, or the name of a shipped rig")
    out.add_argument("--control", type=int, metavar="PID", help="the supervisor to answer to (it sets this itself)")
    out.add_argument("--control-host", metavar="BOOT_ID", help="the supervisor's system: from another, ask it for time")
    out.add_argument("--orphan", type=float, default=0.0, metavar="S", help="go on so long without a supervisor")
    out.add_argument("--lossless", action="store_true", help="no bound on queues (replay with flow control)")
    out.add_argument(
        "--await", dest="awaits", action="append", default=[], metavar="TOPIC=N", help="subscribers to wait for"
    )
    out.add_argument("--rejoin", action="store_true", help="do not wait for subscribers: the run is under way")
    return out


def run(
    arguments: argparse.ArgumentParser, body: Callable[[argparse.Namespace], None], argv: list[str] | None = None
) -> None:
    """Parse, load the rig, run the body; a SensorfuseError becomes a message and exit code 2."""
    args = arguments.parse_args(argv)
    try:
        args.rig_model = load_rig(args.rig)
        body(args)
    except SensorfuseError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
