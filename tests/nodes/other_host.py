"""Sensor processes as if on another host: their monotonic clock is another one.

The clock is `AHEAD_NS` ahead of the real one when that reads the number in the environment variable `ZERO`, and
`FAST` fast. A process of `imu` knows that it is on another host, one of `radar` does not.
"""

from __future__ import annotations

import os
import time

import sensorfuse.nodes.imu
import sensorfuse.nodes.process
import sensorfuse.nodes.radar

ZERO = "OTHER_HOST_ZERO_NS"
AHEAD_NS = 3_000_000_000
FAST = 100e-6

_real_ns = time.monotonic_ns


def other_ns(real_ns: int) -> int:
    """What the other host's monotonic clock reads."""
    return real_ns + AHEAD_NS + round(FAST * (real_ns - int(os.environ[ZERO])))


def main(argv: list[str]) -> None:
    """In the place of the `main` of a sensor's module, in a process of its own."""
    time.monotonic_ns = lambda: other_ns(_real_ns())
    time.monotonic = lambda: other_ns(_real_ns()) / 1e9
    if argv[argv.index("--stream") + 1] == "imu":
        sensorfuse.nodes.process.boot_id = lambda: "another system"
        sensorfuse.nodes.imu.main(argv)
    else:
        sensorfuse.nodes.radar.main(argv)
