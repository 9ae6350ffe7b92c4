"""A scenario file of faults: what goes wrong when, and what the pipeline must keep to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import Fault, parse_fault
from sensorfuse.inject.limits import Limit, make_limit
from sensorfuse.yaml_model import YamlModel, parse_model, read_text


class FaultScenario(YamlModel):
    """`faults` are mappings or texts (`lidar:drop:0.3@5+4`), `limits` the most (of scores the least) by measure."""

    description: str = ""
    duration_s: Annotated[float | None, Field(gt=0)] = None
    seed: Annotated[int, Field(ge=0)] = 0
    faults: tuple[Fault, ...]
    limits: dict[str, float] = Field(default_factory=dict)

    @field_validator("faults", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        try:
            return [parse_fault(v) if isinstance(v, str) else v for v in value]
        except SensorfuseError as error:
            raise ValueError(str(error)) from None

    @field_validator("limits")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        try:
            for measure, number in value.items():
                make_limit(measure, number)
        except SensorfuseError as error:
            raise ValueError(str(error)) from None
        return value

    def all_limits(self) -> list[Limit]:
        return [make_limit(measure, value) for measure, value in self.limits.items()]


def load_fault_scenario(path: Path) -> FaultScenario:
    """Read a scenario file.

    Raises:
        SensorfuseError: no such file, or a fault in it (with its line).
    """
    text = read_text(path, "fault scenario", "its keys are faults, limits, duration_s, seed, description")
    return parse_model(FaultScenario, text, str(path), "fault scenario")
