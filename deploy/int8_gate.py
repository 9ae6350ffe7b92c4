"""What INT8 may cost: detection scores before and after, on worlds that neither training nor calibration saw.

INT8 has two forms, one for CPUs and one for TensorRT. Each is judged by its own file, on the CPU: what TensorRT takes
says where numbers are rounded to 8 bits, and ONNX Runtime rounds there too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sensorfuse.deploy.compiled import MADE, Compiled, Row, Score, Target
from sensorfuse.deploy.networks import QUANTIZED

from sensorfuse.engine.parity import SCORE_LOSS
from sensorfuse.engine.precision import variant_path
from sensorfuse.rig import Rig

JUDGED_FROM = 5000
"""The first world that INT8 is judged on."""
MEASURE = "nds_ahead"
"""The detection score, where all sensors look."""


def is_symmetric(target: Target) -> bool:
    """Which of INT8's two forms a target takes."""
    return target != "onnxruntime"


def judge_int8(
    rig: Rig,
    strategies: Sequence[str],
    weights: Path,
    scenarios: Iterable[str],
    worlds: int,
    ticks: int,
    out: Compiled,
    tell: Callable[[str], None],
) -> None:
    """Score the INT8 forms of the rows that were made; a form that loses too much is not kept, and its rows failed.

    Args:
        strategies: with networks in `weights`; where there are none, the rows say that they were not judged.
        worlds: per scenario.
        out: `scores` are added, rows may change.
    """
    rows = [r for r in out.rows if r.precision == "int8" and r.status in MADE]
    if rows and not strategies:
        for row in rows:
            row.reason = "not judged: no strategy with trained weights to score it by"
    if not rows or not strategies:
        return
    chosen = [(s, JUDGED_FROM + k) for k in range(worlds) for s in scenarios]
    tell(f"scoring {', '.join(strategies)} in fp32 and INT8: {len(chosen)} worlds, {ticks} ticks each")
    cpu = rig.with_fusion(engine="onnxruntime-cpu", precision="fp32")
    before = _scores(cpu, strategies, chosen, ticks, weights)
    for symmetric in sorted({is_symmetric(r.target) for r in rows}):
        with tempfile.TemporaryDirectory(prefix="sensorfuse-int8-") as folder:
            in_int8 = Path(folder)
            shutil.copytree(weights, in_int8, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            for network in QUANTIZED:
                source = variant_path(weights / f"{network}.onnx", "int8", symmetric)
                if source.is_file():
                    shutil.copyfile(source, in_int8 / f"{network}.onnx")
            after = _scores(cpu, strategies, chosen, ticks, in_int8)
        scores = [Score(n, before[n], after[n], symmetric) for n in strategies]
        out.scores += scores
        lost = [s for s in scores if s.loss > SCORE_LOSS]
        if lost:
            _refuse([r for r in rows if is_symmetric(r.target) == symmetric], lost, weights, symmetric)


def _scores(
    rig: Rig, strategies: Sequence[str], worlds: list[tuple[str, int]], ticks: int, weights: Path
) -> dict[str, float]:
    from sensorfuse.fusion.evaluation.accuracy import evaluate

    found = evaluate(rig, strategies, worlds, ticks, weights)["strategies"]
    return {n: float(s["conditions"]["all"][MEASURE]) for n, s in found.items()}


def _refuse(rows: list[Row], lost: list[Score], weights: Path, symmetric: bool) -> None:
    """Without its variant an engine in the cache has no key any more, and is not found."""
    told = ", ".join(f"{s.strategy} {100 * s.loss:.1f} %" for s in lost)
    for row in rows:
        row.status, row.reason = "failed", f"loses more than {100 * SCORE_LOSS:g} % of the score: {told}; not kept"
        variant_path(weights / f"{row.network}.onnx", "int8", symmetric).unlink(missing_ok=True)
