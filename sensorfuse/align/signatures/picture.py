"""A camera sample as a grey picture of moderate size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import Sample
from sensorfuse.picture_file import decode_picture

MAX_WIDTH = 480

Grey = NDArray[np.uint8]


def grey_picture(sample: Sample) -> Grey | None:
    """The picture (H, W) at most `MAX_WIDTH` wide, from RGB, mono or JPEG; None where it cannot be read."""
    arrays = sample.arrays
    grey: Any
    try:
        if "image" in arrays:
            grey = cv2.cvtColor(np.ascontiguousarray(arrays["image"]), cv2.COLOR_RGB2GRAY)
        elif "image_mono" in arrays:
            grey = np.ascontiguousarray(arrays["image_mono"])
        elif "jpeg" in arrays:
            grey = decode_picture(arrays["jpeg"], cv2.IMREAD_GRAYSCALE)
        else:
            return None
        if grey is None or grey.ndim != 2 or min(grey.shape) < 2:
            return None
        if grey.shape[1] > MAX_WIDTH:
            height = max(round(grey.shape[0] * MAX_WIDTH / grey.shape[1]), 2)
            grey = cv2.resize(grey, (MAX_WIDTH, height), interpolation=cv2.INTER_AREA)
    except cv2.error:
        return None
    return np.asarray(grey, np.uint8)
