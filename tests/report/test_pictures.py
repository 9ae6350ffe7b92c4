"""Pictures show what they are given, where it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fake_run import FakeRun, make_boxes, make_frame, make_samples
from matplotlib.figure import Figure

from sensorfuse.messages import Detections, Sample, SoundEvent, Truth
from sensorfuse.report import palette
from sensorfuse.report.pictures import View, bird_eye_figure, camera_figure
from sensorfuse.rig import Rig

VIEW = View(ahead_m=50.0, behind_m=50.0, side_m=50.0)


def pixels(figure: Figure | None) -> np.ndarray:
    assert figure is not None
    return cv2.imdecode(np.frombuffer(palette.png_bytes(figure, 100), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(
        int
    )


def close_to(image: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(image - wanted).max(axis=2) < tolerance


def patch(mask: np.ndarray, x: float, y: float, reach_m: float = 2.0) -> np.ndarray:
    """The part of a bird's-eye picture within `reach_m` of a place in base_link."""
    scale = mask.shape[0] / 100
    i, j, r = round((50 - x) * scale), round((50 - y) * scale), round(reach_m * scale)
    return mask[max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1]


def bare_frame(rig: Rig):
    frame = make_frame(rig, 0)
    frame.detections, frame.tracks = Detections.empty(), Detections.empty()
    frame.twist = np.zeros(6)
    return frame


@pytest.mark.parametrize(("x", "y"), [(30.0, 12.0), (-20.0, 25.0), (15.0, -30.0)])
def test_lidar_points_show_where_they_are(synthetic_rig: Rig, x: float, y: float) -> None:
    sensor = synthetic_rig.sensors["lidar"]
    cloud = np.random.default_rng(0).normal([x, y, 1.0], [0.3, 0.3, 0.5], (300, 3))
    points = (sensor.T_base_sensor.transform().inverse() @ cloud).astype(np.float32)
    sample = Sample("lidar", "lidar", 0, 0, 0, "lidar_link", {"points": points})
    frame = bare_frame(synthetic_rig)
    empty = pixels(bird_eye_figure(frame, {}, synthetic_rig, view=VIEW))
    drawn = pixels(bird_eye_figure(frame, {"lidar": sample}, synthetic_rig, view=VIEW))
    changed = np.abs(drawn - empty).max(axis=2) > 40
    assert patch(changed, x, y).mean() > 0.1
    assert not patch(changed, -x, y).any(), "mirrored nowhere"


def test_boxes_of_each_kind_have_their_colour_at_their_place(synthetic_rig: Rig) -> None:
    frame = bare_frame(synthetic_rig)
    boxes = make_boxes(0.0, True)
    frame.tracks = boxes.select(np.array([1]))  # a truck at (30, -3.4)
    frame.detections = boxes.select(np.array([4]))  # at (48, 1)
    truth = Truth(frame.t_ref_ns, boxes.select(np.array([0])))  # a car at (14, 3.5)
    image = pixels(bird_eye_figure(frame, {}, synthetic_rig, truth, VIEW))
    assert patch(close_to(image, palette.TRACK), 30.0, -3.4, 5).sum() > 40
    assert patch(close_to(image, palette.DETECTION), 48.0, 1.0, 3).any()
    assert patch(close_to(image, palette.TRUTH, 90), 14.0, 3.5, 3).any()
    assert not patch(close_to(image, palette.TRACK), 14.0, 3.5, 3).any()


def test_truth_is_moved_to_the_tick(synthetic_rig: Rig) -> None:
    frame = bare_frame(synthetic_rig)
    frame.twist = np.array([20.0, 0, 0, 0, 0, 0])
    truth = Truth(frame.t_ref_ns - 1_000_000_000, make_boxes(0.0, True).select(np.array([4])))
    mask = close_to(pixels(bird_eye_figure(frame, {}, synthetic_rig, truth, VIEW)), palette.TRUTH, 90)
    assert patch(mask, 28.0, 1.0, 3).any(), "20 m nearer after a second at 20 m/s"
    assert not patch(mask, 48.0, 1.0, 3).any()


def test_radar_and_sound_are_drawn(synthetic_rig: Rig) -> None:
    frame = bare_frame(synthetic_rig)
    frame.sounds = [SoundEvent("a $siren$ of \\frac", np.pi / 2, 0.9)]
    sensor = synthetic_rig.sensors["radar"]
    far = sensor.T_base_sensor.transform().translation[0]
    found = {"detections": np.array([[30 - far, 0, 0, 0, 10]], np.float32)}
    polar = {"polar": np.zeros((360, 200), np.uint8)}
    polar["polar"][0, 100:110] = 255  # straight ahead, 20 to 22 m
    detections = Sample("radar", "radar", 0, 0, 0, "radar_link", found)
    scan = Sample("radar", "radar", 0, 0, 0, "radar_link", polar, meta={"range_resolution_m": 0.2})
    image = pixels(bird_eye_figure(frame, {"radar": detections}, synthetic_rig, view=VIEW))
    assert patch(close_to(image, palette.RADAR), 30.0, 0.0, 1.5).any()
    assert patch(close_to(image, palette.SOUND), 0.0, 20.0, 3).any(), "a sound to the left"
    image = pixels(bird_eye_figure(frame, {"radar": scan}, synthetic_rig, view=VIEW))
    assert patch(close_to(image, palette.RADAR, 60), 21.0 + far, 0.0, 1.5).any()


def test_camera_picture_with_boxes(fake_run: FakeRun, synthetic_rig: Rig) -> None:
    frame = fake_run.frames[10]
    sample = make_samples(synthetic_rig, frame)["camera"]
    sensor = synthetic_rig.sensors["camera"]
    plain = pixels(camera_figure(replace(frame, tracks=Detections.empty()), sample, sensor, "camera"))
    drawn = pixels(camera_figure(frame, sample, sensor, "camera"))
    assert plain.shape == drawn.shape
    assert abs(plain.shape[1] / plain.shape[0] - 480 / 270) < 0.02
    np.testing.assert_allclose(plain[5, 5], [120, 150, 185], atol=2)
    assert close_to(drawn, palette.TRACK).sum() > close_to(plain, palette.TRACK).sum() + 100
    broken = replace(sample, arrays={"jpeg": np.zeros(10, np.uint8)})
    assert camera_figure(frame, broken, sensor, "camera") is None


def test_pictures_are_repeatable_and_of_the_named_kind(fake_run: FakeRun) -> None:
    shot = fake_run.snapshots[0]
    figures = [bird_eye_figure(shot.frame, shot.samples, fake_run.record.rig, shot.truth) for _ in range(3)]
    assert palette.png_bytes(figures[0]) == palette.png_bytes(figures[1])
    assert palette.jpeg_bytes(figures[2])[:3] == b"\xff\xd8\xff"


def test_nothing_to_show_still_gives_a_picture(synthetic_rig: Rig) -> None:
    frame = bare_frame(synthetic_rig)
    frame.twist = np.full(6, np.inf)
    image = pixels(bird_eye_figure(frame, {}, synthetic_rig, Truth(0, Detections.empty())))
    assert close_to(image, palette.EGO).any(), "the ego mark"
