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
    awaits: tuple[tuple[str, int], ...] = ()  # topics and how many must have subscribed before it is ready


def process_table(
    rig: Rig,
    mode: Mode,
    twins: bool,
    inputs: bool = False,
    only: tuple[str, ...] | None = None,
) -> list[ProcessSpec]:
    """The processes of a run, in the order in which they start.

    Args:
        rig: whose streams each get a process.
        mode: `run` and `replay` fuse; `record` only records the sensors. A player feeds the sensors in `replay`.
        twins: give the aligner and the fusion process a standby.
        inputs: the recorder takes the sensors' data too.
        only: start the sensors of these streams alone.
    """
    fuses = mode != "record"
    slots = (SLOTS if twins else SLOTS[:1]) if fuses else ()
    twin = len(slots) - 1 if slots else 0  # a standby listens to its twin
    player = 1 if mode == "replay" else 0
    heard: tuple[tuple[str, int], ...]
    table = [ProcessSpec("recorder", "sensorfuse.nodes.recorder", (), 4)]
    for i in slots:
        heard = (("fused", 2 + twin), ("progress", player))  # the recorder, the supervisor
        table.append(ProcessSpec(f"fusion.{i}", "sensorfuse.nodes.fusion", ("--slot", str(i)), 3, i, heard))
    for i in slots:
        heard = (("tick", len(slots) + 1 + twin),)  # fusion, the supervisor
        table.append(ProcessSpec(f"align.{i}", "sensorfuse.nodes.align", ("--slot", str(i)), 2, i, heard))
    for stream, sensor in rig.sensors.items():
        if only is not None and stream not in only:
            continue
        if rig.endpoints.host_of(stream) is not None:
            continue  # started there
        readers = (len(slots) if stream in rig.fused_streams() else 0) + (1 if inputs or not fuses else 0)
        readers += len(slots) if sensor.modality == "imu" else 0  # the aligner takes an IMU's data
        heard = ((f"{stream}/meta", len(slots)), (f"{stream}/data", readers))
        arguments = ("--stream", stream, "--source", "player" if mode == "replay" else "sim")
        table.append(ProcessSpec(stream, f"sensorfuse.nodes.{sensor.modality}", arguments, 1, None, heard))
    if mode == "replay":
        table.append(ProcessSpec("player", "sensorfuse.nodes.player", (), 0, None, (("clock", 0 if twins else 1),)))
    return table
