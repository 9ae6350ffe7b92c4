"""What `now` is: the host's clock, a log's clock at some rate, or the log's own messages.

Host time is CLOCK_MONOTONIC plus a constant that makes it read like Unix time. The constant is fixed once per run
folder, so all processes agree to the nanosecond and a step of the wall clock moves none of them. On another host the
monotonic clock is another one, and the first host's is followed (`FollowedMonotonic`).
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sensorfuse.align.time_exchange import OffsetLine

MAX_SLEW = 1e-3  # seconds per second, while no more than STEP_NS are to be made up
SLEW_NS = 1_000_000_000  # at least so long is taken over it
STEP_NS = 20_000_000  # more than this: forward at once, back at half the pace of time
BACK_SLEW = 0.5


def boot_id() -> str:
    """Names the running system: processes that read the same one share a monotonic clock."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else f"{uuid.getnode():012x}-{platform.node()}"


def epoch_offset_ns(folder: Path) -> int:
    """Realtime minus monotonic, agreed by all processes that share `folder`: the first one writes it."""
    file = folder / f"epoch-{boot_id()[:8]}"
    offset = time.time_ns() - time.monotonic_ns()
    fresh = folder / f".epoch-{os.getpid()}-{time.monotonic_ns()}"
    fresh.write_text(str(offset))
    try:
        os.link(fresh, file)  # atomic: whoever links first wins
    except FileExistsError:
        offset = int(file.read_text())
    finally:
        fresh.unlink()
    return offset


class Monotonic(Protocol):
    """The monotonic clock that a run goes by."""

    def now_ns(self) -> int: ...

    def local_ns(self, monotonic_ns: int) -> int:
        """What this host's own monotonic clock reads when that one reads `monotonic_ns`."""
        ...


class HostMonotonic:
    """This host's own."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def local_ns(self, monotonic_ns: int) -> int:
        return monotonic_ns


class FollowedMonotonic:
    """Another host's monotonic clock, by this host's and what is known of their difference. It never goes back.

    New knowledge is slewed in once the clock has been read: stamps made with it keep their distances to MAX_SLEW.
    What is more than STEP_NS late is a step forward; what is as much early goes on at half the pace until it is right.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line = OffsetLine(0, 0, 0.0)
        self._from: OffsetLine | None = None  # the way to the line, from one time (here) to another
        self._until_ns = 0
        self._last_ns: int | None = None  # the latest reading given out

    def follow(self, line: OffsetLine, local_ns: int) -> None:
        """Go by another line from `local_ns` on."""
        with self._lock:
            here = self._offset(local_ns)
            missing = line.offset(local_ns) - here
            self._line, self._from = line, None
            if self._last_ns is None or missing > STEP_NS or missing == 0:
                return
            pace = BACK_SLEW if missing < -STEP_NS else MAX_SLEW
            length = max(SLEW_NS, round(abs(missing) / pace))
            self._from = OffsetLine(local_ns, here, line.skew + missing / length)
            self._until_ns = local_ns + length

    def at(self, local_ns: int) -> int:
        """The other host's time at a time of this host's monotonic clock, which does not go back either."""
        with self._lock:
            now = local_ns + self._offset(local_ns)
            self._last_ns = now if self._last_ns is None else max(now, self._last_ns)
            return self._last_ns

    def now_ns(self) -> int:
        return self.at(time.monotonic_ns())

    def local_ns(self, monotonic_ns: int) -> int:
        with self._lock:
            line = self._line
            if self._from is not None and monotonic_ns < self._until_ns + line.offset(self._until_ns):
                line = self._from
            since = monotonic_ns - line.at_ns - line.offset_ns
            return line.at_ns + since - round(since * line.skew / (1 + line.skew))

    def _offset(self, local_ns: int) -> int:
        slewing = self._from is not None and local_ns < self._until_ns
        return (self._from if slewing and self._from else self._line).offset(local_ns)


HOST_MONOTONIC = HostMonotonic()


@dataclass(frozen=True)
class RunClock:
    """`host`: now is host time. `scaled`: log time runs at `rate` from `log_start_ns`, since `mono_start_ns`. `log`:
    now is what the log's messages say, and this clock only tells host time.

    Host time goes by the monotonic clock `source`: on another host than the supervisor's, by a followed one.
    """

    kind: Literal["host", "scaled", "log"]
    offset_ns: int  # host time - monotonic
    log_start_ns: int = 0
    mono_start_ns: int = 0
    rate: float = 1.0
    source: Monotonic = field(default=HOST_MONOTONIC, compare=False, repr=False)

    def now_ns(self) -> int:
        mono = self.source.now_ns()
        if self.kind == "scaled":
            return self.log_start_ns + int((mono - self.mono_start_ns) * self.rate)
        return mono + self.offset_ns

    def mono_ns(self, t_ns: int) -> int:
        """This host's monotonic time at which the clock reads `t_ns` (of a log's clock that does not run: now)."""
        if self.kind == "log":
            return time.monotonic_ns()
        if self.kind == "scaled":
            return self.source.local_ns(self.mono_start_ns + int((t_ns - self.log_start_ns) / self.rate))
        return self.source.local_ns(t_ns - self.offset_ns)

    def host_delay_s(self, t_ns: int) -> float:
        """Seconds of host time until this clock reads `t_ns` (negative: past)."""
        return (t_ns - self.now_ns()) / 1e9 / (self.rate if self.kind == "scaled" else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """What another process needs to run the same clock, on whatever source of its own."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source"}
