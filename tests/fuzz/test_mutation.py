"""Inputs are the same for the same seed, differ among numbers, and begin with the seeds."""

from __future__ import annotations

import json
import random
from typing import Any

from sensorfuse.fuzz.mutation import MAX_INPUT_BYTES, STEPS, Mutator, changed

SEEDS = [b'{"a": [1, 2, {"b": "text"}], "c": 3.5}', b"second seed, longer than the first\nwith 2 lines\n"]


class Json:
    def parse(self, data: bytes) -> Any:
        return json.loads(data)

    def build(self, tree: Any) -> bytes:
        return json.dumps(tree).encode()


def test_same_seed_same_inputs() -> None:
    one, two, other = (Mutator(SEEDS, Json(), s) for s in (3, 3, 4))
    inputs = [one.make(n) for n in range(400)]
    assert inputs == [two.make(n) for n in range(400)]
    assert inputs[2:] != [other.make(n) for n in range(2, 400)]
    assert inputs[:2] == SEEDS
    assert len(set(inputs)) > 300


def test_some_inputs_keep_the_structure_and_some_do_not() -> None:
    mutator = Mutator(SEEDS[:1], Json(), 0)
    sound = 0
    for n in range(300):
        try:
            json.loads(mutator.make(n))
            sound += 1
        except (ValueError, RecursionError):
            pass
    assert 60 < sound < 280


def test_every_step_takes_any_bytes() -> None:
    rng = random.Random(0)
    for step in STEPS:
        for data in (b"", b"x", b"12 34\n56", bytes(300)):
            step(rng, bytearray(data), b"other")
    assert len(Mutator([bytes(MAX_INPUT_BYTES)], None, 0).vary(bytes(MAX_INPUT_BYTES), rng)) <= MAX_INPUT_BYTES


def test_a_tree_is_changed_in_a_copy() -> None:
    tree = {"a": [1, 2, {"b": "text"}], "c": 3.5}
    before = json.dumps(tree)
    variants = {json.dumps(changed(tree, random.Random(n)), default=str) for n in range(200)}
    assert json.dumps(tree) == before
    assert len(variants) > 50
