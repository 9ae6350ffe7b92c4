"""JSON records for what no standard message holds: a sample's header, a fused frame, truth. With their JSON schemas.

Numbers come back exactly: Python writes the shortest text that reads back to the same float64, NaN and infinity become
the strings "nan", "inf", "-inf" (JSON has none), and float32 values pass through float64 unharmed.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.messages import (
    HEALTH_STATES,
    Detections,
    FusedFrame,
    MessageTruth,
    Sample,
    SoundEvent,
    StreamHealth,
    StreamUse,
    Truth,
)

_DETECTION_TYPES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "class_id": (np.uint8, ()),
    "score": (np.float32, ()),
    "center": (np.float64, (3,)),
    "size": (np.float64, (3,)),
    "yaw": (np.float64, ()),
    "velocity": (np.float64, (2,)),
    "covariance": (np.float64, (4, 4)),
    "track_id": (np.int64, ()),
}
# Arrays that no field of a standard message takes (an IMU's times only where its stamp is before 1970).
_SIDE_ARRAYS = {"azimuths_rad": np.float32, "velocity_mps": np.float64, "time_ns": np.int64}


def dumps(value: Any) -> bytes:
    """Compact JSON with sorted keys: the same value gives the same bytes."""
    return json.dumps(_plain(value), separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _array(value: Any, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of a fixed row shape; numpy reads the strings "nan" and "inf" as floats by itself.

    Raises:
        ValueError: the numbers do not fill whole rows.
    """
    if np.issubdtype(dtype, np.floating):
        return np.array(value, dtype=np.float64).astype(dtype).reshape(shape)
    return np.array(value, dtype=np.int64).astype(dtype).reshape(shape)


# ---- samples
# -----------------------------------------------------------------------------------------------------------


def sample_to_dict(sample: Sample, messages: int) -> dict[str, Any]:
    """The record on `/<stream>/sample`; `messages` standard messages that carry the arrays follow it."""
    side = {
        name: {
            "shape": list(sample.arrays[name].shape),
            "base64": base64.b64encode(sample.arrays[name].astype(dtype).tobytes()).decode(),
        }
        for name, dtype in _SIDE_ARRAYS.items()
        if name in sample.arrays and (name != "time_ns" or (sample.modality == "imu" and sample.stamp_ns < 0))
    }
    return {
        "stream": sample.stream,
        "modality": sample.modality,
        "seq": sample.seq,
        "stamp_ns": sample.stamp_ns,
        "recv_ns": sample.recv_ns,
        "frame": sample.frame,
        "stamp": sample.stamp,
        "calibration": sample.calibration,
        "meta": sample.meta,
        "messages": messages,
        "arrays": side,
    }


def side_arrays(record: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays that a sample's record holds itself.

    Raises:
        ValueError, KeyError: the record is damaged.
    """
    out = {}
    for name, item in record["arrays"].items():
        flat = np.frombuffer(base64.b64decode(item["base64"], validate=True), _SIDE_ARRAYS[name])
        out[name] = flat.reshape([int(n) for n in item["shape"]]).copy()
    return out


# ---- detections, frames, truth
# -----------------------------------------------------------------------------------------


def detections_to_dict(objects: Detections) -> dict[str, Any]:
    return {name: getattr(objects, name) for name in _DETECTION_TYPES}


def detections_from_dict(data: dict[str, Any]) -> Detections:
    count = len(data["score"])
    return Detections(**{n: _array(data[n], dtype, (count, *row)) for n, (dtype, row) in _DETECTION_TYPES.items()})


def _sounds_to_list(sounds: list[SoundEvent]) -> list[dict[str, Any]]:
    return [{"name": s.name, "azimuth_rad": s.azimuth_rad, "score": s.score} for s in sounds]


def _sounds_from_list(data: list[dict[str, Any]]) -> list[SoundEvent]:
    return [SoundEvent(s["name"], float(s["azimuth_rad"]), float(s["score"])) for s in data]


_FRAME_PLAIN = (
    "tick_id",
    "t_ref_ns",
    "strategy",
    "model",
    "engine",
    "precision",
    "deadline_hit",
    "mode",
    "timings_ns",
)
_USE_FIELDS = tuple(n for n in StreamUse.__dataclass_fields__ if n != "health")
_HEALTH_FIELDS = tuple(StreamHealth.__dataclass_fields__)


def _use_to_dict(use: StreamUse) -> dict[str, Any]:
    health = {name: getattr(use.health, name) for name in _HEALTH_FIELDS}
    return {**{name: getattr(use, name) for name in _USE_FIELDS}, "health": health}


def _use_from_dict(data: dict[str, Any]) -> StreamUse:
    """Records of older versions know no health and no `bound_m`."""
    numbers = {n: float(data.get(n, "nan")) for n in ("weight", "bound_m")}
    health = dict(data.get("health", {}))
    if "weight" in health:
        health["weight"] = float(health["weight"])
    return StreamUse(**{**data, **numbers, "health": StreamHealth(**health)})


def frame_to_dict(frame: FusedFrame) -> dict[str, Any]:
    """The record on `/fused/frame`: every field of a FusedFrame."""
    return {
        **{name: getattr(frame, name) for name in _FRAME_PLAIN},
        "detections": detections_to_dict(frame.detections),
        "tracks": detections_to_dict(frame.tracks),
        "twist": frame.twist,
        "twist_sigma": frame.twist_sigma,
        "pose": frame.pose,
        "pose_covariance": frame.pose_covariance,
        "sounds": _sounds_to_list(frame.sounds),
        "uses": [_use_to_dict(use) for use in frame.uses],
        "dispositions": frame.dispositions,
        "expected_score": frame.expected_score,
        "expected_figure": frame.expected_figure,
        "expected_ms": frame.expected_ms,
    }


def frame_from_dict(data: dict[str, Any]) -> FusedFrame:
    """Restore a FusedFrame.

    Raises:
        KeyError, TypeError, ValueError: the record is damaged.
    """
    return FusedFrame(
        **{name: data[name] for name in _FRAME_PLAIN},
        detections=detections_from_dict(data["detections"]),
        tracks=detections_from_dict(data["tracks"]),
        twist=_array(data["twist"], np.float64, (6,)),
        twist_sigma=_array(data["twist_sigma"], np.float64, (6,)),
        pose=_array(data["pose"], np.float64, (4, 4)),
        sounds=_sounds_from_list(data["sounds"]),
        uses=[_use_from_dict(u) for u in data["uses"]],
        dispositions=[(str(s), int(b), int(q), r) for s, b, q, r in data["dispositions"]],
        pose_covariance=_array(data.get("pose_covariance", np.full((6, 6), np.nan)), np.float64, (6, 6)),
        expected_score=float(data.get("expected_score", "nan")),
        expected_figure=str(data.get("expected_figure", "")),
        expected_ms=float(data.get("expected_ms", "nan")),
    )


def truth_to_dict(truth: Truth) -> dict[str, Any]:
    """The record on `/truth`: every field of a Truth. `visibility` is per stream, empty where it is not known."""
    seen = {n: {"share": share, "in_view": truth.in_view[n]} for n, share in truth.visibility.items()}
    return {
        "stamp_ns": truth.stamp_ns,
        "objects": detections_to_dict(truth.objects),
        "pose": truth.pose,
        "twist": truth.twist,
        "sounds": _sounds_to_list(truth.sounds),
        "complete": truth.complete,
        "range_m": truth.range_m,
        "visibility": seen,
    }


def truth_from_dict(data: dict[str, Any]) -> Truth:
    """Restore a Truth. A record of an older version has no `visibility`.

    Raises:
        KeyError, TypeError, ValueError: the record is damaged.
    """
    seen, rows = data.get("visibility", {}), (len(data["objects"]["score"]),)
    return Truth(
        stamp_ns=int(data["stamp_ns"]),
        objects=detections_from_dict(data["objects"]),
        pose=None if data["pose"] is None else _array(data["pose"], np.float64, (4, 4)),
        twist=None if data["twist"] is None else _array(data["twist"], np.float64, (6,)),
        sounds=_sounds_from_list(data["sounds"]),
        complete=bool(data["complete"]),
        range_m=None if data["range_m"] is None else float(data["range_m"]),
        visibility={str(n): _array(row["share"], np.float32, rows) for n, row in seen.items()},
        in_view={str(n): _array(row["in_view"], np.bool_, rows) for n, row in seen.items()},
    )


_EVENT_FIELDS = tuple(MessageTruth.__dataclass_fields__)


def event_to_dict(event: MessageTruth) -> dict[str, Any]:
    """The record on `/truth/messages`: every field of a MessageTruth."""
    return {name: getattr(event, name) for name in _EVENT_FIELDS}


def event_from_dict(data: dict[str, Any]) -> MessageTruth:
    """Restore a MessageTruth.

    Raises:
        KeyError, TypeError, ValueError: the record is damaged.
    """
    texts = {"stream": str(data["stream"]), "lost": str(data["lost"])}
    numbers = {n: int(data[n]) for n in _EVENT_FIELDS if n not in (*texts, "marks")}
    return MessageTruth(**texts, **numbers, marks=tuple(map(str, data["marks"])))  # type: ignore[arg-type]


# ---- schemas
# -----------------------------------------------------------------------------------------------------------

_NUMBER = {"type": ["number", "string"], "description": "a number, or nan, inf, -inf as a string"}
_NUMBERS = {"type": "array"}
_INTEGER = {"type": "integer"}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties, "required": sorted(properties)}


_DETECTIONS = _object("objects in base_link, column by column", **dict.fromkeys(_DETECTION_TYPES, _NUMBERS))
_SOUND = _object("a sound heard", name=_TEXT, azimuth_rad=_NUMBER, score=_NUMBER)

SCHEMAS: dict[str, dict[str, Any]] = {
    "sample": _object(
        "header of a sample; the standard messages that hold its arrays follow",
        stream=_TEXT,
        modality=_TEXT,
        seq=_INTEGER,
        stamp_ns={**_INTEGER, "description": "capture time, sensor's clock"},
        recv_ns={**_INTEGER, "description": "receipt, host's clock"},
        frame=_TEXT,
        stamp={"enum": ["start", "mid", "end"], "description": "what instant of the measurement stamp_ns names"},
        calibration=_TEXT,
        meta={"type": "object"},
        messages={**_INTEGER, "description": "how many standard messages of this stream follow"},
        arrays={"type": "object", "description": "arrays without a standard field: shape and little-endian base64"},
    ),
    "frame": _object(
        "a fused frame: objects, motion, and what it is made of",
        tick_id=_INTEGER,
        t_ref_ns=_INTEGER,
        detections=_DETECTIONS,
        tracks=_DETECTIONS,
        twist={**_NUMBERS, "description": "vx vy vz wx wy wz in base_link, m/s and rad/s"},
        twist_sigma=_NUMBERS,
        pose={**_NUMBERS, "description": "T_odom_base, 4 x 4"},
        pose_covariance={
            **_NUMBERS,
            "description": "6 x 6, of x y z and a small turn about x y z in odometry axes, since odometry began",
        },
        sounds={"type": "array", "items": _SOUND},
        uses={
            "type": "array",
            "items": _object(
                "provenance of one stream",
                **{
                    **dict.fromkeys(("stream", "modality", "reason"), _TEXT),
                    "used": _FLAG,
                    **dict.fromkeys(("age_ns", "skew_ns", "bound_ns"), _INTEGER),
                    "weight": _NUMBER,
                    "bound_m": _NUMBER,
                    "health": _object(
                        "how the stream is: why it is not ok, and what was learned and counted of it",
                        state={"enum": list(HEALTH_STATES)},
                        reason=_TEXT,
                        weight={**_NUMBER, "description": "of its vote, 0 to 1"},
                        **dict.fromkeys(("period_ns", "jitter_ns", "heard", "missed", "refused", "doubted"), _INTEGER),
                    ),
                },
            ),
        },
        strategy=_TEXT,
        model=_TEXT,
        engine=_TEXT,
        precision=_TEXT,
        deadline_hit=_FLAG,
        mode=_TEXT,
        timings_ns={"type": "object"},
        dispositions={
            "type": "array",
            "description": "[stream, boot, seq, reason] of each message that this tick ended",
        },
        expected_score={**_NUMBER, "description": "of the strategy in tests with what `mode` has; nan: not measured"},
        expected_figure={**_TEXT, "description": "which score that is"},
        expected_ms={**_NUMBER, "description": "of work per tick in those tests"},
    ),
    "truth": _object(
        "what really was",
        stamp_ns=_INTEGER,
        objects=_DETECTIONS,
        pose={"type": ["array", "null"], "description": "T_world_base, 4 x 4"},
        twist={"type": ["array", "null"]},
        sounds={"type": "array", "items": _SOUND},
        complete=_FLAG,
        range_m={"type": ["number", "null"]},
        visibility={
            "type": "object",
            "description": "per camera, LiDAR and radar stream, object by object",
            "additionalProperties": _object(
                "what a stream can see",
                share={**_NUMBERS, "description": "of the silhouette, 0 to 1"},
                in_view={**_NUMBERS, "description": "any of it in field of view and range, even hidden"},
            ),
        },
    ),
    "event": _object(
        "what really happened to one message of a simulated device",
        stream=_TEXT,
        seq={**_INTEGER, "description": "counts the stream's receipts; -1: lost"},
        k={**_INTEGER, "description": "the number of the measurement"},
        stamp_ns={**_INTEGER, "description": "device's clock"},
        event_ns={**_INTEGER, "description": "true time of the instant that stamp_ns names, reference clock"},
        end_ns={**_INTEGER, "description": "end of the measurement, reference clock"},
        recv_ns={**_INTEGER, "description": "receipt, reference clock; of a lost one when it would have been"},
        lost={"enum": ["", "drop", "burst", "outage"]},
        copy={**_INTEGER, "description": "0, or the how manieth copy"},
        content_k={**_INTEGER, "description": "the measurement whose content it carries"},
        marks={"type": "array", "items": {"enum": ["spike", "reordered", "stalled"]}},
    ),
}
