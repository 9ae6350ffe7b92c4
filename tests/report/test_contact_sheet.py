"""The contact sheet: a picture of every sensor in every scenario, none of them empty."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from sensorfuse.report.contact_sheet import contact_sheet
from sensorfuse.report.palette import png_bytes
from sensorfuse.rig import Rig, parse_rig


def pictures(figure: Figure) -> list[np.ndarray]:
    """The pixels of each axes, in the order they were drawn."""
    image = imread(BytesIO(png_bytes(figure, 60)))[..., :3]
    rows, columns = image.shape[:2]
    boxes = [ax.get_position() for ax in figure.axes]
    return [
        image[int((1 - b.y1) * rows) + 1 : int((1 - b.y0) * rows), int(b.x0 * columns) + 1 : int(b.x1 * columns)]
        for b in boxes
    ]


def test_every_scenario_and_sensor_has_its_picture(small_rig: Rig) -> None:
    figure = contact_sheet(small_rig, ["town", "town_night"], seed=6, at_s=3.0)
    shown = pictures(figure)
    assert len(shown) == 2 * len(small_rig.sensors)
    assert all(p.std() > 0.01 for p in shown)
    day, night = shown[0], shown[len(small_rig.sensors)]
    assert night.mean() < 0.5 * day.mean()
    text = " ".join(t.get_text() for t in figure.texts)
    assert all(stream in text for stream in small_rig.sensors)


def test_a_scanning_radar_is_drawn_as_its_power(small_rig: Rig) -> None:
    rig = parse_rig(small_rig.to_yaml().replace("    radar:\n", "    radar:\n      kind: polar\n"))
    assert rig.sensors["radar"].radar is not None
    assert rig.sensors["radar"].radar.kind == "polar"
    shown = pictures(contact_sheet(rig, ["town"], seed=6, at_s=1.0))
    assert shown[list(rig.sensors).index("radar")].std() > 0.01
