"""The DTW kernels beside public libraries on the same inputs, the streaming forms per sample, the lag path.

Every implementation of a cell is timed in turn, again and again in one run, so that a busy machine is busy for all of
them; each timed call follows an untimed one of the same kind. Times are of the calling thread's processor.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.interpolate import CubicSpline

from sensorfuse.align import dtw
from sensorfuse.align.dtw.series import Floats
from sensorfuse.bench import goals, lag_path
from sensorfuse.bench.goals import Goal

LENGTHS = (200, 1000, 5000)
CHANNELS = (1, 3)
BAND_SHARE = 0.1
PUBLIC = ("dtaidistance", "tslearn", "fastdtw")
INSTALL = "pip install 'sensorfuse[bench]'"
BUDGET_S = 1.0  # of processor time per implementation and cell
LEAST_REPETITIONS = 3
TOLERANCE = 1e-9
Call = Callable[[], tuple[float, Any]]


def measure(repetitions: int = 41) -> dict[str, Any]:
    """Every figure: kernels against the libraries that are installed, streaming, lag path, and the goals."""
    libraries, absent = {}, []
    for name in PUBLIC:
        try:
            libraries[name] = importlib.import_module(MODULES[name])
        except ImportError:
            absent.append(name)
    cells = []
    for n in LENGTHS:
        for d in CHANNELS:
            x, y = _signals(n, d)
            for band in (None, round(BAND_SHARE * n)):
                for with_path in (False, True):
                    cells.append(_cell(x, y, band, with_path, libraries, repetitions))
    figures: dict[str, Any] = {
        "not_installed": absent,
        "cells": cells,
        "streaming_us": _streaming(repetitions),
        "lag": {**_lag_time(repetitions), "errors": lag_path.measure()},
    }
    figures["goals"] = goals.figures(reached(figures))
    return figures


# What each library is called with: (x, y, band, with_path) -> () -> (distance, path or None). FastDTW is approximate.


def _ours(x: Floats, y: Floats, band: int | None, with_path: bool) -> Call:
    def call() -> tuple[float, Any]:
        if with_path:
            return dtw.align(x, y, band=band)
        return dtw.distance(x, y, band=band), None

    return call


def _dtaidistance(library: Any, x: Floats, y: Floats, band: int | None, with_path: bool) -> Call:
    window = None if band is None else band + 1
    a, b = (np.ascontiguousarray(s[:, 0] if s.shape[1] == 1 else s) for s in (x, y))

    def call() -> tuple[float, Any]:
        if with_path:
            path, value = library.warping_path_fast(a, b, include_distance=True, window=window)
            return value, path
        return library.distance_fast(a, b, window=window, use_ndim=a.ndim == 2), None

    return call


def _tslearn(library: Any, x: Floats, y: Floats, band: int | None, with_path: bool) -> Call:
    options = {} if band is None else {"global_constraint": "sakoe_chiba", "sakoe_chiba_radius": band}

    def call() -> tuple[float, Any]:
        if with_path:
            path, value = library.dtw_path(x, y, **options)
            return value, path
        return library.dtw(x, y, **options), None

    return call


def _fastdtw(library: Any, x: Floats, y: Floats, band: int | None, with_path: bool) -> Call | None:
    if band is not None or not with_path:
        return None

    def call() -> tuple[float, Any]:
        value, path = library.fastdtw(x, y, radius=1, dist=lambda a, b: ((a - b) ** 2).sum())
        return float(np.sqrt(value)), path

    return call


MODULES = {"dtaidistance": "dtaidistance.dtw", "tslearn": "tslearn.metrics", "fastdtw": "fastdtw"}
CALLS = {"dtaidistance": _dtaidistance, "tslearn": _tslearn, "fastdtw": _fastdtw}


def _signals(n: int, d: int) -> tuple[Floats, Floats]:
    """Smooth angular rates, the second warped by up to 4 % of its length, noise on both."""
    rng = np.random.default_rng((n, d))
    phase = np.linspace(0.0, 1.0, n)
    curve = CubicSpline(np.linspace(-0.1, 1.1, max(12, n // 12)), rng.standard_normal((max(12, n // 12), d)))
    warped = phase + 0.04 * np.sin(2 * np.pi * phase)
    return tuple(curve(at) + 0.05 * rng.standard_normal((n, d)) for at in (phase, warped))  # type: ignore[return-value]


def _cell(
    x: Floats, y: Floats, band: int | None, with_path: bool, libraries: dict[str, Any], repetitions: int
) -> dict[str, Any]:
    calls: dict[str, Call] = {"sensorfuse": _ours(x, y, band, with_path)}
    for name, library in libraries.items():
        call = CALLS[name](library, x, y, band, with_path)
        if call is not None:
            calls[name] = call
    values = {name: call()[0] for name, call in calls.items()}
    spent = _interleaved(calls, repetitions)
    rows = {
        name: {
            "p50_ms": float(np.percentile(times, 50)),
            "p99_ms": float(np.percentile(times, 99)),
            "min_ms": float(times.min()),
            "repetitions": len(times),
            "difference": abs(values[name] - values["sensorfuse"]),
        }
        for name, times in spent.items()
    }
    public = {name: row["p50_ms"] for name, row in rows.items() if name != "sensorfuse"}
    fastest = min(public, key=lambda name: public[name]) if public else None
    exact = [row["difference"] for name, row in rows.items() if name not in ("sensorfuse", "fastdtw")]
    return {
        "n": len(x),
        "d": x.shape[1],
        "band": band,
        "path": with_path,
        "implementations": rows,
        "fastest_public": fastest,
        "times_faster": public[fastest] / rows["sensorfuse"]["p50_ms"] if fastest else None,
        "max_difference": max(exact) if exact else None,
    }


def _interleaved(calls: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each call, round after round; a call that has used its budget leaves after its least rounds."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repetitions):
        for name, call in calls.items():
            if round_ >= LEAST_REPETITIONS and sum(spent[name]) > 1e3 * BUDGET_S:
                continue
            call()  # what ran before has taken the processor's caches
            started = time.thread_time()
            call()
            spent[name].append(1e3 * (time.thread_time() - started))
    return {name: np.array(times) for name, times in spent.items()}


def _streaming(repetitions: int) -> list[dict[str, Any]]:
    """Microseconds per sample of SPRING and online warping, for templates and searches of 200 and 1000 samples."""
    rows = []
    for size in (200, 1000):
        for d in CHANNELS:
            reference, live = _signals(4 * size, d)
            spring = dtw.Spring(reference[:size], threshold=0.1)
            follower = dtw.OnlineWarp(reference, search=size)
            row: dict[str, Any] = {"size": size, "d": d}
            for name, push in (("spring", spring.push), ("online", follower.push)):
                times = np.array([_microseconds(partial(push, sample)) for sample in live])[size:]
                row[name] = {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}
                row[name]["mean"] = float(times.mean())
            rows.append(row)
    return rows


def _microseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e3


def _lag_time(repetitions: int) -> dict[str, float]:
    """Milliseconds of the lag path for 60 s at 50 Hz, three channels, lags up to 1 s."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 3)), rng.standard_normal((3000, 3))
    times = _interleaved({"lag": lambda: dtw.lag_path(x, y, 50)}, repetitions)["lag"]
    return {"p50_ms": float(np.percentile(times, 50)), "p99_ms": float(np.percentile(times, 99))}


def reached(figures: dict[str, Any]) -> list[Goal]:
    """Each goal with what was measured; those against libraries only where one is installed."""
    cells, found = figures["cells"], []
    compared = [cell for cell in cells if cell["times_faster"] is not None]
    if compared:
        path = min(cell["times_faster"] for cell in compared if cell["path"])
        any_form = min(cell["times_faster"] for cell in compared)
        found.append(Goal("path: times as fast as the fastest library", 2.0, path, at_least=True))
        found.append(Goal("path or distance: times as fast as the fastest library", 1.0, any_form, at_least=True))
    # FastDTW alone gives nothing to be equal to.
    differences = [cell["max_difference"] for cell in cells if cell["max_difference"] is not None]
    if differences:
        found.append(Goal("difference from the exact libraries", TOLERANCE, max(differences)))

    def ours(n: int, d: int, with_path: bool) -> float:
        (cell,) = (c for c in cells if (c["n"], c["d"], c["path"]) == (n, d, with_path) and c["band"] is not None)
        return float(cell["implementations"]["sensorfuse"]["p50_ms"])

    found.append(Goal("n = 1000, band 10 %, d = 3, with path", 1.4, ours(1000, 3, True), "ms"))
    found.append(Goal("n = 1000, band 10 %, d = 1, distance", 0.5, ours(1000, 1, False), "ms"))
    for name, title, limit in (("spring", "SPRING", 7.0), ("online", "online warping", 20.0)):
        worst = max(row[name]["p50"] for row in figures["streaming_us"] if row["size"] == 1000)
        found.append(Goal(f"{title} at 1000, per sample", limit, worst, "us"))
    by_case = {(row["case"], row["noise"]): row for row in figures["lag"]["errors"]}
    lost = by_case["index only, bursts lost", "low"]
    return [
        *found,
        Goal("lag path, sinus, low noise: rms", 3.0, by_case["sinus 60 ms / 30 s", "low"]["map_rms_ms"], "ms"),
        Goal("lag path, replay at 1.02, low noise: rms", 2.5, by_case["replay at 1.02", "low"]["map_rms_ms"], "ms"),
        Goal("lag path, until within 5 ms after a step", 6.0, by_case["step 100 ms", "low"]["settled_s"], "s"),
        Goal("lag path, index only: rms", 50.0, lost["path_rms_ms"], "ms"),
        Goal("lag path, index only: median", 10.0, lost["path_median_ms"], "ms"),
    ]


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """Tables of kernels, streaming, lag path and goals; libraries that are absent are named."""
    table = Table(title="DTW: ms of processor time, p50")
    names = ["sensorfuse", *(name for name in PUBLIC if name not in figures["not_installed"])]
    for name in ("n", "d", "band", "gives", *names, "faster", "differs"):
        table.add_column(name, justify="right")
    for cell in figures["cells"]:
        rows = cell["implementations"]
        times = [f"{rows[k]['p50_ms']:.3f}" if k in rows else "-" for k in names]
        faster = "-" if cell["times_faster"] is None else f"{cell['times_faster']:.1f}"
        difference = "-" if cell["max_difference"] is None else f"{cell['max_difference']:.0e}"
        band, gives = "-" if cell["band"] is None else str(cell["band"]), "path" if cell["path"] else "distance"
        table.add_row(str(cell["n"]), str(cell["d"]), band, gives, *times, faster, difference)
    console.print(table)
    for name in figures["not_installed"]:
        console.print(f"{name}: not installed: {INSTALL}", markup=False)
    table = Table(title="per sample, us: p50 (p99)")
    for name in ("size", "d", "SPRING", "online"):
        table.add_column(name, justify="right")
    for row in figures["streaming_us"]:
        times = [f"{row[k]['p50']:.1f} ({row[k]['p99']:.1f})" for k in ("spring", "online")]
        table.add_row(str(row["size"]), str(row["d"]), *times)
    console.print(table)
    lag = figures["lag"]
    table = Table(title=f"lag path, 60 s at 50 Hz in {lag['p50_ms']:.1f} ms (p99 {lag['p99_ms']:.1f}): error, ms rms")
    for name in ("offset", "noise", "path", "map", "singular"):
        table.add_column(name, justify="left" if name == "offset" else "right")
    for row in lag["errors"]:
        published = f"{row['map_rms_ms']:.2f}" if "map_rms_ms" in row else "-"
        share = f"{100 * row['singular_share']:.0f} %" if "singular_share" in row else "-"
        table.add_row(row["case"], row["noise"], f"{row['path_rms_ms']:.2f}", published, share)
    console.print(table)
    goals.print_goals("goals", reached(figures), console)
