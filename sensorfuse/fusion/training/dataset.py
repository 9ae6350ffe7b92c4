"""Training data from the synthetic rig: small arrays per tick, one shard per simulated world.

Worlds are (scenario, seed) pairs; the last ones are held out whole. Ticks lie at random times of a lap, one by one or,
for strategies that remember, in runs of consecutive ones at the rig's cadence. Now and then a sensor's sample is one or
two periods old, as it is when the newest one was lost. Samples go through the same preprocessing as at run time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.learned import VX_UNIT_MPS, measurement_middle_ns
from sensorfuse.fusion.preprocess import INPUT_SHAPES, Preprocessor, small_image
from sensorfuse.fusion.warp import planar_motion
from sensorfuse.geometry import motion_between
from sensorfuse.messages import MODALITIES, SOUND_CLASSES, Modality, Sample, StreamTick, Tick, Truth
from sensorfuse.plain_json import read_object
from sensorfuse.rig import Rig, shipped_rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.worlds import make_worlds, world_file

WINDOW = 2
"""Messages of IMU and audio that make one example's window."""
STALE_CHANCE = 0.2
TWIST_NOISE = np.array([0.3, 0.1, 0.05, 0.005, 0.005, 0.01])
"""One sigma of what is added to the true twist that moves the maps: m/s and rad/s."""
MIN_ECHOES = 3
SWEEP_BEFORE = "lidar_before"
MAPS = (*SPATIAL, SWEEP_BEFORE)
"""What is moved to the tick, in the order of a shard's `warp`."""
SUFFIX = ".npz"
INDEX_FILE = "index.json"


def event_ns(sample: Sample, rig: Rig) -> int:
    """When a sample happened, on the reference clock, as the aligner has it."""
    return sample.stamp_ns + rig.sensors[sample.stream].offset_ns


class Sampler:
    """What the aligner would choose from a simulated world's streams."""

    def __init__(self, world: SimulatedRig, rig: Rig) -> None:
        self.world, self.rig = world, rig
        self._first = {n: event_ns(world.sample(n, 0), rig) for n in rig.fused_streams()}

    def samples(self, t_ns: int, rng: np.random.Generator, stale_chance: float = 0.0) -> dict[str, list[Sample]]:
        """What a tick at `t_ns` would hold of each fused stream: the nearest sample, or the last two of a window.

        With `stale_chance`, camera, LiDAR and radar are one or two messages older than that.
        """
        out: dict[str, list[Sample]] = {}
        for stream, first_ns in self._first.items():
            place = (t_ns - first_ns) / self.rig.sensors[stream].period_ns
            if self.rig.sensors[stream].modality in SPATIAL:
                k = round(place) - (int(rng.integers(1, 3)) if rng.random() < stale_chance else 0)
                out[stream] = [self.world.sample(stream, max(k, 0))]
            else:
                k = int(np.floor(place))
                out[stream] = [self.world.sample(stream, max(k - n, 0)) for n in reversed(range(WINDOW))]
        return out

    def sweep_before(self, samples: dict[str, list[Sample]]) -> Sample:
        """The sweep before the LiDAR's of `samples`."""
        now = next(got[-1] for got in samples.values() if got[-1].modality == "lidar")
        return self.world.sample(now.stream, max(now.seq - 1, 0))


def ideal_tick(rig: Rig, t_ns: int, samples: dict[str, list[Sample]], truth: Truth, tick_id: int = 0) -> Tick:
    """The tick an aligner with perfect clocks would make of these samples; its twist is true, but said to be unsure."""
    streams = [
        StreamTick(n, rig.sensors[n].modality, "ok", seqs=[s.seq for s in got], dt_ns=event_ns(got[-1], rig) - t_ns)
        for n, got in samples.items()
    ]
    twist = np.zeros(6) if truth.twist is None else truth.twist
    pose = np.eye(4) if truth.pose is None else truth.pose
    return Tick(tick_id, t_ns, t_ns, False, streams, pose, twist, np.full(6, np.inf))


def visible_objects(world: SimulatedRig, t_ns: int) -> NDArray[np.bool_]:
    """Which objects of the truth at `t_ns` some ideal LiDAR rays meet, so that a sensor can be asked for them (N,)."""
    return np.asarray(world.visible(t_ns) >= MIN_ECHOES)


class Shard:
    """Collects the ticks of one world and writes them as one file."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.preprocess = Preprocessor(rig)
        self.rows: dict[str, list[Any]] = {}

    def add(
        self,
        samples: dict[str, list[Sample]],
        before: Sample,
        t_ns: int,
        truth: Truth,
        visible: NDArray[np.bool_],
        noise: Any,
    ) -> None:
        """One tick: what each sensor gave, and `before`, the sweep before the LiDAR's."""
        assert truth.twist is not None
        twist = truth.twist + noise
        present = np.zeros(len(MODALITIES), np.float32)
        warp = np.zeros((len(MAPS), 4), np.float32)
        warp[:, 0] = 1
        row: dict[str, Any] = {}
        for stream, got in samples.items():
            modality: Modality = self.rig.sensors[stream].modality
            if modality in row:
                continue  # the first sensor of a modality teaches its encoder
            present[MODALITIES.index(modality)] = 1
            if modality in SPATIAL:
                inputs = self.preprocess.inputs(got[-1])
                warp[MAPS.index(modality)] = self._moved(got[-1], t_ns, twist)
                if modality == "camera":
                    row["camera"], self.lift = small_image(got[-1]), inputs["lift"]
                else:
                    row[modality] = inputs["bev"].astype(np.float16)
            else:
                name = next(iter(INPUT_SHAPES[modality]))
                row[modality] = np.stack([self.preprocess.inputs(s)[name] for s in got])
        row[SWEEP_BEFORE] = self.preprocess.inputs(before)["bev"].astype(np.float16)
        warp[MAPS.index(SWEEP_BEFORE)] = self._moved(before, t_ns, twist)
        sounds = np.zeros((len(SOUND_CLASSES), 2), np.float32)
        for k, name in enumerate(SOUND_CLASSES):
            azimuths = [e.azimuth_rad for e in truth.sounds if e.name == name]
            if azimuths:  # from several places at once: heard, but no one direction is right
                sounds[k] = 1, azimuths[0] if len(azimuths) == 1 else np.nan
        objects = truth.objects
        row |= {
            "present": present,
            "warp": warp,
            "sounds": sounds,
            "count": len(objects),
            "motion": np.array([truth.twist[0] / VX_UNIT_MPS, truth.twist[5]], np.float32),
            "class_id": objects.class_id,
            "center": objects.center,
            "size": objects.size,
            "yaw": objects.yaw,
            "velocity": objects.velocity,
            "visible": visible,
        }
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)

    def _moved(self, sample: Sample, t_ns: int, twist: NDArray[np.float64]) -> NDArray[np.float64]:
        """The body's planar motion from when a sample was measured to the tick."""
        dt_ns = event_ns(sample, self.rig) + measurement_middle_ns(sample) - t_ns
        return planar_motion(motion_between(twist, -dt_ns * 1e-9))

    def write(self, path: Path) -> None:
        ragged = ("class_id", "center", "size", "yaw", "velocity", "visible")
        arrays = {n: np.concatenate(v) if n in ragged else np.stack(v) for n, v in self.rows.items()}
        np.savez(path, lift=self.lift, **arrays)  # type: ignore[arg-type]


def make_shard(rig: Rig, ticks: int, run_ticks: int, scenario: str, seed: int, path: Path) -> None:
    """Simulate one world and write `ticks` of it, in runs of `run_ticks`. The shard depends on nothing but the
    arguments.
    """
    world = SimulatedRig(rig, scenario=scenario, seed=seed)
    sampler = Sampler(world, rig)
    rng = np.random.default_rng([seed, *scenario.encode()])
    shard = Shard(rig)
    runs = ticks // run_ticks
    for n in range(runs):
        start_ns = world.epoch_ns + round((1.0 + (n + rng.random()) * world.duration_s / runs) * 1e9)
        for t_ns in (start_ns + k * rig.fusion.period_ns for k in range(run_ticks)):
            samples = sampler.samples(t_ns, rng, STALE_CHANCE)
            noise = rng.standard_normal(6) * TWIST_NOISE
            before, truth = sampler.sweep_before(samples), world.truth(t_ns)
            shard.add(samples, before, t_ns, truth, visible_objects(world, t_ns), noise)
    shard.write(path)


def read_index(folder: Path) -> dict[str, Any]:
    """What a data folder holds: `training` and `held_out` shard names, and how they were made.

    Raises:
        SensorfuseError: there is no data, or it is incomplete.
    """
    try:
        index = read_object((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SensorfuseError(f"{folder}: no training data here; `sensorfuse train --data {folder}` makes it") from None
    missing = [s for part in ("training", "held_out") for s in index.get(part, []) if not (folder / s).exists()]
    if missing or not index.get("training") or not index.get("held_out"):
        raise SensorfuseError(
            f"{folder}: training data is incomplete ({', '.join(missing[:3]) or 'no shards'}); make it again"
        )
    return index


@dataclass(frozen=True)
class DataConfig:
    """Which worlds examples are taken from: `worlds` per scenario, seeds counted from `seed`; the last `held_out` of
    them are not trained on. `ticks` of each, in runs of `run_ticks` consecutive ones.
    """

    rig: str = "synthetic"
    scenarios: tuple[str, ...] = ("town", "town_rain", "town_night", "town_fog", "highway", "city")
    worlds: int = 40
    held_out: int = 2
    ticks: int = 40
    seed: int = 1000
    run_ticks: int = 1


def make_data(config: DataConfig, folder: Path, jobs: int = 1) -> Iterator[tuple[int, int]]:
    """Simulate the worlds that `folder` lacks, `jobs` at a time; yields how many there are and how many there will be.

    Raises:
        SensorfuseError: nothing would be left to train on, a scenario is unknown, or ticks do not make whole runs.
    """
    if not 0 < config.held_out < config.worlds:
        raise SensorfuseError(
            f"{config.held_out} held-out worlds of {config.worlds} per scenario: expected at least one of each kind"
        )
    if config.run_ticks < 1 or config.ticks % config.run_ticks:
        raise SensorfuseError(f"{config.ticks} ticks per world do not make whole runs of {config.run_ticks}")
    worlds = [(s, config.seed + k) for k in range(config.worlds) for s in config.scenarios]
    first_held_out = config.seed + config.worlds - config.held_out
    make = partial(make_shard, shipped_rig(config.rig), config.ticks, config.run_ticks)
    shards = make_worlds(make, worlds, folder, SUFFIX, jobs)
    for n, _ in enumerate(shards, 1):
        yield n, len(worlds)
    index: dict[str, Any] = {
        **asdict(config),
        "training": [world_file(folder, s, k, SUFFIX).name for s, k in worlds if k < first_held_out],
        "held_out": [world_file(folder, s, k, SUFFIX).name for s, k in worlds if k >= first_held_out],
    }
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
