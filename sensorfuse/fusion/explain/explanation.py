"""Where a tick's objects, own motion and sounds came from: each modality's share of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.explain.moment import Moment, find_moment
from sensorfuse.fusion.explain.shapley import shapley_shares
from sensorfuse.fusion.explain.subsets import OUTPUTS, SubsetValues, network_values, object_values
from sensorfuse.fusion.explain.tapped import TappedFusion
from sensorfuse.fusion.strategies import find_strategy, make_fuser
from sensorfuse.messages import CLASSES, Modality
from sensorfuse.rig import Rig

Array = NDArray[np.float64]

SHOWN_SCORE = 0.2
"""Networks report objects down to far lower scores, for the tracker to weigh."""


@dataclass
class Attribution:
    """One value of a tick, shared out: `value` = `none` + the sum of `shares`, in `unit`.

    `alone` is what it would have been with only that modality, `without` with all but it.
    """

    name: str
    unit: str
    value: float
    none: float
    shares: dict[Modality, float]
    alone: dict[Modality, float]
    without: dict[Modality, float]

    @property
    def dominant(self) -> Modality:
        """The modality with the largest share."""
        return max(self.shares, key=lambda m: self.shares[m])


@dataclass
class Explanation:
    """A tick with its attributions. `objects[n]` is of row n of `moment.result.detections`; `absent` says why a
    modality has no share. `relevance`: per map modality where attention read its map (X, Y); empty where not asked.
    """

    moment: Moment
    players: tuple[Modality, ...]
    objects: list[Attribution]
    outputs: list[Attribution]
    absent: dict[Modality, str]
    model: str
    relevance: dict[Modality, Array] = field(default_factory=dict)

    @property
    def shown(self) -> list[int]:
        """The objects that are sure enough to be shown, by number, best first."""
        sure = [n for n, one in enumerate(self.objects) if one.value >= SHOWN_SCORE]
        return sorted(sure, key=lambda n: -self.objects[n].value)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries."""
        found = self.moment.result.detections
        rows = []
        for n, one in enumerate(self.objects):
            place = {
                "class": CLASSES[found.class_id[n]],
                "center_m": _rounded(found.center[n]),
                "size_m": _rounded(found.size[n]),
                "yaw_rad": round(float(found.yaw[n]), 4),
                "dominant": one.dominant if one.shares else None,
            }
            rows.append(place | _attribution(one))
        return {
            "tick_id": self.moment.tick.tick_id,
            "t_ref_ns": self.moment.tick.t_ref_ns,
            "at_s": round(self.moment.at_s, 3),
            "model": self.model,
            "modalities": list(self.players),
            "absent": dict(self.absent),
            "runs": 2 ** len(self.players),
            "objects": rows,
            "outputs": [_attribution(one) for one in self.outputs],
            "relevance": {m: np.round(r, 6).tolist() for m, r in self.relevance.items()},
        }


def _rounded(values: Array) -> list[float]:
    return [round(float(v), 3) for v in values]


def _attribution(one: Attribution) -> dict[str, Any]:
    def plain(values: dict[Modality, float]) -> dict[str, float]:
        return {m: round(v, 6) for m, v in values.items()}

    return {
        "name": one.name,
        "unit": one.unit,
        "value": round(one.value, 6),
        "none": round(one.none, 6),
        "shares": plain(one.shares),
        "alone": plain(one.alone),
        "without": plain(one.without),
    }


def share_out(values: SubsetValues) -> tuple[list[Attribution], list[Attribution]]:
    """Attributions of the objects, and of the outputs beside them."""
    table, players = values.table, values.players
    shares = shapley_shares(table)
    everyone = len(table) - 1
    names = [(CLASSES[c].replace("_", " "), "score") for c in values.objects.class_id]
    out = []
    for k, (name, unit) in enumerate([*names, *OUTPUTS]):
        one = {p: 1 << n for n, p in enumerate(players)}
        out.append(
            Attribution(
                name,
                unit,
                float(table[everyone, k]),
                float(table[0, k]),
                {p: float(shares[n, k]) for n, p in enumerate(players)},
                {p: float(table[bit, k]) for p, bit in one.items()},
                {p: float(table[everyone ^ bit, k]) for p, bit in one.items()},
            )
        )
    return out[: len(names)], out[len(names) :]


def explain(log: Path, rig: Rig, strategy: str, at_s: float, weights: Path | None = None) -> tuple[Explanation, Any]:
    """Explain the tick at `at_s` seconds into a log, and the fuser that made it.

    Raises:
        SensorfuseError: unknown strategy or one without weights, a log that can't be read, or no tick there.
    """
    learned = find_strategy(strategy).kind == "learned"
    fuser = TappedFusion(rig, strategy, weights) if learned else make_fuser(rig, strategy)
    moment = find_moment(log, rig, fuser, at_s)
    values = network_values(moment, fuser.tap) if isinstance(fuser, TappedFusion) else object_values(moment, fuser)
    objects, outputs = share_out(values)
    return Explanation(
        moment, values.players, objects, outputs, _absent(moment, rig, values.players), fuser.model
    ), fuser


def _absent(moment: Moment, rig: Rig, players: tuple[Modality, ...]) -> dict[Modality, str]:
    reasons: dict[Modality, str] = {}
    for use in moment.frame.uses:
        if use.modality in rig.fusion.modalities and use.modality not in players:
            reasons.setdefault(use.modality, use.reason or "gave nothing to this tick")
    return reasons
