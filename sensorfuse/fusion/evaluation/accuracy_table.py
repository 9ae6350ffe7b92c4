"""The table of strategies in the README, made of the records beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sensorfuse.errors import SensorfuseError, first_line
from sensorfuse.fusion.strategies import STRATEGIES
from sensorfuse.plain_json import read_object

BEGIN, END = "<!-- strategies: begin -->", "<!-- strategies: end -->"
COLUMNS = {  # condition: how it is called
    "all": "all",
    "no_camera": "no camera",
    "no_lidar": "no LiDAR",
    "no_radar": "no radar",
    "only_camera": "camera only",
    "only_lidar": "LiDAR only",
    "only_radar": "radar only",
}


def markdown(weights: Path) -> str:
    """A row per strategy that has been judged, in the order of the strategy table."""
    head = ["strategy", *COLUMNS.values(), "mAP all around", "kB", "ms"]
    rows = [head, ["---"] * len(head)]
    for strategy in STRATEGIES:
        card_file = weights / f"{strategy.name}.json"
        card = read_object(card_file.read_text(encoding="utf-8")) if card_file.exists() else {}
        if "accuracy" in card:
            rows.append(_row(strategy.name, card["accuracy"], weights / f"{strategy.name}.onnx"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, accuracy: dict[str, Any], network: Path) -> list[str]:
    conditions = accuracy["conditions"]
    size = f"{network.stat().st_size / 1000:.0f}" if network.exists() else ""
    scores = [f"{conditions[c].get('nds_ahead', 0.0):.3f}" for c in COLUMNS]
    return [f"`{name}`", *scores, f"{conditions['all']['map']:.3f}", size, f"{accuracy['median_ms']['fuse']:.1f}"]


def around_table(readme: Path) -> tuple[str, str]:
    """What stands before and after the table of a README, without the marks.

    Raises:
        SensorfuseError: it can't be read, or has no such marks.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SensorfuseError(f"{readme}: cannot be read: {first_line(error)}") from None
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise SensorfuseError(f"{readme}: has no lines {BEGIN} and {END}")
    return before, after


def write_into(readme: Path, weights: Path) -> None:
    """Replace what stands between the marks of a README by the table.

    Raises:
        SensorfuseError: it can't be read or written, or has no such marks.
    """
    before, after = around_table(readme)
    try:
        readme.write_text(f"{before}{BEGIN}\n{markdown(weights)}\n{END}{after}", encoding="utf-8")
    except OSError as error:
        raise SensorfuseError(f"{readme}: cannot be written: {error.strerror or error}") from None
