"""Compressed pictures, judged by what they state of themselves before anything is decoded or made room for."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 1 << 26  # 67 million: no more is allocated, whatever a file says of itself
PNG_PIXELS_PER_BYTE = 8 * 1032  # a bit for each, packed as tight as deflate can
JPEG_PIXELS_PER_BYTE = 8 * 64  # a bit for the mean of each block of 8 x 8
PNG_MARK = b"\x89PNG\r\n\x1a\n"
JPEG_MARK = b"\xff\xd8"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that state a size


class PictureError(ValueError):
    """The bytes are no whole picture; the text says what is wrong."""


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height as a PNG or JPEG file states them, before anything is decoded.

    Raises:
        PictureError: it is neither, or says nothing of its size.
    """
    if data[:8] == PNG_MARK and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        if width * height > PNG_PIXELS_PER_BYTE * len(data):
            raise PictureError("image states an impossible size")
        _require_whole_png(data)
        return int(width), int(height)
    if data[:2] != JPEG_MARK:
        raise PictureError("image damaged")
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8:  # padding, or a mark without content
            at += 1 if marker == 0xFF else 2
            continue
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if width * height > JPEG_PIXELS_PER_BYTE * len(data):
                raise PictureError("image states an impossible size")
            return int(width), int(height)
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    raise PictureError("image damaged")


def _require_whole_png(data: bytes) -> None:
    """Check that each chunk lies within the file: the decoder makes room for what a chunk states, up to 4 GB."""
    at = len(PNG_MARK)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + length
    raise PictureError("image damaged")


def decode_picture(data: NDArray[Any], mode: int) -> NDArray[Any] | None:
    """The pixels of a PNG or JPEG file by OpenCV's `mode`; None where the bytes are no whole picture of sound size."""
    try:
        width, height = image_size(data.tobytes())
        if not 0 < width * height <= MAX_PIXELS:
            return None
        decoded: NDArray[Any] | None = cv2.imdecode(np.ascontiguousarray(data), mode)
    except (PictureError, cv2.error):
        return None
    return decoded
