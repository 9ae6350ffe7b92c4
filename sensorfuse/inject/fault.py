"""What can be made to go wrong, where, how badly and when: one line of text or one entry of a scenario file each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from sensorfuse.endpoints import SLOTS
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.corruptions import CORRUPTIONS, SampleCorruption
from sensorfuse.rig import Rig
from sensorfuse.yaml_model import YamlModel, key_fault

Place = Literal["stream", "process", "machine"]

MACHINE = "machine"
_TEXT = re.compile(
    r"(?P<target>[a-z0-9_.]+):(?P<kind>[a-z_]+)(:(?P<value>[-+0-9.e]+))?(@(?P<at>[0-9.e]+)(\+(?P<for>[0-9.e]+))?)?"
)


@dataclass(frozen=True)
class Kind:
    """One kind of fault: what its value means, and what it does. `default` None: the value must be given."""

    place: Place
    unit: str
    default: float | None
    least: float
    most: float
    meaning: str


KINDS: dict[str, Kind] = {
    "drop": Kind("stream", "share", 1.0, 0, 1, "messages are lost"),
    "delay": Kind("stream", "s", None, 0, 60, "messages take so much longer; none overtakes another"),
    "jitter": Kind("stream", "s", None, 0, 10, "messages take longer, by an exponential time of this mean"),
    "reorder": Kind("stream", "share", 0.3, 0, 1, "messages come one to three periods late, others overtake them"),
    "duplicate": Kind("stream", "share", 1.0, 0, 1, "messages come twice"),
    "freeze": Kind("stream", "", 1.0, 1, 1, "new stamps, the content of the last message before"),
    "clock_step": Kind("stream", "s", None, -1e8, 1e8, "stamps are so much ahead"),
    "skew": Kind("stream", "ppm", None, -10_000, 10_000, "the device's clock runs fast"),
    "slow": Kind("stream", "times", 10.0, 1, 1000, "only every so manieth message is made"),
    "blackout": Kind("stream", "", 1.0, 1, 1, "the payload is blank: black, empty, silent, zero"),
    "noise": Kind("stream", "level", 0.7, 0, 1, "the modality's noise corruption, at a level from 0 to 1"),
    "garbage": Kind("stream", "share", 1.0, 0, 1, "payloads are random bytes"),
    "bit_flips": Kind("stream", "share", 1e-3, 0, 1, "so many of the payload's bits are flipped"),
    "truncate": Kind("stream", "share", 1.0, 0, 1, "messages are cut short on the wire"),
    "kill": Kind("process", "times", 1.0, 1, 100, "killed (SIGKILL), and again as soon as it is back, so many times"),
    "stop": Kind("process", "", 1.0, 1, 1, "stopped (SIGSTOP), and let go on at the end"),
    "disk_full": Kind("process", "MB", 0.0, 0, 1e6, "its files may grow by so much and no more"),
    "cpu": Kind("machine", "processes", 2.0, 1, 64, "so many busy processes take turns with the pipeline"),
}
"""By name. The sample corruptions of the robustness tests are kinds too: `camera:camera_fog:0.5`."""

_CONTENT = Kind("stream", "level", 0.7, 0, 1, "a corruption of what one measurement holds, at a level from 0 to 1")
CONTENT_KINDS = {c.name: c for c in CORRUPTIONS if isinstance(c, SampleCorruption)}


def find_kind(name: str) -> Kind | None:
    return _CONTENT if name in CONTENT_KINDS else KINDS.get(name)


class Fault(YamlModel):
    """One fault. `target` is a stream, a process, or `machine`. It begins `at_s` seconds into the run and lasts for
    `for_s` (left out: to the end; a kill: nobody keeps it down).
    """

    target: Annotated[str, Field(min_length=1)]
    kind: str
    value: float | None = None
    at_s: Annotated[float, Field(ge=0)] = 0.0
    for_s: Annotated[float | None, Field(gt=0)] = None

    @model_validator(mode="after")
    def _consistent(self) -> Fault:
        kind = find_kind(self.kind)
        if kind is None:
            raise key_fault("kind", f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}, {_contents()}")
        if (kind.place == "machine") != (self.target == MACHINE):
            where = f"the target {MACHINE!r}" if kind.place == "machine" else f"a {kind.place} as target"
            raise key_fault("target", f"{self.kind} takes {where}, got {self.target!r}")
        if self.value is None and kind.default is None:
            raise key_fault("value", f"{self.kind} needs a value in {kind.unit}: {kind.meaning}")
        if not kind.least <= self.amount <= kind.most:
            span = f"{kind.least:g} to {kind.most:g} {kind.unit}".rstrip()
            raise key_fault("value", f"{self.kind} takes {span}, got {self.amount:g}")
        return self

    @property
    def place(self) -> Place:
        kind = find_kind(self.kind)
        assert kind is not None
        return kind.place

    @property
    def amount(self) -> float:
        """The value, or what is usual for the kind."""
        kind = find_kind(self.kind)
        assert kind is not None
        return self.value if self.value is not None else float(kind.default or 0.0)

    @property
    def end_s(self) -> float:
        """When it ends: infinite where it lasts, its beginning for a kill that nobody prolongs."""
        if self.for_s is not None:
            return self.at_s + self.for_s
        return self.at_s if self.kind == "kill" else float("inf")

    def __str__(self) -> str:
        """The text that `parse_fault` reads back."""
        value = "" if self.value is None else f":{_digits(self.value)}"
        lasting = "" if self.for_s is None else f"+{_digits(self.for_s)}"
        return f"{self.target}:{self.kind}{value}@{_digits(self.at_s)}{lasting}"


def _digits(value: float) -> str:
    """A number with all that tells it from others, and without an exponent."""
    return format(Decimal(repr(value + 0.0)).normalize(), "f")


def _contents() -> str:
    return f"and of content {', '.join(CONTENT_KINDS)}"


def parse_fault(text: str) -> Fault:
    """Read `TARGET:KIND[:VALUE][@START[+DURATION]]`, times in seconds: `lidar:drop:0.3@5+4`.

    Raises:
        SensorfuseError: it does not read so, or a part of it makes no sense.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise SensorfuseError(
            f"fault {text!r}: expected TARGET:KIND[:VALUE][@START[+DURATION]], times in seconds, as lidar:drop:0.3@5+4"
        )
    parts = {"target": "target", "kind": "kind", "value": "value", "at": "at_s", "for": "for_s"}
    try:
        return Fault.model_validate({field: found[part] for part, field in parts.items() if found[part] is not None})
    except ValidationError as error:
        words = [str(f["msg"]).removeprefix("Value error, ").rpartition("@")[2] for f in error.errors()]
        raise SensorfuseError(f"fault {text!r}: {'; '.join(words)}") from None


def check_faults(faults: Iterable[Fault], rig: Rig, fuses: bool = True) -> None:
    """Whether a run of this rig has every fault's target.

    Raises:
        SensorfuseError: it has no such stream or process, or has it on another host, where nobody would put the fault
            in, or a content fault is for another modality.
    """
    streams = rig.streams()
    processes = [*streams, "player", "recorder", "nursery"]
    processes += [f"{twin}.{slot}" for twin in ("align", "fusion") for slot in SLOTS] if fuses else []
    for fault in faults:
        known = {"stream": streams, "process": processes, "machine": [MACHINE]}[fault.place]
        if fault.target not in known:
            raise SensorfuseError(
                f"fault {fault}: rig {rig.name!r} has no {fault.place} {fault.target!r}; it has {', '.join(known)}"
            )
        if (host := rig.endpoints.host_of(fault.target)) is not None:
            raise SensorfuseError(
                f"fault {fault}: {fault.target!r} runs on the host {host!r}, and faults are put in on this one only"
            )
        if fault.kind in CONTENT_KINDS and rig.sensors[fault.target].modality != CONTENT_KINDS[fault.kind].modality:
            raise SensorfuseError(
                f"fault {fault}: {fault.kind} is for {CONTENT_KINDS[fault.kind].modality}, "
                f"{fault.target} is {rig.sensors[fault.target].modality}"
            )
