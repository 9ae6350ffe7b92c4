"""Bounds on what a sample says of itself, whoever sent or recorded it. `messages.sample_problem` judges its arrays."""

from __future__ import annotations

from typing import Any

from sensorfuse.messages import Sample

MAX_COUNT = 1 << 62  # of times in ns and of numbers: sums of two of them still fit an integer array
MAX_TEXT = 256
MAX_META_VALUES = 256
MAX_META_DEPTH = 4
MAX_SAMPLE_RATE_HZ = 10_000_000


def header_problem(sample: Sample) -> str | None:
    """Say why a sample's header can't travel, or None: times beyond what integers hold, texts and `meta` too large."""
    if not max(abs(sample.stamp_ns), abs(sample.recv_ns)) <= MAX_COUNT:
        return "stamp or receive time is beyond any clock"
    texts = (sample.stream, sample.frame, sample.calibration)
    if any(len(text) > MAX_TEXT or not text.isprintable() for text in texts):
        return f"stream, frame or calibration is no plain name of at most {MAX_TEXT} characters"
    if sample.meta and (_count(sample.meta, MAX_META_DEPTH) > MAX_META_VALUES):
        return "meta holds too much"
    if sample.modality == "audio":
        rate = sample.meta.get("sample_rate_hz")
        if rate is not None and (type(rate) not in (int, float) or not 1 <= rate <= MAX_SAMPLE_RATE_HZ):
            return "sample_rate_hz is no rate"
    return None


def _count(value: Any, depth: int) -> int:
    """How many values `meta` holds, nested ones too; what can't travel counts as too many."""
    if isinstance(value, (dict, list)):
        if depth == 0 or len(value) > MAX_META_VALUES:
            return MAX_META_VALUES + 1
        if isinstance(value, dict) and any(_count(key, 0) > 1 or not isinstance(key, str) for key in value):
            return MAX_META_VALUES + 1
        return sum(_count(v, depth - 1) for v in (value.values() if isinstance(value, dict) else value)) + 1
    if isinstance(value, str):
        return 1 if len(value) <= MAX_TEXT and value.isprintable() else MAX_META_VALUES + 1
    if type(value) is int:
        return 1 if abs(value) <= MAX_COUNT else MAX_META_VALUES + 1
    return 1 if value is None or isinstance(value, (bool, float)) else MAX_META_VALUES + 1
