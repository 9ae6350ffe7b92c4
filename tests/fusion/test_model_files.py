"""The card beside a strategy's network: whatever is wrong with it is said in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.degraded import UNMEASURED, Expectations
from sensorfuse.fusion.model_files import ENCODERS_FILE, NEEDED, file_digest, read_card

STRATEGY = "hybrid"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With encoders, and a card that belongs to them."""
    (tmp_path / ENCODERS_FILE).write_bytes(b"encoders")
    write(tmp_path, card_of(tmp_path))
    return tmp_path


def card_of(folder: Path) -> dict[str, object]:
    return {**dict.fromkeys(NEEDED, 0.5), "encoders": file_digest(folder / ENCODERS_FILE)}


def write(folder: Path, card: object) -> None:
    (folder / f"{STRATEGY}.json").write_text(card if isinstance(card, str) else json.dumps(card), encoding="utf-8")


def test_a_card_of_these_encoders_is_read(folder: Path) -> None:
    assert read_card(folder, STRATEGY) == card_of(folder)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_card_that_is_nested_too_deeply_is_refused_in_words(folder: Path, opening: str) -> None:
    write(folder, opening * 50 * sys.getrecursionlimit())
    with pytest.raises(SensorfuseError, match=rf"{STRATEGY}\.json: not a readable description of weights") as caught:
        read_card(folder, STRATEGY)
    assert "\n" not in str(caught.value)
    assert Expectations.read(STRATEGY, "any", folder).of(["lidar"]) == UNMEASURED


def test_nested_in_a_field_that_running_needs_not(folder: Path) -> None:
    depth = 50 * sys.getrecursionlimit()
    whole = json.dumps(card_of(folder))[:-1] + ', "accuracy": ' + "[" * depth + "]" * depth + "}"
    write(folder, whole)
    with pytest.raises(SensorfuseError, match="not a readable description of weights"):
        read_card(folder, STRATEGY)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("{", "not a readable description"),
        ("[1, 2]", "not a readable description.*expected an object"),
        ("3", "not a readable description.*expected an object"),
        ("{}", "the field 'score_thresholds' is missing"),
    ],
)
def test_what_is_no_card_is_said(folder: Path, card: str, words: str) -> None:
    write(folder, card)
    with pytest.raises(SensorfuseError, match=words):
        read_card(folder, STRATEGY)


def test_bytes_that_are_no_text_and_no_file_at_all(folder: Path) -> None:
    (folder / f"{STRATEGY}.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(SensorfuseError, match="not a readable description"):
        read_card(folder, STRATEGY)
    with pytest.raises(SensorfuseError, match="has no weights at"):
        read_card(folder, "late")


def test_a_card_of_other_encoders_is_refused(folder: Path) -> None:
    (folder / ENCODERS_FILE).write_bytes(b"others")
    with pytest.raises(SensorfuseError, match="other encoders"):
        read_card(folder, STRATEGY)
    (folder / ENCODERS_FILE).unlink()
    with pytest.raises(SensorfuseError, match="other encoders"):
        read_card(folder, STRATEGY)
