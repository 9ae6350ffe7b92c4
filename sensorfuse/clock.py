"""What `now` is: the host's clock, a log's clock at some rate, or the log's own messages.

Host time is CLOCK_MONOTONIC plus a constant that makes it read like Unix time. The constant is fixed once per run
folder, so all processes agree to the nanosecond and a step of the wall clock moves none of them.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


def epoch_offset_ns(folder: Path) -> int:
    """Realtime minus monotonic, agreed by all processes that share `folder`: the first one writes it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text().strip() if boot.exists() else "-"
    file = folder / f"epoch-{boot_id[:8]}"
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


@dataclass(frozen=True)
class RunClock:
    """`host`: now is host time. `scaled`: log time runs at `rate` from `log_start_ns`, since `mono_start_ns`. `log`:
    now is what the log's messages say, and this clock only tells host time."""

    kind: Literal["host", "scaled", "log"]
    offset_ns: int  # host time - monotonic
    log_start_ns: int = 0
    mono_start_ns: int = 0
    rate: float = 1.0

    def now_ns(self) -> int:
        mono = time.monotonic_ns()
        if self.kind == "scaled":
            return self.log_start_ns + int((mono - self.mono_start_ns) * self.rate)
        return mono + self.offset_ns

    def mono_ns(self, t_ns: int) -> int:
        """Monotonic time at which this clock reads `t_ns` (of a log's clock that does not run: now)."""
        if self.kind == "log":
            return time.monotonic_ns()
        if self.kind == "scaled":
            return self.mono_start_ns + int((t_ns - self.log_start_ns) / self.rate)
        return t_ns - self.offset_ns

    def host_delay_s(self, t_ns: int) -> float:
        """Seconds of host time until this clock reads `t_ns` (negative: past)."""
        return (t_ns - self.now_ns()) / 1e9 / (self.rate if self.kind == "scaled" else 1.0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
