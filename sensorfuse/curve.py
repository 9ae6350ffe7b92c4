"""CURVE on tcp sockets: who binds lets in the hosts that it knows, who connects wants the key of whom it connects to.

ZeroMQ asks an authenticator of the same context (ZAP, RFC 27) about each peer that has proved that it holds a key.
Without an answer nobody is let in. Peers without a key, with another server's key, or that speak another protocol do
not get so far; a monitor of the socket counts all of them.
"""

from __future__ import annotations

import threading
import weakref

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import parse_monitor_message

from sensorfuse.errors import SensorfuseError
from sensorfuse.keys import KeyRing

DOMAIN = "sensorfuse"
FAILURES = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
MAX_EVENTS = 10_000  # of one look

Context = zmq.Context[zmq.Socket[bytes]]


class _AllowList:
    """What the authenticator asks: whether a public key is that of a known host."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def callback(self, domain: str, key: bytes) -> bool:
        try:
            return domain == DOMAIN and bytes(key).decode("ascii", "replace") in self._ring.known().values()
        except SensorfuseError:  # the keys are no longer as they must be: nobody is let in
            return False


class _Gate:
    """The authenticator of one context; ends with the last socket that needs it."""

    def __init__(self, context: Context, ring: KeyRing) -> None:
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(DOMAIN, _AllowList(ring))
        self.users = 0

    def stop(self) -> None:
        self._authenticator.stop()


_gates: weakref.WeakKeyDictionary[Context, _Gate] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Guard:
    """A bound socket's door. `close` it after the socket."""

    def __init__(self, socket: zmq.Socket[bytes], ring: KeyRing) -> None:
        _, public, secret = ring.own()
        self._context = context = socket.context
        with _lock:
            gate = _gates.get(context)
            if gate is None:
                gate = _gates[context] = _Gate(context, ring)
            gate.users += 1
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # no authenticator, no peer
        self._socket = socket
        self._monitor: zmq.Socket[bytes] | None = socket.get_monitor_socket(FAILURES)
        self._refused = 0

    @property
    def refused(self) -> int:
        """How many attempts to connect have failed so far."""
        monitor = self._monitor
        for _ in range(MAX_EVENTS):
            if monitor is None or not monitor.poll(0):
                break
            event = parse_monitor_message(monitor.recv_multipart())
            self._refused += 1 if event["event"] & FAILURES else 0
        return self._refused

    def close(self) -> None:
        if self._monitor is None:
            return
        self._monitor.close(0)
        self._monitor = None
        with _lock:
            gate = _gates.get(self._context)
            if gate is None:
                return
            gate.users -= 1
            if gate.users == 0:
                gate.stop()
                del _gates[self._context]


def trust(socket: zmq.Socket[bytes], server: bytes, ring: KeyRing) -> None:
    """Have a socket's next `connect` reach only who holds the secret half of `server`."""
    _, public, secret = ring.own()
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)


def distrust(socket: zmq.Socket[bytes]) -> None:
    """Have a socket's next `connect` use no keys."""
    if socket.getsockopt(zmq.MECHANISM) != zmq.NULL:
        socket.setsockopt(zmq.CURVE_SERVER, 0)
