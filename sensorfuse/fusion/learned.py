"""A learned strategy at run time: encoders and fusion network by engines, everything else in numpy. No torch.

`encode` runs a sensor's encoder when its sample arrives; sound waits for the tick, which says where to cut it. `fuse`
moves each feature map to the tick by the robot's own motion, says which modalities are present, and runs one network,
the same for every subset of sensors.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.engine.engine import Engine
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.decode import DecodeConfig, decode_boxes, decode_sounds
from sensorfuse.fusion.feature_memory import FeatureMemory, RememberedMap
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.hearing import Hearing, PcmBlock
from sensorfuse.fusion.imputation.imputer import Imputer
from sensorfuse.fusion.model_files import read_card, weights_of
from sensorfuse.fusion.network_state import NetworkState
from sensorfuse.fusion.networks import FEATURE_SHAPES, in_one_line, open_encoder, open_fusion, open_sweeps
from sensorfuse.fusion.preprocess import Preprocessor
from sensorfuse.fusion.sound import SoundFeatures
from sensorfuse.fusion.warp import planar_motion, warp_map
from sensorfuse.geometry import Transform
from sensorfuse.messages import MODALITIES, Detections, Modality, Sample, StreamTick, Tick
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import AudioConfig

Map = NDArray[np.float32]
VX_UNIT_MPS = 10.0
SOUND_WINDOW_NS, SOUND_WINDOWS = 50_000_000, 2
"""Windows of sound that a tick's features are the mean of: what the networks were trained on."""
MOTION_INDEX = (0, 5)
"""Which entries of a twist the network estimates: vx and the yaw rate."""


@dataclass
class Encoded:
    """Features of one sample: a map (C, X, Y) or a vector (C,). `middle_ns`: mean time of the measurement after its
    stamp.
    """

    features: NDArray[np.float32]
    middle_ns: int = 0


def measurement_middle_ns(sample: Sample) -> int:
    """Mean time of a LiDAR sweep's points after its stamp, where it has per-point times; else 0."""
    times = sample.arrays.get("time_ns") if sample.modality == "lidar" else None
    return 0 if times is None or not len(times) else int(times.mean())


class LearnedFusion:
    """One learned strategy on one rig; implements `Fuser`. Networks are opened once: losing a sensor opens none.

    Args:
        rig: which sensors there are, and by what engine, precision and threads the networks run.
        strategy: a learned row of the strategy table.
        weights: folder with the networks, default the rig's, or the shipped ones.

    Raises:
        SensorfuseError: a network or its description is missing or unreadable, does not fit, or can't be run by the
            engine that the rig asks for.
    """

    def __init__(self, rig: Rig, strategy: str, weights: Path | None = None) -> None:
        self.weights = weights or weights_of(rig)
        card = read_card(self.weights, strategy)
        self.rig = rig
        self.strategy = strategy
        self.encoders = card["encoders"]
        self.failures: deque[str] = deque(maxlen=100)
        self._preprocess = Preprocessor(rig)
        how = (rig.fusion, self.failures.append)
        fused = [rig.sensors[n].modality for n in rig.fused_streams()]
        self._encoders: dict[Modality, Engine] = {
            m: open_encoder(self.weights, m, *how) for m in MODALITIES if m in fused
        }
        self._sweeps: Engine = open_sweeps(self.weights, *how)
        self._memory = FeatureMemory()
        self._fusion: Engine = open_fusion(self.weights, strategy, *how)
        if rig.fusion.precision == "int8" and all(e.precision != "int8" for e in self._networks().values()):
            raise SensorfuseError(
                f"fusion.precision: no network of {strategy!r} has an INT8 variant in this user's cache; make them by "
                f"`sensorfuse compile --strategy {strategy} --precision int8`, or set `fusion.precision: fp32`"
            )
        self._state = NetworkState(self._fusion.input_shapes, self._fusion.output_names, rig.fusion.period_ns)
        impute = rig.fusion.impute
        self._imputer = None if impute == "none" else Imputer(impute, self.weights, rig.fusion.threads)
        self.model = f"{strategy}-{self._fusion.digest[:12]}" + (f"+{self._imputer.model}" if self._imputer else "")
        self._config = DecodeConfig(tuple(card["score_thresholds"]), sound_threshold=card["sound_threshold"])
        self._sigma_floor = np.array([card["motion_rms"]["vx_mps"], card["motion_rms"]["yaw_rate_radps"]])
        arrays = {n: s for n, s in rig.sensors.items() if s.modality == "audio"}
        self._sound_features = {n: SoundFeatures.of_sensor(s) for n, s in arrays.items()}
        self._hearing = {n: Hearing() for n in arrays}
        self._directional = any(f.directional for f in self._sound_features.values())
        self._blank = {m: np.zeros(shape, np.float32) for m, shape in FEATURE_SHAPES.items()}

    @property
    def engine(self) -> str:
        """What runs the fusion network, and in brackets where another network runs elsewhere."""
        return in_one_line({n: e.name for n, e in self._networks().items()}, "fusion")

    @property
    def precision(self) -> str:
        """That of the fusion network, and in brackets where another network has another."""
        return in_one_line({n: e.precision for n, e in self._networks().items()}, "fusion")

    def _networks(self) -> dict[str, Engine]:
        encoders = {str(m): engine for m, engine in self._encoders.items()}
        return {"fusion": self._fusion, "sweeps": self._sweeps, **encoders}

    def encode(self, sample: Sample) -> Encoded | PcmBlock:
        """Preprocessing and the encoder of the sample's modality; of a block of sound the block itself.

        Raises:
            SensorfuseError: the rig does not fuse this stream, or the payload cannot be read.
        """
        if sample.modality == "audio":
            return PcmBlock.of_sample(sample, self.rig.sensor(sample.stream).audio or AudioConfig())
        inputs = self._preprocess.inputs(sample)
        features = self._encoders[sample.modality].run({name: array[None] for name, array in inputs.items()})[
            "features"
        ][0]
        return Encoded(features, measurement_middle_ns(sample))

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        """Fuse one tick from whatever evidence there is; with none, nothing is detected.

        The networks know a modality as present or absent: a stream whose health weighs it less than 1 counts in full.
        """
        by_modality: dict[Modality, list[str]] = {m: [] for m in MODALITIES}
        moved: dict[str, NDArray[np.float32]] = {}
        for stream in tick.streams:
            if evidence.get(stream.stream):
                features = self._at_tick(stream, tick, evidence[stream.stream])
                if features is not None:
                    moved[stream.stream] = features
                    by_modality[stream.modality].append(stream.stream)
        if not moved:
            return FusionResult(Detections.empty(), {"fusion": Detections.empty()})
        merged: dict[Modality, NDArray[np.float32]] = {}
        for modality, streams in by_modality.items():
            maps = [moved[s] for s in streams]
            if maps:
                merged[modality] = np.maximum.reduce(maps) if modality in SPATIAL else np.mean(maps, axis=0)
        out = self._fusion.run(self._inputs(merged) | self._state.at(tick.t_ref_ns))
        self._state.keep(tick.t_ref_ns, out)
        detections = decode_boxes(out["heat"][0], out["box"][0], self._config)
        weights = {
            s: float(out["weights"][0, m]) / len(by_modality[modality])
            for m, modality in enumerate(MODALITIES)
            for s in by_modality[modality]
        }
        total = sum(weights.values()) or 1.0
        twist, sigma = self._motion(tick, out["motion"][0])
        return FusionResult(
            detections=detections,
            sources={"fusion": detections},
            weights={s: w / total for s, w in weights.items()},
            sounds=decode_sounds(out["sound"][0], self._directional, self._config) if by_modality["audio"] else [],
            twist=twist,
            twist_sigma=sigma,
        )

    def _inputs(self, merged: dict[Modality, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """The network's inputs from the features of who is there, and where the rig imputes, of who should be: those
        count as present.
        """
        if self._imputer is not None:
            filled = self._imputer.fill(merged).features
            merged = {m: x for m, x in filled.items() if m in merged or m in self._encoders}
        inputs: dict[str, NDArray[np.float32]] = {m: merged.get(m, self._blank[m])[None] for m in MODALITIES}
        return inputs | {"present": np.array([[m in merged for m in MODALITIES]], np.float32)}

    def _at_tick(self, stream: StreamTick, tick: Tick, evidence: list[Any]) -> NDArray[np.float32] | None:
        """One stream's features at t_ref: its newest map, moved; or the mean of its vectors."""
        if stream.modality == "audio":
            return self._sound_at(stream, tick, evidence)
        if stream.modality not in SPATIAL:
            return np.mean([e.features for e in evidence], axis=0, dtype=np.float32)
        newest: Encoded = evidence[-1]
        at_ns = stream.dt_ns + newest.middle_ns
        T_tick_then = BodyMotion.of_tick(tick).transform(at_ns)
        now = warp_map(newest.features, planar_motion(T_tick_then))
        return (
            self._with_sweep_before(stream, tick, newest, at_ns, T_tick_then, now)
            if stream.modality == "lidar"
            else now
        )

    def _with_sweep_before(
        self, stream: StreamTick, tick: Tick, newest: Encoded, at_ns: int, T_tick_then: Transform, now: Map
    ) -> Map:
        """One map of a sweep at the tick and of the one before it, where an earlier tick brought that."""
        T_odom_tick = Transform.from_matrix(tick.pose)
        remembered = RememberedMap(newest.features, tick.t_ref_ns + at_ns, T_odom_tick @ T_tick_then)
        self._memory.put(stream.stream, remembered)
        before = self._memory.before(stream.stream)
        inputs = {
            "now": now[None],
            "before": (self._blank["lidar"] if before is None else before.at_tick(T_odom_tick))[None],
            "has_before": np.full((1, 1), float(before is not None), np.float32),
        }
        return self._sweeps.run(inputs)["features"][0]

    def forget(self) -> None:
        """Drop the sweeps and sounds of earlier ticks, and what the network remembers of them."""
        self._memory.forget()
        self._state.forget()
        self._hearing = {name: Hearing() for name in self._hearing}

    def _sound_at(self, stream: StreamTick, tick: Tick, blocks: list[PcmBlock]) -> NDArray[np.float32] | None:
        """Features of the windows of sound by the tick, None where too much of it was lost."""
        hearing = self._hearing[stream.stream]
        hearing.listen(tick.t_ref_ns + stream.dt_ns, blocks)
        windows = hearing.windows(tick.t_ref_ns, SOUND_WINDOW_NS, SOUND_WINDOWS)
        if not windows:
            return None
        features = self._sound_features[stream.stream]
        inputs = np.stack([features(w.pcm, round(w.rate_hz)) for w in windows])
        return np.mean(self._encoders["audio"].run({"block": inputs})["features"], axis=0, dtype=np.float32)

    def _motion(self, tick: Tick, motion: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The tick's twist, with vx and yaw rate combined with the network's by their inverse variances."""
        twist, sigma = tick.twist.copy(), tick.twist_sigma.copy()
        estimate = np.array([motion[0] * VX_UNIT_MPS, motion[1]], dtype=np.float64)
        spread = np.maximum(np.exp(motion[2:4].astype(np.float64)) * [VX_UNIT_MPS, 1.0], self._sigma_floor)
        for k, value, own in zip(MOTION_INDEX, estimate, spread, strict=True):
            if not np.isfinite(sigma[k]):
                twist[k], sigma[k] = value, own
            else:
                known, new = 1 / max(sigma[k], 1e-6) ** 2, 1 / own**2
                twist[k] = (twist[k] * known + value * new) / (known + new)
                sigma[k] = (known + new) ** -0.5
        return twist, sigma
