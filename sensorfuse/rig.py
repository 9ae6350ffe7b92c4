"""The rig: the one typed, validated description of a robot, read from YAML.

Every error names the file, the line and the key. Unknown keys, duplicate names, impossible rates and frames that
nothing defines are errors, found before any process starts.
"""

from __future__ import annotations

import ipaddress
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from sensorfuse.engine.engine import Backend, Precision
from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import Transform
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.yaml_model import YamlModel, checked_model, key_fault, parse_model, read_text


class FusionConfig(YamlModel):
    """When ticks come, and how long they wait.

    `policy: rate`: ticks come at `rate_hz` from the clock. `reference`: one per message of the stream `reference`, and
    at `rate_hz` while it is silent. `any`: whenever any stream brought something new, at most `rate_hz`.

    A tick waits at most `deadline_ms` after its reference time (after the arrival of what it is anchored on), and for
    messages out of order by up to `lateness_ms` (default: the 99.9th percentile of what each stream shows). One that
    lacks a `required` stream says so, or with `drop_incomplete` is left out.

    `weights` is a folder of networks that `sensorfuse train` wrote, found from the rig file's folder; empty: the
    shipped ones. They run by `engine` in `precision`; `auto` is the best engine that works on this machine. Each takes
    `threads` threads within an operator, on the `cores` named, as many (none: wherever the system puts them).
    `cuda_graph` records a run's kernels and replays them, where the engine can. `impute` is how a learned strategy is
    given the features of a sensor that is missing, made up from the others' (none: it is told that it is missing).
    """

    policy: Literal["rate", "reference", "any"] = "rate"
    reference: str | None = None
    rate_hz: Annotated[float, Field(gt=0, le=200)] = 10.0
    modalities: tuple[Modality, ...] = MODALITIES
    strategy: str = "late"
    engine: Literal["auto", Backend] = "auto"
    precision: Precision = "fp32"
    weights: str = ""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    cores: tuple[Annotated[int, Field(ge=0)], ...] = ()
    cuda_graph: bool = False
    encode_on: Literal["arrival", "tick"] = "arrival"  # "tick": encoders wait for the tick that names a sample
    impute: Literal["none", "product_of_experts", "encoder_decoder", "retrieval"] = "none"
    deadline_ms: Annotated[float, Field(gt=0, le=2000)] = 100.0
    lateness_ms: Annotated[float | None, Field(ge=0, le=2000)] = None
    drop_incomplete: bool = False

    @model_validator(mode="after")
    def _reference_where_used(self) -> FusionConfig:
        if self.policy == "reference" and self.reference is None:
            raise key_fault("policy", "policy reference needs the key `reference`: the stream that it follows")
        if self.policy != "reference" and self.reference is not None:
            raise key_fault("reference", f"policy {self.policy} follows no stream; leave it out, or policy: reference")
        return self

    @model_validator(mode="after")
    def _a_core_each(self) -> FusionConfig:
        if self.cores and len(set(self.cores)) != self.threads:
            raise key_fault(
                "cores", f"names {len(set(self.cores))} cores for {self.threads} threads; name one for each"
            )
        return self

    @field_validator("modalities")
    @classmethod
    def _no_twins(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a modality is named twice")
        if not value:
            raise ValueError("at least one modality is needed")
        return value

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.rate_hz)

    @property
    def deadline_ns(self) -> int:
        return round(self.deadline_ms * 1e6)


def is_loopback(address: str) -> bool:
    """Whether a `tcp://` address is reached from its own host alone.

    Raises:
        ValueError: it names no host, a port, or every interface at once.
    """
    host = address.removeprefix("tcp://")
    if not address.startswith("tcp://") or not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", host):
        raise ValueError(f"{address!r}: expected 'tcp://ADDRESS' without a port")
    try:
        known = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    if known.is_unspecified or known.is_multicast:
        raise ValueError(f"{address!r} is no address of one interface; name the one that other hosts connect to")
    return known.is_loopback


class HostConfig(YamlModel):
    """Another host: where it is reached, and the streams whose processes run there."""

    address: str
    streams: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("address")
    @classmethod
    def _known(cls, value: str) -> str:
        is_loopback(value)
        return value


class EndpointConfig(YamlModel):
    """Where processes meet. Default: `ipc://` sockets in a folder that this user alone may enter.

    `tcp://127.0.0.1` opens ports to every user of this host. Any other address needs `key`, the name of the key of the
    host that the pipeline runs on (`sensorfuse keys`); with it every tcp socket asks for keys, loopback too.

    `hosts` are other hosts with sensors, each by the name of its key. They find the supervisor at `control` (default:
    at `base`, which then has to be `tcp://`).
    """

    base: str = "ipc"
    port: Annotated[int, Field(ge=1024, le=65000)] = 7600
    shared_memory: bool = True  # for large payloads, where sockets are ipc and the system has it
    key: str | None = None
    control: str | None = None
    hosts: dict[str, HostConfig] = Field(default_factory=dict)

    @field_validator("base")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "ipc" and not value.startswith("ipc:///"):
            try:
                is_loopback(value)
            except ValueError as error:
                raise ValueError(f"expected 'ipc', 'ipc:///ABSOLUTE/FOLDER' or 'tcp://ADDRESS'; {error}") from None
        return value

    @model_validator(mode="after")
    def _no_open_door(self) -> EndpointConfig:
        for name, address in (("base", self.base), ("control", self.control)):
            if address is not None and not address.startswith("ipc") and not is_loopback(address) and self.key is None:
                raise key_fault(
                    name,
                    f"{address} listens beyond this host, which needs keys: run `sensorfuse keys make` there and name "
                    "its key here: `key: NAME`",
                )
        if self.hosts and self.key is None:
            raise key_fault("hosts", "sensors on other hosts need keys: name that of this host here: `key: NAME`")
        if self.hosts and self.control is None and self.base.startswith("ipc"):
            raise key_fault("hosts", "other hosts cannot reach ipc sockets: give `control: tcp://ADDRESS` of this host")
        if self.key in self.hosts:
            raise key_fault("hosts", f"{self.key!r} is the host that the pipeline runs on")
        places = [s for host in self.hosts.values() for s in host.streams]
        twins = sorted({s for s in places if places.count(s) > 1})
        if twins:
            raise key_fault("hosts", f"{', '.join(twins)}: a stream has one host")
        return self

    def host_of(self, stream: str) -> str | None:
        """The other host that a stream's process runs on; None where it runs with the pipeline."""
        return next((name for name, host in self.hosts.items() if stream in host.streams), None)


class RecordingConfig(YamlModel):
    compression: Literal["zstd", "lz4", "none"] = "zstd"
    chunk_mb: Annotated[float, Field(gt=0, le=64)] = 1.0
    inputs: bool = False  # record the sensors' data beside the fused frames


class LimitsConfig(YamlModel):
    """What one process may take. `memory_mb` bounds its own memory (data, as Linux counts it; default: no bound): a
    process that wants more ends with an error, and is started again.
    """

    memory_mb: Annotated[float | None, Field(gt=50)] = None


def is_scenario_file(scenario: str) -> bool:
    """Whether a scenario is given as a file of the user's, not as the name of a shipped one."""
    return scenario.endswith((".yaml", ".yml"))


class SimConfig(YamlModel):
    """Which synthetic world feeds the sensors when no log does. A scenario file is found from the rig file's folder."""

    scenario: str = "town"
    seed: Annotated[int, Field(ge=0)] = 0


class Rig(YamlModel):
    """A robot. `sensors` maps a name to a device; the order of `sensors` is the order of streams everywhere."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str = ""
    base_frame: str = "base_link"
    sensors: dict[str, SensorConfig]
    fusion: FusionConfig = FusionConfig()
    endpoints: EndpointConfig = EndpointConfig()
    recording: RecordingConfig = RecordingConfig()
    limits: LimitsConfig = LimitsConfig()
    sim: SimConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Rig:
        if not self.sensors:
            raise ValueError("a rig needs at least one sensor")
        frames: dict[str, str] = {}
        streams: dict[str, str] = {}
        for name, sensor in self.sensors.items():
            if not name.replace("_", "").isalnum() or not name.islower():
                raise key_fault(f"sensors.{name}", f"sensor name {name!r}: use lower-case letters, digits and _")
            if (
                sensor.frame == self.base_frame
                and sensor.T_base_sensor.transform().matrix().tolist() != Transform.identity().matrix().tolist()
            ):
                raise key_fault(
                    f"sensors.{name}.frame",
                    f"frame {sensor.frame!r} is the base frame, so T_base_sensor must be the identity",
                )
            other = frames.setdefault(sensor.frame, name)
            if other != name and self.sensors[other].T_base_sensor != sensor.T_base_sensor:
                raise key_fault(
                    f"sensors.{name}.frame",
                    f"sensors {other} and {name} share the frame {sensor.frame!r} but differ in T_base_sensor",
                )
            stream = sensor.log_stream or name
            if streams.setdefault(stream, name) != name:
                raise key_fault(
                    f"sensors.{name}.log_stream",
                    f"sensors {streams[stream]} and {name} both read the log stream {stream!r}",
                )
        fused = self.fused_streams()
        if self.fusion.reference is not None and self.fusion.reference not in fused:
            raise key_fault(
                "fusion.reference",
                f"{self.fusion.reference!r} is no stream that is fused; those are {', '.join(fused) or 'none'}",
            )
        strangers = sorted({n for h in self.endpoints.hosts.values() for n in h.streams} - set(self.sensors))
        if strangers:
            raise key_fault("endpoints.hosts", f"names {', '.join(strangers)}, which no sensor of this rig is called")
        if self.fusion.drop_incomplete and not any(self.sensors[n].required for n in fused):
            raise key_fault("fusion.drop_incomplete", "no sensor that is fused has `required: true`")
        unserved = [m for m in self.fusion.modalities if all(s.modality != m for s in self.sensors.values())]
        if unserved:
            raise key_fault("fusion.modalities", f"names {', '.join(unserved)}, which no sensor of this rig has")
        return self

    def streams(self) -> list[str]:
        return list(self.sensors)

    def fused_streams(self) -> list[str]:
        """Streams whose modality the fusion uses, in the rig's order."""
        return [n for n, s in self.sensors.items() if s.modality in self.fusion.modalities]

    def sensor(self, stream: str) -> SensorConfig:
        if stream not in self.sensors:
            raise SensorfuseError(f"rig {self.name!r} has no stream {stream!r}; it has {', '.join(self.sensors)}")
        return self.sensors[stream]

    def by_log_stream(self) -> dict[str, str]:
        """The rig's stream per stream name of a log."""
        return {s.log_stream or n: n for n, s in self.sensors.items()}

    def clock_offsets_ns(self) -> dict[str, int]:
        """Per log stream name: what is added to its stamps to reach the reference clock."""
        return {s.log_stream or n: s.offset_ns for n, s in self.sensors.items()}

    def to_yaml(self) -> str:
        """The rig as a file that `parse_rig` reads back: what a run really used."""
        return str(yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False))

    def with_fusion(self, **changes: Any) -> Rig:
        """A copy with fields of `fusion` replaced and validated.

        Raises:
            SensorfuseError: a value is out of range, or does not go with the rest of the rig.
        """
        data = self.model_dump()
        data["fusion"].update(changes)
        return checked_model(Rig, data, "rig")

    def on_one_host(self) -> Rig:
        """A copy whose processes all run here: a log's player takes the place of sensors elsewhere."""
        alone = self.endpoints.model_copy(update={"hosts": {}, "control": None})
        return self.model_copy(update={"endpoints": alone})

    def with_sim(self, scenario: str | None = None, seed: int | None = None) -> Rig:
        """A copy in another synthetic world; what is None stays as it is."""
        changes: dict[str, Any] = {"scenario": scenario, "seed": seed}
        given = {k: v for k, v in changes.items() if v is not None}
        return self.model_copy(update={"sim": SimConfig.model_validate((self.sim or SimConfig()).model_dump() | given)})


def parse_rig(text: str, source: str = "rig") -> Rig:
    """Read a rig from YAML text; `source` names it in errors.

    Raises:
        SensorfuseError: with `source:line: key: what is wrong` for each fault.
    """
    return parse_model(Rig, text, source, "rig")


def load_rig(path: str | Path) -> Rig:
    """Read a rig file, or a shipped rig by its bare name (`synthetic`, `radiate`, ...).

    Raises:
        SensorfuseError: no such file, no permission, or a fault in it (with its line).
    """
    file = Path(path)
    if not file.exists() and file.suffix == "" and len(file.parts) == 1:
        return shipped_rig(str(path))
    text = read_text(file, "rig", f"shipped rigs: {', '.join(shipped_rigs())}")
    rig = parse_rig(text, str(file))
    if rig.sim is not None and is_scenario_file(rig.sim.scenario):
        sim = rig.sim.model_copy(update={"scenario": str(file.resolve().parent / rig.sim.scenario)})
        rig = rig.model_copy(update={"sim": sim})
    if rig.fusion.weights:
        fusion = rig.fusion.model_copy(update={"weights": str(file.resolve().parent / rig.fusion.weights)})
        rig = rig.model_copy(update={"fusion": fusion})
    return rig


def shipped_rigs() -> list[str]:
    """Names of the rig files in the package."""
    folder = resources.files("sensorfuse.deploy.rigs")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def shipped_rig(name: str) -> Rig:
    """A rig that ships with the package, by name.

    Raises:
        SensorfuseError: there is no such rig.
    """
    if name not in shipped_rigs():
        raise SensorfuseError(f"no rig is called {name!r}; give a file, or one of: {', '.join(shipped_rigs())}")
    text = (resources.files("sensorfuse.deploy.rigs") / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_rig(text, f"{name}.yaml")
