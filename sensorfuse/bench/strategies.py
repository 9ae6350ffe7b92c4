"""What each strategy costs on this machine and this rig: latency by backend, precision and presence of the sensors."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sensorfuse.bench.energy import EnergyMeter
from sensorfuse.bench.network_cost import Machine, measure_machine, network_cost
from sensorfuse.bench.strategy_rows import FULL, Opened, Way, rows_of
from sensorfuse.engine.engine import BUILDS, zero_inputs
from sensorfuse.engine.open import open_engine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.accuracy import runs
from sensorfuse.fusion.evaluation.robustness_runs import Scene
from sensorfuse.fusion.model_files import weights_of
from sensorfuse.fusion.strategies import find_strategy, make_fuser
from sensorfuse.messages import MODALITIES
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig

TICKS = 4  # consecutive; the first of a block brings what strategies remember, and is not timed
BURN = "import numpy as n\na = n.random.rand(400, 400)\nwhile True: a = n.tanh(a @ a / 400)"

Progress = Callable[[str, float], None]


def presence_states(rig: Rig, wanted: str) -> dict[str, tuple[str, ...]]:
    """Which modalities are there, by the name of the state as fused frames have it: `full`, `no_lidar`, ...

    Args:
        rig: whose fusion's modalities count.
        wanted: `losses` (full, and each one lost), `all` (every subset but none at all), or names with commas.

    Raises:
        SensorfuseError: a name is no state of this rig.
    """
    have = [m for m in MODALITIES if m in rig.fusion.modalities]
    every: dict[str, tuple[str, ...]] = {}
    for bits in range((1 << len(have)) - 1):
        gone = [m for k, m in enumerate(have) if bits >> k & 1]
        every["no_" + "_".join(gone) if gone else FULL] = tuple(m for m in have if m not in gone)
    if wanted == "all":
        return every
    names = [n for n, kept in every.items() if len(kept) >= len(have) - 1] if wanted == "losses" else wanted.split(",")
    unknown = [n for n in names if n not in every]
    if unknown:
        raise SensorfuseError(f"--presence: no state is called {unknown[0]!r}; losses, all, or of {', '.join(every)}")
    return {n: every[n] for n in names}


def measure(
    rig: Rig,
    ways: Sequence[Way],
    presence: str = "losses",
    samples: int = 300,
    rate_hz: float = 0.0,
    cores: int = 0,
    load: int = 0,
    progress: Progress = lambda what, share: None,
) -> dict[str, Any]:
    """Latencies of a whole tick (moving of features, fusion network, heads, decoding) and of each encoder.

    Rows take turns, in an order drawn anew each round, so that what else the machine does hits all of them alike.

    Args:
        rig: with threads, weights and cores of its fusion.
        ways: strategies and how to run them; what cannot be run here is named in `left_out` with the reason.
        presence: see `presence_states`.
        samples: ticks timed per row.
        rate_hz: at this rate, as live, where caches cool down between ticks; 0: one after the other.
        cores: keep this process on so many cores; 0: on all.
        load: so many other processes that compute all the time.

    Raises:
        SensorfuseError: nothing can be measured.
    """
    states = presence_states(rig, presence)
    before = _pin(cores)
    try:
        with _burning(load):
            scenes = next(iter(runs(rig, (rig.sim.scenario if rig.sim else "town"), 9000, 1, TICKS)))
            opened, left_out = _open_all(rig, ways, scenes, progress)
            if not opened:
                raise SensorfuseError("; ".join(left_out.values()) or "no strategy to measure")
            meter = EnergyMeter()
            machine = _machine(rig.fusion.threads, left_out)
            networks = sum(BUILDS.values())
            rounds = -(-samples // (TICKS - 1))
            rng = np.random.default_rng(0)
            gc.collect()
            for k in range(rounds):
                progress("measuring", k / rounds)
                for i in rng.permutation(len(opened)):
                    _round(opened[i], scenes, states, rng, rate_hz, meter)
            networks = sum(BUILDS.values()) - networks
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    rows = [row for one in opened for row in rows_of(one, states, machine)]
    return {
        "rig": rig.name,
        "threads": rig.fusion.threads,
        "cores": cores,
        "load": load,
        "rate_hz": rate_hz,
        "samples": rounds * (TICKS - 1),
        "machine": _machine_words(machine),
        "energy": meter.missing or "joules a tick, of the whole machine",
        "opened_while_measuring": networks,
        "rows": rows,
        "left_out": left_out,
    }


def _round(
    one: Opened,
    scenes: list[Scene],
    states: dict[str, tuple[str, ...]],
    rng: np.random.Generator,
    rate_hz: float,
    meter: EnergyMeter,
) -> None:
    """A block of ticks in each state, then one run of each encoder and of the bare network."""
    for name in rng.permutation(list(states)).tolist():
        one.fuser.forget()
        for t, scene in enumerate(scenes):
            here = {s.stream for s in scene.tick.streams if s.modality in states[name]}
            streams = [s if s.stream in here else replace(s, seqs=[], status="missing") for s in scene.tick.streams]
            tick = replace(scene.tick, streams=streams)
            evidence = {s: v for s, v in one.evidence[t].items() if s in here}
            if rate_hz > 0:
                time.sleep(1 / rate_hz)
            spent_j, began, computed = meter.joules(), time.perf_counter(), time.process_time()
            one.fuser.fuse(tick, evidence)
            took_ms, computed_ms = 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - computed)
            if t > 0:
                one.tick_ms.setdefault(name, []).append(took_ms)
                one.computed_ms.setdefault(name, []).append(computed_ms)
                if spent_j is not None:
                    one.joules[name] = one.joules.get(name, 0.0) + (meter.joules() or 0.0) - spent_j
    for samples in scenes[-1].samples.values():
        began = time.perf_counter()
        one.fuser.encode(samples[-1])
        one.encode_ms.setdefault(samples[-1].modality, []).append(1e3 * (time.perf_counter() - began))
    if one.network is not None:
        began = time.perf_counter()
        one.network()
        one.network_ms.append(1e3 * (time.perf_counter() - began))


def _open_all(
    rig: Rig, ways: Sequence[Way], scenes: list[Scene], progress: Progress
) -> tuple[list[Opened], dict[str, str]]:
    opened, left_out = [], {}
    for k, way in enumerate(ways):
        progress(f"opening {way.strategy}, {way.backend} {way.precision}", k / len(ways))
        try:
            opened.append(_open(rig, way, scenes))
        except SensorfuseError as error:
            left_out[f"{way.strategy}, {way.backend}, {way.precision}"] = str(error)
    return opened, left_out


def _open(rig: Rig, way: Way, scenes: list[Scene]) -> Opened:
    learned = find_strategy(way.strategy).kind == "learned"
    if learned:
        rig = rig.with_fusion(strategy=way.strategy, engine=way.backend, precision=way.precision)
    else:
        rig = rig.with_fusion(strategy=way.strategy)
    process = psutil.Process()
    gc.collect()
    resident, began = process.memory_info().rss, time.perf_counter()
    fuser = make_fuser(rig, way.strategy)
    evidence: list[dict[str, list[Any]]] = []
    for scene in scenes:
        evidence.append({s: [fuser.encode(x) for x in samples] for s, samples in scene.samples.items() if samples})
        fuser.fuse(scene.tick, evidence[-1])
        if len(evidence) == 1:
            cold_ms = 1e3 * (time.perf_counter() - began)
    memory_mb = max(0, process.memory_info().rss - resident) / 1e6
    folder = weights_of(rig)
    network, cost, model_mb = None, None, 0.0
    accuracy: dict[str, Any] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        card = read_object((folder / f"{way.strategy}.json").read_text(encoding="utf-8"))
        accuracy = card["accuracy"]["conditions"] if way.precision == "fp32" or not learned else {}
    if learned:
        path = folder / f"{way.strategy}.onnx"
        files = [path, folder / "sweeps.onnx", *(folder / f"{m}.onnx" for m in rig.fusion.modalities)]
        model_mb = sum(f.stat().st_size for f in files if f.is_file()) / 1e6
        engine = open_engine(path, way.backend, way.precision, rig.fusion.threads)  # type: ignore[arg-type]
        zeros = zero_inputs(engine.input_shapes, dict.fromkeys(engine.input_shapes, np.float32))
        zeros["present"][:] = 1.0
        network = lambda: engine.run(zeros)  # noqa: E731
        with suppress(SensorfuseError):
            cost = network_cost(path)
    return Opened(way, fuser, evidence, cold_ms, memory_mb, network, cost, model_mb, accuracy)


def _machine(threads: int, left_out: dict[str, str]) -> Machine | None:
    try:
        return measure_machine(threads)
    except SensorfuseError as error:
        left_out["what limits each row"] = str(error)
        return None


def _machine_words(machine: Machine | None) -> dict[str, Any]:
    words: dict[str, Any] = {"name": processor(), "processors": os.cpu_count()}
    if machine is not None:
        words |= {
            "gflop_per_s": machine.operations_per_s / 1e9,
            "gb_per_s": machine.bytes_per_s / 1e9,
            "operator_us": 1e6 * machine.start_s,
        }
    return words


def processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "processor"


def _pin(cores: int) -> set[int] | None:
    """Keep to so many cores; gives what to go back to."""
    if cores <= 0:
        return None
    if not hasattr(os, "sched_setaffinity"):
        raise SensorfuseError("--cores: processes can be kept to cores on Linux only; leave it out")
    allowed = os.sched_getaffinity(0)
    if cores > len(allowed):
        raise SensorfuseError(f"--cores {cores}: this process may use {len(allowed)}")
    os.sched_setaffinity(0, set(sorted(allowed)[-cores:]))
    return allowed


@contextmanager
def _burning(count: int) -> Iterator[None]:
    """Other processes that compute all the time."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    fires = [subprocess.Popen([sys.executable, "-c", BURN], env=environment) for _ in range(count)]
    try:
        yield
    finally:
        for fire in fires:
            fire.kill()
            fire.wait()


def ways_of(strategies: Sequence[str], backends: Sequence[str], precisions: Sequence[str]) -> list[Way]:
    """Every way to run the strategies; one that has no networks has one way."""
    out = []
    for name in strategies:
        if find_strategy(name).kind == "objects":
            out.append(Way(name, "numpy", "fp64"))
        else:
            out += [Way(name, b, p) for b in backends for p in precisions]
    return out
