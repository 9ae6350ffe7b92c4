"""The table of processes: what runs, when, how often, and in which order it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sensorfuse.endpoints import SLOTS
from sensorfuse.rig import Rig

Mode = Literal["run", "replay", "record"]


@dataclass(frozen=True)
class ProcessSpec:
    """One process of a run. `stop_rank`: low ranks stop first, so that what they sent is still taken by the others."""

    name: str
    module: str
    arguments: tuple[str, ...]
    stop_rank: int
    slot: int | None = None  # which of two twins; None where there is one


def process_table(rig: Rig, mode: Mode, twins: bool, only: tuple[str, ...] | None = None) -> list[ProcessSpec]:
    """The processes of a run, in the order in which they start.

    Args:
        rig: whose streams each get a process.
        mode: `run` and `replay` fuse; `record` only records the sensors. A player feeds the sensors in `replay`.
        twins: give the aligner and the fusion process a standby.
        only: start the sensors of these streams alone.
    """
    table = [ProcessSpec("recorder", "sensorfuse.nodes.recorder", (), 4)]
    slots = SLOTS if twins else SLOTS[:1]
    if mode != "record":
        table += [ProcessSpec(f"fusion.{i}", "sensorfuse.nodes.fusion", ("--slot", str(i)), 3, i) for i in slots]
        table += [ProcessSpec(f"align.{i}", "sensorfuse.nodes.align", ("--slot", str(i)), 2, i) for i in slots]
    source = ("--source", "player" if mode == "replay" else "sim")
    table += [
        ProcessSpec(stream, f"sensorfuse.nodes.{sensor.modality}", ("--stream", stream, *source), 1)
        for stream, sensor in rig.sensors.items()
        if only is None or stream in only
    ]
    if mode == "replay":
        table.append(ProcessSpec("player", "sensorfuse.nodes.player", (), 0))
    return table
