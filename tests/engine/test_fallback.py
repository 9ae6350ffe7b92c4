"""An engine that fails is replaced within the call, for good, and said; a caller's wrong input replaces nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.engine.engine import Engine, Precision, WrongInput, check_inputs
from sensorfuse.engine.fallback import FallbackEngine, Level
from sensorfuse.errors import SensorfuseError

ONES = {"x": np.ones((1, 2), np.float32)}


class Doubler:
    """Doubles `x`; from its `fails_at`-th run on it raises, from its `spoils_at`-th on it gives NaN."""

    precision: Precision = "fp32"
    digest = "0"
    input_shapes: dict[str, list[Any]] = {"x": ["batch", 2]}  # noqa: RUF012
    output_names = ["y"]  # noqa: RUF012

    def __init__(self, name: str, fails_at: int = 10**9, spoils_at: int = 10**9) -> None:
        self.name, self.fails_at, self.spoils_at = name, fails_at, spoils_at
        self.runs, self.warmed = 0, False

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        check_inputs("doubler", inputs, self.input_shapes, {"x": np.float32})
        self.runs += 1
        if self.runs >= self.fails_at:
            raise RuntimeError(f"{self.name}: device lost\nand more")
        return {"y": inputs["x"] * (np.nan if self.runs >= self.spoils_at else 2)}

    def warm_up(self) -> None:
        self.warmed = True


def level(engine: Engine | Exception, opened: list[str] | None = None) -> Level:
    def open_it() -> Engine:
        if isinstance(engine, Exception):
            raise engine
        if opened is not None:
            opened.append(engine.name)
        return engine

    return Level("broken" if isinstance(engine, Exception) else engine.name, open_it)


def test_the_first_that_opens_is_used_and_the_rest_is_told() -> None:
    told: list[str] = []
    engine = FallbackEngine(
        "n.onnx", [level(SensorfuseError("no GPU")), level(Doubler("b")), level(Doubler("c"))], told.append
    )
    assert engine.name == "b"
    assert engine.replaced == 0
    assert told == ["n.onnx: broken: no GPU; it runs by b fp32"]


def test_a_failing_call_is_made_again_by_the_next_level_and_all_later_ones_too() -> None:
    first, second, third = Doubler("a", fails_at=3), Doubler("b"), Doubler("c")
    second.precision = "fp16"
    told: list[str] = []
    engine = FallbackEngine("n.onnx", [level(first), level(second), level(third)], told.append)
    names = []
    for _ in range(5):
        assert (engine.run(ONES)["y"] == 2).all(), "no call goes without an answer"
        names.append((engine.name, engine.precision))
    assert names == [("a", "fp32")] * 2 + [("b", "fp16")] * 3
    assert (first.runs, second.runs, third.runs) == (3, 3, 0)
    assert engine.replaced == 1
    assert engine.reasons == ["a fp32 failed: a: device lost"]
    assert told == ["n.onnx: a fp32 failed: a: device lost; it goes on by b fp16"]


def test_levels_that_may_be_needed_are_opened_and_warm_ahead() -> None:
    opened: list[str] = []
    engines = [Doubler(n, fails_at=1 if n == "a" else 10**9) for n in "abcd"]
    engine = FallbackEngine("n", [level(e, opened) for e in engines], lambda _: None)
    assert opened == ["a", "b", "d"], "the level below, and the surest"
    engine.run(ONES)
    assert opened == ["a", "b", "d"]
    assert engines[1].warmed


def test_levels_fail_one_after_the_other_within_one_call() -> None:
    told: list[str] = []
    engines = [Doubler("a", fails_at=1), Doubler("b", fails_at=1), Doubler("c")]
    engine = FallbackEngine("n", [level(e) for e in engines], told.append)
    assert (engine.run(ONES)["y"] == 2).all()
    assert engine.name == "c"
    assert "a: device lost" in told[0]
    assert "b: device lost" in told[0]


def test_when_nothing_below_works_the_error_is_the_present_levels() -> None:
    engine = FallbackEngine("n", [level(Doubler("a", fails_at=1)), level(Doubler("b", fails_at=1))], lambda _: None)
    with pytest.raises(RuntimeError, match="a: device lost"):
        engine.run(ONES)
    assert (engine.name, engine.replaced) == ("a", 0)


@pytest.mark.parametrize(
    "inputs", [{}, {"x": np.ones((1, 3), np.float32)}, {"x": np.ones((1, 2))}, {"z": np.ones((1, 2), np.float32)}]
)
def test_wrong_input_is_the_callers_fault(inputs: dict[str, NDArray[Any]]) -> None:
    told: list[str] = []
    engine = FallbackEngine("n", [level(Doubler("a")), level(Doubler("b"))], told.append)
    with pytest.raises(WrongInput):
        engine.run(inputs)
    assert (engine.name, engine.replaced, told) == ("a", 0, [])


def test_numbers_that_are_not_finite_are_a_failure_where_the_next_level_does_better() -> None:
    told: list[str] = []
    engine = FallbackEngine("n", [level(Doubler("a", spoils_at=2)), level(Doubler("b"))], told.append)
    assert [float(engine.run(ONES)["y"][0, 0]) for _ in range(3)] == [2, 2, 2]
    assert engine.name == "b"
    assert "not finite" in told[0]


def test_numbers_that_are_not_finite_are_no_failure_where_inputs_or_all_levels_are_so() -> None:
    a, b = Doubler("a", spoils_at=2), Doubler("b", spoils_at=1)
    engine = FallbackEngine("n", [level(a), level(b)], lambda _: None)
    assert np.isnan(engine.run({"x": np.full((1, 2), np.nan, np.float32)})["y"]).all()
    assert b.runs == 0, "what goes in so may come out so"
    for _ in range(3):
        assert np.isnan(engine.run(ONES)["y"]).all()
    assert (engine.name, engine.replaced, b.runs) == ("a", 0, 1), "the network's doing: it is not asked again"


def test_a_level_that_has_to_open_does_not_fall_back_at_the_start() -> None:
    with pytest.raises(SensorfuseError, match="no such GPU"):
        FallbackEngine("n", [level(SensorfuseError("no such GPU")), level(Doubler("b"))], lambda _: None, insist=True)
    with pytest.raises(SensorfuseError, match=r"n: no engine can run it: broken: x"):
        FallbackEngine("n", [level(ValueError("x"))], lambda _: None)
