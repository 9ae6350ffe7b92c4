"""Values are rebuilt by their type hints, or said not to fit, with the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorfuse.wire_schema import Misfit, check_of


@dataclass
class Inner:
    name: str
    kind: Literal["a", "b"] = "a"


@dataclass
class Outer:
    number: int
    share: float
    inner: list[Inner] = field(default_factory=list)
    pair: tuple[int, str] = (0, "")
    by_name: dict[str, Inner] = field(default_factory=dict)
    maybe: Inner | None = None
    cells: NDArray[np.float64] | None = None
    rest: Any = None


WHOLE = [1, 2, [["x", "b"]], [3, "y"], {"k": ["z", "a"]}, None, np.zeros(2), {"any": [1]}]


def test_nested_dataclasses_come_back() -> None:
    out = check_of(Outer)(WHOLE)
    assert isinstance(out, Outer)
    assert (out.inner, out.pair, out.by_name) == ([Inner("x", "b")], (3, "y"), {"k": Inner("z")})
    assert type(out.share) is float
    assert out.maybe is None
    assert out.rest == {"any": [1]}
    assert WHOLE[2] == [["x", "b"]], "what came is not touched"


@pytest.mark.parametrize(
    ("place", "value", "where", "why"),
    [
        (0, True, ".number", "expected int, got bool"),
        (0, 1.0, ".number", "expected int, got float"),
        (1, "1", ".share", "expected float, got str"),
        (2, [["x", "c"]], ".inner[0].kind", "'c' is not one of a, b"),
        (2, [["x", "a"], ["y"]], ".inner[1]", "expected the 2 fields name, kind, got 1 values"),
        (2, {"0": 1}, ".inner", "expected a list, got dict"),
        (3, [3], ".pair", "expected 2 values"),
        (3, [3, 4], ".pair[1]", "expected str, got int"),
        (4, {1: ["z", "a"]}, ".by_name.1", "expected str, got int"),
        (4, [], ".by_name", "expected a map, got list"),
        (5, 7, ".maybe", "expected the 2 fields name, kind, got int"),
        (6, [0.0], ".cells", "expected an array, got list"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(place: int, value: object, where: str, why: str) -> None:
    values = WHOLE.copy()
    values[place] = value
    with pytest.raises(Misfit) as fault:
        check_of(Outer)(values)
    assert (fault.value.where, fault.value.why) == (where, why)
