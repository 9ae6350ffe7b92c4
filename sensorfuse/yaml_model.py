"""Validated models read from YAML. Every fault names the file, the line and the key; unknown and doubled keys are
faults too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sensorfuse.errors import SensorfuseError

KeyPath = tuple[str | int, ...]


class YamlModel(BaseModel):
    """Frozen, and strict about its keys and about numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=YamlModel)


def key_fault(key: str, text: str) -> ValueError:
    """A fault of one key below the model whose validator finds it; `parse_model` turns the key into its line."""
    return ValueError(f"@{key}@{text}")


class _Duplicate(Exception):
    def __init__(self, key: str, line: int) -> None:
        super().__init__(key)
        self.key, self.line = key, line


def _index_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Remember the 1-based line of every key path; refuse a mapping that has a key twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise _Duplicate(".".join(map(str, (*path, key.value))), key.start_mark.line + 1)
            seen.add(key.value)
            lines[(*path, key.value)] = key.start_mark.line + 1
            _index_lines(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _index_lines(value, (*path, i), lines)


def _line_of(loc: KeyPath, lines: dict[KeyPath, int]) -> int:
    while loc and loc not in lines:
        loc = loc[:-1]
    return lines.get(loc, 1)


def parse_model(model: type[Model], text: str, source: str, noun: str) -> Model:
    """Read a model from YAML text; `source` names the text and `noun` the kind of file in errors.

    Raises:
        SensorfuseError: with `source:line: key: what is wrong` for each fault.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[KeyPath, int] = {}
        if node is not None:
            _index_lines(node, (), lines)
        data = yaml.safe_load(text)
    except _Duplicate as twin:
        raise SensorfuseError(
            f"{source}:{twin.line}: {twin.key}: this name stands here twice; give each its own"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise SensorfuseError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict):
        keys = ", ".join(f"`{k}`" for k in model.model_fields)
        raise SensorfuseError(
            f"{source}: a {noun} file is a mapping with keys out of {keys}; this holds {type(data).__name__}"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            loc = tuple(fault["loc"])
            what = fault["msg"].removeprefix("Value error, ")
            if what.startswith("@"):
                _, below, what = what.split("@", 2)
                loc += tuple(below.split("."))
            key = ".".join(map(str, loc)) or noun
            if fault["type"] == "extra_forbidden":
                what = "unknown key"
            faults.append(f"{source}:{_line_of(loc, lines)}: {key}: {what}")
        raise SensorfuseError("\n".join(faults)) from None


def read_text(file: Path, noun: str, otherwise: str) -> str:
    """The text of a configuration file; `otherwise` says what a user may give when there is none.

    Raises:
        SensorfuseError: no such file, no permission, or not text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SensorfuseError(f"{file}: no such {noun} file; {otherwise}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SensorfuseError(f"{file}: cannot be read as a {noun} file: {error}") from None
