"""Values as their type hints want them: lists of fields become dataclasses again, and everything in them is checked."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

Check = Callable[[Any], Any]  # gives the value as its type hint wants it, or raises Misfit


class Misfit(Exception):
    """A value that does not fit its type hint: where, from the inside out, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.where = ""

    def within(self, part: str) -> Misfit:
        self.where = part + self.where
        return self


def _instance_check(kind: type) -> Check:
    def check(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise Misfit(f"expected {kind.__name__}, got {type(value).__name__}")

    return check


def _literal_check(choices: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not str or value not in choices:
            raise Misfit(f"{value!r} is not one of {', '.join(map(str, choices))}")
        return value

    return check


def _array_check(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise Misfit(f"expected an array, got {type(value).__name__}")
    return value


def _list_check(item: Check) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not list:
            raise Misfit(f"expected a list, got {type(value).__name__}")
        out: list[Any] = []
        try:
            out.extend(map(item, value))
        except Misfit as fault:
            raise fault.within(f"[{len(out)}]") from None
        return out

    return check


def _tuple_check(items: tuple[Check, ...]) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(items):
            raise Misfit(f"expected {len(items)} values")
        out: list[Any] = []
        try:
            out.extend(item(v) for item, v in zip(items, value, strict=True))
        except Misfit as fault:
            raise fault.within(f"[{len(out)}]") from None
        return tuple(out)

    return check


def _dict_check(key: Check, item: Check) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit(f"expected a map, got {type(value).__name__}")
        out = {}
        for k, v in value.items():
            try:
                out[key(k)] = item(v)
            except Misfit as fault:
                raise fault.within(f".{k}") from None
        return out

    return check


def _optional_check(item: Check) -> Check:
    return lambda value: None if value is None else item(value)


def _dataclass_check(kind: type) -> Check:
    hints = typing.get_type_hints(kind)
    names, checks = tuple(hints), [check_of(hint) for hint in hints.values()]
    outer = tuple(typing.get_origin(hint) or hint for hint in hints.values())
    numbers = range(len(names))
    containers = [i for i in numbers if hints[names[i]] not in (str, int, float, bool)]  # whose type does not tell all

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(names):
            got = f"{len(value)} values" if type(value) is list else type(value).__name__
            raise Misfit(f"expected the {len(names)} fields {', '.join(names)}, got {got}")
        items = value.copy()
        for i in containers if tuple(map(type, items)) == outer else numbers:
            try:
                items[i] = checks[i](items[i])
            except Misfit as fault:
                raise fault.within(f".{names[i]}") from None
        return kind(*items)

    return check


def _anything(value: Any) -> Any:
    return value


@functools.cache
def check_of(kind: Any) -> Check:
    """What checks a value against a type hint and rebuilds nested dataclasses: composed once per hint."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _anything
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_check(kind)
    if origin in (typing.Union, types.UnionType):
        (some,) = (p for p in parts if p is not type(None))
        return _optional_check(check_of(some))
    if origin is typing.Literal:
        return _literal_check(parts)
    if origin is np.ndarray:
        return _array_check
    if origin is list:
        return _list_check(check_of(parts[0]))
    if origin is tuple:
        return _tuple_check(tuple(map(check_of, parts)))
    if origin is dict:
        return _dict_check(check_of(parts[0]), check_of(parts[1]))
    assert isinstance(kind, type), f"no check for {kind}"
    return _instance_check(kind)
