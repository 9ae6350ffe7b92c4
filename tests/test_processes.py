"""The table of processes follows from the rig and the mode."""

from __future__ import annotations

import importlib.util

import pytest

from sensorfuse.processes import process_table
from sensorfuse.rig import Rig


@pytest.mark.parametrize("mode", ["run", "replay", "record"])
def test_every_process_has_a_module_and_a_name_of_its_own(synthetic_rig: Rig, mode: str) -> None:
    table = process_table(synthetic_rig, mode, twins=True)  # type: ignore[arg-type]
    names = [p.name for p in table]
    assert len(set(names)) == len(names)
    assert set(synthetic_rig.streams()) <= set(names)
    assert all(importlib.util.find_spec(p.module) is not None for p in table)
    assert ("player" in names) == (mode == "replay")
    assert ("fusion.1" in names) == (mode != "record")


def test_what_sends_stops_before_what_receives(synthetic_rig: Rig) -> None:
    ranks = {p.name: p.stop_rank for p in process_table(synthetic_rig, "replay", twins=False)}
    assert ranks["player"] < ranks["lidar"] < ranks["align.0"] < ranks["fusion.0"] < ranks["recorder"]


def test_only_some_sensors(synthetic_rig: Rig) -> None:
    names = [p.name for p in process_table(synthetic_rig, "run", twins=False, only=("imu",))]
    assert set(names) & set(synthetic_rig.streams()) == {"imu"}


def test_publishers_wait_for_everyone_who_must_hear_them(synthetic_rig: Rig) -> None:
    live = {p.name: dict(p.awaits) for p in process_table(synthetic_rig, "run", twins=True)}
    assert live["fusion.0"] == {"fused": 3, "progress": 0}
    assert live["align.1"] == {"tick": 4}
    assert live["lidar"] == {"lidar/meta": 2, "lidar/data": 2}
    assert live["imu"] == {"imu/meta": 2, "imu/data": 4}
    played = {p.name: dict(p.awaits) for p in process_table(synthetic_rig, "replay", twins=False, inputs=True)}
    assert played["player"] == {"clock": 1}
    assert played["fusion.0"] == {"fused": 2, "progress": 1}
    assert played["lidar"] == {"lidar/meta": 1, "lidar/data": 2}
    recorded = {p.name: dict(p.awaits) for p in process_table(synthetic_rig, "record", twins=False)}
    assert recorded["lidar"] == {"lidar/meta": 0, "lidar/data": 1}
