"""What spoils a camera's picture. Every function: (sample, level in [0, 1], rng) -> a new sample; level 0 changes
nothing.

Pictures come back as arrays of pixels (`image` or `image_mono`), however they came. Kinds and their grading follow
Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions", ICLR 2019; haze follows
Koschmieder's law (1924), weak light the photon noise of Foi et al., "Practical Poissonian-Gaussian Noise Modeling",
IEEE TIP 2008.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import Sample
from sensorfuse.picture_file import decode_picture

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

GLARE = 140.0  # grey levels added
LEAST_LIGHT = 0.04  # of what there was
FULL_WELL = 400.0  # photons of a white pixel in the least light
READ_NOISE = 4.0  # grey levels
BLUR_WIDTH = 1 / 16  # of the picture's width
SPECKLED = 0.3  # share of pixels
WORST_QUALITY = 2  # of JPEG, of 100
AIRLIGHT = 200.0  # grey level of fog
DENSEST_PER_M = np.log(20.0) / 50  # contrast falls to 5 % at 50 m
NEAREST_M, FARTHEST_M = 5.0, 60.0  # ground at the bottom row; what rises above the horizon


def brightness(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Overexposure: grey levels are raised and clipped."""
    return sample if level == 0 else _changed(sample, lambda p: _pixels(p.astype(np.float32) + GLARE * level))


def dark(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Underexposure, with the photon and read noise of what little light is left."""
    if level == 0:
        return sample
    light = LEAST_LIGHT**level

    def darken(picture: Picture) -> Picture:
        photons = picture.astype(np.float32) / 255 * light
        well = FULL_WELL / LEAST_LIGHT
        shot = np.sqrt(photons / well) * rng.standard_normal(picture.shape, dtype=np.float32)
        read = READ_NOISE / 255 * level * rng.standard_normal(picture.shape, dtype=np.float32)
        return _pixels(255 * (photons + shot + read))

    return _changed(sample, darken)


def fog(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Haze: light J of what lies at distance d becomes J e^(-b d) + A (1 - e^(-b d)). Distances are those of flat
    ground with the horizon at half height.
    """
    if level == 0:
        return sample

    def haze(picture: Picture) -> Picture:
        rows = len(picture)
        below = (np.arange(rows) + 1 - rows / 2) / (rows / 2)  # of the horizon: 1 at the bottom row
        away = np.minimum(NEAREST_M / np.maximum(below, 1e-6), FARTHEST_M)
        clear = np.exp(-DENSEST_PER_M * level * away).astype(np.float32)
        clear = clear.reshape(rows, *[1] * (picture.ndim - 1))
        return _pixels(picture * clear + AIRLIGHT * (1 - clear))

    return _changed(sample, haze)


def motion_blur(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """The mean along a line of a direction drawn at random: the camera shook while the shutter was open."""
    if level == 0:
        return sample
    angle = rng.uniform(0, np.pi)

    def smear(picture: Picture) -> Picture:
        length = BLUR_WIDTH * level * picture.shape[1]
        half = int(np.ceil(length / 2))
        kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
        for along in np.linspace(-length / 2, length / 2, 4 * half + 1):  # bilinear, so that it grows steadily
            x, y = half + along * np.cos(angle), half + along * np.sin(angle)
            i, j = min(int(y), 2 * half - 1), min(int(x), 2 * half - 1)
            kernel[i : i + 2, j : j + 2] += np.outer([1 - (y - i), y - i], [1 - (x - j), x - j])
        return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), np.uint8)

    return _changed(sample, smear)


def salt_and_pepper(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Pixels that are white or black at random: dead ones, or bits lost on the way."""
    if level == 0:
        return sample

    def speckle(picture: Picture) -> Picture:
        draw = rng.random(picture.shape[:2], dtype=np.float32)
        out = picture.copy()
        out[draw < 0.5 * SPECKLED * level] = 0
        out[draw > 1 - 0.5 * SPECKLED * level] = 255
        return out

    return _changed(sample, speckle)


def jpeg(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """Compressed too much: what a narrow radio link leaves of it."""
    if level == 0:
        return sample
    quality = round(100 * (WORST_QUALITY / 100) ** level)

    def compress(picture: Picture) -> Picture:
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)

    return _changed(sample, compress)


def _pixels(values: Floats) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _changed(sample: Sample, change) -> Sample:  # type: ignore[no-untyped-def]
    """The sample with its picture changed by a function of pictures (H, W) or (H, W, 3)."""
    if "jpeg" in sample.arrays:
        decoded = decode_picture(sample.arrays["jpeg"], cv2.IMREAD_COLOR)
        if decoded is None:
            raise SensorfuseError(f"stream {sample.stream}, seq {sample.seq}: array 'jpeg' is no readable JPEG or PNG")
        return replace(sample, arrays={"image": change(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))})
    name = "image" if "image" in sample.arrays else "image_mono"
    return replace(sample, arrays={name: change(sample.arrays[name])})
