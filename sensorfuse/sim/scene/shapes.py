"""What things look like: each object is a few boxes and upright cylinders, drawn by class from a random generator.

One row of a primitive table describes one part (`COLUMNS`). In a shape the row is relative to the middle of the
object's footprint; `World.primitives` puts it in the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Columns of a primitive table. A cylinder keeps its radius in HX; COS, SIN: heading; VX, VY, SPIN: motion over ground;
# REFLECT: of infrared, normal incidence; BOUND: radius of the footprint; OWNER: actor, or -1; MARK: its own number.
KIND, X, Y, Z, HX, HY, HZ, COS, SIN, VX, VY, SPIN, REFLECT, BOUND, OWNER, TEXTURE, RED, GREEN, BLUE, MARK = range(20)
COLUMNS = 20

BOX, CYLINDER = 0.0, 1.0
PLAIN, BODY, GLASS, HOUSE, FOLIAGE, STRIPES, BEACON, WINDOWS, SKIN, LAMP = range(10)
"""Textures, as the camera draws them. A LAMP shines where its colour is bright."""

Rgb = tuple[float, float, float]

CAR_PAINT: tuple[Rgb, ...] = (
    (225, 225, 228), (30, 30, 34), (150, 152, 156), (90, 94, 100), (40, 62, 120),
    (150, 28, 30), (205, 200, 190), (30, 80, 60),
)  # fmt: skip
VAN_PAINT: tuple[Rgb, ...] = ((235, 235, 235), (235, 235, 235), (210, 160, 40), (60, 90, 150), (120, 122, 126))
BUS_PAINT: tuple[Rgb, ...] = ((200, 40, 40), (230, 180, 40), (40, 120, 180), (60, 150, 80))
CARGO_PAINT: tuple[Rgb, ...] = ((220, 220, 220), (190, 170, 140), (60, 100, 160), (170, 60, 50), (90, 130, 90))
CLOTHES: tuple[Rgb, ...] = (
    (40, 44, 60), (150, 40, 50), (60, 100, 70), (190, 170, 60), (110, 110, 120),
    (220, 220, 215), (70, 60, 110), (200, 110, 50),
)  # fmt: skip
TROUSERS: tuple[Rgb, ...] = ((40, 50, 80), (35, 35, 38), (110, 95, 70), (70, 75, 80))
SKIN_TONES: tuple[Rgb, ...] = ((224, 182, 150), (190, 140, 105), (120, 82, 60))


@dataclass(frozen=True)
class Shape:
    """Length, width, height in metres, and the parts (P, COLUMNS) that fill that box."""

    size: tuple[float, float, float]
    parts: Array


def part(
    kind: float,
    center: tuple[float, float, float],
    half: tuple[float, float, float],
    colour: Rgb,
    texture: int = PLAIN,
    reflect: float = 0.3,
    mark: float = 0.0,
) -> Array:
    """One row of a primitive table at heading 0, owned by nobody, standing still."""
    row = np.zeros(COLUMNS)
    row[KIND], row[COS], row[OWNER] = kind, 1.0, -1.0
    row[[X, Y, Z]], row[[HX, HY, HZ]], row[[RED, GREEN, BLUE]] = center, half, colour
    row[REFLECT], row[TEXTURE], row[MARK] = reflect, texture, mark
    row[BOUND] = half[0] if kind == CYLINDER else float(np.hypot(half[0], half[1]))
    return row


def _pick(rng: np.random.Generator, colours: tuple[Rgb, ...]) -> Rgb:
    chosen = np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 8)
    r, g, b = np.clip(chosen, 10, 250)
    return float(r), float(g), float(b)


def _slab(
    x0: float, x1: float, width: float, z0: float, z1: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return ((x0 + x1) / 2, 0.0, (z0 + z1) / 2), ((x1 - x0) / 2, width / 2, (z1 - z0) / 2)


def _car(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(3.8, 4.9), rng.uniform(1.68, 1.92), rng.uniform(1.4, 1.65)
    paint, waist, reflect = _pick(rng, CAR_PAINT), rng.uniform(0.54, 0.62) * height, rng.uniform(0.12, 0.6)
    rear, front = -length / 2, length / 2
    cabin = _slab(
        rear + rng.uniform(0.02, 0.16) * length, front - rng.uniform(0.26, 0.32) * length, 0.86 * width, waist, height
    )
    body = part(BOX, *_slab(rear, front, width, 0.16, waist), paint, BODY, reflect)
    return Shape((length, width, height), np.stack([body, part(BOX, *cabin, paint, GLASS, 0.12)]))


def _van(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(4.9, 6.2), rng.uniform(1.95, 2.1), rng.uniform(2.0, 2.6)
    paint, reflect = _pick(rng, VAN_PAINT), rng.uniform(0.25, 0.6)
    nose = rng.uniform(0.14, 0.2) * length
    box = part(BOX, *_slab(-length / 2, length / 2 - nose, width, 0.2, height), paint, BODY, reflect)
    hood = part(BOX, *_slab(length / 2 - nose, length / 2, 0.95 * width, 0.2, 0.52 * height), paint, BODY, reflect)
    return Shape((length, width, height), np.stack([box, hood]))


def _truck(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(7.0, 11.5), rng.uniform(2.4, 2.55), rng.uniform(3.0, 3.8)
    cab = rng.uniform(1.9, 2.3)
    paint, load = _pick(rng, CAR_PAINT), _pick(rng, CARGO_PAINT)
    split = length / 2 - cab
    parts = [
        part(BOX, *_slab(split, length / 2, 0.98 * width, 0.35, rng.uniform(0.78, 0.92) * height), paint, BODY, 0.4),
        part(BOX, *_slab(-length / 2, split - 0.3, width, 1.05, height), load, PLAIN, rng.uniform(0.3, 0.6)),
        part(BOX, *_slab(-length / 2 + 0.2, split, 0.8 * width, 0.45, 1.05), (45, 45, 48), PLAIN, 0.15),
    ]
    return Shape((length, width, height), np.stack(parts))


def _bus(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(9.5, 12.5), 2.5, rng.uniform(2.9, 3.3)
    body = part(BOX, *_slab(-length / 2, length / 2, width, 0.3, height), _pick(rng, BUS_PAINT), WINDOWS, 0.4)
    return Shape((length, width, height), body[None])


def _emergency_vehicle(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(5.2, 6.8), rng.uniform(2.0, 2.25), rng.uniform(2.4, 2.9)
    nose = rng.uniform(0.16, 0.22) * length
    white = (238.0, 238.0, 232.0)
    parts = [
        part(BOX, *_slab(-length / 2, length / 2 - nose, width, 0.25, height - 0.22), white, STRIPES, 0.7),
        part(BOX, *_slab(length / 2 - nose, length / 2, 0.95 * width, 0.25, 0.5 * height), white, STRIPES, 0.7),
        part(BOX, *_slab(0.12 * length, 0.22 * length, 0.8 * width, height - 0.22, height), (40, 80, 255), BEACON, 0.3),
    ]
    return Shape((length, width, height), np.stack(parts))


def _cyclist(rng: np.random.Generator) -> Shape:
    length, width, height = rng.uniform(1.65, 1.9), rng.uniform(0.52, 0.66), rng.uniform(1.6, 1.85)
    radius = rng.uniform(0.19, 0.24)
    parts = [
        part(BOX, *_slab(-length / 2, length / 2, 0.1, 0.12, 0.72), _pick(rng, CAR_PAINT), PLAIN, 0.25),
        part(BOX, *_slab(0.26 * length, 0.31 * length, width, 0.95, 1.05), (40, 40, 40), PLAIN, 0.2),
        part(CYLINDER, (-0.15, 0, 0.62), (0.14, 0.14, 0.22), _pick(rng, TROUSERS), PLAIN, 0.25),
        part(
            CYLINDER,
            (-0.08, 0, 0.84 + (height - 0.24 - 0.84) / 2),
            (radius, radius, (height - 1.08) / 2),
            _pick(rng, CLOTHES),
            PLAIN,
            0.4,
        ),
        part(CYLINDER, (0.0, 0, height - 0.12), (0.12, 0.12, 0.12), _pick(rng, CLOTHES), PLAIN, 0.35),
    ]
    return Shape((length, width, height), np.stack(parts))


def _pedestrian(rng: np.random.Generator) -> Shape:
    width, height = rng.uniform(0.46, 0.62), rng.uniform(1.5, 1.92)
    length = width * rng.uniform(0.9, 1.15)
    radius, hip = 0.46 * min(width, length), 0.47 * height
    top = height - 0.25
    parts = [
        part(CYLINDER, (0, 0, hip / 2), (0.7 * radius, 0.7 * radius, hip / 2), _pick(rng, TROUSERS), PLAIN, 0.25),
        part(CYLINDER, (0, 0, (hip + top) / 2), (radius, radius, (top - hip) / 2), _pick(rng, CLOTHES), PLAIN, 0.4),
        part(CYLINDER, (0, 0, height - 0.125), (0.11, 0.11, 0.125), _pick(rng, SKIN_TONES), SKIN, 0.4),
    ]
    return Shape((length, width, height), np.stack(parts))


_MAKERS = {
    "car": _car,
    "van": _van,
    "truck": _truck,
    "bus": _bus,
    "emergency_vehicle": _emergency_vehicle,
    "cyclist": _cyclist,
    "pedestrian": _pedestrian,
}


def make_shape(class_name: str, rng: np.random.Generator) -> Shape:
    """A random object of a class of `messages.CLASSES` (all but `unknown`)."""
    return _MAKERS[class_name](rng)
