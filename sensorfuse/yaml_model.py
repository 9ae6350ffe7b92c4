"""Validated models read from YAML. Every fault names the file, the line and the key; unknown and doubled keys are
faults too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sensorfuse.errors import SensorfuseError

KeyPath = tuple[str | int, ...]
MAX_YAML_CHARACTERS = 1 << 20
MAX_YAML_NODES = 50_000
MAX_YAML_DEPTH = 50


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


class _TooMuch(Exception):
    pass


def load_yaml(text: str, source: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> tuple[yaml.Node | None, Any]:
    """The nodes and the value of a YAML text: plain data, of bounded size however its aliases refer to each other.

    Raises:
        SensorfuseError: it is not valid YAML, nested too deep or too large; `source` names it.
    """
    try:
        if len(text) > MAX_YAML_CHARACTERS:
            raise _TooMuch
        reader = loader(text)
        try:
            node = reader.get_single_node()
            if node is None:
                return None, None
            _require_modest(node, [MAX_YAML_NODES], 0)
            return node, reader.construct_document(node)
        finally:
            reader.dispose()
    except _TooMuch:
        raise SensorfuseError(
            f"{source}: too large for a description: more than {MAX_YAML_CHARACTERS} characters, {MAX_YAML_NODES} "
            f"values (with what aliases stand for) or {MAX_YAML_DEPTH} levels"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, OverflowError, LookupError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        what = "nested too deep" if isinstance(error, RecursionError) else getattr(error, "problem", None) or error
        raise SensorfuseError(f"{where}: not valid YAML: {what}") from None


def _require_modest(node: yaml.Node, left: list[int], depth: int) -> None:
    """Count the nodes as they are reached, those behind aliases each time anew."""
    left[0] -= 1
    if left[0] < 0 or depth > MAX_YAML_DEPTH:
        raise _TooMuch
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _require_modest(key, left, depth + 1)
            _require_modest(value, left, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _require_modest(value, left, depth + 1)


def _index_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Remember the 1-based line of every key path; refuse a mapping that has a key twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
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
    node, data = load_yaml(text, source)
    lines: dict[KeyPath, int] = {}
    try:
        if node is not None:
            _index_lines(node, (), lines)
    except _Duplicate as twin:
        raise SensorfuseError(
            f"{source}:{twin.line}: {twin.key}: this name stands here twice; give each its own"
        ) from None
    if not isinstance(data, dict):
        keys = ", ".join(f"`{k}`" for k in model.model_fields)
        raise SensorfuseError(
            f"{source}: a {noun} file is a mapping with keys out of {keys}; this holds {type(data).__name__}"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [f"{source}:{_line_of(loc, lines)}: {key}: {what}" for loc, key, what in _faults(error, noun)]
        raise SensorfuseError("\n".join(faults)) from None


def checked_model(model: type[Model], data: Any, noun: str) -> Model:
    """A model of plain data that was put together here, of options say.

    Raises:
        SensorfuseError: with `key: what is wrong` for each fault.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SensorfuseError("\n".join(f"{key}: {what}" for _, key, what in _faults(error, noun))) from None


def _faults(error: ValidationError, noun: str) -> list[tuple[KeyPath, str, str]]:
    """Per fault the path to its key, that path as text, and what is wrong."""
    out = []
    for fault in error.errors():
        loc = tuple(fault["loc"])
        what = fault["msg"].removeprefix("Value error, ")
        if what.startswith("@"):
            _, below, what = what.split("@", 2)
            loc += tuple(below.split("."))
        if fault["type"] == "extra_forbidden":
            what = "unknown key"
        out.append((loc, ".".join(map(str, loc)) or noun, what))
    return out


def read_text(file: Path, noun: str, otherwise: str) -> str:
    """The text of a configuration file; `otherwise` says what a user may give when there is none.

    Raises:
        SensorfuseError: no such file, no permission, or not text.
    """
    try:
        with file.open(encoding="utf-8") as handle:
            return handle.read(MAX_YAML_CHARACTERS + 1)
    except FileNotFoundError:
        raise SensorfuseError(f"{file}: no such {noun} file; {otherwise}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SensorfuseError(f"{file}: cannot be read as a {noun} file: {error}") from None
