"""Models from YAML: every fault names file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, model_validator

from sensorfuse.errors import SensorfuseError
from sensorfuse.yaml_model import YamlModel, key_fault, load_yaml, parse_model, read_text


class Inner(YamlModel):
    low: float = 0.0
    high: Annotated[float, Field(le=10)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Inner:
        if self.low > self.high:
            raise key_fault("low", f"{self.low:g} is above high")
        return self


class Outer(YamlModel):
    name: str
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\ninner:\n  hihg: 2\n", "f.yaml:3: inner.hihg: unknown key"),
        ("name: a\ninner:\n  high: 20\n", "f.yaml:3: inner.high: Input should be less than or equal to 10"),
        ("name: a\ninner:\n  high: 1\n  low: 2\n", "f.yaml:4: inner.low: 2 is above high"),
        ("inner: {}\n", "f.yaml:1: name: Field required"),
        ("name: a\nname: b\n", "f.yaml:2: name: this name stands here twice"),
        ("name: [\n", "f.yaml:2: not valid YAML"),
        ("- name\n", "f.yaml: a thing file is a mapping with keys out of `name`, `inner`; this holds list"),
        ("name: a\ninner: {low: .nan}\n", "f.yaml:2: inner.low: Input should be a finite number"),
    ],
)
def test_a_fault_names_its_line_and_key(text: str, said: str) -> None:
    with pytest.raises(SensorfuseError) as refused:
        parse_model(Outer, text, "f.yaml", "thing")
    assert said in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SensorfuseError) as refused:
        parse_model(Outer, "nmae: a\ninner: {high: 99}\n", "f.yaml", "thing")
    assert len(str(refused.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SensorfuseError, match="no such thing file; try another"):
        read_text(tmp_path / "none.yaml", "thing", "try another")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SensorfuseError, match="cannot be read as a thing file"):
        read_text(tmp_path / "bytes.yaml", "thing", "try another")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "too large for a description"),
        ("a: &a [*a]\n", "too large for a description|nested too deep"),
        ("[" * 20_000, "nested too deep|too large"),
        ("{" * 20_000, "nested too deep|too large|not valid YAML"),
        ("a: " + "x" * (1 << 21), "too large for a description"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: !!python/object/apply:os.system [x]", "not valid YAML"),
        ("a: 2001-99-99", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
    ],
)
def test_hostile_yaml_is_refused_at_once(text: str, words: str) -> None:
    with pytest.raises(SensorfuseError, match=words):
        load_yaml(text, "rig.yaml")
