"""What a scenario says of one simulated device: its clock, the way of its messages to the host, and what goes wrong
when.

Times are seconds from the scenario's beginning. Everything is off by default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sensorfuse.yaml_model import YamlModel, key_fault

LossShare = Annotated[float, Field(ge=0, le=0.95)]  # some message always arrives
Ppm = Annotated[float, Field(ge=-10_000, le=10_000)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class ClockConfig(YamlModel):
    """A device's clock. Positive ppm: it runs fast.

    `offset_s`, as in the rig: what is added to its stamps to reach the reference clock, at the scenario's beginning;
    left out, the rig's own is true. A device that knows no date counts from its power-up instead: `counter_s` is what
    it reads at the scenario's beginning. Only such a counter can wrap, at 2**`wrap_bits` ticks of `resolution_ns`.
    """

    offset_s: Annotated[float | None, Field(ge=-1e8, le=1e8)] = None
    counter_s: Annotated[float | None, Field(ge=0, le=1e8)] = None
    skew_ppm: Ppm = 0.0
    warm_up_ppm: Ppm = 0.0  # frequency error at the beginning, beside the skew, that dies away with `warm_up_s`
    warm_up_s: Seconds = 60.0
    wander_ppm: Annotated[float, Field(ge=0, le=10)] = 0.0  # random walk of the frequency: 1 sigma after one second
    resolution_ns: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    wrap_bits: Annotated[int | None, Field(ge=8, le=60)] = None

    @model_validator(mode="after")
    def _consistent(self) -> ClockConfig:
        if self.offset_s is not None and self.counter_s is not None:
            raise key_fault("counter_s", "give one of offset_s and counter_s")
        if self.wrap_bits is not None and self.counter_s is None:
            raise key_fault("wrap_bits", "only a counter wraps: give counter_s, what it reads at the beginning")
        if self.wrap_bits is not None and self.resolution_ns << self.wrap_bits >= 1 << 63:
            raise key_fault("wrap_bits", f"2**{self.wrap_bits} ticks of {self.resolution_ns} ns last over 292 years")
        return self


class TransportConfig(YamlModel):
    """From the end of a measurement to its receipt: `delay_ms` at least (left out: typical for the modality), and an
    exponential rest of mean `jitter_ms`.

    Messages queue: none overtakes another, unless it is one of `reorder_share`, which come one to three periods late.
    `burst_share` of the messages are lost in runs of `burst_length` on average, beside the `drop_share` lost singly.
    """

    delay_ms: Milliseconds | None = None
    jitter_ms: Milliseconds = 0.3
    spike_share: Annotated[float, Field(ge=0, le=1)] = 0.0  # of the messages take `spike_ms` more
    spike_ms: Milliseconds = 0.0
    drop_share: LossShare = 0.0
    burst_share: LossShare = 0.0
    burst_length: Annotated[float, Field(ge=1, le=1000)] = 5.0
    duplicate_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    reorder_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class _Fault(YamlModel):
    at_s: Annotated[float, Field(ge=0)]

    @property
    def at_ns(self) -> int:
        return round(self.at_s * 1e9)


class _Lasting(_Fault):
    for_s: Seconds

    @property
    def end_ns(self) -> int:
        return self.at_ns + round(self.for_s * 1e9)


class ClockJump(_Fault):
    """The device's clock is set forward by `jump_s` (back, if negative), and stays so."""

    kind: Literal["clock_jump"]
    jump_s: Annotated[float, Field(ge=-1e8, le=1e8)]


class ClockReset(_Fault):
    """The device's clock starts again at 0."""

    kind: Literal["clock_reset"]


class DelayShift(_Fault):
    """Messages measured from then on take `shift_ms` longer, for good or for `for_s`."""

    kind: Literal["delay_shift"]
    shift_ms: Annotated[float, Field(ge=-60_000, le=60_000)]
    for_s: Seconds | None = None


class Outage(_Lasting):
    """Nothing arrives, and what is on its way is lost."""

    kind: Literal["outage"]


class Stall(_Lasting):
    """Messages are held back and arrive all together when it ends."""

    kind: Literal["stall"]


class Freeze(_Lasting):
    """Messages go on with new stamps and the content of the last one before."""

    kind: Literal["freeze"]


class Storm(_Lasting):
    """Each message arrives `copies` more times, and `jitter_ms` (mean) is added to its delay."""

    kind: Literal["storm"]
    copies: Annotated[int, Field(ge=0, le=20)] = 0
    jitter_ms: Milliseconds = 0.0

    @model_validator(mode="after")
    def _does_something(self) -> Storm:
        if self.copies == 0 and self.jitter_ms == 0:
            raise key_fault("copies", "a storm needs copies or jitter_ms")
        return self


Fault = Annotated[
    ClockJump | ClockReset | DelayShift | Outage | Stall | Freeze | Storm,
    Field(discriminator="kind"),
]


class DeviceConfig(YamlModel):
    """One entry of a scenario's `devices`. Without `clock` the rig's `offset_s` is the whole truth."""

    clock: ClockConfig = ClockConfig()
    transport: TransportConfig = TransportConfig()
    faults: tuple[Fault, ...] = ()
