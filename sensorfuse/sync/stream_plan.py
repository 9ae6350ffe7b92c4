"""What is known of a log's streams before it is read: from the rig where there is one, else from the log."""

from __future__ import annotations

from dataclasses import dataclass

from sensorfuse.align.clock_model import Counter
from sensorfuse.align.stream_clock import StreamClock
from sensorfuse.errors import SensorfuseError
from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.messages import Modality
from sensorfuse.rig import Rig, shipped_rig, shipped_rigs
from sensorfuse.sensor_config import SensorConfig

DEFAULT_RATE_HZ = 10.0  # of messages, where neither rig nor log says


@dataclass(frozen=True)
class StreamPlan:
    """One stream of the log. `config` is None for a stream that the rig does not name."""

    name: str
    log_stream: str
    modality: Modality
    period_ns: int
    info: StreamInfo
    config: SensorConfig | None

    @property
    def max_age_ns(self) -> int:
        return self.config.max_age_ns if self.config is not None else round(2.5 * self.period_ns)

    def clock(self) -> StreamClock:
        """The map from stamps to the reference clock that the aligner makes of this stream."""
        if self.config is None:
            return StreamClock(self.period_ns)
        counter = Counter(self.config.counter.turn_ns) if self.config.counter is not None else None
        sigma_ns = round(self.config.offset_sigma_s * 1e9)
        return StreamClock(self.period_ns, self.config.offset_ns, sigma_ns, counter=counter)


def plan_streams(reader: LogReader, rig: Rig | None) -> dict[str, StreamPlan]:
    """By the log's names: the rig's streams in its order, then the log's others.

    Raises:
        SensorfuseError: the rig names none of the log's streams.
    """
    infos = reader.streams()
    plans = {}
    for name, config in rig.sensors.items() if rig is not None else ():
        log_stream = config.log_stream or name
        if log_stream in infos:
            info = infos[log_stream]
            plans[log_stream] = StreamPlan(name, log_stream, config.modality, config.period_ns, info, config)
    if rig is not None and not plans:
        wanted = ", ".join(s.log_stream or n for n, s in rig.sensors.items())
        raise SensorfuseError(
            f"{reader.path}: the rig {rig.name!r} names {wanted}, none of which is in this log; "
            f"it has {', '.join(infos) or 'no streams'}. Correct `log_stream` in the rig"
        )
    for log_stream, info in infos.items():
        if log_stream not in plans:
            period_ns = round(1e9 / (info.rate_hz or DEFAULT_RATE_HZ))
            plans[log_stream] = StreamPlan(log_stream, log_stream, info.modality, period_ns, info, None)
    return plans


def guess_rig(reader: LogReader) -> Rig | None:
    """The rig that the log brings with it, else the shipped rig all of whose streams it has: of several the one that
    covers most of the log, and of those the one called as the format. None when there is none.
    """
    attached = getattr(reader, "rig", None)
    rig: Rig | None = attached() if attached is not None else None
    if rig is not None:
        return rig
    have = {name: info.modality for name, info in reader.streams().items()}
    fitting = []
    for name in shipped_rigs():
        candidate = shipped_rig(name)
        wanted = {s.log_stream or n: s.modality for n, s in candidate.sensors.items()}
        if all(have.get(stream) == modality for stream, modality in wanted.items()):
            fitting.append((len(wanted), name == reader.format, candidate))
    return max(fitting, key=lambda f: f[:2], default=(0, False, None))[2]
