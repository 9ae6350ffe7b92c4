"""The instant that a sample's content belongs to, in the device's clock: the middle of its exposure, sweep or scan."""

from __future__ import annotations

from sensorfuse.messages import Sample
from sensorfuse.sensor_config import SensorConfig

MAX_SPAN_PERIODS = 4.0  # further apart, two samples are not compared
MIN_MAX_SPAN_S = 0.3


def middle_ns(sample: Sample, config: SensorConfig) -> int:
    """When the middle of a picture, sweep or scan was taken.

    A picture's is the middle of the exposure of its middle row. Points with times of their own say it themselves;
    where a sweep or scan has none, it is taken to last `meta: scan_s` or one period.
    """
    if "time_ns" in sample.arrays and len(sample.arrays["time_ns"]):
        times = sample.arrays["time_ns"]
        return int(sample.stamp_ns + (int(times.min()) + int(times.max())) // 2)
    lasts_ns = _lasts_ns(sample, config)
    return int(sample.stamp_ns + {"start": lasts_ns // 2, "mid": 0, "end": -(lasts_ns // 2)}[sample.stamp])


def _lasts_ns(sample: Sample, config: SensorConfig) -> int:
    if config.modality == "camera":
        lens = config.intrinsics
        return 0 if lens is None else round(1e9 * (lens.exposure_s + lens.readout_s))
    scan_s = sample.meta.get("scan_s")
    if isinstance(scan_s, int | float) and 0 < scan_s < 10:
        return round(1e9 * scan_s)
    return config.period_ns


def comparable(before_ns: int, after_ns: int, config: SensorConfig) -> bool:
    """Whether the second of two instants follows the first soon enough for their contents to be compared."""
    longest_ns = max(MAX_SPAN_PERIODS * config.period_ns, 1e9 * MIN_MAX_SPAN_S)
    return 0 < after_ns - before_ns <= longest_ns
