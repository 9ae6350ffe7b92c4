"""The untrained detectors on real sweeps and scans; what they should find was read off pictures and annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.fusion.late import LateFusion
from sensorfuse.log.kitti import KittiReader
from sensorfuse.log.radiate import RadiateReader
from sensorfuse.messages import CLASSES, Sample
from sensorfuse.rig import shipped_rig
from sensorfuse.track.timed import move_detections

pytestmark = pytest.mark.data


def first_of(reader: object, stream: str, count: int) -> list[Sample]:
    out = []
    for sample in reader.samples():  # type: ignore[attr-defined]
        if sample.stream == stream:
            out.append(sample)
            if len(out) == count:
                break
    return out


def test_parked_cars_and_the_one_ahead_in_kitti(data_dir: Path) -> None:
    """Frame 0: a car 10 m ahead in the lane, a row of parked ones on the left, cars ahead on the right."""
    rig = shipped_rig("kitti")
    stream = next(n for n, s in rig.sensors.items() if s.modality == "lidar")
    sample = first_of(KittiReader(data_dir / "kitti"), rig.sensors[stream].log_stream or stream, 1)[0]
    sample.stream = stream
    found = LateFusion(rig).encode(sample).detections  # type: ignore[union-attr]
    sure = found.select((found.score > 0.7) & np.array([CLASSES[c] in ("car", "van", "truck") for c in found.class_id]))
    for place in ([10.1, -0.3], [7.7, 3.3], [-5.7, 3.8], [-11.9, 3.9], [-16.7, 3.5], [32.0, -4.3]):
        assert np.hypot(*(sure.center[:, :2] - place).T).min() < 1.5


def test_annotated_cars_are_blobs_in_radiates_scans(data_dir: Path) -> None:
    """Car 3 of the foggy sequence, 50 to 68 m ahead: a radar object lies on it in nearly every scan."""
    rig = shipped_rig("radiate")
    reader = RadiateReader(data_dir / "radiate" / "tiny_foggy", rig.clock_offsets_ns())
    fuser = LateFusion(rig)
    scans = first_of(reader, "navtech_polar", 18)
    hits = []
    for sample, truth in zip(scans, reader.truth(), strict=True):
        sample.stream = "radar"
        twist = np.array([9.6, 0.0, 0.0, 0.0, 0.0, 0.0])  # the van's speed there
        found = move_detections(fuser.encode(sample), 0, BodyMotion.from_twist(twist))  # type: ignore[arg-type]
        for place in truth.objects.center[truth.objects.track_id == 3]:
            hits.append(np.hypot(*(found.center[:, :2] - place[:2]).T).min() < 1.5)
    assert len(hits) >= 6
    assert np.mean(hits) > 0.8
