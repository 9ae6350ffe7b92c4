"""From a plan to what a person sees: check the log, run it, and conclude."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sensorfuse.nodes.run_state import RunState
from sensorfuse.nodes.supervisor import RunPlan, Supervisor

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.limits import Limit
from sensorfuse.log import open_log
from sensorfuse.rig import Rig

if TYPE_CHECKING:
    from sensorfuse.nodes.aftermath import Result


def check_log(log: Path, rig: Rig, allow_missing: bool) -> int:
    """Open a log before any process starts; returns its first receive time in nanoseconds.

    Raises:
        SensorfuseError: the log can't be read, is empty, or lacks a stream that the rig names.
    """
    with open_log(log, offsets_ns=rig.clock_offsets_ns()) as reader:
        have = reader.streams()
        wanted = rig.by_log_stream()
        missing = [w for w in wanted if w not in have]
        if missing and (not allow_missing or len(missing) == len(wanted)):
            raise SensorfuseError(
                f"{log}: the rig {rig.name!r} names {', '.join(missing)}, which this log lacks; "
                f"it has {', '.join(have) or 'no streams'}. "
                "Correct `log_stream` in the rig, or pass --allow-missing to replay without"
            )
        names = [n for n in have if n in wanted]
        first = next(iter(reader.samples(names)), None)
        if first is None:
            raise SensorfuseError(
                f"{log}: no readable sample in {', '.join(names)}; {len(reader.rejections)} records were rejected"
            )
        return first.recv_ns


def execute(
    plan: RunPlan, command: str | None = None, limits: Sequence[Limit] = (), taken_over: RunState | None = None
) -> Result:
    """Run a plan and write its summary and report. The fused log is written while it runs.

    `limits` are compared with what was measured; `taken_over` is a run whose supervisor is no more.

    Raises:
        SensorfuseError: the run could not start or go on, or its files can't be written.
    """
    outcome = Supervisor(plan, taken_over).run()
    from sensorfuse.nodes.aftermath import conclude  # what it takes to judge and to draw would only delay the start

    return conclude(plan, outcome, command, limits)
