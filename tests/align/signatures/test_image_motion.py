"""Motion energy tells movement from exposure."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.signatures.image_motion import ImageMotion


def test_movement_shows_and_exposure_does_not() -> None:
    picture = np.random.default_rng(0).integers(20, 60, (90, 160), dtype=np.uint8)
    picture[20:70, 30:80] = 200
    brighter = np.round(picture * 1.25).clip(0, 255).astype(np.uint8)
    moved = np.roll(picture, 12, axis=1)
    motion = ImageMotion()
    assert motion.measure(picture) is None
    exposure = motion.measure(brighter)
    motion.measure(picture)
    movement = motion.measure(moved)
    assert exposure is not None
    assert movement is not None
    assert exposure < 1.0 < 5 * exposure < movement
    assert motion.measure(picture[:, :80].copy()) is None, "another aspect is another camera"


def test_black_pictures_do_not_divide() -> None:
    motion, black = ImageMotion(), np.zeros((60, 80), np.uint8)
    motion.measure(black)
    assert motion.measure(black) == 0.0
