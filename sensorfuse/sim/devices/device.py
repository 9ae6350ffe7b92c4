"""One device of the synthetic rig: its clock, when it measures, and how its messages reach the host."""

from __future__ import annotations

from collections.abc import Mapping

from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.rig import Rig
from sensorfuse.sim.devices.device_clock import DeviceClock
from sensorfuse.sim.devices.device_config import ClockJump, ClockReset, DeviceConfig, Freeze
from sensorfuse.sim.devices.schedule import Schedule
from sensorfuse.sim.devices.transport import Transport

DELAY_NS: dict[Modality, int] = {
    "camera": 4_000_000,
    "lidar": 2_000_000,
    "radar": 3_000_000,
    "imu": 500_000,
    "audio": 1_000_000,
}
"""From the end of the measurement to receipt at least: processing in the device, and the cable."""


class Device:
    """The device of one stream. A scenario's entry for the stream itself comes before one for its modality."""

    def __init__(
        self, rig: Rig, stream: str, devices: Mapping[str, DeviceConfig], seed: int, epoch_ns: int = 0
    ) -> None:
        sensor = rig.sensor(stream)
        config = devices.get(stream) or devices.get(sensor.modality) or DeviceConfig()
        turns = [f for f in config.faults if isinstance(f, (ClockJump, ClockReset))]
        way = [f for f in config.faults if not isinstance(f, (ClockJump, ClockReset, Freeze))]
        self.clock = DeviceClock(config.clock, turns, seed, stream, sensor.offset_ns, epoch_ns)
        self.schedule = Schedule(stream, sensor, seed, self.clock)
        delay_ns = DELAY_NS[sensor.modality]
        self.transport = Transport(config.transport, way, delay_ns, self.schedule, seed, stream)
        self._freezes = [f for f in config.faults if isinstance(f, Freeze)]

    def content_k(self, k: int) -> int:
        """Which measurement's content message `k` carries: its own, or in a freeze the last one before that."""
        for freeze in sorted(self._freezes, key=lambda f: f.at_ns, reverse=True):
            if freeze.at_ns <= self.schedule.span_ns(k)[0] < freeze.end_ns:
                k = max(0, self.schedule.first_starting(freeze.at_ns) - 1)
        return k


def check_devices(rig: Rig, devices: Mapping[str, DeviceConfig], scenario: str) -> None:
    """Refuse an entry that no stream of the rig can be meant by.

    Raises:
        SensorfuseError: a name is neither a stream of the rig nor a modality.
    """
    unknown = [name for name in devices if name not in rig.sensors and name not in MODALITIES]
    if unknown:
        raise SensorfuseError(
            f"scenario {scenario!r}: devices: {', '.join(unknown)}: rig {rig.name!r} has no such stream; expected one "
            f"of its streams ({', '.join(rig.sensors)}) or a modality ({', '.join(MODALITIES)})"
        )
