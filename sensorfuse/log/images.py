"""Image files as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sensorfuse.picture_file import MAX_PIXELS, PictureError, image_size


class UnreadableError(Exception):
    """One record of a log cannot be read; the text is the reason under which it is counted."""


def read_bytes(path: Path, what: str) -> bytes:
    """A whole file.

    Raises:
        UnreadableError: it is missing, empty or refused.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError(f"{what} missing") from None
    except OSError as error:
        raise UnreadableError(f"{what} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise UnreadableError(f"{what} has no possible file name") from None
    if not data:
        raise UnreadableError(f"{what} is empty")
    return data


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height as a PNG or JPEG file states them.

    Raises:
        UnreadableError: it is neither, is cut short, or states what can't be.
    """
    try:
        return image_size(data)
    except PictureError as problem:
        raise UnreadableError(str(problem)) from None


def decode_image(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of a camera sample from a PNG or JPEG file: `image` (H, W, 3) RGB, or `image_mono` (H, W) for a grey one.

    Raises:
        UnreadableError: the bytes are no whole image of 8 bits a channel, or one beyond `MAX_PIXELS`.
    """
    width, height = picture_size(data)
    if not 0 < width * height <= MAX_PIXELS:
        raise UnreadableError("image states an impossible size")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableError("image damaged")
    if image.dtype != np.uint8:
        raise UnreadableError(f"image has {image.dtype} pixels, expected uint8")
    if image.ndim == 2:
        return {"image_mono": image}
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return {"image": cv2.cvtColor(image, code)}
