"""Records of what strategies made of corrupted runs -> scores and measures of robustness, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sensorfuse.fusion.evaluation.corruptions import find_corruption
from sensorfuse.fusion.evaluation.robustness_gaps import CLEAN, GAPS, GapRecords
from sensorfuse.fusion.evaluation.robustness_metrics import (
    interval95,
    mean_resistance,
    recovery_ticks,
    relative_resistance,
    resistance,
    tau_eff,
    tau_rel,
    tau_rel_of_clean,
)
from sensorfuse.fusion.evaluation.robustness_play import METRICS, Record
from sensorfuse.fusion.fuser import Fuser
from sensorfuse.messages import Modality

SINGLE = "best_single_sensor"

Curves = dict[str, dict[str, list[float]]]
"""By corruption and score: a value per level."""


def headline(corruption: str) -> str:
    """The score that a corruption is judged by: sound's own where it touches nothing but sound."""
    return "sound_f1" if find_corruption(corruption).modalities == ("audio",) else "nds"


def summarise(
    fusers: Mapping[str, Fuser],
    subsets: Mapping[tuple[str, tuple[Modality, ...]], Record],
    corrupted: Mapping[tuple[str, str, int], Record],
    gaps: GapRecords,
    levels: Sequence[float],
    single: tuple[str, tuple[Modality, ...]],
    base: str,
    worlds: int,
) -> dict[str, dict[str, Any]]:
    """By strategy, and `SINGLE`: `clean` scores and latency; `corruptions` with their curves and measures; the means of
    these (`mra`, `mrra`, `tau_rel`, `tau_rel_of_clean`, `tau_eff`) over the corruptions judged by NDS; 95 % confidence
    intervals over the worlds of mRA and of how much it is above the base's in the same worlds (`mra_interval`,
    `mra_over_base_interval`; weights were trained once, so that these know nothing of how training varies); and of
    whole strategies `subsets` and `gaps`.
    """
    every = max((s for _, s in subsets), key=len)
    cleans = {name: subsets[name, every] for name in fusers} | {SINGLE: subsets[single]}
    names = list(dict.fromkeys(c for _, c, _ in corrupted))
    curves = {label: _curves(label, clean, names, corrupted, len(levels)) for label, clean in cleans.items()}
    by_world = {
        label: _resistance_by_world(label, clean, names, corrupted, len(levels), worlds)
        for label, clean in cleans.items()
    }
    out: dict[str, dict[str, Any]] = {}
    for label, clean in cleans.items():
        rows = {c: _measures(curves[label][c], curves[base][c], levels) for c in names}
        for c in names:
            times = [corrupted[label, c, k].latency_ms() for k in range(1, len(levels)) if (label, c, k) in corrupted]
            if times:
                rows[c]["fuse_ms"] = {q: max(t[q] for t in times) for q in times[0]}
        out[label] = {"clean": clean.scores() | {"fuse_ms": clean.latency_ms()}, "corruptions": rows}
        out[label] |= _means(rows)
        over = [own - late for own, late in zip(by_world[label], by_world[base], strict=True)]
        out[label]["mra_interval"] = [_plain(v) for v in interval95(by_world[label])]
        out[label]["mra_over_base_interval"] = [_plain(v) for v in interval95(over)]
        if label in fusers:
            fuser = fusers[label]
            out[label] |= {
                "model": fuser.model,
                "engine": fuser.engine,
                "precision": fuser.precision,
                "subsets": {"+".join(s): r.scores() for (name, s), r in subsets.items() if name == label},
                "gaps": {gap: _gap(label, gap, gaps) for gap in GAPS},
            }
    return out


def _curves(
    label: str, clean: Record, names: Sequence[str], corrupted: Mapping[tuple[str, str, int], Record], levels: int
) -> Curves:
    """What a contestant does not see leaves it as it was."""
    first = clean.scores()
    out: Curves = {}
    for name in names:
        records = [corrupted.get((label, name, k)) for k in range(1, levels)]
        scores = [first] + [first if r is None else r.scores() for r in records]
        out[name] = {key: [s.get(key, float("nan")) for s in scores] for key in first}
    return out


def _resistance_by_world(
    label: str,
    clean: Record,
    names: Sequence[str],
    corrupted: Mapping[tuple[str, str, int], Record],
    levels: int,
    worlds: int,
) -> list[float]:
    """mRA in each world by itself, over the corruptions judged by NDS."""
    first = clean.nds_of_parts(worlds)
    curves = []
    for name in names:
        if headline(name) == "nds":
            records = [corrupted.get((label, name, k)) for k in range(1, levels)]
            curves.append([first, *(first if r is None else r.nds_of_parts(worlds) for r in records)])
    return [mean_resistance([resistance([part[w] for part in curve]) for curve in curves]) for w in range(worlds)]


def _measures(curves: dict[str, list[float]], base: dict[str, list[float]], levels: Sequence[float]) -> dict[str, Any]:
    """Curves as they are, and by score what `robustness_metrics` makes of them."""
    out: dict[str, Any] = {"curves": {name: [_plain(v) for v in curve] for name, curve in curves.items()}}
    for name in METRICS:
        if name not in curves or name not in base:
            continue
        own, late = curves[name], base[name]
        out[name] = {
            "tau_rel": _plain(tau_rel(levels, own)),
            "tau_rel_of_clean": _plain(tau_rel_of_clean(levels, own)),
            "tau_eff": _plain(tau_eff(own, late)),
            "ra": _plain(resistance(own)),
            "rra": _plain(relative_resistance(own, late)),
            "worst": _plain(own[-1]),
        }
    return out


def _means(rows: Mapping[str, dict[str, Any]]) -> dict[str, float | None]:
    judged = [r["nds"] for c, r in rows.items() if headline(c) == "nds" and "nds" in r]
    keys = {"mra": "ra", "mrra": "rra", **{t: t for t in ("tau_rel", "tau_rel_of_clean", "tau_eff")}}
    return {
        name: _plain(mean_resistance([float("nan") if m[key] is None else m[key] for m in judged]))
        for name, key in keys.items()
    }


def _gap(label: str, gap: str, gaps: GapRecords) -> dict[str, Any]:
    """NDS tick by tick with the gap and without, what was left of it meanwhile, and ticks until it was back."""
    with_gap, without = gaps.curve(label, gap, "nds"), gaps.curve(label, CLEAN, "nds")
    during = slice(gaps.begin, gaps.end)
    left = np.nanmean(with_gap[during]) / np.nanmean(without[during]) if np.nansum(without[during]) > 0 else np.nan
    return {
        "nds": [_plain(v) for v in with_gap],
        "nds_without": [_plain(v) for v in without],
        "gap_ticks": [gaps.begin, gaps.end],
        "left": _plain(float(left)),
        "recovery_ticks": recovery_ticks(with_gap, without, gaps.end),
    }


def _plain(value: float) -> float | None:
    """Rounded; None where it is no number, for JSON has none."""
    return round(float(value), 5) if np.isfinite(value) else None
