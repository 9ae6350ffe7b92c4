"""What the tracker knows of its sources, of motion, and of what makes and ends a track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from sensorfuse.rig import Rig


@dataclass(frozen=True)
class SourceConfig:
    """What the tracker knows of one source. The field of view is about `azimuth_rad` of base_link's x axis."""

    detection_probability: float = 0.75
    max_range_m: float = 70.0
    azimuth_rad: float = 0.0
    fov_rad: float = 2 * np.pi
    clutter_per_m2: float = 2e-3
    shape_gain: float = 0.3  # how far one detection moves a settled track's size and yaw
    class_accuracy: float = 0.7  # how often the source names the right class


@dataclass(frozen=True)
class TrackerConfig:
    """Sources by name (others get `default_source`), motion, and what makes and ends a track."""

    sources: Mapping[str, SourceConfig] = field(default_factory=lambda: MappingProxyType({}))
    default_source: SourceConfig = field(default_factory=SourceConfig)
    accel_sigma_mps2: float = 2.5
    clutter_sigma_mps: float = 0.7  # velocities of nine tenths of clutter spread so about zero
    velocity_clutter_mps: float = 30.0  # the others over a square of this side
    birth_existence: float = 0.6  # times the score of the first detection
    confirm_existence: float = 0.8
    confirm_hits: int = 2
    end_existence: float = 0.04
    report_score: float = 0.15  # confirmed tracks that score less are followed, not reported
    max_sigma_m: float = 5.0  # a track that nobody looks at ends when its place is this uncertain
    merge_overlap: float = 0.35

    @staticmethod
    def from_rig(rig: Rig) -> TrackerConfig:
        """Ranges and fields of view of the rig's LiDARs and radars."""
        sources = {}
        for name, sensor in rig.sensors.items():
            mount = sensor.T_base_sensor.transform()
            if sensor.modality == "radar":
                radar = sensor.radar
                reach, fov = (radar.max_range_m, np.radians(radar.fov_deg)) if radar else (100.0, np.radians(120.0))
                polar = radar is not None and radar.kind == "polar"
                sources[name] = SourceConfig(
                    detection_probability=0.7 if polar else 0.5,
                    max_range_m=(1.5 if polar else 0.9) * reach,
                    azimuth_rad=mount.yaw(),
                    fov_rad=min(2 * np.pi, 0.95 * fov) if fov < 6.2 else 2 * np.pi,
                    clutter_per_m2=2.5e-3 if polar else 2e-3,
                    shape_gain=0.1 if polar else 0.03,
                    class_accuracy=0.3,
                )
            elif sensor.modality == "lidar":
                reach = sensor.lidar.max_range_m if sensor.lidar else 80.0
                sources[name] = SourceConfig(max_range_m=min(0.75 * reach, 60.0))
        return TrackerConfig(sources=sources)
