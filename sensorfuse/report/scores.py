"""Scores against truth as a fragment of HTML: plain values in one table, a group of groups in a table of its own."""

from __future__ import annotations

from typing import Any

from sensorfuse.report.markup import table, text
from sensorfuse.report.wording import count

LABELS: dict[str, str] = {
    "mean_ap": "mean average precision (AP)",
    "nds": "detection score, as nuScenes' without attributes",
    "ate_m": "position error, m",
    "ase": "size error, 1 − overlap",
    "aoe_rad": "heading error, rad",
    "ave_mps": "velocity error, m/s",
    "ap": "AP within {} m",
    "recall": "found within {} m, share",
    "ap_overlap": "AP at overlap {}",
    "frames": "frames scored",
    "truths": "true objects",
    "detections": "tracks scored",
    "by_class": "scored class by class",
    "complete": "annotation holds every object",
    "max_range_m": "scored out to, m",
    "interval_s": "own motion: over, s",
    "pairs": "own motion: pairs of ticks",
    "rotation_median_deg": "own rotation error, median, degrees",
    "rotation_p95_deg": "own rotation error, 95th percentile, degrees",
    "position_median_m": "own displacement error, median, m",
    "position_p95_m": "own displacement error, 95th percentile, m",
    "true_rotation_median_deg": "true rotation, median, degrees",
    "true_distance_median_m": "true displacement, median, m",
}
"""Of the keys that `track.scoring` and `align.ego_scoring` write; any other key is shown as it is."""


def score(measured: dict[str, Any] | None) -> str:
    """One score of a summary; empty without truth. A group with one member says nothing new and is left out."""
    if not measured:
        return ""
    plain, groups = [], []
    for name, value in measured.items():
        if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
            if len(value) > 1:
                groups.append(_group(name, value))
        else:
            plain += [[text(label), text(_shown(v))] for label, v in _flat({name: value}).items()]
    return (table(("measure", "value"), plain, "narrow") if plain else "") + "".join(groups)


def _group(name: str, members: dict[str, dict[str, Any]]) -> str:
    flat = {member: _flat(values) for member, values in members.items()}
    columns = list(dict.fromkeys(label for values in flat.values() for label in values))
    rows = [[text(_label(m)), *(text(_shown(values.get(c))) for c in columns)] for m, values in flat.items()]
    return f"<h3>{text(_label(name))}</h3>" + table(["", *map(text, columns)], rows)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Label -> value, with dictionaries one level down drawn up."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, dict):
            out[_label(name)] = value
            continue
        for key, inner in value.items():
            known = LABELS.get(name, "")
            label = (
                known.format(key) if "{}" in known else _label(key) if name == "errors" else f"{_label(name)}, {key}"
            )
            out[label] = inner
    return out


def _label(name: str) -> str:
    return LABELS.get(name, str(name).replace("_", " "))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_shown(v) for v in value)
    if isinstance(value, int):
        return count(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
